//! The table: for each kind, what becomes of an entry of everybody in every phase.

use samenspraak_core::entry::Kind;

/// What becomes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// It gets no place in its chain: the push is refused.
    NoPlace,
    /// It has its place, and its body waits for what may still come.
    Waits,
    /// It has its place, and its body never counts.
    Refused,
    /// It counts.
    Counts,
    /// There is nothing to ask: nobody like that could create it, or was ever granted or cut.
    Nothing,
}

/// Who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Stranger,
    Resident,
    Party,
    Facilitator,
    Board,
    Administrator,
    Root,
    Server,
}

impl Who {
    pub const ALL: [Self; 8] = [
        Self::Stranger,
        Self::Resident,
        Self::Party,
        Self::Facilitator,
        Self::Board,
        Self::Administrator,
        Self::Root,
        Self::Server,
    ];

    /// Whether the role can come by a grant after the author joined.
    pub fn is_granted(self) -> bool {
        matches!(self, Self::Party | Self::Facilitator | Self::Board | Self::Administrator)
    }
}

/// When it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Creates,
    FollowsOwn,
    FollowsOthers,
    ErasesWithSecret,
    ErasesAsStaff,
    BeforeGranted,
    AfterCut,
}

/// One row: a cell for everybody in each phase.
pub struct Row {
    creates: [Cell; 8],
    follows_own: [Cell; 8],
    follows_others: [Cell; 8],
    erases_with_secret: [Cell; 8],
    erases_as_staff: [Cell; 8],
    before_granted: [Cell; 8],
    after_cut: [Cell; 8],
}

impl Row {
    pub fn of(&self, phase: Phase, who: Who) -> Cell {
        let cells = match phase {
            Phase::Creates => &self.creates,
            Phase::FollowsOwn => &self.follows_own,
            Phase::FollowsOthers => &self.follows_others,
            Phase::ErasesWithSecret => &self.erases_with_secret,
            Phase::ErasesAsStaff => &self.erases_as_staff,
            Phase::BeforeGranted => &self.before_granted,
            Phase::AfterCut => &self.after_cut,
        };
        cells[who as usize]
    }
}

macro_rules! kinds {
    ($($name:ident = $kind:ident,)*) => {
        /// What is written: every kind of this version.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum What { $($name,)* }

        impl What {
            pub const ALL: [Self; Kind::ALL.len()] = [$(Self::$name,)*];

            pub fn kind(self) -> Kind {
                match self { $(Self::$name => Kind::$kind,)* }
            }
        }
    };
}

kinds! {
    Genesis = GENESIS,
    Grant = GRANT,
    Revocation = REVOCATION,
    Invitation = INVITATION,
    Join = JOIN,
    Server = SERVER,
    Cut = CUT,
    Tombstone = TOMBSTONE,
    Directory = DIRECTORY,
    Epoch = EPOCH,
    Settlement = SETTLEMENT,
    Withdrawal = WITHDRAWAL,
    Organisation = ORGANISATION,
    Enrolment = ENROLMENT,
    Generation = GENERATION,
    Wrap = WRAP,
    CircleCard = CIRCLE_CARD,
    Contribution = CONTRIBUTION,
    Meeting = MEETING,
    Voice = VOICE,
    Decision = DECISION,
    Sealed = SEALED,
    Dropped = DROPPED,
    Answer = ANSWER,
    Ballot = BALLOT,
    Count = COUNT,
    Tally = TALLY,
    Ruling = RULING,
}

const N: Cell = Cell::NoPlace;
const W: Cell = Cell::Waits;
const R: Cell = Cell::Refused;
const C: Cell = Cell::Counts;
const X: Cell = Cell::Nothing;

/// Nothing to ask of anybody.
const NOTHING: [Cell; 8] = [X; 8];
/// A tombstone in `members`: there is none; a stranger has no place.
const NO_TOMBSTONE: [Cell; 8] = [N, R, R, R, R, R, R, R];
/// A tombstone of what the wijk stands by, or staff's wish where only board and administrators may wish.
const SECRET_ERASES: [Cell; 8] = [N, C, C, C, C, C, C, C];
const SECRET_IS_NOT_ENOUGH: [Cell; 8] = [N, R, R, R, R, R, R, R];
const STAFF_ERASES: [Cell; 8] = [N, W, W, W, C, C, R, R];
const STAFF_MAY_NOT: [Cell; 8] = SECRET_IS_NOT_ENOUGH;
/// Cuts end chains of whoever has a device that can be revoked.
const CUT_IN_MEMBERS: [Cell; 8] = [X, W, W, W, W, W, X, X];

/// What becomes of it. Columns: stranger, resident, party, facilitator, board, administrator, root, server.
#[rustfmt::skip]
pub fn row(what: What) -> Row {
    // Records of `members` are all subjects of their own and can't be erased.
    let members = |creates: [Cell; 8], follows_own: [Cell; 8], before_granted: [Cell; 8], after_cut: [Cell; 8]| Row {
        creates, follows_own, before_granted, after_cut,
        follows_others: [N, R, R, R, R, R, R, R],
        erases_with_secret: NO_TOMBSTONE, erases_as_staff: NO_TOMBSTONE,
    };
    match what {
        What::Genesis => members([N, R, R, R, R, R, R, R], NOTHING,                  [X, X, R, R, R, R, X, X], [X, R, R, R, R, R, X, X]),
        What::Grant => members([N, W, W, C, C, C, C, W],   [X, X, X, R, R, R, R, X], [X, X, W, W, W, W, X, X], CUT_IN_MEMBERS),
        What::Revocation => members([N, W, W, C, C, C, C, W], [X, X, X, R, R, R, R, X], [X, X, W, W, W, W, X, X], CUT_IN_MEMBERS),
        What::Invitation => members([N, W, W, C, C, C, C, W], [X, X, X, R, R, R, R, X], [X, X, W, W, W, W, X, X], CUT_IN_MEMBERS),
        // A device joins with the first thing it says.
        What::Join => members([C, R, R, R, R, R, R, R],    [R, X, X, X, X, X, X, X], [X, X, R, R, R, R, X, X], [X, R, R, R, R, R, X, X]),
        // Who the root is may be known later than what it says.
        What::Server => members([N, W, W, W, W, W, C, W],  [X, X, X, X, X, X, R, X], [X, X, W, W, W, W, X, X], CUT_IN_MEMBERS),
        What::Cut => members([N, W, W, W, W, W, W, C],     [X, X, X, X, X, X, X, R], [X, X, W, W, W, W, X, X], CUT_IN_MEMBERS),
        What::Tombstone => Row {
            // It opens no subject.
            creates:            [N; 8],
            follows_own: NOTHING,
            // A tombstone of a subject that never was needs its proof.
            follows_others:     [N, R, R, R, R, R, R, R],
            erases_with_secret: NOTHING,
            erases_as_staff: NOTHING,
            before_granted:     [X, X, N, N, N, N, X, X],
            after_cut:          [X, N, N, N, N, N, X, X],
        },
        What::Directory => members([N, W, W, W, W, C, C, W], [X, X, X, X, X, R, R, X], [X, X, W, W, W, W, X, X], CUT_IN_MEMBERS),
        // Whoever shows the certificate is the server.
        What::Epoch => members([C, C, C, C, C, C, C, C],   [R, R, R, R, R, R, R, R], [X, X, C, C, C, C, X, X], [X, C, C, C, C, C, X, X]),
        What::Settlement => members([N, W, W, W, W, W, W, C], [X, X, X, X, X, X, X, R], [X, X, W, W, W, W, X, X], CUT_IN_MEMBERS),
        What::Withdrawal => members([N, C, C, C, C, C, C, W], [X, R, R, R, R, R, R, X], [X, X, C, C, C, C, X, X], CUT_IN_MEMBERS),
        What::Organisation => members([N, W, W, W, W, C, C, W], [X, X, X, X, X, R, R, X], [X, X, W, W, W, W, X, X], CUT_IN_MEMBERS),
        What::Generation => members([N, W, W, W, C, C, W, W], [X, X, X, X, R, R, X, X], [X, X, W, W, W, W, X, X], CUT_IN_MEMBERS),
        // In closed spaces only who is in, or comes in by right, has a place; and the server.
        What::Enrolment => Row {
            creates:            [N, N, N, N, C, N, N, W],
            follows_own:        [X, X, X, X, R, X, X, X],
            follows_others:     [N, N, N, N, R, N, N, R],
            erases_with_secret: [N, N, N, N, R, N, N, R],
            erases_as_staff:    [N, N, N, N, R, N, N, R],
            before_granted:     [X, X, N, N, N, N, X, X],
            after_cut: NOTHING,
        },
        What::Wrap => Row {
            creates:            [N, N, N, N, C, N, N, W],
            follows_own:        [X, X, X, X, R, X, X, X],
            follows_others:     [N, N, N, N, R, N, N, R],
            erases_with_secret: [N, N, N, N, R, N, N, R],
            erases_as_staff:    [N, N, N, N, R, N, N, R],
            before_granted:     [X, X, N, N, N, N, X, X],
            after_cut: NOTHING,
        },
        What::CircleCard => Row {
            creates:            [N, N, N, C, N, N, N, W],
            follows_own:        [X, X, X, R, X, X, X, X],
            follows_others:     [N, N, N, R, N, N, N, R],
            erases_with_secret: [N, N, N, R, N, N, N, R],
            // The other circle's card is not known here, and could be anything.
            erases_as_staff:    [N, N, N, W, N, N, N, R],
            before_granted:     [X, X, N, N, N, N, X, X],
            after_cut: NOTHING,
        },
        What::Sealed => Row {
            creates:            [N, N, N, N, C, N, N, R],
            follows_own:        [X, X, X, X, R, X, X, X],
            follows_others:     [N, N, N, N, R, N, N, R],
            erases_with_secret: [N, N, N, N, C, N, N, C],
            erases_as_staff:    [N, N, N, N, C, N, N, R],
            before_granted:     [X, X, N, N, N, N, X, X],
            after_cut: NOTHING,
        },
        What::Dropped => Row {
            // The key of a server's epoch may present itself later.
            creates:            [N, N, N, N, W, N, N, C],
            follows_own:        [X, X, X, X, X, X, X, R],
            follows_others:     [N, N, N, N, R, N, N, R],
            erases_with_secret: [N, N, N, N, C, N, N, C],
            erases_as_staff:    [N, N, N, N, C, N, N, R],
            before_granted:     [X, X, N, N, N, N, X, X],
            after_cut: NOTHING,
        },
        What::Contribution => Row {
            creates:            [N, C, C, C, C, C, R, R],
            follows_own:        [X, C, C, C, C, C, X, X],
            follows_others:     [N, R, R, R, R, R, R, R],
            erases_with_secret: SECRET_ERASES,
            erases_as_staff:    STAFF_ERASES,
            before_granted:     [X, X, C, C, C, C, X, X],
            after_cut:          [X, W, W, W, W, W, X, X],
        },
        What::Meeting => Row {
            creates:            [N, W, W, C, C, C, R, R],
            follows_own:        [X, X, X, C, C, C, X, X],
            follows_others:     [N, W, W, C, C, C, R, R],
            erases_with_secret: SECRET_IS_NOT_ENOUGH,
            erases_as_staff:    STAFF_ERASES,
            before_granted:     [X, X, W, W, W, W, X, X],
            after_cut:          [X, W, W, W, W, W, X, X],
        },
        What::Voice => Row {
            creates:            [N, C, C, C, C, C, R, R],
            follows_own:        [X, C, C, C, C, C, X, X],
            follows_others:     [N, R, R, R, R, R, R, R],
            erases_with_secret: SECRET_ERASES,
            erases_as_staff:    STAFF_ERASES,
            before_granted:     [X, X, C, C, C, C, X, X],
            after_cut:          [X, W, W, W, W, W, X, X],
        },
        What::Decision => Row {
            creates:            [N, W, W, W, C, W, R, R],
            follows_own:        [X, X, X, X, R, X, X, X],
            follows_others:     [N, R, R, R, R, R, R, R],
            erases_with_secret: SECRET_IS_NOT_ENOUGH,
            erases_as_staff:    STAFF_MAY_NOT,
            before_granted:     [X, X, W, W, W, W, X, X],
            after_cut:          [X, W, W, W, W, W, X, X],
        },
        What::Answer => Row {
            creates:            [N, W, W, W, C, W, R, R],
            follows_own:        [X, X, X, X, R, X, X, X],
            follows_others:     [N, R, R, R, R, R, R, R],
            erases_with_secret: SECRET_ERASES,
            erases_as_staff:    STAFF_ERASES,
            before_granted:     [X, X, W, W, W, W, X, X],
            after_cut:          [X, W, W, W, W, W, X, X],
        },
        What::Ballot => Row {
            creates:            [N, C, C, C, C, C, R, R],
            follows_own:        [X, C, C, C, C, C, X, X],
            follows_others:     [N, R, R, R, R, R, R, R],
            erases_with_secret: SECRET_ERASES,
            erases_as_staff:    STAFF_ERASES,
            before_granted:     [X, X, C, C, C, C, X, X],
            after_cut:          [X, W, W, W, W, W, X, X],
        },
        What::Count => Row {
            creates:            [N, W, W, C, C, C, R, R],
            follows_own:        [X, X, X, R, R, R, X, X],
            follows_others:     [N, R, R, R, R, R, R, R],
            erases_with_secret: SECRET_IS_NOT_ENOUGH,
            erases_as_staff:    STAFF_MAY_NOT,
            before_granted:     [X, X, W, W, W, W, X, X],
            after_cut:          [X, W, W, W, W, W, X, X],
        },
        What::Tally => Row {
            creates:            [N, W, W, W, W, W, R, C],
            follows_own:        [X, X, X, X, X, X, X, R],
            follows_others:     [N, R, R, R, R, R, R, R],
            erases_with_secret: SECRET_IS_NOT_ENOUGH,
            erases_as_staff:    STAFF_MAY_NOT,
            before_granted:     [X, X, W, W, W, W, X, X],
            after_cut:          [X, W, W, W, W, W, X, X],
        },
        What::Ruling => Row {
            creates:            [N, W, W, C, C, C, R, R],
            follows_own:        [X, X, X, R, R, R, X, X],
            follows_others:     [N, R, R, R, R, R, R, R],
            erases_with_secret: SECRET_IS_NOT_ENOUGH,
            erases_as_staff:    STAFF_MAY_NOT,
            before_granted:     [X, X, W, W, W, W, X, X],
            after_cut:          [X, W, W, W, W, W, X, X],
        },
    }
}
