//! One automerge change from a peer: read without automerge, parsed, and folded into a document beside an honest change.
//!
//! The first byte of an input says how the change is made: an honest one edited part by part, a body with its checksum
//! repaired, or the bytes as they are. The second says onto which document it is folded.

use std::sync::OnceLock;

use automerge::transaction::Transactable;
use automerge::{ActorId, AutoCommit, Automerge, Change, ROOT, ReadDoc};
use samenspraak_core::document::{contribution, meeting};
use samenspraak_core::gate::change::{ChangeRefusal, Preflight, Work, parse, preflight, preflight_counted};
use samenspraak_core::gate::fold::{Folded, fold};
use samenspraak_core::gate::limits::CHANGE_INFLATED_BYTES_MAX;

use super::choices::Choices;
use super::hostile::{self, ChangeBody, chunk, signed, unsigned};
use super::{Ends, Target};

pub const TARGET: Target = Target { name: "change", run, seeds, accepts: "folded" };

const EDITED: u8 = 0;
const REPAIRED: u8 = 1;
const RAW: u8 = 2;

const ALICE: [u8; 16] = [0x21; 16];
const MALLORY: [u8; 16] = [0x43; 16];
const AMINA: [u8; 16] = [0x65; 16];

/// A document, a change that fits it, and another that must stay whatever comes beside it.
struct Scene {
    doc: Automerge,
    source: Vec<u8>,
    honest: Change,
}

/// An empty document, one of one change, and one of two people.
fn scenes() -> &'static [Scene; 3] {
    static SCENES: OnceLock<[Scene; 3]> = OnceLock::new();
    SCENES.get_or_init(|| {
        let base = hostile::base(ALICE);
        let edit = hostile::honest_edit(&base, MALLORY, "wat een ander zei");
        let mut both = base.clone();
        both.apply_changes([Change::try_from(&edit[..]).expect("honest")]).expect("honest");
        let again = hostile::honest_edit(&both, MALLORY, "en nog iets");
        let first = base.get_changes(&[])[0].raw_bytes().to_vec();
        [(Automerge::new(), first), (base, edit), (both, again)].map(|(doc, source)| {
            let honest = Change::try_from(&hostile::honest_addition(&doc, AMINA)[..]).expect("honest");
            Scene { doc, source, honest }
        })
    })
}

fn run(input: &[u8], ends: &mut Ends) {
    let [form, scene, rest @ ..] = input else { return };
    let Scene { doc, source, honest } = &scenes()[usize::from(*scene) % 3];
    let bytes = match form % 3 {
        EDITED => edited(source, &mut Choices::new(rest)),
        REPAIRED => chunk(1, rest, rest),
        _ => rest.to_vec(),
    };
    let change = match read(&bytes) {
        Ok((found, change)) => {
            let again = preflight(&found.chunk).expect("what was inflated is read again");
            assert_eq!((&again.hash, &again.chunk), (&found.hash, &found.chunk));
            change
        }
        Err(refusal) => return ends.reach("refused", refusal.number().into()),
    };
    if change.actor_id().to_bytes() == AMINA {
        // An actor follows from the device, so the gate refuses one that is somebody else's.
        return ends.reach("somebody else's actor", 0);
    }
    let together = fold_all(doc, [change.clone(), honest.clone()]);
    let mut numbers = together.set_aside.iter().map(|(id, reason)| {
        assert_eq!(*id, change.hash().0, "an honest change was set aside: {reason}");
        reason.number()
    });
    match numbers.next() {
        Some(number) => ends.reach("set aside", number.into()),
        None => ends.reach("folded", change.len().min(8) as u64),
    }
    lives_on(&together.doc, honest);
    let first = fold_all(doc, [honest.clone()]).doc;
    let apart = fold_all(&first, [change]);
    assert_eq!(apart.doc.get_heads(), together.doc.get_heads(), "what came first makes another document");
}

fn read(bytes: &[u8]) -> Result<(Preflight, Change), ChangeRefusal> {
    let mut work = Work::default();
    let found = preflight_counted(bytes, &mut work);
    assert!(work.bytes_inflated <= CHANGE_INFLATED_BYTES_MAX + 1, "{work:?}");
    assert!(work.runs_read <= (bytes.len() + work.bytes_inflated) as u64, "{work:?}");
    let found = found?;
    let change = parse(&found)?;
    Ok((found, change))
}

fn fold_all(doc: &Automerge, changes: impl IntoIterator<Item = Change>) -> Folded {
    fold(doc, changes.into_iter().map(|change| (change.hash().0, change)).collect())
}

/// A document that comes out is read by the screens, edited by a person, saved, and loaded at the next start.
fn lives_on(doc: &Automerge, honest: &Change) {
    assert!(hostile::contains(doc, honest.hash().0), "an honest change is not in the document");
    let _ = (contribution::read(doc), meeting::read(doc));
    let mut edited = AutoCommit::load(&doc.save()).expect("it loads again").with_actor(ActorId::from([0x99; 16]));
    assert_eq!(edited.get_heads(), doc.get_heads());
    edited.put(&ROOT, "theme", "daarna").expect("it is edited");
    edited.commit();
    let again = Automerge::load(&edited.save()).expect("it loads after an edit");
    let Ok(Some((theme, _))) = again.get(&ROOT, "theme") else { panic!("an edit is not in the document") };
    assert_eq!(theme.as_str(), Some("daarna"));
}

/// An honest change with some of its parts changed, its lengths and its checksum right again.
pub(super) fn edited(change: &[u8], choices: &mut Choices<'_>) -> Vec<u8> {
    let mut body = ChangeBody::read(change);
    while !choices.is_over() {
        edit_part(&mut body, choices);
    }
    body.chunk()
}

/// One part of a change, changed.
pub(super) fn edit_part(body: &mut ChangeBody, choices: &mut Choices<'_>) {
    match choices.below(12) {
        // Most breaks are in the columns.
        0..=4 => edit_column(body, choices),
        5 => body.seq = choices.number(),
        6 => body.start_op = near(body.start_op, choices),
        7 => match choices.below(3) {
            0 => drop(body.deps.pop()),
            1 => body.deps.push(choices.array()),
            _ => body.deps.extend(body.deps.clone().first()),
        },
        8 => match choices.below(3) {
            0 => drop(body.others.pop()),
            1 => body.others.push(choices.array::<16>().to_vec()),
            _ => body.others.push(choices.bytes(40)),
        },
        9 => body.actor = choices.array::<16>().to_vec(),
        10 => {
            let at = choices.below(body.columns.len() + 1);
            if at < body.columns.len() {
                body.columns.remove(at);
            }
        }
        _ => {
            let column = (choices.number() % 200, choices.bytes(24));
            let at = choices.below(body.columns.len() + 1);
            body.columns.insert(at, column);
        }
    }
}

fn near(number: u64, choices: &mut Choices<'_>) -> u64 {
    if choices.once_in(3) { choices.number() } else { number.wrapping_add(u64::from(choices.byte())).wrapping_sub(8) }
}

fn edit_column(body: &mut ChangeBody, choices: &mut Choices<'_>) {
    let at = choices.below(body.columns.len());
    let Some((_, bytes)) = body.columns.get_mut(at) else { return };
    match choices.below(4) {
        0 | 1 => choices.edit(bytes),
        // A run that is longer than the column of any honest change, in a few bytes.
        2 => {
            let mut run = Vec::new();
            signed(&mut run, choices.number().cast_signed());
            unsigned(&mut run, choices.number());
            let at = choices.below(bytes.len() + 1);
            bytes.splice(at..at, run);
        }
        _ => {
            let (from, to) = (choices.below(body.columns.len()), choices.below(body.columns.len()));
            let piece = body.columns[from].1.clone();
            body.columns[to].1 = piece;
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (at, scene) in (0..).zip(scenes()) {
        seeds.push(vec![EDITED, at]);
        let body = ChangeBody::read(&scene.source).body();
        seeds.push([vec![REPAIRED, at], body].concat());
        seeds.push([vec![RAW, at], scene.source.clone()].concat());
    }
    let long = hostile::honest_edit(&scenes()[1].doc, MALLORY, &"vaak herhaald ".repeat(40));
    let carried = Change::try_from(&long[..]).expect("honest").bytes().into_owned();
    assert_eq!(carried[8], 2, "it is compressed");
    seeds.push([vec![RAW, 1], carried].concat());
    seeds
}
