//! What crosses the border: records and enums of the surface, and how the core's become them.
//!
//! One description for every language: UniFFI makes Kotlin, Swift and Python of it, `tsify` TypeScript, and in a browser it travels
//! as JSON. Ids are hexadecimal digits, days are days since 1 January 1970. Every record is a copy: what an app does with it changes
//! nothing.

mod meetings;
mod people;
mod sealed;

pub use meetings::{AgendaItem, Meeting, Present};
pub use people::{Me, Role};
pub use sealed::{OwnSealed, SealedStory};

use samenspraak_core::app::{self, ContributionItem, DecisionItem, ErasureReport, LineEvent};
use samenspraak_core::model;
use samenspraak_core::view::Counts;
#[cfg(feature = "typescript")]
use serde::{Deserialize, Serialize};
#[cfg(feature = "typescript")]
use tsify::Tsify;

/// Text of a contribution. A title has 1 to 120 characters, a text at most 10,000.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "native", derive(uniffi::Record))]
#[cfg_attr(feature = "typescript", derive(Serialize, Deserialize, Tsify), serde(rename_all = "camelCase"))]
pub struct Content {
    /// What it is about, in a line.
    pub title: String,
    /// The words.
    pub text: String,
    /// Number of the theme in the wijk's list.
    #[cfg_attr(feature = "native", uniffi(default = 0))]
    #[cfg_attr(feature = "typescript", serde(default))]
    pub theme: u64,
    /// Code of the buurt; empty for the whole wijk.
    #[cfg_attr(feature = "native", uniffi(default = ""))]
    #[cfg_attr(feature = "typescript", serde(default))]
    pub buurt: String,
}

impl From<model::Content> for Content {
    fn from(content: model::Content) -> Self {
        let model::Content { title, text, theme, buurt } = content;
        Self { title, text, theme, buurt }
    }
}

impl From<Content> for model::Content {
    fn from(content: Content) -> Self {
        let Content { title, text, theme, buurt } = content;
        Self { title, text, theme, buurt }
    }
}

/// How far own words got. Never further than what is true.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "native", derive(uniffi::Enum))]
#[cfg_attr(
    feature = "typescript",
    derive(Serialize, Deserialize, Tsify),
    serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")
)]
pub enum Progress {
    /// *Bewaard*: safe on this device.
    Saved,
    /// *Onderweg*: sent on this connection; the server's word isn't here yet.
    OnTheWay,
    /// *Aangekomen*: the server's signed receipt is here.
    Arrived {
        /// Day the server received it.
        day: u32,
    },
    /// It can't count in this wijk. The words stay on this device.
    Refused {
        /// Why, in English, for logs.
        detail: String,
    },
}

impl From<app::OwnState> for Progress {
    fn from(state: app::OwnState) -> Self {
        match state {
            app::OwnState::Saved => Self::Saved,
            app::OwnState::OnTheWay => Self::OnTheWay,
            app::OwnState::Arrived { day } => Self::Arrived { day },
            app::OwnState::Refused(reason) => Self::Refused { detail: format!("{reason:?}") },
        }
    }
}

/// Why one's own words are hidden from everybody else.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "native", derive(uniffi::Enum))]
#[cfg_attr(feature = "typescript", derive(Serialize, Deserialize, Tsify), serde(rename_all = "camelCase"))]
pub enum Hidden {
    /// By a ruling that stands.
    Ruled,
    /// One of staff has signed for its erasure.
    ErasureSigned,
}

/// A contribution, as lists and its own page show it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "native", derive(uniffi::Record))]
#[cfg_attr(feature = "typescript", derive(Serialize, Deserialize, Tsify), serde(rename_all = "camelCase"))]
pub struct Contribution {
    /// Its id.
    pub id: String,
    /// Its words.
    pub content: Content,
    /// Its author's pseudonym.
    pub person: String,
    /// How far it got, if it is one's own.
    pub own: Option<Progress>,
    /// Day the server received it.
    pub received_day: Option<u32>,
    /// Voices, exact; for the board alone.
    pub voices: Option<Voices>,
    /// Decisions that stand: none, one, or several that don't agree yet.
    pub decisions: u32,
    /// Whether it is hidden from everybody else; only ever on one's own.
    pub hidden: bool,
}

/// Voices on one question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "native", derive(uniffi::Record))]
#[cfg_attr(feature = "typescript", derive(Serialize, Deserialize, Tsify), serde(rename_all = "camelCase"))]
pub struct Voices {
    /// Support.
    pub support: u32,
    /// Agree.
    pub agree: u32,
    /// Disagree.
    pub disagree: u32,
    /// Pass.
    pub pass: u32,
}

impl From<Counts> for Voices {
    fn from(counts: Counts) -> Self {
        let Counts { support, agree, disagree, pass } = counts;
        Self { support, agree, disagree, pass }
    }
}

impl Contribution {
    /// What a list shows of an item. `is_board`: exact numbers are for the board.
    #[must_use]
    pub fn of(item: ContributionItem, is_board: bool) -> Self {
        Self {
            id: item.subject.to_string(),
            content: item.content.into(),
            person: item.person.to_string(),
            own: item.own.map(Into::into),
            received_day: item.received_day,
            voices: is_board.then(|| item.counts.into()),
            decisions: u32::try_from(item.decisions).unwrap_or(u32::MAX),
            hidden: item.hidden.is_some(),
        }
    }
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "native", derive(uniffi::Enum))]
#[cfg_attr(feature = "typescript", derive(Serialize, Deserialize, Tsify), serde(rename_all = "camelCase"))]
pub enum Outcome {
    /// It is done.
    Yes,
    /// It is not done.
    No,
    /// Part of it is done.
    Partly,
    /// It is decided later.
    Later,
}

impl From<model::Outcome> for Outcome {
    fn from(outcome: model::Outcome) -> Self {
        match outcome {
            model::Outcome::Yes => Self::Yes,
            model::Outcome::No => Self::No,
            model::Outcome::Partly => Self::Partly,
            model::Outcome::Later => Self::Later,
        }
    }
}

impl From<Outcome> for model::Outcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Yes => Self::Yes,
            Outcome::No => Self::No,
            Outcome::Partly => Self::Partly,
            Outcome::Later => Self::Later,
        }
    }
}

/// A decision with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "native", derive(uniffi::Record))]
#[cfg_attr(feature = "typescript", derive(Serialize, Deserialize, Tsify), serde(rename_all = "camelCase"))]
pub struct Decided {
    /// Its id.
    pub id: String,
    /// What was decided.
    pub outcome: Outcome,
    /// Why.
    pub reason: String,
    /// The answer to those who asked.
    pub answer: String,
    /// Who carries it out.
    pub party: String,
    /// When it is to be done.
    pub due_day: Option<u32>,
    /// Day the server received it.
    pub received_day: Option<u32>,
}

impl From<DecisionItem> for Decided {
    fn from(item: DecisionItem) -> Self {
        let decision = item.facts.decision;
        Self {
            id: item.facts.id.to_string(),
            outcome: decision.outcome.into(),
            reason: decision.reason,
            answer: decision.answer,
            party: decision.party,
            due_day: decision.due_day,
            received_day: item.day,
        }
    }
}

/// One step in the line of a contribution.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "native", derive(uniffi::Enum))]
#[cfg_attr(
    feature = "typescript",
    derive(Serialize, Deserialize, Tsify),
    serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")
)]
pub enum Step {
    /// Written on this device; how far it got.
    Written {
        /// How far.
        progress: Progress,
    },
    /// The server received it.
    Received {
        /// When.
        day: u32,
    },
    /// It takes the place of an earlier text, which was erased.
    Replaced,
    /// Others spoke. Exact numbers are for the board alone.
    Voices {
        /// The numbers, for the board.
        voices: Option<Voices>,
    },
    /// A ruling hides it or puts it back; for its author and staff.
    Ruled {
        /// The reason that was given.
        reason: String,
    },
    /// One of staff signed for its erasure.
    ErasureSigned {
        /// The legal ground.
        ground: String,
    },
    /// The board answered.
    Decided {
        /// The decision.
        decision: Decided,
    },
    /// Two decisions stand that do not replace each other: *nog niet eens*.
    NotAgreed,
}

impl Step {
    /// A step of the core's line. `is_board`: exact numbers are for the board.
    #[must_use]
    pub fn of(event: LineEvent, is_board: bool) -> Self {
        match event {
            LineEvent::Written(state) => Self::Written { progress: state.into() },
            LineEvent::Received { day } => Self::Received { day },
            LineEvent::Replaced => Self::Replaced,
            LineEvent::Voices(counts) => Self::Voices { voices: is_board.then(|| counts.into()) },
            LineEvent::Ruled(item) => Self::Ruled { reason: item.facts.ruling.reason },
            LineEvent::ErasureSigned { ground, .. } => Self::ErasureSigned { ground },
            LineEvent::Decided(item) => Self::Decided { decision: item.into() },
            LineEvent::NotAgreed => Self::NotAgreed,
        }
    }
}

/// One contribution with its whole line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "native", derive(uniffi::Record))]
#[cfg_attr(feature = "typescript", derive(Serialize, Deserialize, Tsify), serde(rename_all = "camelCase"))]
pub struct Timeline {
    /// The contribution.
    pub contribution: Contribution,
    /// What happened, in order.
    pub steps: Vec<Step>,
}

/// How far an erasure reached.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "native", derive(uniffi::Enum))]
#[cfg_attr(
    feature = "typescript",
    derive(Serialize, Deserialize, Tsify),
    serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")
)]
pub enum Erasure {
    /// Nothing was asked or heard yet.
    NotAsked,
    /// The server doesn't know of the erasure yet.
    NotThere,
    /// So many of all devices that may read it have it no longer on their disks.
    Reached {
        /// Those that said so.
        confirmed: u64,
        /// All that may read it.
        devices: u64,
    },
}

impl From<Option<ErasureReport>> for Erasure {
    fn from(report: Option<ErasureReport>) -> Self {
        match report {
            None => Self::NotAsked,
            Some(ErasureReport::NotThere) => Self::NotThere,
            Some(ErasureReport::Reached(reach)) => Self::Reached { confirmed: reach.confirmed, devices: reach.devices },
        }
    }
}

/// What a voice says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "native", derive(uniffi::Enum))]
#[cfg_attr(feature = "typescript", derive(Serialize, Deserialize, Tsify), serde(rename_all = "camelCase"))]
pub enum Voice {
    /// Support of a contribution.
    Support,
    /// Takes the voice back.
    Withdrawn,
    /// Agree.
    Agree,
    /// Disagree.
    Disagree,
    /// Pass.
    Pass,
}

impl From<model::Choice> for Voice {
    fn from(choice: model::Choice) -> Self {
        match choice {
            model::Choice::Support => Self::Support,
            model::Choice::Withdrawn => Self::Withdrawn,
            model::Choice::Agree => Self::Agree,
            model::Choice::Disagree => Self::Disagree,
            model::Choice::Pass => Self::Pass,
        }
    }
}

impl From<Voice> for model::Choice {
    fn from(voice: Voice) -> Self {
        match voice {
            Voice::Support => Self::Support,
            Voice::Withdrawn => Self::Withdrawn,
            Voice::Agree => Self::Agree,
            Voice::Disagree => Self::Disagree,
            Voice::Pass => Self::Pass,
        }
    }
}

/// How this device and its server are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "native", derive(uniffi::Enum))]
#[cfg_attr(
    feature = "typescript",
    derive(Serialize, Deserialize, Tsify),
    serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")
)]
pub enum SyncState {
    /// This device hasn't joined.
    NotJoined,
    /// No line; what is written waits here.
    Offline {
        /// Why, in English, for logs; nothing before the first try, and when the platform said that there is no network.
        detail: Option<String>,
        /// Whether the server refuses this device: then trying again changes nothing.
        refused: bool,
        /// When it is tried again, in milliseconds since 1970.
        next_try_ms: u64,
    },
    /// Connected; both sides are still speaking.
    Syncing,
    /// Connected, and everything is sent, receipted and received.
    UpToDate,
}
