//! What a person can ask a phone for, and what is answered once it is stored.

use super::{ModerateCommand, PeopleCommand, PollCommand};
use crate::document::meeting::MeetingEdit;
use crate::membership::card::{CardLink, CardSecret};
use crate::membership::circle::CircleLink;
use crate::model::{
    BatchId, Choice, Content, Decision, DeviceId, Directory, EntryId, PersonId, Role, SpaceId, SubjectId,
};
use crate::seal::ReceiptSecret;

/// What a person asks for.
#[derive(Clone, Debug)]
pub enum Command {
    /// Join a wijk with a card. Works without a network.
    Join {
        /// What the card says.
        card: CardLink,
    },
    /// Begin a wijk as its root.
    Found {
        /// Name, place, themes.
        directory: Directory,
        /// Identity key of its server.
        server: DeviceId,
        /// Address of its server.
        address: String,
    },
    /// Make cards for people to join with.
    Invite {
        /// Role of whoever joins.
        role: Role,
        /// How many, at most [`INVITE_COUNT_MAX`].
        count: usize,
    },
    /// Give a person a role.
    Grant {
        /// Who.
        person: PersonId,
        /// What.
        role: Role,
        /// For a party representative, and only there: the organisation.
        organisation: Option<SubjectId>,
    },
    /// Something about who belongs.
    People(PeopleCommand),
    /// Something about secret polls.
    Poll(PollCommand),
    /// Something of staff about other people's words.
    Moderate(ModerateCommand),
    /// Send in something.
    Contribute(Content),
    /// Change own input. Where words go away, it becomes a new subject and the old one is erased.
    Edit {
        /// Which.
        subject: SubjectId,
        /// How it reads now.
        content: Content,
    },
    /// Support, or agree, disagree, pass.
    Speak {
        /// On what.
        question: SubjectId,
        /// What.
        choice: Choice,
    },
    /// Begin meeting notes.
    NewMeeting {
        /// Name of the meeting.
        title: String,
        /// Its agenda.
        agenda: Vec<String>,
    },
    /// Write in meeting notes.
    EditMeeting {
        /// Which.
        subject: SubjectId,
        /// What.
        edit: MeetingEdit,
    },
    /// Decide and answer.
    Decide(Decision),
    /// Take own input or voice back for good.
    Erase(SubjectId),
    /// Ask the server on how many devices something erased is gone; with the next connection, where there is none. The answer
    /// is at [`Joined::erasure_report`](super::Joined::erasure_report).
    ErasureReport(SubjectId),
    /// Send in something that only the board, or a circle, can read; the server doesn't tell them from whom.
    Seal {
        /// `inbox` or a circle.
        space: SpaceId,
        /// What.
        sealing: Sealing,
    },
    /// Write a note that only members of a closed space can read.
    WriteNote {
        /// `board` or a circle.
        space: SpaceId,
        /// The note.
        text: String,
    },
    /// Answer something sealed; only the holder of its receipt can read it.
    AnswerSealed {
        /// Where it is.
        space: SpaceId,
        /// Which.
        subject: SubjectId,
        /// The answer.
        answer: String,
    },
    /// Begin a closed circle, as its facilitator.
    FoundCircle,
    /// Make cards for a circle.
    InviteToCircle {
        /// Which.
        circle: SpaceId,
        /// How many, at most [`INVITE_COUNT_MAX`].
        count: usize,
    },
    /// Come into a circle with a card. Works without a network.
    JoinCircle {
        /// What the card says.
        card: CircleLink,
    },
    /// Take somebody out of a circle: what comes after can't be read with that key.
    RemoveFromCircle {
        /// Which.
        circle: SpaceId,
        /// The member's key there.
        key: DeviceId,
    },
}

/// What somebody seals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sealing {
    /// Something the board or a circle should know.
    Story(Content),
    /// "This is illegal or harmful."
    Notice {
        /// What.
        about: SubjectId,
        /// Why.
        text: String,
    },
    /// "I don't agree with this ruling."
    Appeal {
        /// Which.
        ruling: EntryId,
        /// Why.
        text: String,
    },
}

/// Cards made by one command: a full evening's.
pub const INVITE_COUNT_MAX: usize = 1000;

/// What a command gave, once it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Sealed input is kept and goes with the next sync.
    Sealed {
        /// Its id.
        subject: SubjectId,
        /// With which answers are found, on this phone or any other.
        receipt: ReceiptSecret,
    },
    /// Sealed input is gone from this phone; the server is told with the next sync.
    Erased {
        /// Its id.
        subject: SubjectId,
    },
    /// A circle was begun or entered.
    Circle(SpaceId),
    /// Cards of a circle.
    CircleCards {
        /// Which.
        circle: SpaceId,
        /// What stands on each.
        secrets: Vec<CardSecret>,
    },
    /// Written and flushed; an entry about this subject.
    Saved {
        /// The subject.
        subject: SubjectId,
        /// The entry.
        id: EntryId,
    },
    /// Nothing had to be written: it read like that already.
    Unchanged {
        /// The subject.
        subject: SubjectId,
    },
    /// Joined (on this phone; the server's word comes with the first sync).
    Joined {
        /// The device.
        device: DeviceId,
        /// The person.
        person: PersonId,
    },
    /// Cards.
    Cards {
        /// With which they can be withdrawn together.
        batch: BatchId,
        /// What stands on each.
        secrets: Vec<CardSecret>,
    },
    /// A card for one more device of one's own.
    DeviceCard {
        /// With which it can be withdrawn.
        batch: BatchId,
        /// What its QR code holds.
        card: CardLink,
    },
    /// The server is asked, and answers on a connection.
    Asked {
        /// About what.
        subject: SubjectId,
    },
    /// Nobody can join with these cards any more.
    Withdrawn {
        /// The batch.
        batch: BatchId,
        /// How many of its cards nobody had used, as far as this device knows.
        unused: usize,
    },
}
