//! What staff does about other people's words, and what their authors and any reader can say to it.

use samenspraak_core::app::moderate::{ErasureItem, Judged, RulingItem, SignatureItem};
use samenspraak_core::app::{Command, LineEvent, ModerateCommand, SealedItem, Sealing};
use samenspraak_core::model::{EntryId, Measure, SealedWords, SpaceId};

use crate::asks::saved;
use crate::looks::{joined, subject};
use crate::{Wijk, WijkError};

/// A ruling of staff on somebody's words.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Ruling {
    /// Its id, which an appeal names.
    pub id: String,
    /// Whether it hides the words for everybody but their author; else they may be seen.
    pub hides: bool,
    /// The law or the rule of the house it rests on.
    pub ground: String,
    /// Why, for the author.
    pub reason: String,
    /// Day the server received it.
    pub received_day: Option<u32>,
}

impl From<RulingItem> for Ruling {
    fn from(item: RulingItem) -> Self {
        let ruling = item.facts.ruling;
        Self {
            id: item.facts.id.to_string(),
            hides: ruling.measure == Measure::Hide,
            ground: ruling.ground,
            reason: ruling.reason,
            received_day: item.day,
        }
    }
}

/// Something that was ruled on, for staff.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Ruled {
    /// Its id.
    pub id: String,
    /// Whether it is hidden now.
    pub hidden: bool,
    /// Its title; nothing once it is gone.
    pub title: Option<String>,
    /// All rulings, the one that counts last.
    pub rulings: Vec<Ruling>,
}

/// A notice of something illegal or harmful, or an appeal against a ruling, as the board reads it.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Notice {
    /// Its id, which a ruling can answer.
    pub id: String,
    /// What it is about; nothing for an appeal.
    pub about: Option<String>,
    /// The ruling that an appeal is against; nothing for a notice.
    pub appeal_against: Option<String>,
    /// Why.
    pub text: String,
    /// Day the server received it.
    pub received_day: Option<u32>,
    /// How many answers were given.
    pub answers: u32,
}

impl Notice {
    /// Nothing for what is neither.
    fn of(item: SealedItem) -> Option<Self> {
        let (about, appeal_against, text) = match item.words? {
            SealedWords::Notice { about, text, .. } => (Some(about.to_string()), None, text),
            SealedWords::Appeal { ruling, text, .. } => (None, Some(ruling.to_string()), text),
            SealedWords::Story { .. } | SealedWords::Note { .. } | SealedWords::PersonSecret(_) => return None,
        };
        let answers = u32::try_from(item.answers).unwrap_or(u32::MAX);
        Some(Self { id: item.subject.to_string(), about, appeal_against, text, received_day: item.day, answers })
    }
}

/// An erasure of somebody else's words with a legal ground: it is done when two of staff signed, one of them an administrator.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct GroundedErasure {
    /// What.
    pub id: String,
    /// Whether it is done; else it waits for a signature.
    pub done: bool,
    /// Whether the signature it waits for must be an administrator's.
    pub needs_administrator: bool,
    /// Who signed.
    pub signatures: Vec<ErasureSignature>,
}

/// One signature under such an erasure.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct ErasureSignature {
    /// Pseudonym of who signed.
    pub person: String,
    /// The legal ground.
    pub ground: String,
    /// Day the server received it.
    pub received_day: Option<u32>,
}

impl From<SignatureItem> for ErasureSignature {
    fn from(item: SignatureItem) -> Self {
        Self { person: item.person.to_string(), ground: item.ground, received_day: item.day }
    }
}

impl From<ErasureItem> for GroundedErasure {
    fn from(item: ErasureItem) -> Self {
        Self {
            id: item.subject.to_string(),
            done: item.done,
            needs_administrator: item.needs_administrator(),
            signatures: item.signatures.into_iter().map(Into::into).collect(),
        }
    }
}

#[uniffi::export]
impl Wijk {
    /// Tells the board that something is illegal or harmful; the server isn't told from whom. Returns the id of the notice, whose
    /// answer comes in [`Wijk::own_sealed`].
    pub async fn notice(&self, id: String, text: String) -> Result<String, WijkError> {
        let sealing = Sealing::Notice { about: subject(&id)?, text };
        saved(self.command(Command::Seal { space: SpaceId::Inbox, sealing }).await?)
    }

    /// Tells the board that a ruling isn't right. Returns the id of the appeal.
    pub async fn appeal(&self, ruling: String, text: String) -> Result<String, WijkError> {
        let ruling = EntryId::from_hex(&ruling)
            .ok_or_else(|| WijkError::invalid(format!("{ruling:?} is no id of a ruling: 64 hexadecimal digits")))?;
        let sealing = Sealing::Appeal { ruling, text };
        saved(self.command(Command::Seal { space: SpaceId::Inbox, sealing }).await?)
    }

    /// Notices and appeals, for the board; nothing on devices of others.
    pub async fn notices(&self) -> Result<Vec<Notice>, WijkError> {
        self.look(|app| Ok(joined(app)?.sealed_items(SpaceId::Inbox)?.into_iter().filter_map(Notice::of).collect()))
            .await
    }

    /// Rules on a contribution or a meeting (staff): hides it for everybody but its author, or says that it may be seen. `answers`
    /// names the notice or the appeal that it answers.
    pub async fn rule(
        &self,
        id: String,
        hide: bool,
        ground: String,
        reason: String,
        answers: Option<String>,
    ) -> Result<(), WijkError> {
        let measure = if hide { Measure::Hide } else { Measure::Keep };
        let answers = answers.as_deref().map(subject).transpose()?;
        let command = ModerateCommand::Rule { about: subject(&id)?, measure, ground, reason, answers };
        self.command(command.into()).await.map(drop)
    }

    /// Rulings on one contribution, for its author and staff; nothing for others.
    pub async fn rulings_on(&self, id: String) -> Result<Vec<Ruling>, WijkError> {
        self.look(move |app| {
            let line = joined(app)?.line(subject(&id)?)?;
            let events = line.map(|line| line.events).unwrap_or_default();
            let rulings = events.into_iter().filter_map(|event| match event {
                LineEvent::Ruled(item) => Some(item.into()),
                _ => None,
            });
            Ok(rulings.collect())
        })
        .await
    }

    /// Everything that was ruled on, hidden words included, for staff.
    pub async fn ruled(&self) -> Result<Vec<Ruled>, WijkError> {
        self.look(|app| {
            let joined = joined(app)?;
            let mut items = Vec::new();
            for item in joined.ruled() {
                let title = joined.judged(item.subject)?.map(|judged| match judged {
                    Judged::Contribution(content) => content.title,
                    Judged::Meeting(meeting) => meeting.title,
                });
                items.push(Ruled {
                    id: item.subject.to_string(),
                    hidden: item.is_hidden,
                    title,
                    rulings: item.rulings.into_iter().map(Into::into).collect(),
                });
            }
            Ok(items)
        })
        .await
    }

    /// Signs for the erasure of somebody else's words, with the legal ground (administrators and board).
    pub async fn erase_by_ground(&self, id: String, ground: String) -> Result<(), WijkError> {
        self.command(ModerateCommand::EraseByGround { subject: subject(&id)?, ground }.into()).await.map(drop)
    }

    /// Erasures with a legal ground: those that wait for a signature, and those done.
    pub async fn erasures_by_ground(&self) -> Result<Vec<GroundedErasure>, WijkError> {
        self.look(|app| Ok(joined(app)?.erasures()?.into_iter().map(Into::into).collect())).await
    }
}
