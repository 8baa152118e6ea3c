//! Rulings on notices, erasures by staff, and meetings written anew.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use samenspraak_core::app::moderate::{Hidden, Judged};
use samenspraak_core::app::{Command, CommandError, LineEvent, ModerateCommand, PollCommand, Reply, Sealing};
use samenspraak_core::document::Splice;
use samenspraak_core::document::meeting::MeetingEdit;
use samenspraak_core::model::contribution::EDIT_CHARS_MAX;
use samenspraak_core::model::{
    Choice, Content, Decision, EntryId, Measure, MeetingText, NoteItem, Outcome, Role, SealedWords, SpaceId, SubjectId,
};
use samenspraak_core::store::{Store, Table};
use samenspraak_tests::world::{DAY, Phone, World};

fn saved(reply: Result<Reply, CommandError>) -> (SubjectId, EntryId) {
    match reply {
        Ok(Reply::Saved { subject, id }) => (subject, id),
        other => panic!("saved, not {other:?}"),
    }
}

fn write(world: &mut World, phone: &mut Phone, title: &str) -> SubjectId {
    let content = Content { title: title.into(), text: "De buurman.".into(), theme: 1, buurt: String::new() };
    saved(world.ask(phone, Command::Contribute(content))).0
}

fn rule(measure: Measure, about: SubjectId) -> Command {
    let (ground, reason) = ("huisregel 2".into(), "Noem geen namen van buren.".into());
    ModerateCommand::Rule { about, measure, ground, reason, answers: None }.into()
}

fn erase_by_ground(subject: SubjectId) -> Command {
    ModerateCommand::EraseByGround { subject, ground: "AVG artikel 17: gezondheid van een ander".into() }.into()
}

fn sees(phone: &mut Phone) -> Vec<SubjectId> {
    phone.joined().contributions().unwrap().into_iter().map(|item| item.subject).collect()
}

fn synced(world: &mut World, phones: &mut [&mut Phone]) {
    for phone in phones {
        let synced = world.sync(phone);
        assert_eq!(synced.settled, Some(None), "{synced:?}");
    }
}

/// Three times round: what one says reaches all.
fn all_synced(world: &mut World, phones: &mut [&mut Phone]) {
    for _ in 0..3 {
        synced(world, phones);
    }
}

#[test]
fn a_ruling_hides_words_from_everybody_but_their_author_and_a_newer_one_shows_them_again() {
    let mut world = World::with_seed(1);
    let (mut author, mut other) = (world.join(Role::Resident), world.join(Role::Resident));
    let mut facilitator = world.join(Role::Facilitator);
    let (stays, about) = (write(&mut world, &mut author, "Plein"), write(&mut world, &mut author, "Buurman"));
    all_synced(&mut world, &mut [&mut author, &mut other, &mut facilitator]);
    world.ask(&mut other, Command::Speak { question: about, choice: Choice::Agree }).unwrap();
    let (_, ruling) = saved(world.ask(&mut facilitator, rule(Measure::Hide, about)));
    all_synced(&mut world, &mut [&mut facilitator, &mut other, &mut author]);
    for _ in 0..2 {
        for phone in [&mut other, &mut facilitator] {
            assert_eq!(sees(phone), [stays]);
            assert!(phone.joined().line(about).unwrap().is_none());
        }
        let items = author.joined().contributions().unwrap();
        assert_eq!(items.len(), 2);
        let item = items.into_iter().find(|item| item.subject == about).unwrap();
        let Some(Hidden::Ruling(shown)) = item.hidden else { panic!("{:?}", item.hidden) };
        assert_eq!((shown.facts.id, shown.day), (ruling, Some(DAY)), "which it can appeal against");
        assert_eq!(shown.facts.ruling.ground, "huisregel 2");
        assert_eq!(shown.facts.ruling.reason, "Noem geen namen van buren.");
        let line = author.joined().line(about).unwrap().unwrap();
        assert_eq!(line.item.content.title, "Buurman");
        assert!(line.events.iter().any(|event| matches!(event, LineEvent::Ruled(item) if item.facts.id == ruling)));
        for phone in [&mut author, &mut other, &mut facilitator] {
            phone.restart();
        }
    }
    let spoken = world.ask(&mut other, Command::Speak { question: about, choice: Choice::Support });
    assert!(matches!(spoken, Err(CommandError::Unknown { .. })), "{spoken:?}");
    let answered = world.ask(&mut other, PollCommand::Ballot { question: about, choice: Choice::Agree }.into());
    assert!(matches!(answered, Err(CommandError::Unknown { .. })), "{answered:?}");
    // Whoever must judge an appeal reads it; others don't.
    assert!(
        matches!(facilitator.joined().judged(about).unwrap(), Some(Judged::Contribution(c)) if c.title == "Buurman")
    );
    assert_eq!(other.joined().judged(about).unwrap(), None);
    assert!(facilitator.joined().ruled()[0].is_hidden);

    saved(world.ask(&mut facilitator, rule(Measure::Keep, about)));
    all_synced(&mut world, &mut [&mut facilitator, &mut other, &mut author]);
    assert_eq!(sees(&mut other).len(), 2);
    let line = other.joined().line(about).unwrap().unwrap();
    assert_eq!(line.item.counts.agree, 1, "voices were never gone");
    assert!(!line.events.iter().any(|event| matches!(event, LineEvent::Ruled(_))), "nobody else's business");
    let line = author.joined().line(about).unwrap().unwrap();
    let ruled = line.events.iter().filter(|event| matches!(event, LineEvent::Ruled(_))).count();
    assert_eq!((ruled, line.item.hidden), (2, None));
}

#[test]
fn rulings_made_apart_end_the_same_for_everybody() {
    for seed in 2..6 {
        let mut world = World::with_seed(seed);
        let mut author = world.join(Role::Resident);
        let (mut one, mut two) = (world.join(Role::Facilitator), world.join(Role::Board));
        let about = write(&mut world, &mut author, "Buurman");
        all_synced(&mut world, &mut [&mut author, &mut one, &mut two]);
        saved(world.ask(&mut one, rule(Measure::Hide, about)));
        saved(world.ask(&mut two, rule(Measure::Keep, about)));
        all_synced(&mut world, &mut [&mut two, &mut one, &mut author]);
        let hidden = |phone: &mut Phone| phone.joined().hidden(about).is_some();
        let is_hidden = hidden(&mut author);
        assert_eq!([hidden(&mut one), hidden(&mut two)], [is_hidden; 2], "seed {seed}");
        // Whoever has seen both stands above both.
        let measure = if is_hidden { Measure::Keep } else { Measure::Hide };
        saved(world.ask(&mut one, rule(measure, about)));
        all_synced(&mut world, &mut [&mut one, &mut two, &mut author]);
        assert_eq!([hidden(&mut one), hidden(&mut two), hidden(&mut author)], [!is_hidden; 3], "seed {seed}");
    }
}

#[test]
fn a_notice_alone_hides_nothing_and_both_sides_are_heard() {
    let mut world = World::with_seed(7);
    let (mut author, mut neighbour) = (world.join(Role::Resident), world.join(Role::Resident));
    let mut board = world.join(Role::Board);
    let about = write(&mut world, &mut author, "Buurman");
    all_synced(&mut world, &mut [&mut board, &mut author, &mut neighbour]);
    let seal = |world: &mut World, phone: &mut Phone, sealing| {
        world.ask(phone, Command::Seal { space: SpaceId::Inbox, sealing }).unwrap();
        synced(world, &mut [phone]);
        world.server_mut().release([7; 32], DAY).unwrap();
    };
    for number in 0..12 {
        let sealing = Sealing::Notice { about, text: format!("Dit gaat over mij, {number}") };
        seal(&mut world, &mut neighbour, sealing);
    }
    all_synced(&mut world, &mut [&mut board, &mut author, &mut neighbour]);
    let received = board.joined().sealed_items(SpaceId::Inbox).unwrap();
    assert_eq!(received.len(), 12);
    for phone in [&mut author, &mut neighbour, &mut board] {
        assert_eq!(sees(phone), [about], "however many notices there are");
    }
    let notice = received[0].subject;
    assert!(matches!(received[0].words, Some(SealedWords::Notice { about: said, .. }) if said == about));
    let (ground, reason) = ("huisregel 2".into(), "Noem geen namen.".into());
    let ruling = ModerateCommand::Rule { about, measure: Measure::Hide, ground, reason, answers: Some(notice) };
    let (_, ruling) = saved(world.ask(&mut board, ruling.into()));
    all_synced(&mut world, &mut [&mut board, &mut author, &mut neighbour]);
    assert!(sees(&mut neighbour).is_empty());
    assert_eq!(board.joined().ruled()[0].rulings[0].facts.ruling.answers, Some(notice));
    seal(&mut world, &mut author, Sealing::Appeal { ruling, text: "Ik noem niemand".into() });
    all_synced(&mut world, &mut [&mut board, &mut author]);
    let appeals = board.joined().sealed_items(SpaceId::Inbox).unwrap();
    let appeal = appeals.iter().find(|item| matches!(item.words, Some(SealedWords::Appeal { .. }))).unwrap();
    assert!(matches!(appeal.words, Some(SealedWords::Appeal { ruling: said, .. }) if said == ruling));
    assert!(sees(&mut neighbour).is_empty(), "an appeal alone shows nothing again");
}

#[test]
fn only_staff_rules_and_never_without_ground_and_reason() {
    let mut world = World::with_seed(8);
    let (mut author, mut board) = (world.join(Role::Resident), world.join(Role::Board));
    let about = write(&mut world, &mut author, "Buurman");
    all_synced(&mut world, &mut [&mut author, &mut board]);
    assert!(matches!(world.ask(&mut author, rule(Measure::Hide, about)), Err(CommandError::Role { .. })));
    let said = |ground: &str, reason: &str| {
        let (ground, reason) = (ground.into(), reason.into());
        Command::from(ModerateCommand::Rule { about, measure: Measure::Hide, ground, reason, answers: None })
    };
    for (ground, reason) in
        [("", "x"), (" ", "x"), ("x", ""), ("x", "\n"), (&"x".repeat(201), "x"), ("x", &"x".repeat(4097))]
    {
        let refused = world.ask(&mut board, said(ground, reason));
        assert!(matches!(refused, Err(CommandError::Length { .. })), "{refused:?}");
    }
    let nothing = world.ask(&mut board, rule(Measure::Hide, SubjectId::new([3; 16])));
    assert!(matches!(nothing, Err(CommandError::Unknown { .. })), "{nothing:?}");
}

/// A wijk with two administrators, a board member and a resident who wrote something.
struct Staff {
    world: World,
    author: Phone,
    first: Phone,
    second: Phone,
    board: Phone,
    subject: SubjectId,
}

impl Staff {
    fn with_seed(seed: u64) -> Self {
        let mut world = World::with_seed(seed);
        let mut author = world.join(Role::Resident);
        let (first, second) = (world.join(Role::Administrator), world.join(Role::Administrator));
        let board = world.join(Role::Board);
        let subject = write(&mut world, &mut author, "Over mijn zieke buurvrouw");
        let mut staff = Self { world, author, first, second, board, subject };
        staff.sync();
        staff
    }

    fn sync(&mut self) {
        let Self { world, author, first, second, board, .. } = self;
        all_synced(world, &mut [author, first, second, board]);
    }

    /// Whether author and board see it, whether it is erased everywhere.
    fn state(&mut self) -> (bool, bool, bool) {
        self.sync();
        for phone in [&mut self.author, &mut self.board] {
            phone.restart();
        }
        let erasures = self.author.joined().erasures().unwrap();
        assert_eq!(erasures, self.board.joined().erasures().unwrap());
        let done = erasures.iter().any(|item| item.subject == self.subject && item.done);
        (!sees(&mut self.author).is_empty(), !sees(&mut self.board).is_empty(), done)
    }

    fn sign(&mut self, who: fn(&mut Self) -> &mut Phone) -> Result<Reply, CommandError> {
        let (entropy, command) = (self.world.random.entropy(), erase_by_ground(self.subject));
        who(self).ask(entropy, command)
    }
}

#[test]
fn an_administrators_signature_hides_and_a_second_persons_erases() {
    for (seed, second) in
        [(11, (|s: &mut Staff| &mut s.second) as fn(&mut Staff) -> &mut Phone), (12, |s| &mut s.board)]
    {
        let mut staff = Staff::with_seed(seed);
        saved(staff.sign(|staff| &mut staff.first));
        assert_eq!(staff.state(), (true, false, false), "hidden for others, its author still reads it");
        let hidden = staff.author.joined().contributions().unwrap()[0].hidden.clone();
        assert!(matches!(hidden, Some(Hidden::Erasure { day: Some(DAY), ref ground }) if ground.starts_with("AVG")));
        let again = staff.sign(|staff| &mut staff.first).unwrap();
        assert_eq!(again, Reply::Unchanged { subject: staff.subject }, "nobody is two persons");
        let waiting = staff.board.joined().erasures().unwrap();
        assert_eq!((waiting.len(), waiting[0].signatures.len(), waiting[0].done), (1, 1, false));
        assert!(!waiting[0].needs_administrator());
        assert!(staff.board.joined().judged(staff.subject).unwrap().is_some(), "whoever signs reads what it is about");
        saved(staff.sign(second));
        assert_eq!(staff.state(), (false, false, true));
        let audit = staff.author.joined().erasures().unwrap();
        assert_eq!(audit[0].signatures.len(), 2);
        assert!(audit[0].signatures.iter().all(|signed| signed.day == Some(DAY)));
        assert_eq!(staff.board.joined().judged(staff.subject).unwrap(), None);
        let later = staff.sign(|staff| &mut staff.board);
        assert!(matches!(later, Err(CommandError::Unknown { .. })), "{later:?}");
    }
}

#[test]
fn a_board_member_alone_hides_nothing_and_an_administrator_completes_it() {
    let mut staff = Staff::with_seed(13);
    saved(staff.sign(|staff| &mut staff.board));
    assert_eq!(staff.state(), (true, true, false));
    let waiting = staff.first.joined().erasures().unwrap();
    assert!(waiting[0].needs_administrator());
    let Staff { world, author, .. } = &mut staff;
    let mut board_two = world.join(Role::Board);
    all_synced(world, &mut [author, &mut board_two]);
    let subject = staff.subject;
    saved(staff.world.ask(&mut board_two, erase_by_ground(subject)));
    synced(&mut staff.world, &mut [&mut board_two]);
    assert_eq!(staff.state(), (true, true, false), "two of the board are not enough");
    saved(staff.sign(|staff| &mut staff.first));
    assert_eq!(staff.state(), (false, false, true));
}

#[test]
fn what_may_not_be_erased_by_staff_is_refused() {
    let mut staff = Staff::with_seed(14);
    let mut facilitator = staff.world.join(Role::Facilitator);
    synced(&mut staff.world, &mut [&mut facilitator]);
    let subject = staff.subject;
    let by_facilitator = staff.world.ask(&mut facilitator, erase_by_ground(subject));
    assert!(matches!(by_facilitator, Err(CommandError::Role { .. })), "{by_facilitator:?}");
    let empty = ModerateCommand::EraseByGround { subject, ground: " ".into() };
    let without = staff.world.ask(&mut staff.first, empty.into());
    assert!(matches!(without, Err(CommandError::Length { .. })), "{without:?}");
    let decision = Decision {
        about: vec![subject],
        outcome: Outcome::Yes,
        reason: "Daarom.".into(),
        answer: "Ja.".into(),
        party: String::new(),
        due_day: None,
        replaces: vec![],
    };
    let (decision, _) = saved(staff.world.ask(&mut staff.board, Command::Decide(decision)));
    staff.sync();
    let refused = staff.world.ask(&mut staff.first, erase_by_ground(decision));
    assert!(matches!(refused, Err(CommandError::Refused { .. })), "{refused:?}: what was decided stays");
    assert_eq!(staff.state(), (true, true, false));
}

fn contains(store: &dyn Store, words: &str) -> bool {
    Table::ALL.into_iter().any(|table| {
        let rows = store.scan(table, &[], None, usize::MAX).unwrap();
        rows.iter().any(|row| row.value.windows(words.len()).any(|window| window == words.as_bytes()))
    })
}

#[test]
fn a_meeting_is_written_anew_without_words_that_must_go_and_the_old_one_is_erased() {
    const CANARY: &str = "zq7Xw0PfLk";
    let mut world = World::with_seed(15);
    let (mut facilitator, mut resident) = (world.join(Role::Facilitator), world.join(Role::Resident));
    let (mut administrator, mut board) = (world.join(Role::Administrator), world.join(Role::Board));
    synced(&mut world, &mut [&mut facilitator]);
    let agenda = vec!["Opening".to_owned(), "Zorgen".to_owned(), "Rondvraag".to_owned()];
    let begin = Command::NewMeeting { title: "Buurtavond".into(), agenda };
    let (old, _) = saved(world.ask(&mut facilitator, begin));
    let long = "é".repeat(2 * EDIT_CHARS_MAX + 7);
    let texts = ["Welkom.".to_owned(), format!("Mevrouw {CANARY} is ziek."), long.clone()];
    for (item, text) in texts.iter().enumerate() {
        let mut at = 0;
        for piece in text.chars().collect::<Vec<_>>().chunks(EDIT_CHARS_MAX) {
            let splice = Splice { at, delete: 0, insert: piece.iter().collect() };
            at += piece.len();
            let edit = MeetingEdit::Splice { item, splice };
            saved(world.ask(&mut facilitator, Command::EditMeeting { subject: old, edit }));
        }
    }
    all_synced(&mut world, &mut [&mut facilitator, &mut resident, &mut administrator, &mut board]);
    assert!(contains(&*resident.store, CANARY));

    let item = |title: &str, text: &str| NoteItem { title: title.into(), text: text.into() };
    let text = MeetingText {
        title: "Buurtavond".into(),
        agenda: vec![item("Opening", "Welkom."), item("Zorgen", "Iemand is ziek."), item("Rondvraag", &long)],
    };
    let rewrite = |text: &MeetingText, subject| ModerateCommand::RewriteMeeting { subject, text: text.clone() }.into();
    let refused = world.ask(&mut resident, rewrite(&text, old));
    assert!(matches!(refused, Err(CommandError::Role { .. })), "{refused:?}");
    // Another person of staff than the one who began it.
    let (new, _) = saved(world.ask(&mut board, rewrite(&text, old)));
    all_synced(&mut world, &mut [&mut board, &mut facilitator, &mut resident, &mut administrator]);
    for phone in [&mut resident, &mut board] {
        let meeting = phone.joined().meeting(new).unwrap().unwrap();
        assert_eq!((meeting.text, meeting.replaces), (text.clone(), Some(old)));
        assert_eq!(phone.joined().meeting(old).unwrap().unwrap().replaced_by, Some(new));
    }
    let added = Command::EditMeeting { subject: old, edit: MeetingEdit::AddItem { title: "Nog iets".into() } };
    let added = world.ask(&mut facilitator, added);
    assert!(matches!(added, Err(CommandError::Replaced { by, .. }) if by == new), "{added:?}");
    let twice = world.ask(&mut facilitator, rewrite(&text, old));
    assert!(matches!(twice, Err(CommandError::Replaced { .. })), "{twice:?}");
    assert_eq!(world.ask(&mut facilitator, rewrite(&text, new)).unwrap(), Reply::Unchanged { subject: new });

    for phone in [&mut administrator, &mut board] {
        saved(world.ask(phone, erase_by_ground(old)));
    }
    all_synced(&mut world, &mut [&mut administrator, &mut board, &mut facilitator, &mut resident]);
    for phone in [&mut resident, &mut facilitator, &mut administrator, &mut board] {
        phone.restart();
        let meetings = phone.joined().meetings().unwrap();
        assert_eq!(meetings.iter().map(|item| item.subject).collect::<Vec<_>>(), [new]);
        assert_eq!((meetings[0].text.clone(), meetings[0].replaces), (text.clone(), Some(old)));
        assert_eq!(phone.joined().view().replaced_by(old), Some(new), "a link to the old one leads to the new one");
        assert!(!contains(&*phone.store, CANARY), "in no row");
    }
    assert!(!contains(&**world.server().replica().store(), CANARY), "nor at the server");
    // The new one is written on like any other.
    let edit = MeetingEdit::AddItem { title: "Sluiting".into() };
    saved(world.ask(&mut facilitator, Command::EditMeeting { subject: new, edit }));
    all_synced(&mut world, &mut [&mut facilitator, &mut resident]);
    assert_eq!(resident.joined().meeting(new).unwrap().unwrap().text.agenda.len(), 4);
}
