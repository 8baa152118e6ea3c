//! Secret polls: nobody but the server reads an answer, and nothing is shown in which a neighbour could be found.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use samenspraak_core::app::{Command, CommandError, OwnState, PollCommand, Reply};
use samenspraak_core::model::{Choice, Content, Role, SpaceId, SubjectId};
use samenspraak_core::store::{Table, keys};
use samenspraak_tests::world::{Phone, World};

struct Poll {
    world: World,
    facilitator: Phone,
    residents: Vec<Phone>,
    question: SubjectId,
}

fn subject(reply: Result<Reply, CommandError>) -> SubjectId {
    match reply {
        Ok(Reply::Saved { subject, .. }) => subject,
        other => panic!("saved, not {other:?}"),
    }
}

impl Poll {
    fn with_seed(seed: u64, residents: usize) -> Self {
        let mut world = World::with_seed(seed);
        let mut facilitator = world.join(Role::Facilitator);
        let content = Content {
            title: "Bent u de afgelopen maand bang geweest?".into(),
            text: "In het geheim.".into(),
            theme: 1,
            buurt: String::new(),
        };
        let question = subject(world.ask(&mut facilitator, Command::Contribute(content)));
        let residents = (0..residents).map(|_| world.join(Role::Resident)).collect();
        let mut poll = Self { world, facilitator, residents, question };
        poll.sync();
        poll
    }

    fn sync(&mut self) {
        for phone in std::iter::once(&mut self.facilitator).chain(&mut self.residents) {
            let synced = self.world.sync(phone);
            assert_eq!(synced.settled, Some(None), "{synced:?}");
        }
    }

    fn answer(&mut self, resident: usize, choice: Choice) {
        let question = self.question;
        self.world.ask(&mut self.residents[resident], PollCommand::Ballot { question, choice }.into()).unwrap();
    }

    /// Everybody's answers reach the server, it counts, and everybody hears.
    fn count(&mut self) -> Vec<(Choice, u64)> {
        self.sync();
        let question = self.question;
        self.world.ask(&mut self.facilitator, PollCommand::AskCount { question }.into()).unwrap();
        self.sync();
        let shown = self.facilitator.joined().tally(question).unwrap();
        for phone in &mut self.residents {
            assert_eq!(phone.joined().tally(question).as_ref(), Some(&shown));
            phone.restart();
            assert_eq!(phone.joined().tally(question).as_ref(), Some(&shown), "after a restart");
        }
        assert!(shown.day.is_some());
        shown.counts
    }
}

#[test]
fn nine_answers_are_not_shown_and_ten_are() {
    let mut poll = Poll::with_seed(1, 12);
    let question = poll.question;
    assert_eq!(poll.facilitator.joined().tally(question), None, "nobody counted yet");
    for resident in 0..9 {
        poll.answer(resident, Choice::Agree);
    }
    assert_eq!(poll.count(), []);
    poll.answer(9, Choice::Agree);
    assert_eq!(poll.count(), [(Choice::Agree, 10)]);
    // A second choice of two people appears nowhere, and no total from which it could be computed.
    poll.answer(10, Choice::Disagree);
    poll.answer(11, Choice::Disagree);
    assert_eq!(poll.count(), [(Choice::Agree, 10)]);
    // Who changes an answer counts once, under the newest; who takes it back, not at all.
    poll.answer(10, Choice::Agree);
    assert_eq!(poll.count(), [(Choice::Agree, 11)]);
    poll.answer(0, Choice::Withdrawn);
    poll.answer(1, Choice::Pass);
    assert_eq!(poll.count(), [], "nine are left");
    poll.answer(0, Choice::Agree);
    assert_eq!(poll.count(), [(Choice::Agree, 10)]);
}

#[test]
fn an_answer_is_read_by_its_author_and_the_server_alone() {
    let mut poll = Poll::with_seed(2, 2);
    let question = poll.question;
    let unanswered = poll.residents[0].joined().own_answer(question).unwrap();
    assert_eq!(unanswered, None);
    poll.answer(0, Choice::Disagree);
    let own = |poll: &mut Poll| poll.residents[0].joined().own_answer(question).unwrap().unwrap();
    assert_eq!((own(&mut poll).choice, own(&mut poll).state), (Choice::Disagree, OwnState::Saved));
    let entropy = poll.world.random.entropy();
    let again = poll.residents[0].ask(entropy, PollCommand::Ballot { question, choice: Choice::Disagree }.into());
    assert_eq!(again.unwrap(), Reply::Unchanged { subject: question });
    poll.count();
    assert!(matches!(own(&mut poll).state, OwnState::Arrived { .. }));
    poll.answer(0, Choice::Agree);
    assert_eq!(own(&mut poll).choice, Choice::Agree);
    poll.count();
    let entries = |phone: &Phone| {
        phone
            .store
            .scan(Table::Entry, &keys::space(SpaceId::Ballot), None, usize::MAX)
            .unwrap()
            .into_iter()
            .filter(|row| matches!(keys::parse_entry(&row.key), Some((SpaceId::Ballot, ..))))
            .count()
    };
    assert_eq!((entries(&poll.residents[0]), entries(&poll.residents[1]), entries(&poll.facilitator)), (2, 0, 0));
    let counts = poll.residents[1].joined().view().counts_of(question);
    assert_eq!((counts.agree, counts.disagree), (0, 0), "and it isn't among the open voices");
    // Its author can erase it for good.
    let subject = subject_of(&poll.residents[0]);
    let entropy = poll.world.random.entropy();
    poll.residents[0].ask(entropy, Command::Erase(subject)).unwrap();
    assert_eq!(poll.residents[0].joined().own_answer(question).unwrap(), None);
    poll.sync();
    let kept = poll.world.server().replica().subject_state(SpaceId::Ballot, subject).unwrap();
    assert_eq!(kept, Some(samenspraak_core::gate::body::SubjectState::Erased));
}

fn subject_of(phone: &Phone) -> SubjectId {
    let rows = phone.store.scan(Table::Subject, &keys::space(SpaceId::Ballot), None, 1).unwrap();
    SubjectId::new(rows[0].key[1..17].try_into().unwrap())
}

#[test]
fn only_staff_has_answers_counted_and_only_about_what_is_there() {
    let mut poll = Poll::with_seed(3, 1);
    let question = poll.question;
    let asked = |poll: &mut Poll, question, of_staff: bool| {
        let entropy = poll.world.random.entropy();
        let phone = if of_staff { &mut poll.facilitator } else { &mut poll.residents[0] };
        phone.ask(entropy, PollCommand::AskCount { question }.into())
    };
    assert!(matches!(asked(&mut poll, question, false), Err(CommandError::Role { .. })));
    let nothing = SubjectId::new([7; 16]);
    assert!(matches!(asked(&mut poll, nothing, true), Err(CommandError::Unknown { .. })));
    let entropy = poll.world.random.entropy();
    let ballot =
        poll.residents[0].ask(entropy, PollCommand::Ballot { question: nothing, choice: Choice::Agree }.into());
    assert!(matches!(ballot, Err(CommandError::Unknown { .. })));
}
