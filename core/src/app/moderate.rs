//! Moderation on a phone: rulings on notices (DSA articles 16, 17 and 20), and erasures by staff with a legal ground.
//!
//! Nothing is ever hidden by a program, nor by a notice: only a ruling of a person hides, and a newer one shows again. What is
//! hidden disappears for everybody but its author, who sees the ground, the reasons and that an appeal is possible. An
//! erasure hides at the first signature of an administrator and deletes when a second person of staff signs; which two those
//! are the gate decides (`replica`), never this file. Not here: notices and appeals themselves, which are sealed input.

use super::entropy::Entropy;
use super::write::{Written, saved};
use super::{Command, CommandError, Joined, Reply};
use crate::document::{contribution, meeting};
use crate::entry::codec::Record;
use crate::entry::tombstone::GROUND_BYTES_MAX as ERASURE_GROUND_BYTES_MAX;
use crate::entry::{Kind, Tombstone};
use crate::gate::body::SubjectState;
use crate::model::notice::{GROUND_BYTES_MAX, REASON_BYTES_MAX};
use crate::model::{Content, EntryId, Measure, MeetingText, PersonId, Role, Ruling, SpaceId, SubjectId};
use crate::replica::{About, ReplicaError};
use crate::view::{ErasureFacts, RulingFacts};

/// Who may rule, and may read what is hidden to judge it.
const STAFF: [Role; 3] = [Role::Facilitator, Role::Board, Role::Administrator];

/// What staff can ask about other people's words.
#[derive(Clone, Debug)]
pub enum ModerateCommand {
    /// Rule on a notice, an appeal, or of one's own accord.
    Rule {
        /// A contribution or a meeting.
        about: SubjectId,
        /// What is ruled.
        measure: Measure,
        /// The law or the rule of the house it rests on.
        ground: String,
        /// Why, in simple words, for the author.
        reason: String,
        /// The sealed notice or appeal it answers.
        answers: Option<SubjectId>,
    },
    /// Sign for the erasure of somebody else's words, with the legal ground.
    EraseByGround {
        /// What.
        subject: SubjectId,
        /// The ground.
        ground: String,
    },
    /// Write a meeting anew without words that must go. The old one goes when two of staff erase it.
    RewriteMeeting {
        /// Which.
        subject: SubjectId,
        /// How it reads from now on.
        text: MeetingText,
    },
}

impl From<ModerateCommand> for Command {
    fn from(command: ModerateCommand) -> Self {
        Self::Moderate(command)
    }
}

/// A ruling as shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulingItem {
    /// What was ruled and by whom.
    pub facts: RulingFacts,
    /// Day the server received it.
    pub day: Option<u32>,
}

/// Why somebody's words are hidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// By a ruling; its author can appeal.
    Ruling(RulingItem),
    /// An administrator signed for their erasure; a second signature is awaited.
    Erasure {
        /// The legal ground.
        ground: String,
        /// Day the server received the signature.
        day: Option<u32>,
    },
}

/// Something that was ruled on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuledItem {
    /// What.
    pub subject: SubjectId,
    /// Whether it is hidden now.
    pub is_hidden: bool,
    /// All rulings, the one that counts last.
    pub rulings: Vec<RulingItem>,
}

/// One signature under an erasure with a legal ground.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureItem {
    /// Who signed.
    pub person: PersonId,
    /// Whether as an administrator.
    pub administrator: bool,
    /// The legal ground.
    pub ground: String,
    /// Day the server received it.
    pub day: Option<u32>,
}

/// An erasure with a legal ground.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasureItem {
    /// What.
    pub subject: SubjectId,
    /// What it is, or was.
    pub kind: Kind,
    /// Who signed.
    pub signatures: Vec<SignatureItem>,
    /// Whether it is erased; else it waits for a signature.
    pub done: bool,
}

impl ErasureItem {
    /// Whether the signature that is awaited must be an administrator's: of two, one is.
    #[must_use]
    pub fn needs_administrator(&self) -> bool {
        !self.done && !self.signatures.iter().any(|signature| signature.administrator)
    }
}

/// Words that staff reads to judge them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// A contribution.
    Contribution(Content),
    /// Meeting notes.
    Meeting(MeetingText),
}

fn check_bytes(what: &'static str, text: &str, max: usize) -> Result<(), CommandError> {
    if text.trim().is_empty() || text.len() > max {
        return Err(CommandError::Length { what, chars: text.trim().chars().count(), max });
    }
    Ok(())
}

impl Joined {
    pub(super) fn moderate_command(
        &mut self,
        command: ModerateCommand,
        entropy: &mut Entropy,
    ) -> Result<Written, CommandError> {
        match command {
            ModerateCommand::Rule { about, measure, ground, reason, answers } => {
                let newest = self.view.rulings_on(about).next_back();
                let ruling = Ruling {
                    about,
                    measure,
                    ground,
                    reason,
                    answers,
                    counter: newest.map_or(1, |known| known.ruling.counter.saturating_add(1)),
                    replaces: newest.map(|known| known.id),
                };
                self.rule(ruling, entropy)
            }
            ModerateCommand::EraseByGround { subject, ground } => self.erase_by_ground(subject, ground),
            ModerateCommand::RewriteMeeting { subject, text } => self.rewrite_meeting(subject, &text, entropy),
        }
    }

    pub(super) fn is_staff(&self) -> bool {
        self.has_any_role(&STAFF)
    }

    fn rule(&mut self, ruling: Ruling, entropy: &mut Entropy) -> Result<Written, CommandError> {
        if !self.is_staff() {
            return Err(CommandError::Role { needs: "facilitator or board" });
        }
        check_bytes("ground", &ruling.ground, GROUND_BYTES_MAX)?;
        check_bytes("reason", &ruling.reason, REASON_BYTES_MAX)?;
        let about = ruling.about;
        if self.view.document(about).is_none() {
            return Err(CommandError::Unknown { what: "contribution or meeting", subject: about });
        }
        saved(self.create(SpaceId::Open, Kind::RULING, &Record::Ruling(ruling), entropy)?)
    }

    fn erase_by_ground(&mut self, subject: SubjectId, ground: String) -> Result<Written, CommandError> {
        if !self.has_any_role(&[Role::Administrator, Role::Board]) {
            return Err(CommandError::Role { needs: "administrator or board" });
        }
        check_bytes("ground", &ground, ERASURE_GROUND_BYTES_MAX)?;
        let state = self.replica.subject_state(SpaceId::Open, subject)?;
        if !matches!(state, Some(SubjectState::Live | SubjectState::Pending)) {
            return Err(CommandError::Unknown { what: "contribution, voice or meeting", subject });
        }
        let own = self.identity.person;
        if self.view.erasure_signatures(SpaceId::Open, subject).any(|signed| signed.person == own) {
            return Ok(Written::nothing(Reply::Unchanged { subject }));
        }
        let record = Record::Tombstone(Tombstone::Administrator { subject, ground });
        let about = About::Existing(subject);
        saved(self.replica.write(&self.key, SpaceId::Open, Kind::TOMBSTONE, about, &record)?)
    }

    fn day_of(&self, id: EntryId) -> Option<u32> {
        self.view.number_of(id).map(|numbered| numbered.day)
    }

    fn ruling_item(&self, facts: &RulingFacts) -> RulingItem {
        RulingItem { facts: facts.clone(), day: self.day_of(facts.id) }
    }

    fn as_administrator(&self, signed: &ErasureFacts) -> bool {
        let place = signed.place;
        self.replica.members().roles_at(place.space, place.device, place.seq).contains(&Role::Administrator)
    }

    /// Why a contribution or a meeting is hidden; `None` when it isn't. Its author may still read it.
    #[must_use]
    pub fn hidden(&self, subject: SubjectId) -> Option<Hidden> {
        let mut signed = self.view.erasure_signatures(SpaceId::Open, subject);
        if let Some(signed) = signed.find(|signed| self.as_administrator(signed)) {
            return Some(Hidden::Erasure { ground: signed.ground.clone(), day: self.day_of(signed.id) });
        }
        let newest = self.view.rulings_on(subject).next_back()?;
        (newest.ruling.measure == Measure::Hide).then(|| Hidden::Ruling(self.ruling_item(newest)))
    }

    /// Whether a contribution or a meeting is shown to the person of this device: not hidden, or one's own.
    #[must_use]
    pub fn is_shown(&self, subject: SubjectId) -> bool {
        self.is_own(subject) || self.hidden(subject).is_none()
    }

    /// Whether the person of this device began it.
    pub(super) fn is_own(&self, subject: SubjectId) -> bool {
        self.view.document(subject).is_some_and(|(_, facts)| facts.person == self.identity.person)
    }

    /// Rulings on a subject for those concerned: its author, and staff. Nothing for others: that something was once reported
    /// is nobody else's business.
    pub(super) fn rulings_for(&self, subject: SubjectId) -> Vec<RulingItem> {
        if !self.is_own(subject) && !self.is_staff() {
            return Vec::new();
        }
        self.view.rulings_on(subject).map(|facts| self.ruling_item(facts)).collect()
    }

    /// Everything that was ever ruled on, for staff; of what was erased only the rulings are left.
    #[must_use]
    pub fn ruled(&self) -> Vec<RuledItem> {
        let items = self.view.ruled().map(|subject| RuledItem {
            subject,
            is_hidden: self.hidden(subject).is_some(),
            rulings: self.view.rulings_on(subject).map(|facts| self.ruling_item(facts)).collect(),
        });
        items.collect()
    }

    /// All erasures with a legal ground: those that wait for a signature, and, for whoever checks afterwards, those done.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn erasures(&self) -> Result<Vec<ErasureItem>, ReplicaError> {
        let mut items = Vec::new();
        for (space, subject) in self.view.signed_for_erasure() {
            let Some(row) = self.replica.subject(space, subject)? else { continue };
            let signatures = self.view.erasure_signatures(space, subject).map(|signed| SignatureItem {
                person: signed.person,
                administrator: self.as_administrator(signed),
                ground: signed.ground.clone(),
                day: self.day_of(signed.id),
            });
            items.push(ErasureItem {
                subject,
                kind: row.kind,
                signatures: signatures.collect(),
                done: row.state == SubjectState::Erased,
            });
        }
        Ok(items)
    }

    /// What something says, hidden or not, for whoever must judge it: staff and its author. `None` for others, and for what
    /// is gone.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn judged(&mut self, subject: SubjectId) -> Result<Option<Judged>, ReplicaError> {
        let Some((kind, _)) = self.view.document(subject) else { return Ok(None) };
        if !self.is_staff() && !self.is_own(subject) {
            return Ok(None);
        }
        let doc = self.document(subject)?;
        Ok(doc.map(|doc| match kind {
            Kind::MEETING => Judged::Meeting(meeting::read(doc)),
            _ => Judged::Contribution(contribution::read(doc)),
        }))
    }
}
