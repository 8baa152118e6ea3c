//! The rule table: who may write what, where, and whether it can be erased. It reads like the design's (section 5).
//!
//! Who may depends on what counted at the entry's place in its chain (`membership`), never on what was revoked later: cuts
//! end chains, so that what was decided in a role stays decided.

use crate::entry::Kind;
use crate::model::{Role, SpaceId};

/// Who may write an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writers {
    /// The root key only.
    Root,
    /// The root, or a person of a higher authority than what is given or taken; a person's own devices manage each other.
    ByRank,
    /// A device that shows a card, or a right.
    Card,
    /// The key that a server's identity certifies.
    Certificate,
    /// A certified key of the server.
    Server,
    /// The root, or persons with one of these roles.
    Roles(&'static [Role]),
    /// Any member.
    Members,
    /// Whoever brought a key into this closed space.
    Enrolled,
    /// The facilitator who founded this circle.
    Founder,
    /// Whoever may start a key of this space: board and administrators, the circle's facilitator, the person itself.
    Keepers,
    /// The person who created the subject.
    Owner,
    /// Whoever can prove it, in the body itself; staff with a legal ground.
    Proof,
    /// Nobody.
    Nobody,
}

/// How the body is folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A fact in one entry.
    Record,
    /// A change of an automerge document.
    Document,
    /// A fact about who belongs, folded by rank.
    Membership,
}

/// Who can erase a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Erasable {
    /// Nobody: it holds no personal data, or the wijk must stand by it.
    Never,
    /// Whoever holds its erase secret; or two of staff, one an administrator, with a legal ground.
    Owner,
    /// Two of staff only: many wrote it, and its text goes on in a new document.
    Staff,
}

/// A space without its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SpaceClass {
    /// Who belongs.
    Members,
    /// All members.
    Open,
    /// The board.
    Board,
    /// Sealed input for the board.
    Inbox,
    /// Secret answers.
    Ballot,
    /// A circle.
    Circle,
    /// One person's.
    Own,
}

impl From<SpaceId> for SpaceClass {
    fn from(space: SpaceId) -> Self {
        match space {
            SpaceId::Members => Self::Members,
            SpaceId::Open => Self::Open,
            SpaceId::Board => Self::Board,
            SpaceId::Inbox => Self::Inbox,
            SpaceId::Ballot => Self::Ballot,
            SpaceId::Circle(_) => Self::Circle,
            SpaceId::Own(_) => Self::Own,
        }
    }
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What.
    pub kind: Kind,
    /// Where.
    pub spaces: &'static [SpaceClass],
    /// How it is folded.
    pub form: Form,
    /// Who may create a subject of this kind.
    pub creates: Writers,
    /// Who may write on about it.
    pub follows: Writers,
    /// Who can erase it.
    pub erasable: Erasable,
}

const MEMBERS: &[SpaceClass] = &[SpaceClass::Members];
const OPEN: &[SpaceClass] = &[SpaceClass::Open];
const BALLOT: &[SpaceClass] = &[SpaceClass::Ballot];
const CIRCLE: &[SpaceClass] = &[SpaceClass::Circle];
const CLOSED: &[SpaceClass] = &[SpaceClass::Board, SpaceClass::Inbox, SpaceClass::Circle, SpaceClass::Own];
const TAKEN: &[SpaceClass] = &[SpaceClass::Members, SpaceClass::Circle];
const CUT_IN: &[SpaceClass] =
    &[SpaceClass::Members, SpaceClass::Board, SpaceClass::Inbox, SpaceClass::Circle, SpaceClass::Own];
const KEYS: &[SpaceClass] = &[SpaceClass::Members, SpaceClass::Circle, SpaceClass::Own];
const SEALED: &[SpaceClass] = &[SpaceClass::Board, SpaceClass::Circle, SpaceClass::Own];
const DROPPED: &[SpaceClass] = &[SpaceClass::Inbox, SpaceClass::Circle];
const ERASED: &[SpaceClass] =
    &[SpaceClass::Open, SpaceClass::Board, SpaceClass::Inbox, SpaceClass::Ballot, SpaceClass::Circle, SpaceClass::Own];

const STAFF: Writers = Writers::Roles(&[Role::Facilitator, Role::Board, Role::Administrator]);
const BOARD: Writers = Writers::Roles(&[Role::Board]);
const ADMINISTRATOR: Writers = Writers::Roles(&[Role::Administrator]);

const fn rule(
    kind: Kind,
    spaces: &'static [SpaceClass],
    form: Form,
    creates: Writers,
    follows: Writers,
    erasable: Erasable,
) -> Rule {
    Rule { kind, spaces, form, creates, follows, erasable }
}

use Erasable::{Never, Owner, Staff};
use Form::{Document, Membership, Record};

/// All rules. A kind without a row is one of a newer app.
#[rustfmt::skip]
pub const RULES: [Rule; Kind::ALL.len()] = [
    //   kind                spaces   form        creates               follows          erasable
    rule(Kind::GENESIS,      MEMBERS, Membership, Writers::Root,        Writers::Nobody, Never),
    rule(Kind::GRANT,        MEMBERS, Membership, Writers::ByRank,      Writers::Nobody, Never),
    rule(Kind::REVOCATION,   TAKEN,   Membership, Writers::ByRank,      Writers::Nobody, Never),
    rule(Kind::INVITATION,   MEMBERS, Membership, Writers::ByRank,      Writers::Nobody, Never),
    rule(Kind::JOIN,         MEMBERS, Membership, Writers::Card,        Writers::Nobody, Never),
    rule(Kind::SERVER,       MEMBERS, Membership, Writers::Root,        Writers::Nobody, Never),
    rule(Kind::CUT,          CUT_IN,  Membership, Writers::Server,      Writers::Nobody, Never),
    rule(Kind::TOMBSTONE,    ERASED,  Record,     Writers::Nobody,      Writers::Proof,  Never),
    rule(Kind::DIRECTORY,    MEMBERS, Membership, ADMINISTRATOR,        Writers::Nobody, Never),
    rule(Kind::EPOCH,        MEMBERS, Membership, Writers::Certificate, Writers::Nobody, Never),
    rule(Kind::SETTLEMENT,   CUT_IN,  Membership, Writers::Server,      Writers::Nobody, Never),
    rule(Kind::WITHDRAWAL,   MEMBERS, Membership, Writers::ByRank,      Writers::Nobody, Never),
    rule(Kind::ORGANISATION, MEMBERS, Membership, ADMINISTRATOR,        Writers::Nobody, Never),
    rule(Kind::ENROLMENT,    CLOSED,  Membership, Writers::Card,        Writers::Nobody, Never),
    rule(Kind::GENERATION,   KEYS,    Membership, Writers::Keepers,     Writers::Nobody, Never),
    rule(Kind::WRAP,         CLOSED,  Membership, Writers::Enrolled,    Writers::Nobody, Never),
    rule(Kind::CIRCLE_CARD,  CIRCLE,  Membership, Writers::Founder,     Writers::Nobody, Never),
    rule(Kind::CONTRIBUTION, OPEN,    Document,   Writers::Members,     Writers::Owner,  Owner),
    rule(Kind::MEETING,      OPEN,    Document,   STAFF,                STAFF,           Staff),
    rule(Kind::VOICE,        OPEN,    Record,     Writers::Members,     Writers::Owner,  Owner),
    rule(Kind::DECISION,     OPEN,    Record,     BOARD,                Writers::Nobody, Never),
    rule(Kind::SEALED,       SEALED,  Record,     Writers::Enrolled,    Writers::Nobody, Owner),
    rule(Kind::DROPPED,      DROPPED, Record,     Writers::Server,      Writers::Nobody, Owner),
    rule(Kind::ANSWER,       OPEN,    Record,     BOARD,                Writers::Nobody, Owner),
    rule(Kind::BALLOT,       BALLOT,  Record,     Writers::Members,     Writers::Owner,  Owner),
    rule(Kind::COUNT,        OPEN,    Record,     STAFF,                Writers::Nobody, Never),
    rule(Kind::TALLY,        OPEN,    Record,     Writers::Server,      Writers::Nobody, Never),
    rule(Kind::RULING,       OPEN,    Record,     STAFF,                Writers::Nobody, Never),
];

/// The rule of a kind.
#[must_use]
pub fn of(kind: Kind) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.kind == kind)
}

/// Whether a second entry about a subject of this kind can ever count.
#[must_use]
pub fn can_follow(kind: Kind) -> bool {
    of(kind).is_none_or(|rule| rule.follows != Writers::Nobody)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_with_a_name_has_exactly_one_rule() {
        for number in 0..100 {
            let rules = RULES.iter().filter(|rule| rule.kind == Kind(number)).count();
            assert_eq!(rules, usize::from(Kind(number).name().is_some()), "{:?}", Kind(number));
        }
        assert!(Kind::ALL.iter().eq(RULES.iter().map(|rule| &rule.kind)), "in order of their numbers");
    }

    #[test]
    fn what_a_person_owns_can_be_erased_and_what_the_wijk_decided_cannot() {
        for kind in [Kind::CONTRIBUTION, Kind::VOICE, Kind::SEALED, Kind::DROPPED, Kind::ANSWER, Kind::BALLOT] {
            assert!(of(kind).is_some_and(|rule| rule.erasable == Owner), "{kind:?}");
        }
        for kind in [Kind::DECISION, Kind::GENESIS, Kind::JOIN, Kind::RULING] {
            assert!(of(kind).is_some_and(|rule| rule.erasable == Never), "{kind:?}");
        }
    }
}
