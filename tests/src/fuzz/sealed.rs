//! Sealed bytes: whoever opens them gets what was sealed, or nothing; and whatever a member seals, its readers go on.
//!
//! Anybody can seal anything to a public key, so openers meet three things: bytes that are no sealed form, sealed forms that
//! were altered, and properly sealed bytes with anything inside. The last go all the way here: a member drops them, the
//! server appends them, and the board's phone opens and shows them.

use samenspraak_core::cbor::Writer;
use samenspraak_core::entry::codec::{self, Opening, Record};
use samenspraak_core::entry::sign::Key;
use samenspraak_core::entry::{EraseSecret, Kind, Seed};
use samenspraak_core::model::{Sealed, SealedWords, SpaceId, WijkId};
use samenspraak_core::seal::hpke::{self, Ephemeral, OVERHEAD_BYTES};
use samenspraak_core::seal::{
    Context, DROP_STEPS, DropInner, SEALED_PLAIN_BYTES_MAX, SEALED_STEPS, SealError, SealSecret, WRAPPED_BYTES,
    WrapContext, open, open_drop, open_reply, seal, seal_drop, seal_reply, unwrap_generation, wrap_generation,
};
use samenspraak_core::sync::server::DropJob;
use samenspraak_core::sync::wire::Frame;

use super::choices::Choices;
use super::{Ends, Target};
use crate::conversation::Conversation;
use crate::world::{DAY, Phone};

pub const TARGET: Target = Target { name: "sealed", run, seeds, accepts: "opened" };

const WIJK: WijkId = WijkId::new([0xa1; 32]);
const OWN: [u8; 32] = [0x6e; 32];
const ENTROPY: [u8; 32] = [0x2b; 32];

const BODY: u8 = 0;
const WRAPPED: u8 = 1;
const DROP: u8 = 2;
const REPLY: u8 = 3;
const WORDS: u8 = 4;
/// These, and what is delivered.
const FORMS: u8 = 6;

thread_local! {
    static EVENING: Conversation = Conversation::new();
}

fn run(input: &[u8], ends: &mut Ends) {
    let Some((form, rest)) = input.split_first() else { return };
    let own = SealSecret::new(OWN);
    let mut choices = Choices::new(rest);
    match form % FORMS {
        BODY => {
            let context = context(&own);
            altered(
                &mut choices,
                ends,
                &SEALED_STEPS,
                |plain| seal(&own.public(), &context, plain, ENTROPY),
                |sealed| open(&own, &context, sealed),
            );
        }
        WRAPPED => {
            let inside = SealSecret::new([0x33; 32]);
            let generation = inside.public().generation();
            let context = WrapContext { wijk: WIJK, space: SpaceId::Board, generation, device: device().id() };
            altered(
                &mut choices,
                ends,
                &[WRAPPED_BYTES],
                |_| wrap_generation(&own.public(), &context, &inside, ENTROPY).map(Vec::from),
                |sealed| {
                    let opened = unwrap_generation(&own, &context, sealed)?;
                    assert_eq!(opened.as_bytes(), inside.as_bytes(), "another key of the same generation");
                    Ok(Vec::new())
                },
            );
        }
        DROP => envelope(&own, &mut choices, ends),
        REPLY => altered(
            &mut choices,
            ends,
            &SEALED_STEPS,
            |plain| seal_reply(&own.public(), WIJK, plain, ENTROPY),
            |sealed| open_reply(&own, WIJK, sealed),
        ),
        WORDS => words(rest, ends),
        _ => EVENING.with(|evening| delivered(evening, &mut choices, ends)),
    }
}

fn device() -> Key {
    Key::from_secret(&[0x11; 32])
}

fn context(own: &SealSecret) -> Context {
    let generation = own.public().generation();
    let (seed, commit) = (Seed([0x5e; 16]), EraseSecret([7; 32]).commit());
    Context { wijk: WIJK, space: SpaceId::Inbox, kind: Kind::DROPPED, seed, commit, generation }
}

/// What was sealed opens; altered by as little as a bit it opens to nothing; and no other bytes open at all.
fn altered(
    choices: &mut Choices<'_>,
    ends: &mut Ends,
    steps: &[usize],
    seal: impl Fn(&[u8]) -> Result<Vec<u8>, SealError>,
    open: impl Fn(&[u8]) -> Result<Vec<u8>, SealError>,
) {
    let edits = choices.below(8);
    let plain = choices.bytes(SEALED_PLAIN_BYTES_MAX);
    let sealed = seal(&plain).expect("it fits");
    let opened = open(&sealed).expect("what was sealed opens");
    assert!(opened.is_empty() || opened == plain, "it opens to something else");
    ends.reach("opened", sealed.len() as u64);
    let other = match edits {
        0 => return,
        7 => {
            let mut bytes = choices.bytes(SEALED_PLAIN_BYTES_MAX);
            bytes.resize(*choices.one(steps), 0);
            bytes
        }
        edits => {
            let mut bytes = sealed.clone();
            (0..edits).for_each(|_| choices.edit(&mut bytes));
            if choices.once_in(2) {
                bytes.resize(sealed.len(), 0);
            }
            bytes
        }
    };
    if other != sealed {
        let refused = open(&other).expect_err("altered bytes open");
        ends.reach("refused", why(refused));
    }
}

fn why(error: SealError) -> u64 {
    match error {
        SealError::TooLong { .. } => 0,
        SealError::Size { .. } => 1,
        SealError::WeakKey => 2,
        SealError::OtherGeneration => 3,
        SealError::Closed => 4,
        SealError::Padding => 5,
        SealError::Form(_) => 6,
        SealError::Signature => 7,
    }
}

/// An envelope to the server with anything inside, as somebody seals it who keeps to no form.
fn envelope(server: &SealSecret, choices: &mut Choices<'_>, ends: &mut Ends) {
    let inner = DropInner { space: SpaceId::Inbox, kind: Kind::DROPPED, body: choices.bytes(600) };
    let honest = seal_drop(&server.public(), WIJK, &device(), &inner, ENTROPY).expect("it fits");
    assert_eq!(open_drop(server, WIJK, &honest).as_ref(), Ok(&(device().id(), inner.clone())));
    ends.reach("opened", 2);
    if choices.is_over() {
        return;
    }
    // The plain text of the honest one, which whoever seals knows, changed before it is sealed.
    let (tag, aad) = ("samenspraak/drop-envelope/v1", aad());
    let mut plain = hpke::open(server.as_bytes(), tag.as_bytes(), &aad, &honest).expect("it opens");
    for _ in 0..=choices.below(6) {
        choices.edit(&mut plain);
    }
    plain.resize(*choices.one(&DROP_STEPS) - OVERHEAD_BYTES, 0);
    let public = server.public();
    let bytes = hpke::seal(public.as_bytes(), tag.as_bytes(), &aad, &plain, Ephemeral::new([9; 32])).expect("it seals");
    match open_drop(server, WIJK, &bytes) {
        Ok((found, other)) => {
            ends.reach("opened", 3);
            assert_eq!((found, &other), (device().id(), &inner), "something that nobody signed");
        }
        Err(error) => ends.reach("refused", 100 + why(error)),
    }
}

fn aad() -> Vec<u8> {
    let mut w = Writer::new();
    w.array(2).text("samenspraak/drop-envelope/v1").bytes(WIJK.as_bytes());
    w.finish()
}

/// What is inside is read like anything else from a peer.
fn words(bytes: &[u8], ends: &mut Ends) {
    match codec::decode_words(bytes) {
        Ok(words) => {
            ends.reach("opened", 4);
            assert_eq!(codec::decode_words(&codec::encode_words(&words)), Ok(words), "words read back as others");
        }
        Err(error) => ends.reach(error.what, 0),
    }
    match codec::decode_answer(bytes) {
        Ok(answer) => {
            ends.reach("opened", 5);
            assert_eq!(
                codec::decode_answer(&codec::encode_answer(&answer)),
                Ok(answer),
                "an answer reads back as another"
            );
        }
        Err(error) => ends.reach(error.what, 1),
    }
}

/// A member seals anything for the board, in any form that the server takes; the board's phone reads its inbox, also what an
/// honest neighbour drops afterwards, and again after a restart.
fn delivered(evening: &Conversation, choices: &mut Choices<'_>, ends: &mut Ends) {
    let mut world = evening.world.copy(1);
    let (mut board, mut neighbour) = (evening.board.copy(), evening.neighbour.copy());
    let (member, wijk) = (neighbour.joined().identity().key(), world.wijk);
    let to = board.joined().seals_to(SpaceId::Inbox).expect("the inbox has a key");
    let before = inbox(&mut board).len();
    let (seed, commit) = (Seed(choices.array()), EraseSecret(choices.array()).commit());
    let kind = if choices.once_in(8) { Kind(choices.number()) } else { Kind::DROPPED };
    let generation = to.generation();
    let context = Context { wijk, space: SpaceId::Inbox, kind: Kind::DROPPED, seed, commit, generation };
    let mut plain = codec::encode_words(&SealedWords::Note { text: "Zo was het.".into() });
    for _ in 0..choices.below(5) {
        choices.edit(&mut plain);
    }
    plain.truncate(SEALED_PLAIN_BYTES_MAX);
    let mut bytes = seal(&to, &context, &plain, ENTROPY).expect("it fits");
    if choices.once_in(4) {
        choices.edit(&mut bytes);
    }
    let mut body = codec::encode(Some(&Opening { seed, commit }), &Record::Sealed(Sealed { generation, bytes }));
    if choices.once_in(4) {
        choices.edit(&mut body);
    }
    body.truncate(samenspraak_core::seal::DROP_BODY_BYTES_MAX);
    let inner = DropInner { space: SpaceId::Inbox, kind, body };
    let epoch = world.server().members().server_key(world.server().certificate().epoch_key).expect("it is known");
    let server = samenspraak_core::seal::SealPublic::new(epoch.encryption_key);
    let envelope = seal_drop(&server, wijk, &member, &inner, ENTROPY).expect("it fits");
    let taken = world.server_mut().take_drop(&DropJob { drop: 0, envelope }, DAY).expect("the server goes on");
    ends.reach(if matches!(taken, Frame::Dropped { .. }) { "dropped" } else { "not dropped" }, kind.0.min(64));
    let sealing = samenspraak_core::app::Sealing::Story(crate::conversation::words());
    let honest = samenspraak_core::app::Command::Seal { space: SpaceId::Inbox, sealing };
    world.ask(&mut neighbour, honest).expect("an honest story is sealed");
    assert_eq!(world.sync(&mut neighbour).settled, Some(None));
    world.server_mut().release(ENTROPY, DAY).expect("what was dropped is appended");
    assert_eq!(world.sync(&mut board).settled, Some(None), "the board follows");
    let shown = inbox(&mut board);
    let read = shown.iter().filter(|item| item.contains(&crate::conversation::words().text)).count();
    assert!(shown.len() > before && read >= 2, "an honest story is not read: {shown:?}");
    board.restart();
    assert_eq!(inbox(&mut board), shown, "the board's inbox is another one after a restart");
    ends.reach("opened", 6);
}

fn inbox(phone: &mut Phone) -> Vec<String> {
    let items = phone.joined().sealed_items(SpaceId::Inbox).expect("the inbox is read");
    items.iter().map(|item| format!("{item:?}")).collect()
}

/// One honest input of each form.
fn seeds() -> Vec<Vec<u8>> {
    let words = SealedWords::Note { text: "Zo was het.".into() };
    let mut seeds: Vec<Vec<u8>> = (0..FORMS).filter(|form| *form != WORDS).map(|form| vec![form]).collect();
    seeds.push([vec![WORDS], codec::encode_words(&words)].concat());
    seeds
}
