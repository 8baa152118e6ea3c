//! Promise: whoever lies while a server is refilled changes nothing for others and is not believed: a phone about what it holds or
//! about what others wrote, a server about what it lacks.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use samenspraak_core::app::{Command, Reply};
use samenspraak_core::entry::{Payload, Run, Signature};
use samenspraak_core::model::{Content, DeviceId, EntryId, Role, SpaceId};
use samenspraak_core::ordered::Set;
use samenspraak_core::replica::{EntryRow, Hashes, Kept, Lacking, Place, RunBatch};
use samenspraak_core::store::log::LogHead;
use samenspraak_core::store::{Store, Table};
use samenspraak_core::sync::head_message;
use samenspraak_core::sync::server::{PushJob, ServerEffect};
use samenspraak_core::sync::wire::{ChainHead, Frame};
use samenspraak_tests::line::Line;
use samenspraak_tests::world::{DAY, Phone, World};

fn entries(store: &dyn Store) -> BTreeMap<Place, (EntryId, Kept)> {
    let rows = store.scan(Table::Entry, &[], None, usize::MAX).unwrap();
    let read = |row: &samenspraak_core::store::Row| {
        let entry = EntryRow::decode(&row.value).unwrap();
        (Place::decode(&row.key).unwrap(), (entry.id, entry.kept))
    };
    rows.iter().map(read).collect()
}

fn on_server(world: &World) -> BTreeMap<Place, (EntryId, Kept)> {
    entries(world.server().replica().store().as_ref())
}

fn contribute(world: &mut World, phone: &mut Phone, title: &str) {
    let content = Content { title: title.into(), text: "Te donker.".into(), ..Content::default() };
    assert!(matches!(world.ask(phone, Command::Contribute(content)).unwrap(), Reply::Saved { .. }));
}

/// Two residents who wrote, and both synced; the server has everything.
fn scene(seed: u64) -> (World, Phone, Phone) {
    let mut world = World::with_seed(seed);
    let [mut amina, mut ben] = std::array::from_fn(|_| world.join(Role::Resident));
    for phone in [&mut amina, &mut ben] {
        contribute(&mut world, phone, "Eerst");
        assert_eq!(world.sync(phone).settled, Some(None));
    }
    contribute(&mut world, &mut ben, "Daarna");
    for phone in [&mut ben, &mut amina] {
        assert_eq!(world.sync(phone).settled, Some(None));
    }
    (world, amina, ben)
}

fn frontier(chains: Vec<ChainHead>) -> Frame {
    Frame::Frontier { space: SpaceId::Open, chains, last: true }
}

#[test]
fn a_phone_that_lies_in_its_frontier_hears_what_is_lacking_of_its_lie_and_changes_nothing() {
    let (world, mut amina, mut ben) = scene(1);
    let before = on_server(&world);
    let own = ben.joined().identity().key().id();
    let mut line = Line::prove(&world, &mut amina);
    // More than there is, another entry than there is, a device that nobody knows, and the same device again and again.
    let head = |device, seq| ChainHead { device, seq, id: EntryId::new([7; 32]) };
    let strange = DeviceId::new([5; 32]);
    let lies = vec![head(own, 900), head(own, 0), head(strange, 3), head(own, u64::MAX)];
    let effects = line.say(&world, &frontier(lies));
    let [ServerEffect::Send(Frame::Wanted { chains, holes, last, .. })] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!(chains, &[(own, 2), (strange, 0), (own, 2)]);
    assert!(holes.is_empty() && *last);
    assert_eq!(on_server(&world), before);
    // And not without end.
    let mut closed = 0;
    for _ in 0..200 {
        let effects = line.say(&world, &frontier(vec![head(own, 900)]));
        closed += usize::from(matches!(effects.as_slice(), [ServerEffect::Close(_)]));
    }
    assert!(closed > 0, "a phone that compares without end is sent away");
}

#[test]
fn whoever_may_not_read_a_space_is_not_told_what_the_server_lacks_of_it() {
    let (mut world, mut amina, mut ben) = scene(2);
    let own = ben.joined().identity().key().id();
    let mut stranger = World::with_seed(99);
    let mut phone = stranger.join(Role::Resident);
    for (is_stranger, space, answered) in [
        (true, SpaceId::Open, false),
        (true, SpaceId::Members, true),
        (false, SpaceId::Open, true),
        (false, SpaceId::Ballot, false),
    ] {
        let mut line = Line::prove(&world, if is_stranger { &mut phone } else { &mut amina });
        let chains = vec![ChainHead { device: own, seq: 900, id: EntryId::ZERO }];
        let effects = line.say(&world, &Frame::Frontier { space, chains, last: true });
        match effects.as_slice() {
            [ServerEffect::Send(Frame::Wanted { .. })] => assert!(answered, "{space}"),
            [ServerEffect::Send(Frame::Refused { push: None, .. })] => assert!(!answered, "{space}"),
            other => panic!("{other:?}"),
        }
    }
    // Of a closed space that is here a member who isn't in it hears nothing either.
    let mut board = world.join(Role::Board);
    assert_eq!(world.sync(&mut board).settled, Some(None));
    let frontier: Vec<_> = world.server().replica().frontier(SpaceId::Board).collect();
    assert!(!frontier.is_empty());
    let chains = frontier.iter().map(|(device, _)| ChainHead { device: *device, seq: 900, id: EntryId::ZERO });
    let asked = Frame::Frontier { space: SpaceId::Board, chains: chains.collect(), last: true };
    let effects = Line::prove(&world, &mut amina).say(&world, &asked);
    let [ServerEffect::Send(Frame::Wanted { chains, holes, .. })] = effects.as_slice() else { panic!("{effects:?}") };
    assert!(chains.is_empty() && holes.is_empty());
}

#[test]
fn forged_runs_that_are_relayed_to_an_empty_server_are_refused_and_the_true_ones_still_come() {
    let (mut world, mut amina, mut ben) = scene(3);
    let before = on_server(&world);
    let author = ben.joined().identity().key().id();
    let mut mallory = world.join(Role::Resident);
    assert_eq!(world.sync(&mut mallory).settled, Some(None));
    let replica = mallory.joined().replica();
    let packed = replica.pack_chain(SpaceId::Open, author, 0, 10, 100_000, Hashes::Given).unwrap().unwrap().run;
    world.lose_server();
    let refused = |world: &mut World, run, what: &str| {
        let run: Run = run;
        let order = vec![0; run.entries.len()];
        let batch = RunBatch { runs: vec![run], order };
        let (answers, _) = world.server_mut().admit(&[PushJob { push: 0, space: SpaceId::Open, batch }], DAY).unwrap();
        assert!(matches!(answers[0], Frame::Refused { .. }), "{what}: {:?}", answers[0]);
    };
    refused(&mut world, packed.clone(), "whose author isn't known yet");
    // Who belongs is brought honestly.
    let replica = mallory.joined().replica();
    let chains = replica.frontier(SpaceId::Members).map(|(device, _)| (device, 0)).collect();
    let mut lacking = Lacking::new(SpaceId::Members, chains, Set::new());
    while let Some(relayed) = replica.pack_lacking(&mut lacking).unwrap() {
        let job = PushJob { push: 0, space: SpaceId::Members, batch: relayed.batch };
        let (answers, _) = world.server_mut().admit(&[job], DAY).unwrap();
        assert!(matches!(answers[0], Frame::Receipt(_)), "{:?}", answers[0]);
    }
    let mut altered = packed.clone();
    if let Payload::Creating { body } = &mut altered.entries[0].payload {
        let last = body.len() - 1;
        body[last] ^= 1;
    }
    refused(&mut world, altered, "another body");
    refused(&mut world, Run { signature: Signature([1; 64]), ..packed.clone() }, "no signature");
    let own = mallory.joined().identity().key().id();
    refused(&mut world, Run { device: own, ..packed.clone() }, "another's words as one's own");
    for phone in [&mut amina, &mut ben, &mut mallory] {
        assert_eq!(world.sync(phone).settled, Some(None));
    }
    let after = on_server(&world);
    for (place, row) in &before {
        assert_eq!(after.get(place), Some(row), "{place:?}");
    }
}

#[test]
fn only_the_server_s_own_signature_makes_it_believe_that_it_went_back() {
    let (world, mut amina, _) = scene(4);
    let epoch = world.server().certificate().epoch;
    let head = LogHead { next: 500, hash: [3; 32] };
    let key = amina.joined().identity().key();
    let mut line = Line::prove(&world, &mut amina);
    let message = head_message(world.wijk, SpaceId::Open, &epoch, &head);
    let shown = |epoch, head, signature| Frame::Shown { space: SpaceId::Open, epoch, head, signature };
    let forged = [
        shown(epoch, head, key.sign(&message)),
        shown(epoch, head, Signature([0; 64])),
        shown([4; 16], head, world.server_keys().epoch_key.sign(&message)),
    ];
    for frame in &forged {
        assert!(line.say(&world, frame).is_empty(), "{frame:?}");
    }
    // What it has, it has.
    let now = world.server().reader().head(SpaceId::Open).unwrap();
    let Frame::Current { signature, .. } = world.server().current(SpaceId::Open, now) else { panic!() };
    assert!(line.say(&world, &shown(epoch, now, signature)).is_empty());
    let true_one = shown(epoch, head, world.server_keys().epoch_key.sign(&message));
    assert!(matches!(line.say(&world, &true_one).as_slice(), [ServerEffect::WentBack(SpaceId::Open, _)]));
}

#[test]
fn a_server_that_asks_for_what_a_phone_did_not_name_gets_nothing_and_the_phone_goes_on() {
    let (mut world, mut amina, mut ben) = scene(5);
    world.begin_epoch();
    let own = ben.joined().identity().key().id();
    let hello = Frame::Hello { wijk: world.wijk, certificate: world.server().certificate(), nonce: [1; 32] };
    let wanted = |chains, last| Frame::Wanted { space: SpaceId::Members, chains, holes: vec![EntryId::ZERO; 3], last };
    for (lie, what) in [
        (vec![wanted(vec![(own, 99)], true)], "more than there is"),
        (vec![wanted(vec![(DeviceId::new([1; 32]), 0)], true)], "a chain that nobody named"),
        (vec![wanted(vec![], true), wanted(vec![], true)], "an answer that nobody waits for"),
        (vec![wanted(vec![], false)], "more answers than questions"),
    ] {
        let frames: Vec<Vec<u8>> = [hello.clone()].iter().chain(&lie).map(Frame::encode).collect();
        let mut heard = amina.copy();
        assert!(heard.hear(&frames).ended.is_some(), "{what}");
    }
    assert_eq!(world.sync(&mut amina).settled, Some(None));
}
