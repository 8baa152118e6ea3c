//! A wijk with somebody of each kind, in which one entry is offered to a replica.

use samenspraak_core::document::meeting::{self, MeetingEdit};
use samenspraak_core::document::{self, contribution};
use samenspraak_core::entry::codec::{DocumentChange, Record, decode, enrolment_message, join_message};
use samenspraak_core::entry::sign::Key;
use samenspraak_core::entry::{Kind, Payload, Tombstone};
use samenspraak_core::gate::Verdict;
use samenspraak_core::model::*;
use samenspraak_core::replica::{Replica, Side};
use samenspraak_core::sync::epoch_message;

use crate::cast::*;
use crate::table::{Phase, What, Who};
use crate::wijk::*;

const EPOCH: [u8; 16] = [4; 16];

/// See the module.
pub struct Scene {
    wijk: Wijk,
    organisation: SubjectId,
    revocation: EntryId,
    /// What is there besides members: enrolments, and a contribution to speak about.
    said: Vec<Made>,
    contribution: SubjectId,
    free_card: Key,
    others: Others,
}

/// Authors who rightfully create what somebody else then follows or erases.
struct Others {
    resident: Author,
    facilitator: Author,
    board: Author,
    board_closed: Author,
    inbox_closed: Author,
    circle_closed: Author,
    server: Author,
}

/// The one whose cell it is.
struct Asker {
    author: Author,
    closed: Option<(SpaceId, Author)>,
}

fn epoch(wijk: WijkId, key: u8) -> Record {
    let device = crate::wijk::key(key).id();
    let certificate = crate::wijk::key(IDENTITY).sign(&epoch_message(wijk, &EPOCH, device)).0;
    let identity = crate::wijk::key(IDENTITY).id();
    Record::Epoch(EpochKey { identity, epoch: EPOCH, certificate, encryption_key: [6; 32] })
}

fn enrolment(wijk: WijkId, space: SpaceId, device: &Key, closed: &Key, way: Way) -> Record {
    let signature = device.sign(&enrolment_message(wijk, space, closed.id(), &[6; 32])).0;
    Record::Enrolment(Enrolment { device: device.id(), encryption_key: [6; 32], signature, way })
}

impl Scene {
    pub fn new() -> Self {
        let mut wijk = Wijk::new();
        wijk.member_record(Kind::SERVER, &Record::Server(ServerIdentity { key: key(IDENTITY).id() }));
        let mut server = Author::new(EPOCH_KEY, wijk.id);
        let subject = server.subject_in(SpaceId::Members, Kind::EPOCH);
        let made = server.create(SpaceId::Members, &subject, &epoch(wijk.id, EPOCH_KEY));
        wijk.members.push(made);
        let named = Record::Organisation(Organisation { name: "Woonstichting".into() });
        let organisation = wijk.member_record(Kind::ORGANISATION, &named).id;
        let resident = wijk.member(11, Role::Resident);
        let facilitator = wijk.member(13, Role::Facilitator);
        let board = wijk.member(14, Role::Board);
        let revoked = wijk.member(REVOKED, Role::Resident);
        wijk.member(TARGET, Role::Resident);
        let target = RevocationTarget::Device(revoked.device());
        let reason = RevocationReason::Lost;
        wijk.member_record(Kind::REVOCATION, &Record::Revocation(Revocation { target, reason, seen: vec![] }));
        let revocation = wijk.members.last().unwrap().id;
        let free_card = wijk.card(Role::Resident);
        let in_space = |author: &Author, space| Author::with_key(author.key.in_space(wijk.id, space), wijk.id);
        let circle = space_of(What::CircleCard, wijk.id);
        let others = Others {
            board_closed: in_space(&board, SpaceId::Board),
            inbox_closed: in_space(&board, SpaceId::Inbox),
            circle_closed: in_space(&facilitator, circle),
            resident,
            facilitator,
            board,
            server,
        };
        let mut scene =
            Self { wijk, organisation, revocation, said: vec![], contribution: SubjectId::ZERO, free_card, others };
        let (subject, made) = scene.others.resident.contribute("Licht");
        scene.contribution = subject.id;
        scene.said.push(made);
        let id = scene.wijk.id;
        for (space, closed) in
            [(SpaceId::Board, &mut scene.others.board_closed), (SpaceId::Inbox, &mut scene.others.inbox_closed)]
        {
            let record = enrolment(id, space, &scene.others.board.key, &closed.key, Way::Right);
            let subject = closed.subject_in(space, Kind::ENROLMENT);
            scene.said.push(closed.create(space, &subject, &record));
        }
        scene
    }

    /// Somebody with the role, known to the wijk.
    fn join(&mut self, who: Who, granted: bool) -> Asker {
        let id = self.wijk.id;
        let author = match (who, granted) {
            (Who::Stranger, _) => Author::new(STRANGER, id),
            (Who::Root, _) => self.wijk.root.clone(),
            (Who::Server, _) => self.others.server.clone(),
            (_, false) => self.wijk.member(UNGRANTED, Role::Resident),
            (Who::Party, true) => {
                let author = self.wijk.member(number(who), Role::Resident);
                self.grant(author.person, Role::Party);
                author
            }
            (_, true) => self.wijk.member(number(who), role(who).unwrap_or(Role::Resident)),
        };
        Asker { author, closed: None }
    }

    fn grant(&mut self, person: PersonId, role: Role) -> Made {
        let organisation = (role == Role::Party).then_some(self.organisation);
        self.wijk.member_record(Kind::GRANT, &Record::Grant(Grant { person, role, organisation }));
        self.wijk.members.last().unwrap().clone()
    }

    /// The author as it writes in a space: with a key of its own in closed ones, brought in where there is a right.
    fn writer<'a>(&mut self, asker: &'a mut Asker, who: Who, enrols: bool, space: SpaceId) -> &'a mut Author {
        if !space.is_closed() || who == Who::Server {
            return &mut asker.author;
        }
        let id = self.wijk.id;
        if asker.closed.is_none() {
            let mut closed = Author::with_key(asker.author.key.in_space(id, space), id);
            let founds = matches!(space, SpaceId::Circle(_)).then_some(Way::Founds(NONCE));
            let by_right = if matches!(space, SpaceId::Circle(_)) { Who::Facilitator } else { Who::Board };
            let may = who == by_right && asker.author.device() == key(number(by_right)).id();
            if may && enrols {
                let way = founds.unwrap_or(Way::Right);
                let record = enrolment(id, space, &asker.author.key, &closed.key, way);
                let subject = closed.subject_in(space, Kind::ENROLMENT);
                self.said.push(closed.create(space, &subject, &record));
            }
            asker.closed = Some((space, closed));
        }
        &mut asker.closed.as_mut().unwrap().1
    }

    /// A replica that knows everything so far.
    fn replica(&self, side: Side) -> Replica {
        let mut replica = self.wijk.replica(side);
        for made in &self.said {
            take(&mut replica, made);
        }
        replica
    }

    fn record(&self, what: What, author: &Author, space: SpaceId) -> Record {
        let card = InvitationKey::new([0x1e; 32]);
        let sealed = || Record::Sealed(Sealed { generation: GenerationId::new([9; 16]), bytes: vec![7; 1024] });
        match what {
            What::Genesis => Record::Genesis(author.device()),
            What::Grant => Record::Grant(Grant::of(self.others.resident.person, Role::Resident)),
            What::Revocation => Record::Revocation(Revocation {
                target: RevocationTarget::Device(key(TARGET).id()),
                reason: RevocationReason::Abuse,
                seen: vec![],
            }),
            What::Invitation => Record::Invitation(Invitation::to_role(card, Role::Resident)),
            What::Join => {
                let message = join_message(self.wijk.id, author.device(), author.person, &[3; 32]);
                Record::Join(Join {
                    invitation: InvitationKey::new(*self.free_card.id().as_bytes()),
                    person: author.person,
                    proof: self.free_card.sign(&message).0,
                    encryption_key: [3; 32],
                })
            }
            What::Server => Record::Server(ServerIdentity { key: key(IDENTITY).id() }),
            What::Cut => {
                let end = ChainEnd { space: SpaceId::Open, device: key(REVOKED).id(), entries: 0, last: EntryId::ZERO };
                Record::Cut(Cut { end, revocation: self.revocation })
            }
            What::Tombstone => Record::Tombstone(Tombstone::Administrator {
                subject: SubjectId::new([1; 16]),
                ground: "AVG artikel 17".into(),
            }),
            What::Directory => Record::Directory(Directory {
                name: "De Lindehoek".into(),
                municipality: "Waterlo".into(),
                code: AreaCode::parse("WK999901").unwrap(),
                reference_year: 2025,
                themes: vec![],
                buurten: vec![],
                counter: 1,
            }),
            What::Epoch => {
                let certificate = key(IDENTITY).sign(&epoch_message(self.wijk.id, &EPOCH, author.device())).0;
                let identity = key(IDENTITY).id();
                Record::Epoch(EpochKey { identity, epoch: EPOCH, certificate, encryption_key: [6; 32] })
            }
            What::Settlement => Record::Settlement(Settlement::Card { card, device: None }),
            What::Withdrawal => Record::Withdrawal(Withdrawal { batch: BatchId::new([2; 8]) }),
            What::Organisation => Record::Organisation(Organisation { name: "Welzijn".into() }),
            What::Enrolment => {
                let device = match author.device() == key(EPOCH_KEY).id() {
                    true => key(EPOCH_KEY),
                    false => self.device_of(author, space),
                };
                enrolment(self.wijk.id, space, &device, &author.key, Way::Right)
            }
            What::Generation => {
                Record::Generation(Generation { space: SpaceId::Board, public: [5; 32], replaces: vec![] })
            }
            What::Wrap => Record::Wrap(Wrap {
                generation: GenerationId::new([9; 16]),
                to: self.others.board_closed.device(),
                sealed: vec![1; 80],
            }),
            What::CircleCard => Record::CircleCard(card),
            What::Contribution | What::Meeting => unreachable!("documents have changes of their own"),
            What::Voice | What::Ballot => {
                Record::Voice(Voice { question: self.contribution, choice: Choice::Agree, counter: 1, replaces: None })
            }
            What::Decision => Record::Decision(Decision {
                about: vec![self.contribution],
                outcome: Outcome::Yes,
                reason: "Daarom.".into(),
                answer: "Ja.".into(),
                party: String::new(),
                due_day: None,
                replaces: vec![],
            }),
            What::Sealed | What::Dropped => sealed(),
            What::Answer => Record::Answer(SealedAnswer { to: ReplyId::new([3; 16]), bytes: vec![7; 1024] }),
            What::Count => Record::Count(self.contribution),
            What::Tally => Record::Tally(Tally { question: self.contribution, counts: vec![] }),
            What::Ruling => Record::Ruling(Ruling {
                about: self.contribution,
                measure: Measure::Hide,
                ground: "huisregel 2".into(),
                reason: "Er staat een adres in.".into(),
                answers: None,
                counter: 1,
                replaces: None,
            }),
        }
    }

    /// The device whose key of a closed space this is.
    fn device_of(&self, closed: &Author, space: SpaceId) -> Key {
        let numbers = Who::ALL.into_iter().map(number).chain([13, 14, UNGRANTED]);
        let mut keys = numbers.map(key);
        keys.find(|device| device.in_space(self.wijk.id, space).id() == closed.device()).unwrap()
    }

    /// The entry with which an author creates something.
    fn create(&self, what: What, author: &mut Author, space: SpaceId) -> (Subject, Made) {
        match what {
            What::Contribution => author.contribute("Groen"),
            What::Meeting => {
                let subject = author.subject(Kind::MEETING);
                let change = meeting::create(author.actor(subject.id, 1), "Wijkavond", &["Licht".into()]).unwrap();
                (subject, author.change(&subject, 1, change.unwrap(), true))
            }
            _ => {
                let subject = author.subject_in(space, what.kind());
                (subject, author.create(space, &subject, &self.record(what, author, space)))
            }
        }
    }

    /// The entry with which an author writes on.
    fn follow(&self, what: What, author: &mut Author, space: SpaceId, subject: &Subject, first: &Made) -> Made {
        match what {
            What::Contribution | What::Meeting => {
                let Payload::Creating { body } = &first.run.entries[0].payload else { unreachable!() };
                let Ok(Some(Record::Change(DocumentChange { change, .. }))) = decode(what.kind(), body) else {
                    unreachable!()
                };
                let doc = document::open(vec![(first.id, change)]).doc;
                let actor = author.actor(subject.id, 2);
                let change = if what == What::Meeting {
                    meeting::edit(&doc, actor, &MeetingEdit::AddItem { title: "Groen".into() }).unwrap()
                } else {
                    let content = Content { text: "Groen en licht".into(), ..contribution::read(&doc) };
                    contribution::edit(&doc, actor, &content).unwrap()
                };
                author.change(subject, 2, change.unwrap(), false)
            }
            What::Tombstone => author.tombstone(
                space,
                subject.id,
                Tombstone::Owner {
                    subject: subject.id,
                    device: DeviceId::new([1; 32]),
                    kind: Kind::VOICE,
                    nonce: [0; 16],
                    erase_secret: subject.erase_secret,
                },
            ),
            _ => author.follow(space, subject, &self.record(what, author, space)),
        }
    }

    /// Something of this kind that counts, by somebody else.
    fn of_another(&mut self, what: What, space: SpaceId) -> (Subject, Made) {
        // The circle is the asked facilitator's; its card is its own, whoever follows it.
        let mut author = match what {
            What::Grant
            | What::Revocation
            | What::Invitation
            | What::Server
            | What::Directory
            | What::Organisation
            | What::Withdrawal => self.wijk.root.clone(),
            What::Genesis | What::Join | What::Tombstone => self.others.resident.clone(),
            What::Cut | What::Epoch | What::Settlement | What::Dropped | What::Tally => self.others.server.clone(),
            What::Generation | What::Decision | What::Answer => self.others.board.clone(),
            What::Enrolment | What::Wrap | What::Sealed => self.others.board_closed.clone(),
            What::CircleCard => self.others.circle_closed.clone(),
            What::Contribution | What::Voice | What::Ballot => self.others.resident.clone(),
            What::Meeting | What::Count | What::Ruling => self.others.facilitator.clone(),
        };
        let made = match what {
            // Those two exist once: the root's first entry, and the resident's join.
            What::Genesis => self.first_of(self.wijk.root.device()),
            What::Join => self.first_of(self.others.resident.device()),
            What::Epoch => self.first_of(self.others.server.device()),
            What::Enrolment => self.said[1].clone(),
            // Erasures have no subject of their own: one of a contribution.
            What::Tombstone => self.said[0].clone(),
            What::CircleCard => self.create(what, &mut author, space).1,
            _ => {
                let (subject, made) = self.create(what, &mut author, space);
                let said = if space == SpaceId::Members { &mut self.wijk.members } else { &mut self.said };
                said.push(made.clone());
                self.remember(what, author);
                return (subject, made);
            }
        };
        let seed = match &made.run.entries[0].payload {
            Payload::Creating { body } => samenspraak_core::entry::codec::opening(body).unwrap().unwrap().seed,
            _ => unreachable!(),
        };
        let kind = made.run.entries[0].kind;
        let erase_secret = samenspraak_core::entry::EraseSecret([9; 32]);
        let device = made.run.device;
        let nonce = seed.nonce();
        let commit = match &made.run.entries[0].payload {
            Payload::Creating { body } => samenspraak_core::entry::codec::opening(body).unwrap().unwrap().commit,
            _ => unreachable!(),
        };
        let id = samenspraak_core::entry::subject::subject_id(self.wijk.id, space, device, kind, &nonce, &commit);
        (Subject { id, kind, device, seed, erase_secret }, made)
    }

    fn first_of(&self, device: DeviceId) -> Made {
        self.wijk.members.iter().find(|made| made.run.device == device).unwrap().clone()
    }

    /// Whoever wrote goes on from there.
    fn remember(&mut self, what: What, author: Author) {
        match what {
            What::Grant
            | What::Revocation
            | What::Invitation
            | What::Server
            | What::Directory
            | What::Organisation
            | What::Withdrawal => self.wijk.root = author,
            What::Cut | What::Epoch | What::Settlement | What::Dropped | What::Tally => self.others.server = author,
            _ => {}
        }
    }

    /// What the gate says of the entry of a cell; nothing when it gets no place.
    pub fn ask(mut self, what: What, who: Who, phase: Phase) -> Option<Verdict> {
        let space = space_of(what, self.wijk.id);
        let other = match phase {
            Phase::FollowsOthers | Phase::ErasesWithSecret | Phase::ErasesAsStaff => Some(self.of_another(what, space)),
            _ => None,
        };
        let mut asker = self.join(who, phase != Phase::BeforeGranted);
        // Whoever creates an enrolment or an epoch comes in with it; whoever does something with another's was in before.
        let comes = other.is_none();
        if what == What::Epoch && who == Who::Server && comes {
            asker.author = Author::new(LATER_EPOCH_KEY, self.wijk.id);
        }
        let mut side = Side::Server;
        if phase == Phase::AfterCut {
            self.cut(&asker.author, space);
            side = Side::Phone { device: DeviceId::new([77; 32]) };
        }
        let enrols = !(comes && what == What::Enrolment);
        let mut author = self.writer(&mut asker, who, enrols, space).clone();
        let made = match (phase, &other) {
            (Phase::FollowsOwn, _) => {
                let (subject, first) = self.create(what, &mut author, space);
                let said = if space == SpaceId::Members { &mut self.wijk.members } else { &mut self.said };
                said.push(first.clone());
                self.follow(what, &mut author, space, &subject, &first)
            }
            (Phase::FollowsOthers, Some((subject, first))) => self.follow(what, &mut author, space, subject, first),
            (Phase::ErasesWithSecret, Some((subject, _))) => author.tombstone(space, subject.id, subject.tombstone()),
            (Phase::ErasesAsStaff, Some((subject, _))) => {
                let ground = "AVG artikel 17".into();
                author.tombstone(space, subject.id, Tombstone::Administrator { subject: subject.id, ground })
            }
            _ => self.create(what, &mut author, space).1,
        };
        let mut replica = self.replica(side);
        let admitted = replica.admit(made.space, &made.batch()).ok()?;
        Some(admitted.entries[0].verdict)
    }

    /// The same before the grant, and what became of it once the grant is there.
    pub fn ask_and_grant(mut self, what: What, who: Who) -> Option<Verdict> {
        let space = space_of(what, self.wijk.id);
        let mut asker = self.join(who, false);
        let mut author = self.writer(&mut asker, who, what != What::Enrolment, space).clone();
        let made = self.create(what, &mut author, space).1;
        let mut replica = self.replica(Side::Server);
        let before = replica.admit(made.space, &made.batch());
        assert!(before.is_ok_and(|b| b.entries[0].verdict == Verdict::Pending), "{what:?} {who:?} before the grant");
        commit(&mut replica);
        let grant = self.grant(asker.author.person, role(who).unwrap());
        take(&mut replica, &grant);
        Some(verdict(&replica, &made))
    }

    /// The root revokes the author's device, and the server says where its chain ends.
    fn cut(&mut self, author: &Author, space: SpaceId) {
        let target = RevocationTarget::Device(author.device());
        let revocation = Record::Revocation(Revocation { target, reason: RevocationReason::Lost, seen: vec![] });
        self.wijk.member_record(Kind::REVOCATION, &revocation);
        let id = self.wijk.members.last().unwrap().id;
        let own = self.wijk.members.iter().chain(&self.said).filter(|made| made.run.device == author.device());
        let own: Vec<&Made> = own.filter(|made| made.space == space).collect();
        let last = own.last().map_or(EntryId::ZERO, |made| made.id);
        let end = ChainEnd { space, device: author.device(), entries: own.len() as u64, last };
        let server = &mut self.others.server;
        let subject = server.subject_in(SpaceId::Members, Kind::CUT);
        let made = server.create(SpaceId::Members, &subject, &Record::Cut(Cut { end, revocation: id }));
        self.wijk.members.push(made);
    }
}
