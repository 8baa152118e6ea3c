//! An honest evening in a small wijk: entries of every kind, written by phones and synced by a server. Tests of hostile peers
//! begin from it, and look afterwards whether it still stands.

use std::sync::Arc;

use samenspraak_core::app::{Command, ModerateCommand, PeopleCommand, PollCommand, Reply, Sealing};
use samenspraak_core::document::Splice;
use samenspraak_core::document::meeting::MeetingEdit;
use samenspraak_core::membership::circle::CircleLink;
use samenspraak_core::model::{
    Choice, Content, Decision, Measure, Organisation, Outcome, RevocationReason, RevocationTarget, Role, SpaceId,
    SubjectId,
};
use samenspraak_core::store::MemoryStore;
use samenspraak_core::sync::wire::RefusalCode;

use crate::world::{DAY, Phone, World};

/// See the module. All phones have synced, and everything is on the server.
pub struct Conversation {
    /// The wijk.
    pub world: World,
    /// Leads the meeting.
    pub facilitator: Phone,
    /// Decides.
    pub board: Phone,
    /// Keeps the directory.
    pub administrator: Phone,
    /// Wrote the contributions.
    pub resident: Phone,
    /// Speaks, and wrote nothing else.
    pub neighbour: Phone,
    /// A contribution with an edit, a voice that was changed, and a decision.
    pub contribution: SubjectId,
    /// A contribution that was erased, with one that took its place.
    pub erased: SubjectId,
    /// Notes that two people wrote.
    pub meeting: SubjectId,
    /// A circle of the facilitator and the resident, with a note in it.
    pub circle: SpaceId,
    /// Every frame that was said, in both directions.
    pub said: Vec<Vec<u8>>,
}

/// What the contribution says.
#[must_use]
pub fn words() -> Content {
    let text = "De oversteek is donker, ook overdag.".into();
    Content { title: "Donkere oversteek".into(), text, theme: 1, buurt: "BU99990100".into() }
}

/// The same, answered.
#[must_use]
pub fn decision(about: SubjectId) -> Decision {
    Decision {
        about: vec![about],
        outcome: Outcome::Partly,
        reason: "Het is daar donker.".into(),
        answer: "Er komt een lamp.".into(),
        party: "Gemeente".into(),
        due_day: Some(20_100),
        replaces: Vec::new(),
    }
}

impl Conversation {
    /// The same evening every time.
    ///
    /// # Panics
    /// When an honest command is not taken: a test must not go on.
    #[must_use]
    pub fn new() -> Self {
        let mut world = World::with_seed(3);
        let mut join = |role| world.join(role);
        let (facilitator, board, administrator) =
            (join(Role::Facilitator), join(Role::Board), join(Role::Administrator));
        let (resident, neighbour) = (join(Role::Resident), join(Role::Resident));
        let none = SubjectId::ZERO;
        let (contribution, erased, meeting, circle, said) = (none, none, none, SpaceId::Open, Vec::new());
        let mut evening = Self {
            world,
            facilitator,
            board,
            administrator,
            resident,
            neighbour,
            contribution,
            erased,
            meeting,
            circle,
            said,
        };
        // Twice: the first phones that sync do so before the last have sent anything.
        evening.everybody_syncs();
        evening.everybody_syncs();
        evening.begins();
        evening.everybody_syncs();
        evening.everybody_syncs();
        evening.goes_on();
        evening.closed_spaces();
        evening.everybody_syncs();
        evening.world.server_mut().release([7; 32], DAY).expect("what was dropped is appended");
        evening.everybody_syncs();
        evening.is_answered();
        evening.staff_acts();
        evening.everybody_syncs();
        evening.everybody_syncs();
        evening
    }

    fn begins(&mut self) {
        let Self { world, facilitator, resident, neighbour, .. } = self;
        let short = Content { text: "De oversteek is donker.".into(), ..words() };
        self.contribution = saved(world, resident, Command::Contribute(short));
        self.erased = saved(world, resident, Command::Contribute(Content { title: "Toch niet".into(), ..words() }));
        let question = self.contribution;
        saved(world, resident, Command::Speak { question, choice: Choice::Support });
        let agenda = vec!["De oversteek".into(), "Het plein".into()];
        self.meeting = saved(world, facilitator, Command::NewMeeting { title: "Wijkavond".into(), agenda });
        let person = neighbour.joined().person();
        let entropy = world.random.entropy();
        world
            .root
            .ask(entropy, Command::Grant { person, role: Role::Facilitator, organisation: None })
            .expect("the root grants");
    }

    fn goes_on(&mut self) {
        let Self { world, facilitator, board, resident, neighbour, .. } = self;
        let (question, subject) = (self.contribution, self.meeting);
        saved(world, resident, Command::Edit { subject: question, content: words() });
        saved(world, resident, Command::Speak { question, choice: Choice::Agree });
        saved(world, neighbour, Command::Speak { question, choice: Choice::Disagree });
        saved(world, board, Command::Decide(decision(question)));
        for (phone, words) in [(facilitator, "Te donker, zegt Amina."), (neighbour, "Meer lampen.")] {
            let splice = Splice { at: 0, delete: 0, insert: words.into() };
            saved(world, phone, Command::EditMeeting { subject, edit: MeetingEdit::Splice { item: 0, splice } });
        }
        // Where words go, another subject takes the place of the one that had them.
        let fewer = Content { title: "Toch".into(), ..words() };
        let taken = saved(world, resident, Command::Edit { subject: self.erased, content: fewer });
        assert_ne!(taken, self.erased, "words that are taken away go with their subject");
        saved(world, resident, Command::Erase(taken));
    }

    fn closed_spaces(&mut self) {
        let Self { world, facilitator, board, resident, neighbour, .. } = self;
        let Ok(Reply::Circle(circle)) = world.ask(facilitator, Command::FoundCircle) else {
            panic!("a circle is begun")
        };
        let Ok(Reply::CircleCards { secrets, .. }) =
            world.ask(facilitator, Command::InviteToCircle { circle, count: 1 })
        else {
            panic!("cards are made")
        };
        for secret in secrets {
            let card = CircleLink { wijk: world.wijk, circle, secret };
            world.ask(resident, Command::JoinCircle { card }).expect("a card lets in");
        }
        let note = Command::WriteNote { space: circle, text: "Onder ons.".into() };
        world.ask(facilitator, note).expect("a note is written");
        let note = Command::WriteNote { space: SpaceId::Board, text: "Voor het bestuur.".into() };
        world.ask(board, note).expect("a note is written");
        let seal = Command::Seal { space: SpaceId::Inbox, sealing: Sealing::Story(words()) };
        world.ask(neighbour, seal).expect("a story is sealed");
        self.circle = circle;
    }

    fn is_answered(&mut self) {
        let items = self.board.joined().sealed_items(SpaceId::Inbox).expect("the board reads");
        let subject = items.first().expect("a story came").subject;
        let answer = Command::AnswerSealed { space: SpaceId::Inbox, subject, answer: "Er komt iemand kijken.".into() };
        self.world.ask(&mut self.board, answer).expect("the board answers");
    }

    /// A card that is used twice and then withdrawn with its batch, a guest who is taken out, an organisation, a ruling, and
    /// a secret poll.
    fn staff_acts(&mut self) {
        let Self { world, facilitator, administrator, neighbour, contribution, said, .. } = self;
        let made = world.ask(facilitator, Command::Invite { role: Role::Resident, count: 2 });
        let Ok(Reply::Cards { batch, secrets }) = made else { panic!("cards are made: {made:?}") };
        assert_eq!(world.sync(facilitator).settled, Some(None));
        let mut join = || {
            let card = world.link(secrets[0].clone());
            let mut guest = world.join_with(card, Arc::new(MemoryStore::new()));
            let synced = world.sync(&mut guest);
            said.append(&mut world.said.0);
            said.append(&mut world.said.1);
            synced.settled
        };
        assert_eq!((join(), join()), (Some(None), Some(Some(RefusalCode::CardUsed))));
        let withdraw = PeopleCommand::WithdrawCards { batch };
        world.ask(facilitator, withdraw.into()).expect("cards are withdrawn");
        let mut guest = world.join(Role::Resident);
        assert_eq!(world.sync(&mut guest).settled, Some(None));
        assert_eq!(world.sync(administrator).settled, Some(None));
        let target = RevocationTarget::Person(guest.joined().person());
        let revoke = PeopleCommand::Revoke { target, reason: RevocationReason::Abuse };
        let name = PeopleCommand::NameOrganisation(Organisation { name: "Woonstichting".into() });
        for command in [revoke, name] {
            world.ask(administrator, command.into()).expect("an administrator may");
        }
        let question = *contribution;
        let ballot = PollCommand::Ballot { question, choice: Choice::Agree };
        world.ask(neighbour, ballot.into()).expect("a secret answer is kept");
        world.ask(facilitator, PollCommand::AskCount { question }.into()).expect("staff asks");
        let (ground, reason) = ("Huisregels".into(), "Het mag blijven.".into());
        let rule = ModerateCommand::Rule { about: question, measure: Measure::Keep, ground, reason, answers: None };
        world.ask(facilitator, rule.into()).expect("staff rules");
    }

    /// The phones of everybody but the root, in a fixed order.
    pub fn phones(&mut self) -> [&mut Phone; 5] {
        [&mut self.facilitator, &mut self.board, &mut self.administrator, &mut self.resident, &mut self.neighbour]
    }

    fn everybody_syncs(&mut self) {
        let Self { world, facilitator, board, administrator, resident, neighbour, said, .. } = self;
        let mut root = std::mem::replace(&mut world.root, facilitator.copy());
        for phone in [&mut root, facilitator, board, administrator, resident, neighbour] {
            let synced = world.sync(phone);
            assert_eq!(synced.settled, Some(None), "an honest phone syncs: {synced:?}");
            said.append(&mut world.said.0);
            said.append(&mut world.said.1);
        }
        world.root = root;
    }
}

impl Default for Conversation {
    fn default() -> Self {
        Self::new()
    }
}

fn saved(world: &mut World, phone: &mut Phone, command: Command) -> SubjectId {
    match world.ask(phone, command) {
        Ok(Reply::Saved { subject, .. }) => subject,
        other => panic!("an honest command is taken: {other:?}"),
    }
}
