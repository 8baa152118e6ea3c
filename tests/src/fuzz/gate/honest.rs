//! Entries as honest apps write them: one constructor for each form, for whoever it is told.

use samenspraak_core::document::{contribution, meeting};
use samenspraak_core::entry::codec::{self, Record};
use samenspraak_core::entry::sign::Key;
use samenspraak_core::entry::{Kind, Tombstone};
use samenspraak_core::model::closed::SEALED_STEPS;
use samenspraak_core::model::*;

use super::draft::{Draft, any};
use super::scene::{ADMINISTRATOR, BOARD, FACILITATOR, Scene, Subject, Writer, document};
use crate::conversation;
use crate::fuzz::choices::Choices;
use crate::fuzz::hostile;

/// How many forms there are.
pub const FORMS: usize = 36;

impl Draft {
    /// What an honest app could write now; not everything is allowed to everybody.
    pub fn honest(scene: &mut Scene, choices: &mut Choices<'_>) -> Self {
        let form = choices.below(FORMS);
        let by = choices.below(scene.writers.len());
        match form {
            0..=11 => Self::open_words(form, by, scene, choices),
            12..=26 => Self::membership(form, by, scene, choices),
            _ => Self::closed(form, by, scene, choices),
        }
    }

    fn open_words(form: usize, by: usize, scene: &mut Scene, choices: &mut Choices<'_>) -> Self {
        let session = [choices.byte(); 8];
        let question = pick(scene, choices, Kind::CONTRIBUTION).id;
        match form {
            0 => Self::contribution(scene, by, session),
            1 => Self::edit(scene, choices, by, session),
            2 => {
                let subject = scene.subject(by, SpaceId::Open, Kind::MEETING);
                let actor = codec::actor(scene.writers[by].key.id(), subject.id, &session);
                let change = hostile::base(actor).get_changes(&[])[0].raw_bytes().to_vec();
                Self::change(by, &subject, session, change, true)
            }
            3 | 4 => Self::notes(scene, by, session),
            5 => Self::voice(scene, by, question, choices.byte().into()),
            6 => {
                let voice = pick(scene, choices, Kind::VOICE);
                let replaces = Some(*choices.one(&scene.entries));
                let choice = *choices.one(&Choice::ALL);
                let record = Record::Voice(Voice { question, choice, counter: choices.number(), replaces });
                Self::follow(voice.by, &voice, Kind::VOICE, &record)
            }
            7 => Self::decide(scene, BOARD, question),
            8 | 9 => {
                let subject = any(scene, choices);
                let (device, nonce) = (scene.key(subject.by, subject.space).id(), subject.seed.nonce());
                let Subject { id, kind, erase_secret, .. } = subject;
                let tombstone = Tombstone::Owner { subject: id, device, kind, nonce, erase_secret };
                Self::follow(by, &subject, Kind::TOMBSTONE, &Record::Tombstone(tombstone))
            }
            10 => {
                let subject = any(scene, choices);
                let by = *choices.one(&[ADMINISTRATOR, BOARD]);
                let tombstone = Tombstone::Administrator { subject: subject.id, ground: "Artikel 16".into() };
                Self::follow(by, &subject, Kind::TOMBSTONE, &Record::Tombstone(tombstone))
            }
            _ => {
                let about = any(scene, choices).id;
                let ruling = Ruling {
                    about,
                    measure: *choices.one(&[Measure::Hide, Measure::Keep]),
                    ground: "Artikel 16".into(),
                    reason: "Daarom.".into(),
                    answers: None,
                    counter: choices.number(),
                    replaces: None,
                };
                Self::new_subject(scene, FACILITATOR, SpaceId::Open, Kind::RULING, &Record::Ruling(ruling))
            }
        }
    }

    fn membership(form: usize, by: usize, scene: &mut Scene, choices: &mut Choices<'_>) -> Self {
        let person = choices.one(&scene.writers).person;
        let mut member = |by, kind, record: Record| Self::new_subject(scene, by, SpaceId::Members, kind, &record);
        match form {
            12 => {
                let key = Key::from_secret(&[choices.byte(); 32]);
                let gives = match choices.below(3) {
                    0 => Gives::Role(role(choices)),
                    1 => Gives::Role(Role::Resident),
                    _ => Gives::Device(person),
                };
                let batch = choices.once_in(2).then(|| BatchId::new([choices.byte(); BatchId::LEN]));
                let invitation = Invitation { key: InvitationKey::new(*key.id().as_bytes()), gives, batch };
                let by = if choices.once_in(2) { by } else { ADMINISTRATOR };
                let draft = member(by, Kind::INVITATION, Record::Invitation(invitation));
                scene.cards.push(key);
                draft
            }
            13 => member(ADMINISTRATOR, Kind::GRANT, Record::Grant(Grant::of(person, role(choices)))),
            14..=16 => Self::join(scene, choices),
            17 => {
                let counter = choices.number();
                let directory = Directory { counter, ..crate::world::directory() };
                member(ADMINISTRATOR, Kind::DIRECTORY, Record::Directory(directory))
            }
            18 => {
                let server = ServerIdentity { key: scene.writers[by].key.id() };
                Self::new_subject(scene, by, SpaceId::Members, Kind::SERVER, &Record::Server(server))
            }
            19 | 20 => Self::revocation(scene, choices, by),
            21 => {
                let batch = BatchId::new([choices.byte(); BatchId::LEN]);
                member(ADMINISTRATOR, Kind::WITHDRAWAL, Record::Withdrawal(Withdrawal { batch }))
            }
            22 => {
                let organisation = Organisation { name: "Woonstichting".into() };
                member(ADMINISTRATOR, Kind::ORGANISATION, Record::Organisation(organisation))
            }
            // The rest is the server's alone; here members try it.
            23 => {
                let epoch = EpochKey {
                    identity: scene.world.server().certificate().identity,
                    epoch: choices.array(),
                    certificate: choices.array(),
                    encryption_key: [3; 32],
                };
                Self::new_subject(scene, by, SpaceId::Members, Kind::EPOCH, &Record::Epoch(epoch))
            }
            24 => {
                let (end, revocation) = (Self::end(scene, choices), *choices.one(&scene.entries));
                Self::new_subject(scene, by, SpaceId::Members, Kind::CUT, &Record::Cut(Cut { end, revocation }))
            }
            25 => {
                let (_, card) = scene.card(choices.below(8));
                let settlement = Settlement::Card { card, device: Some(scene.writers[by].key.id()) };
                Self::new_subject(scene, by, SpaceId::Members, Kind::SETTLEMENT, &Record::Settlement(settlement))
            }
            _ => {
                let ChainEnd { space, device, entries, last } = Self::end(scene, choices);
                let settlement = Settlement::Fork { space, device, seq: entries, id: last };
                Self::new_subject(scene, by, SpaceId::Members, Kind::SETTLEMENT, &Record::Settlement(settlement))
            }
        }
    }

    fn closed(form: usize, by: usize, scene: &mut Scene, choices: &mut Choices<'_>) -> Self {
        let own = SpaceId::Own(scene.writers[by].person);
        let space = *choices.one(&[scene.circle, SpaceId::Board, SpaceId::Inbox, own]);
        let sealed = || vec![7; SEALED_STEPS[0]];
        let generation = GenerationId::new(choices.array());
        let question = pick(scene, choices, Kind::CONTRIBUTION).id;
        let (space, kind, record) = match form {
            27 => {
                let (key, device) = (scene.key(by, space), &scene.writers[by].key);
                let encryption_key = *key.seal_secret().public().as_bytes();
                let message = codec::enrolment_message(scene.wijk(), space, key.id(), &encryption_key);
                let way = *choices.one(&[0, 1, 2]);
                let (card, invitation) = scene.card(choices.below(8));
                let way = match way {
                    0 => Way::Right,
                    1 => Way::Founds(choices.array()),
                    _ => Way::Card { card: invitation, proof: card.sign(&message).0 },
                };
                let signature = device.sign(&message).0;
                (
                    space,
                    Kind::ENROLMENT,
                    Record::Enrolment(Enrolment { device: device.id(), encryption_key, signature, way }),
                )
            }
            28 => {
                let written_in = if space.is_closed() && choices.once_in(2) { space } else { SpaceId::Members };
                let generation = Generation { space, public: choices.array(), replaces: vec![generation] };
                (written_in, Kind::GENERATION, Record::Generation(generation))
            }
            29 => {
                let to = scene.key(choices.below(scene.writers.len()), space).id();
                (space, Kind::WRAP, Record::Wrap(Wrap { generation, to, sealed: choices.bytes(80) }))
            }
            30 => (space, Kind::CIRCLE_CARD, Record::CircleCard(scene.card(choices.below(8)).1)),
            31 => (space, Kind::SEALED, Record::Sealed(Sealed { generation, bytes: sealed() })),
            32 => (space, Kind::DROPPED, Record::Sealed(Sealed { generation, bytes: sealed() })),
            33 => {
                let answer = SealedAnswer { to: ReplyId::new(choices.array()), bytes: sealed() };
                (SpaceId::Open, Kind::ANSWER, Record::Answer(answer))
            }
            34 => {
                let voice = Voice { question, choice: Choice::Agree, counter: choices.number(), replaces: None };
                (SpaceId::Ballot, Kind::BALLOT, Record::Voice(voice))
            }
            _ => {
                let kind = *choices.one(&[Kind::COUNT, Kind::TALLY]);
                let tally = Tally { question, counts: vec![(Choice::Agree, choices.number())] };
                let record = if kind == Kind::COUNT { Record::Count(question) } else { Record::Tally(tally) };
                (SpaceId::Open, kind, record)
            }
        };
        Self::new_subject(scene, by, space, kind, &record)
    }

    fn new_subject(scene: &mut Scene, by: usize, space: SpaceId, kind: Kind, record: &Record) -> Self {
        let subject = scene.subject(by, space, kind);
        Self::create(&subject, record)
    }

    /// A new contribution.
    pub fn contribution(scene: &mut Scene, by: usize, session: [u8; 8]) -> Self {
        let subject = scene.subject(by, SpaceId::Open, Kind::CONTRIBUTION);
        let actor = codec::actor(scene.writers[by].key.id(), subject.id, &session);
        let made = contribution::create(actor, &conversation::words());
        let change = made.ok().flatten().expect("a contribution has words");
        Self::change(by, &subject, session, change, true)
    }

    /// More words in a contribution of its owner.
    fn edit(scene: &mut Scene, choices: &mut Choices<'_>, by: usize, session: [u8; 8]) -> Self {
        let subject = pick(scene, choices, Kind::CONTRIBUTION);
        let by = if choices.once_in(4) { by } else { subject.by };
        let doc = document(scene.replica(), subject.id);
        let actor = codec::actor(scene.writers[by].key.id(), subject.id, &session);
        let mut content = contribution::read(&doc);
        content.text.insert_str(0, "Ook: ");
        let change = contribution::edit(&doc, actor, &content).expect("a contribution can be edited");
        Self::change(by, &subject, session, change.expect("words were added"), false)
    }

    /// A line in the notes of the evening.
    pub fn notes(scene: &Scene, by: usize, session: [u8; 8]) -> Self {
        let subject = scene.subjects.iter().find(|subject| subject.id == scene.meeting).expect("a meeting");
        let doc = document(scene.replica(), subject.id);
        let actor = codec::actor(scene.writers[by].key.id(), subject.id, &session);
        let added = meeting::edit(&doc, actor, &meeting::MeetingEdit::AddItem { title: "Erbij".into() });
        let change = added.expect("the notes can be edited").expect("an item is added");
        Self::change(by, subject, session, change, false)
    }

    /// A voice.
    pub fn voice(scene: &mut Scene, by: usize, question: SubjectId, counter: u64) -> Self {
        let voice = Voice { question, choice: Choice::Agree, counter, replaces: None };
        Self::new_subject(scene, by, SpaceId::Open, Kind::VOICE, &Record::Voice(voice))
    }

    /// A decision.
    pub fn decide(scene: &mut Scene, by: usize, about: SubjectId) -> Self {
        let decision = Record::Decision(conversation::decision(about));
        Self::new_subject(scene, by, SpaceId::Open, Kind::DECISION, &decision)
    }

    fn revocation(scene: &mut Scene, choices: &mut Choices<'_>, by: usize) -> Self {
        let Writer { key, person, .. } = choices.one(&scene.writers).clone();
        let target = match choices.below(3) {
            0 => RevocationTarget::Device(key.id()),
            1 => RevocationTarget::Person(person),
            _ => RevocationTarget::Grant(*choices.one(&scene.entries)),
        };
        let by = if choices.once_in(3) { by } else { ADMINISTRATOR };
        let seen = (0..choices.below(3)).map(|_| Self::end(scene, choices)).collect();
        let revocation = Revocation { target, reason: *choices.one(&RevocationReason::ALL), seen };
        let space = if choices.once_in(6) { scene.circle } else { SpaceId::Members };
        Self::new_subject(scene, by, space, Kind::REVOCATION, &Record::Revocation(revocation))
    }

    /// The end of somebody's chain, as it is or as it isn't.
    fn end(scene: &Scene, choices: &mut Choices<'_>) -> ChainEnd {
        let space = *choices.one(&[SpaceId::Members, SpaceId::Open, scene.circle]);
        let device = scene.key(choices.below(scene.writers.len()), space).id();
        let head = scene.replica().head(space, device);
        let here = head.map_or((0, EntryId::ZERO), |head| (head.seq + 1, head.id));
        let (entries, last) =
            if choices.once_in(4) { (choices.number().max(1), *choices.one(&scene.entries)) } else { here };
        ChainEnd { space, device, entries, last }
    }

    /// A device that was not there before, with a card: one that gives a role, or one for more devices of a person.
    fn join(scene: &mut Scene, choices: &mut Choices<'_>) -> Self {
        let writer = Writer::stranger(scene.wijk(), choices.byte());
        let known = scene.writers.iter().position(|other| other.key.id() == writer.key.id());
        let by = known.unwrap_or(scene.writers.len());
        if known.is_none() {
            scene.writers.push(writer.clone());
        }
        let person = if choices.once_in(3) { choices.one(&scene.writers).person } else { writer.person };
        let (card, invitation) = scene.card(choices.below(scene.cards.len()));
        let encryption_key = [3; 32];
        let message = codec::join_message(scene.wijk(), writer.key.id(), person, &encryption_key);
        let proof = card.sign(&message).0;
        let join = Join { invitation, person, proof, encryption_key };
        Self::new_subject(scene, by, SpaceId::Members, Kind::JOIN, &Record::Join(join))
    }
}

fn role(choices: &mut Choices<'_>) -> Role {
    *choices.one(&Role::ALL)
}

/// Some subject of this kind; there is always one.
fn pick(scene: &Scene, choices: &mut Choices<'_>, kind: Kind) -> Subject {
    let of_kind: Vec<Subject> = scene.subjects.iter().filter(|subject| subject.kind == kind).copied().collect();
    *choices.one(&of_kind)
}
