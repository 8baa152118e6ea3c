//! Promise: a server that has its genuine keys can put nothing into anybody's mouth. It numbers and signs its log as it
//! likes; what others wrote it can neither invent nor change, and what it leaves out, reorders or takes back is noticed.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use samenspraak_core::app::{Command, Reply};
use samenspraak_core::entry::codec::{self, DocumentChange, Opening, Record};
use samenspraak_core::entry::sign::Key;
use samenspraak_core::entry::subject::{body_hash, subject_id};
use samenspraak_core::entry::{EraseSecret, Header, Kind, Payload, Run, RunEntry, Seed, Signature};
use samenspraak_core::gate::Verdict;
use samenspraak_core::model::*;
use samenspraak_core::replica::{Hashes, Place};
use samenspraak_core::store::log::{LogHead, LogItem};
use samenspraak_core::store::{Row, Table};
use samenspraak_core::sync::server::{ServerKeys, Session};
use samenspraak_core::sync::wire::{Frame, Piece, PieceLine};
use samenspraak_tests::conversation::{Conversation, decision};
use samenspraak_tests::world::{DAY, Phone, World};

/// Something for a log: a run, and the ids of its entries.
type Said = (Run, Vec<EntryId>);

/// A server that says what it likes, with the keys of the honest one.
struct Liar {
    wijk: WijkId,
    keys: ServerKeys,
}

impl Liar {
    fn of(world: &World) -> Self {
        Self { wijk: world.wijk, keys: world.server_keys().clone() }
    }

    fn hello(&self) -> Vec<u8> {
        Session::begin(self.wijk, self.keys.certificate(self.wijk), [9; 32]).1.encode()
    }

    /// The next piece of its log and a signed head behind it, both as they must be.
    fn piece(&self, space: SpaceId, from: LogHead, runs: &[Said], order: &[u32]) -> Vec<Vec<u8>> {
        let mut ids: Vec<_> = runs.iter().map(|(_, ids)| ids.iter()).collect();
        let items = order.iter().map(|at| *ids[*at as usize].next().unwrap());
        let item = |id| LogItem { id, day: DAY, verdict: Verdict::Present, again: false };
        let head = items.fold(from, |head, id| head.after(&item(id)));
        let piece = Piece {
            space,
            epoch: self.keys.epoch,
            from: from.next,
            runs: runs.iter().map(|(run, _)| run.clone()).collect(),
            lines: order.iter().map(|at| PieceLine::Next(*at)).collect(),
            facts: vec![(order.len() as u64, DAY, Verdict::Present)],
        };
        vec![Frame::Piece(piece).encode(), self.head(space, head)]
    }

    fn head(&self, space: SpaceId, head: LogHead) -> Vec<u8> {
        let message = samenspraak_core::sync::head_message(self.wijk, space, &self.keys.epoch, &head);
        let signature = self.keys.epoch_key.sign(&message);
        Frame::Current { space, epoch: self.keys.epoch, head, signature }.encode()
    }

    fn says(&self, phone: &mut Phone, frames: Vec<Vec<u8>>) -> Option<String> {
        let frames: Vec<Vec<u8>> = std::iter::once(self.hello()).chain(frames).collect();
        phone.hear(&frames)
    }
}

/// An honest evening, and a resident's phone that knows all of it.
struct Scene {
    evening: Conversation,
    victim: Phone,
    liar: Liar,
}

impl Scene {
    fn new() -> Self {
        let mut evening = Conversation::new();
        let mut victim = evening.world.join(Role::Resident);
        for _ in 0..2 {
            assert_eq!(evening.world.sync(&mut victim).settled, Some(None));
        }
        let liar = Liar::of(&evening.world);
        Self { evening, victim, liar }
    }

    fn head(&self, space: SpaceId) -> LogHead {
        self.evening.world.server().reader().head(space).unwrap()
    }

    fn last(&self, space: SpaceId, device: DeviceId) -> (u64, EntryId) {
        let head = self.evening.world.server().replica().head(space, device);
        head.map_or((0, EntryId::ZERO), |head| (head.seq + 1, head.id))
    }

    /// A new entry in somebody's chain, signed by whoever.
    fn forged(&self, space: SpaceId, device: DeviceId, signer: &Key, kind: Kind, record: &Record) -> Said {
        let opening = Opening { seed: Seed([66; 16]), commit: EraseSecret([6; 32]).commit() };
        let (seq, prev) = self.last(space, device);
        let body = codec::encode(Some(&opening), record);
        let wijk = self.liar.wijk;
        let subject = subject_id(wijk, space, device, kind, &opening.seed.nonce(), &opening.commit);
        let hash = body_hash(&opening.seed.salt(), device, seq, &body);
        let header = Header { wijk, space, device, seq, prev, subject, kind, body_hash: hash, extra: Vec::new() };
        let id = header.id();
        let entries = vec![RunEntry { kind, payload: Payload::Creating { body }, extra: Vec::new() }];
        (Run { device, first_seq: seq, prev, entries, signature: signer.sign_entry(id) }, vec![id])
    }

    /// The genuine entries of a chain, from a place on.
    fn genuine(&self, space: SpaceId, device: DeviceId, first: u64) -> Said {
        let replica = self.evening.world.server().replica();
        let packed = replica.pack_chain(space, device, first, 100, 1 << 20, Hashes::Given).unwrap().unwrap();
        let ids = (0..packed.run.entries.len() as u64).map(|at| {
            let place = Place { space, device, seq: first + at };
            replica.entry(place).unwrap().unwrap().id
        });
        let ids = ids.collect();
        (packed.run, ids)
    }

    /// The phone refuses this piece, keeps and shows nothing of it, and goes on with the honest server.
    fn refuses(&mut self, space: SpaceId, said: Said, what: &str) {
        let frames = self.liar.piece(space, self.head(space), &[said], &[0]);
        self.refuses_frames(frames, what);
    }

    fn refuses_frames(&mut self, frames: Vec<Vec<u8>>, what: &str) {
        let mut phone = self.victim.copy();
        let (kept, shown) = (rows(&phone), shown(&mut phone));
        let ended = self.liar.says(&mut phone, frames);
        // Nothing else is wrong with the frames: what can't be placed are the entries.
        assert_eq!(ended.as_deref(), Some("the server sent entries that can't be placed"), "{what}");
        assert_eq!(rows(&phone), kept, "{what}: the phone keeps something of it");
        assert_eq!(shown, self::shown(&mut phone), "{what}");
        phone.restart();
        assert_eq!(shown, self::shown(&mut phone), "{what}: after a restart");
        let mut world = self.evening.world.copy(4);
        let content = Content { title: "Daarna".into(), text: "Gaat het verder.".into(), ..Content::default() };
        world.ask(&mut phone, Command::Contribute(content)).unwrap();
        let synced = world.sync(&mut phone);
        assert_eq!(synced.settled, Some(None), "{what}: {synced:?}");
    }
}

fn rows(phone: &Phone) -> Vec<Row> {
    let tables = [Table::Entry, Table::EntryId, Table::Subject, Table::Log, Table::Pending, Table::Meta];
    tables.into_iter().flat_map(|table| phone.store.scan(table, &[], None, usize::MAX).unwrap()).collect()
}

fn shown(phone: &mut Phone) -> String {
    let joined = phone.joined();
    let contributions = joined.contributions().unwrap();
    let lines: Vec<_> = contributions.iter().map(|item| joined.line(item.subject).unwrap()).collect();
    let roles: Vec<_> = joined.replica().members().devices().map(|(device, _)| device).collect();
    let roles: Vec<_> = roles.into_iter().map(|device| joined.replica().members().roles(device)).collect();
    format!("{contributions:?} {lines:?} {:?} {roles:?}", joined.meetings().unwrap())
}

fn key(phone: &mut Phone) -> Key {
    phone.joined().identity().key()
}

#[test]
fn a_grant_that_the_server_forges_is_refused_by_a_phone() {
    let mut scene = Scene::new();
    let (root, administrator) = (key(&mut scene.evening.world.root), key(&mut scene.evening.administrator));
    let person = scene.victim.joined().person();
    let (epoch_key, identity) = (scene.liar.keys.epoch_key.clone(), scene.liar.keys.identity.clone());
    let grant = Record::Grant(Grant::of(person, Role::Administrator));
    let space = SpaceId::Members;
    for (author, name) in [(root.id(), "the root"), (administrator.id(), "an administrator")] {
        for (signer, how) in [(&epoch_key, "its epoch's key"), (&identity, "its identity")] {
            let said = scene.forged(space, author, signer, Kind::GRANT, &grant);
            scene.refuses(space, said, &format!("a grant of {name}, signed by {how}"));
        }
        // A genuine signature of theirs, of another entry.
        let mut said = scene.forged(space, author, &epoch_key, Kind::GRANT, &grant);
        said.0.signature = scene.genuine(space, author, 0).0.signature;
        scene.refuses(space, said, &format!("a grant of {name} with a signature of something else"));
    }
    let said = scene.forged(space, identity.id(), &identity, Kind::GRANT, &grant);
    scene.refuses(space, said, "a grant of the server's identity, which belongs to nobody");
    // The root's real signature makes it real, or the test would show nothing.
    let mut phone = scene.victim.copy();
    let said = scene.forged(space, root.id(), &root, Kind::GRANT, &grant);
    let frames = scene.liar.piece(space, scene.head(space), &[said], &[0]);
    assert_eq!(scene.liar.says(&mut phone, frames), None);
    let device = key(&mut phone).id();
    assert!(phone.joined().replica().members().has_role(device, Role::Administrator));
}

#[test]
fn a_decision_that_the_server_forges_is_refused_by_a_phone() {
    let mut scene = Scene::new();
    let board = key(&mut scene.evening.board);
    let epoch_key = scene.liar.keys.epoch_key.clone();
    let record = Record::Decision(decision(scene.evening.contribution));
    let space = SpaceId::Open;
    let said = scene.forged(space, board.id(), &epoch_key, Kind::DECISION, &record);
    scene.refuses(space, said, "a decision of the board, signed by the server");
    let mut said = scene.forged(space, board.id(), &epoch_key, Kind::DECISION, &record);
    said.0.signature = scene.genuine(space, board.id(), 0).0.signature;
    scene.refuses(space, said, "a decision with a signature of another one");
    let said = scene.genuine(SpaceId::Members, board.id(), 0);
    scene.refuses(space, said, "what the board said elsewhere");
    // The board's earlier decision with another answer in it.
    let (mut run, ids) = scene.genuine(space, board.id(), 0);
    let at = run.entries.iter().position(|entry| entry.kind == Kind::DECISION).unwrap();
    let Payload::Creating { body } = &run.entries[at].payload else { panic!("a decision creates its subject") };
    let opening = codec::opening(body).unwrap();
    let other = Record::Decision(Decision { answer: "Nee.".into(), ..decision(scene.evening.contribution) });
    run.entries[at].payload = Payload::Creating { body: codec::encode(opening.as_ref(), &other) };
    scene.refuses(space, (run, ids), "a decision that was altered");
}

#[test]
fn a_contribution_that_the_server_invents_or_alters_is_refused_by_a_phone() {
    let mut scene = Scene::new();
    let resident = key(&mut scene.evening.resident);
    let neighbour = key(&mut scene.evening.neighbour);
    let epoch_key = scene.liar.keys.epoch_key.clone();
    let space = SpaceId::Open;
    let opening = Opening { seed: Seed([66; 16]), commit: EraseSecret([6; 32]).commit() };
    let nonce = opening.seed.nonce();
    let subject = subject_id(scene.liar.wijk, space, resident.id(), Kind::CONTRIBUTION, &nonce, &opening.commit);
    let content = Content { title: "Dit zei niemand".into(), text: "Nooit.".into(), ..Content::default() };
    let actor = codec::actor(resident.id(), subject, &[1; 8]);
    let change = samenspraak_core::document::contribution::create(actor, &content).unwrap().unwrap();
    let record = Record::Change(DocumentChange { session: [1; 8], change, replaces: None });
    let kind = Kind::CONTRIBUTION;
    let said = scene.forged(space, resident.id(), &epoch_key, kind, &record);
    scene.refuses(space, said.clone(), "words of a resident, signed by the server");
    let zero = (Run { signature: Signature([0; 64]), ..said.0.clone() }, said.1.clone());
    scene.refuses(space, zero, "words of a resident without a signature");
    let said = scene.forged(space, resident.id(), &neighbour, kind, &record);
    scene.refuses(space, said, "words of a resident, signed by a neighbour");
    let said = scene.genuine(SpaceId::Members, resident.id(), 0);
    scene.refuses(space, said, "what a resident said in another space");
    let genuine = scene.genuine(space, resident.id(), 0);
    for change in ["swapped", "taken from below", "of somebody else"] {
        let (mut run, ids) = genuine.clone();
        let of_kind: Vec<usize> = (0..run.entries.len()).filter(|at| run.entries[*at].kind == kind).collect();
        match change {
            "swapped" => run.entries.swap(of_kind[0], of_kind[1]),
            "taken from below" => drop(run.entries.remove(of_kind[0])),
            _ => run.device = neighbour.id(),
        }
        scene.refuses(space, (run, ids), &format!("a resident's words, {change}"));
    }
    // Words of the same person in another wijk, with the same keys there.
    let mut other = World::with_seed(77);
    let mut elsewhere = other.join(Role::Resident);
    other.sync(&mut elsewhere);
    other.ask(&mut elsewhere, Command::Contribute(content)).unwrap();
    other.sync(&mut elsewhere);
    let device = key(&mut elsewhere).id();
    let packed = other.server().replica().pack_chain(space, device, 0, 9, 1 << 20, Hashes::Given).unwrap().unwrap();
    scene.refuses(space, (packed.run, vec![EntryId::ZERO]), "words from another wijk");
}

#[test]
fn what_the_server_says_in_its_own_name_gives_nobody_a_role_and_decides_nothing() {
    let mut scene = Scene::new();
    let epoch_key = scene.liar.keys.epoch_key.clone();
    let (server, person) = (epoch_key.id(), scene.victim.joined().person());
    let contribution = scene.evening.contribution;
    let before = shown(&mut scene.victim);
    let revoke = Revocation {
        target: RevocationTarget::Person(scene.evening.board.joined().person()),
        reason: RevocationReason::Abuse,
        seen: Vec::new(),
    };
    let records = [
        (SpaceId::Members, Kind::GRANT, Record::Grant(Grant::of(person, Role::Board))),
        (SpaceId::Members, Kind::REVOCATION, Record::Revocation(revoke)),
        (SpaceId::Members, Kind::SERVER, Record::Server(ServerIdentity { key: server })),
        (SpaceId::Open, Kind::DECISION, Record::Decision(decision(contribution))),
        (SpaceId::Open, Kind::VOICE, {
            let voice = Voice { question: contribution, choice: Choice::Support, counter: 1, replaces: None };
            Record::Voice(voice)
        }),
    ];
    for (space, kind, record) in records {
        let mut phone = scene.victim.copy();
        let said = scene.forged(space, server, &epoch_key, kind, &record);
        let frames = scene.liar.piece(space, scene.head(space), &[said], &[0]);
        // It is the server's own chain, so it has a place there; it just counts for nothing.
        assert_eq!(scene.liar.says(&mut phone, frames), None, "{kind:?}");
        assert_eq!(shown(&mut phone), before, "{kind:?}");
        phone.restart();
        assert_eq!(shown(&mut phone), before, "{kind:?} after a restart");
    }
}

/// Two contributions of one resident and one of another that the victim hasn't heard of, as runs.
fn news(scene: &mut Scene) -> Vec<Said> {
    let Scene { evening, .. } = scene;
    let Conversation { world, resident, neighbour, .. } = evening;
    let keys = [key(resident).id(), key(neighbour).id()];
    let firsts = keys.map(|device| world.server().replica().head(SpaceId::Open, device).unwrap().seq + 1);
    let content = |words: &str| Content { title: words.into(), text: words.into(), ..Content::default() };
    for words in ["een", "twee", "drie"] {
        let phone = if words == "twee" { &mut *neighbour } else { &mut *resident };
        let Ok(Reply::Saved { .. }) = world.ask(phone, Command::Contribute(content(words))) else { panic!() };
        assert_eq!(world.sync(phone).settled, Some(None));
    }
    [0, 1].map(|at| scene.genuine(SpaceId::Open, keys[at], firsts[at])).into()
}

#[test]
fn a_server_that_leaves_an_entry_out_of_a_chain_is_noticed() {
    let mut scene = Scene::new();
    let before = scene.head(SpaceId::Open);
    let said = news(&mut scene);
    let (run, ids) = &said[0];
    assert_eq!(ids.len(), 2);
    let second = Run { first_seq: run.first_seq + 1, prev: ids[0], entries: run.entries[1..].to_vec(), ..run.clone() };
    let frames = scene.liar.piece(SpaceId::Open, before, &[(second.clone(), ids[1..].to_vec())], &[0]);
    scene.refuses_frames(frames, "the second of two new entries alone");
    // The second as if it were the first.
    let moved = Run { first_seq: run.first_seq, prev: run.prev, ..second };
    let frames = scene.liar.piece(SpaceId::Open, before, &[(moved, ids[1..].to_vec())], &[0]);
    scene.refuses_frames(frames, "the second of two new entries in the place of the first");
}

#[test]
fn a_log_that_does_not_fit_its_signed_head_ends_the_connection_and_costs_nothing() {
    let mut scene = Scene::new();
    let before = scene.head(SpaceId::Open);
    let said = news(&mut scene);
    let honest = scene.liar.piece(SpaceId::Open, before, &said, &[0, 1, 0]);
    let reordered = scene.liar.piece(SpaceId::Open, before, &said, &[0, 0, 1]);
    assert_eq!(scene.liar.says(&mut scene.victim.copy(), honest.clone()), None);
    let mut phone = scene.victim.copy();
    let ended = scene.liar.says(&mut phone, vec![reordered[0].clone(), honest[1].clone()]);
    assert!(ended.is_some(), "the order of the piece isn't the one that was signed");
    let mut control = scene.victim.copy();
    let (mut one, mut other) = (scene.evening.world.copy(1), scene.evening.world.copy(1));
    assert_eq!(one.sync(&mut phone).settled, Some(None));
    assert_eq!(other.sync(&mut control).settled, Some(None));
    assert_eq!(shown(&mut phone), shown(&mut control));
}

/// The newest signed head that a phone keeps.
fn evidence(phone: &Phone, space: SpaceId) -> (LogHead, Signature) {
    let key = [b"signed-head/".as_slice(), &space.to_bytes()].concat();
    let frame = phone.store.get(Table::Meta, &key).unwrap().unwrap();
    let Ok(Frame::Current { head, signature, .. }) = Frame::decode(&frame) else { panic!("a signed head is kept") };
    (head, signature)
}

#[test]
fn two_phones_that_were_told_different_histories_hold_the_proof_of_it() {
    let mut scene = Scene::new();
    let before = scene.head(SpaceId::Open);
    let said = news(&mut scene);
    let mut held = BTreeMap::new();
    for order in [[0, 1, 0], [0, 0, 1]] {
        let mut phone = scene.victim.copy();
        let frames = scene.liar.piece(SpaceId::Open, before, &said, &order);
        assert_eq!(scene.liar.says(&mut phone, frames), None, "each history alone looks right");
        phone.restart();
        let (head, signature) = evidence(&phone, SpaceId::Open);
        let (wijk, keys) = (scene.liar.wijk, &scene.liar.keys);
        let message = samenspraak_core::sync::head_message(wijk, SpaceId::Open, &keys.epoch, &head);
        assert!(samenspraak_core::entry::sign::verify(keys.epoch_key.id(), &message, &signature));
        held.insert(head.hash, head.next);
    }
    let lengths: Vec<u64> = held.values().copied().collect();
    assert_eq!(lengths, [before.next + 3; 2], "two heads at one place, both signed by the server");
}

#[test]
fn a_server_that_goes_back_in_time_is_noticed_and_takes_no_words_away() {
    let mut scene = Scene::new();
    let (space, before) = (SpaceId::Open, scene.head(SpaceId::Open));
    let mut old = scene.evening.world.copy(1);
    news(&mut scene);
    let Scene { evening, victim, liar } = &mut scene;
    assert_eq!(evening.world.sync(victim).settled, Some(None));
    let content = Content { title: "Eigen".into(), text: "Van mij.".into(), ..Content::default() };
    evening.world.ask(victim, Command::Contribute(content)).unwrap();
    assert_eq!(evening.world.sync(victim).settled, Some(None));
    let all = victim.joined().contributions().unwrap().len();
    // It says nothing of what it lost.
    let ended = liar.says(victim, vec![liar.head(space, before)]);
    assert!(ended.is_some(), "a signed head from before the phone's cursor");
    // It says openly that its log is another one.
    let synced = old.sync(victim);
    assert_eq!(synced.settled, Some(None), "{synced:?}");
    assert_eq!(victim.joined().contributions().unwrap().len(), all, "what was read once stays");
    let device = key(victim).id();
    let own = old.server().replica().entry(Place { space, device, seq: 0 }).unwrap();
    assert!(own.is_some_and(|row| row.kept.body().is_some()), "and own words are sent again");
}
