//! Honest changes pass with the right numbers; each rule of the preflight is broken once.

use automerge::transaction::Transactable;
use automerge::{ActorId, AutoCommit, Automerge, ObjType, ROOT, ReadDoc};

use super::*;

fn actor_id(n: u8) -> ActorId {
    ActorId::from([n; 16])
}

/// Meeting notes as an app makes them: one change with the agenda and its first item.
fn notes() -> AutoCommit {
    let mut doc = AutoCommit::new().with_actor(actor_id(7));
    let agenda = doc.put_object(&ROOT, "agenda", ObjType::List).unwrap();
    let item = doc.insert_object(&agenda, 0, ObjType::Map).unwrap();
    let title = doc.put_object(&item, "title", ObjType::Text).unwrap();
    let body = doc.put_object(&item, "notes", ObjType::Text).unwrap();
    doc.splice_text(&title, 0, 0, "Oversteek bij de school").unwrap();
    doc.splice_text(&body, 0, 0, &"Te donker, zegt Amina. ".repeat(40)).unwrap();
    doc.commit();
    doc
}

/// Every kind of edit the apps make, by three people, with merges between them.
fn honest_history() -> Automerge {
    let mut first = notes();
    let mut second = first.fork().with_actor(actor_id(3));
    let mut third = first.fork().with_actor(actor_id(200));
    for round in 0..6usize {
        for (n, doc) in [&mut first, &mut second, &mut third].into_iter().enumerate() {
            let (_, agenda) = doc.get(&ROOT, "agenda").unwrap().unwrap();
            let (_, item) = doc.get(&agenda, 0).unwrap().unwrap();
            let (_, body) = doc.get(&item, "notes").unwrap().unwrap();
            doc.splice_text(&body, round * 3 + n, 4, &"nieuwe regel é€𝄞 ".repeat(n * 9 + 1)).unwrap();
            if round % 2 == n % 2 {
                let item = doc.insert_object(&agenda, 1, ObjType::Map).unwrap();
                let title = doc.put_object(&item, "title", ObjType::Text).unwrap();
                doc.splice_text(&title, 0, 0, "punt").unwrap();
                doc.put_object(&item, "notes", ObjType::Text).unwrap();
            }
            doc.put(&ROOT, "theme", format!("thema {n}")).unwrap();
            doc.put(&ROOT, "count", (round as i64 - 3) * 1_000).unwrap();
            doc.put(&ROOT, "open", round % 2 == 0).unwrap();
            doc.put(&ROOT, "share", 0.5).unwrap();
            if round == 4 && n == 1 {
                doc.delete(&agenda, 1).unwrap();
                doc.delete(&ROOT, "share").unwrap();
            }
            doc.commit();
        }
        if round % 2 == 1 {
            first.merge(&mut second).unwrap();
            third.merge(&mut first).unwrap();
            second.merge(&mut third).unwrap();
            first.merge(&mut second).unwrap();
        }
    }
    Automerge::load(&first.save()).unwrap()
}

fn assert_same(preflight: &Preflight, change: &Change) {
    assert_eq!(preflight.chunk, change.raw_bytes());
    assert_eq!(preflight.hash, change.hash().0);
    assert_eq!(preflight.deps, change.deps().iter().map(|dep| dep.0).collect::<Vec<_>>());
    assert_eq!(preflight.actor, change.actor_id().to_bytes());
    assert_eq!(preflight.seq, change.seq());
    assert_eq!(preflight.start_op, change.start_op().get());
    assert_eq!(preflight.ops, change.len() as u64);
    assert_eq!(preflight.max_op, change.max_op());
    assert_eq!(preflight.other_actors, change.other_actor_ids().len());
}

#[test]
fn honest_changes_pass_with_the_numbers_automerge_gives() {
    let changes = honest_history().get_changes(&[]);
    assert!(changes.len() > 15);
    let mut compressed = 0;
    for mut change in changes {
        let plain = preflight(change.raw_bytes()).unwrap();
        assert_same(&plain, &change);
        assert_eq!(plain.work.bytes_inflated, 0);
        let carried = change.bytes().into_owned();
        let inflated = preflight(&carried).unwrap();
        assert_same(&inflated, &change);
        compressed += usize::from(inflated.work.bytes_inflated > 0);
        assert_eq!(parse(&inflated).unwrap().hash(), change.hash());
    }
    assert!(compressed > 5, "the compressed form was hardly tested: {compressed}");
}

#[test]
fn changes_straight_from_a_transaction_pass_too() {
    let mut doc = notes();
    let change = doc.get_last_local_change().unwrap();
    let seen = preflight(change.raw_bytes()).unwrap();
    assert_same(&seen, &change);
    assert_eq!(seen.objects_made, 4);
    assert_eq!(seen.deps, Vec::<[u8; 32]>::new());
}

#[test]
fn a_full_page_typed_at_once_passes() {
    let mut doc = AutoCommit::new().with_actor(actor_id(1));
    let text = doc.put_object(&ROOT, "text", ObjType::Text).unwrap();
    let page: String = (0..64 * 1024u32).map(|i| char::from(b'a' + (i / 7 * 31 % 23) as u8)).collect();
    doc.splice_text(&text, 0, 0, &page).unwrap();
    doc.commit();
    let mut change = doc.get_last_local_change().unwrap();
    assert_same(&preflight(change.raw_bytes()).unwrap(), &change.clone());
    let bytes = change.bytes().into_owned();
    let seen = preflight(&bytes).unwrap();
    assert_eq!(seen.ops, 65_537);
    // And every letter of it deleted again.
    doc.splice_text(&text, 0, 65_536, "").unwrap();
    doc.commit();
    let change = doc.get_last_local_change().unwrap();
    assert_same(&preflight(change.raw_bytes()).unwrap(), &change);
}

#[test]
fn a_change_without_operations_passes() {
    let mut doc = notes();
    doc.empty_change(automerge::transaction::CommitOptions::default().with_time(0));
    let change = doc.get_last_local_change().unwrap();
    let seen = preflight(change.raw_bytes()).unwrap();
    assert_eq!((seen.ops, seen.max_op), (0, seen.start_op - 1));
    assert_same(&seen, &change);
}

/// Puts a body into a chunk with a correct checksum.
fn chunk(body: &[u8]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend(&hash(body)[..4]);
    out.push(KIND_CHANGE);
    write_unsigned(&mut out, body.len() as u64);
    out.extend(body);
    out
}

/// A body with one operation: put null under "k" in the root.
#[derive(Clone)]
struct Body {
    deps: Vec<[u8; 32]>,
    actor: Vec<u8>,
    numbers: [u64; 3],
    others: Vec<Vec<u8>>,
    columns: Vec<(u64, Vec<u8>)>,
    extra: Vec<u8>,
}

impl Body {
    fn one_put() -> Self {
        Self {
            deps: vec![],
            actor: vec![9; 16],
            numbers: [1, 1, 0],
            others: vec![],
            columns: vec![
                (21, vec![0x7f, 1, b'k']),
                (52, vec![1]),
                (66, vec![0x7f, 1]),
                (86, vec![0x7f, 0]),
                (112, vec![0x7f, 0]),
            ],
            extra: vec![],
        }
    }

    fn column(mut self, spec: u64, bytes: &[u8]) -> Self {
        self.columns.retain(|(known, _)| *known != spec);
        self.columns.push((spec, bytes.to_vec()));
        self.columns.sort();
        self
    }

    fn with(mut self, edit: impl FnOnce(&mut Self)) -> Self {
        edit(&mut self);
        self
    }

    fn number(&self) -> u16 {
        let mut body = Vec::new();
        write_unsigned(&mut body, self.deps.len() as u64);
        body.extend(self.deps.iter().flatten());
        write_unsigned(&mut body, self.actor.len() as u64);
        body.extend(&self.actor);
        write_unsigned(&mut body, self.numbers[0]);
        write_unsigned(&mut body, self.numbers[1]);
        body.push(self.numbers[2] as u8);
        body.push(0);
        write_unsigned(&mut body, self.others.len() as u64);
        for other in &self.others {
            write_unsigned(&mut body, other.len() as u64);
            body.extend(other);
        }
        write_unsigned(&mut body, self.columns.len() as u64);
        for (spec, bytes) in &self.columns {
            write_unsigned(&mut body, *spec);
            write_unsigned(&mut body, bytes.len() as u64);
        }
        body.extend(self.columns.iter().flat_map(|(_, bytes)| bytes));
        body.extend(&self.extra);
        let read = preflight(&chunk(&body)).and_then(|seen| parse(&seen));
        read.map_or_else(|refusal| refusal.number(), |_| 0)
    }
}

#[test]
fn each_rule_refuses_with_its_number() {
    let base = Body::one_put();
    let expected = |body: Body, number: u16| assert_eq!(body.number(), number, "columns {:?}", body.columns);
    expected(base.clone(), 0);
    expected(base.clone().with(|b| b.deps = vec![[1; 32], [1; 32]]), 11);
    expected(base.clone().with(|b| b.deps = (0..65).map(|n| [n; 32]).collect()), 10);
    expected(base.clone().with(|b| b.actor = vec![9; 15]), 12);
    expected(base.clone().with(|b| b.numbers[0] = 0), 13);
    expected(base.clone().with(|b| b.numbers[0] = limits::SEQ_MAX + 1), 13);
    expected(base.clone().with(|b| b.numbers[1] = 0), 14);
    expected(base.clone().with(|b| b.numbers[1] = limits::OP_COUNTER_MAX), 0);
    expected(base.clone().with(|b| b.numbers[1] = limits::OP_COUNTER_MAX + 1), 14);
    expected(base.clone().with(|b| b.numbers[2] = 1), 15);
    expected(base.clone().with(|b| b.others = vec![vec![9; 16]]), 18);
    expected(base.clone().with(|b| b.others = vec![vec![2; 16], vec![1; 16]]), 18);
    expected(base.clone().with(|b| b.others = vec![vec![1; 16]; 2]), 18);
    expected(base.clone().with(|b| b.others = vec![vec![1; 300]]), 12);
    expected(base.clone().with(|b| b.others = vec![vec![1; 16]; 257]), 17);
    expected(base.clone().column(3, &[1]), 19);
    expected(base.clone().column(66 | 8, &[1]), 21);
    expected(base.clone().with(|b| b.columns.swap(0, 1)), 20);
    expected(base.clone().with(|b| b.columns.insert(1, (21, vec![1]))), 20);
    expected(base.clone().column(87, &[]), 22);
    expected(base.clone().column(148, &[1]), 19);
    expected(base.clone().column(165, &[0x7f, 1, b'm']), 19);
    expected(base.clone().column(66, &[0x7f, 7]), 28);
    expected(base.clone().with(|b| b.extra = vec![0]), 23);
    expected(base.clone().column(66, &[2, 1]), 25);
    expected(base.clone().column(52, &[2]), 25);
    expected(base.clone().column(52, &[0, 1, 0]), 26);
    expected(base.clone().column(1, &[0, 0]), 26);
    expected(base.clone().column(66, &[0, 1]), 27);
    expected(base.clone().column(86, &[0, 1]), 27);
    expected(base.clone().column(112, &[0, 1]), 27);
    expected(base.clone().column(66, &[0x7f, 8]), 28);
    expected(base.clone().column(66, &[0x80, 8, 0]), 29);
    expected(base.clone().column(112, &[1, 0xff, 0xff, 0xff, 0x0f]), 30);
    expected(base.clone().column(112, &[1, 1]), 25);
    // 1,000,000 operations with the key "k", and one operation whose key is cut off.
    expected(base.clone().column(21, &[0xc0, 0x84, 0x3d, 1, b'k']), 31);
    expected(base.clone().column(21, &[0x7f, 9, b'k']), 4);
    expected(base.clone().column(86, &[0x7f, 0x10]), 32);
    expected(base.clone().column(86, &[0x7f, 0x75]), 32);
    expected(base.clone().column(86, &[0x7f, 0x16]), 33);
    expected(base.clone().column(86, &[0x7f, 0x16]).column(87, b"x"), 0);
    expected(base.clone().column(87, b"x"), 33);
    expected(base.clone().column(1, &[0x7f, 1]).column(2, &[0x7f, 1]), 34);
    expected(base.clone().column(1, &[0x7f, 0]).column(2, &[0x7f, 2]), 35);
    expected(base.clone().column(19, &[0x7f, 0x7f]), 35);
    expected(base.clone().column(66, &[0x7f, 0x81, 0]), 9);
    expected(base.column(21, &[0x7f, 1, 0xff]), 36);
}

#[test]
fn a_run_of_any_length_is_one_step() {
    // The longest run that can be written: 2^63 - 1 operations in ten bytes.
    let mut longest = vec![0xff; 9];
    longest.extend([0, 1]);
    assert_eq!(Body::one_put().column(66, &longest).number(), 24);
    // The same for a null run, a boolean run and a group, whose sums must not overflow.
    let mut nulls = vec![0];
    nulls.extend([0xff; 9]);
    nulls.push(1);
    let twice = [nulls.clone(), nulls.clone()].concat();
    assert_eq!(Body::one_put().column(1, &twice).number(), 25);
    let mut many = vec![0xff; 9];
    many.push(1);
    assert_eq!(Body::one_put().column(52, &[many.clone(), many.clone()].concat()).number(), 25);
    let mut group = longest[..10].to_vec();
    group.extend(&many);
    assert_eq!(Body::one_put().column(112, &group).number(), 25);
    let mut steps = longest[..10].to_vec();
    steps.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0]);
    assert_eq!(Body::one_put().column(19, &steps).number(), 35);
}

#[test]
fn only_one_whole_change_chunk_passes() {
    let good = notes().get_last_local_change().unwrap();
    let good = good.raw_bytes();
    let number = |bytes: &[u8]| preflight(bytes).map_or_else(|refusal| refusal.number(), |_| 0);
    assert_eq!(number(good), 0);
    assert_eq!(number(&[]), 2);
    assert_eq!(number(b"\x85\x6f\x4a\x84"), 2);
    assert_eq!(number(&notes().save()), 3);
    assert_eq!(number(&[good, &[0]].concat()), 5);
    assert_eq!(number(&[good, good].concat()), 5);
    assert_eq!(number(&vec![0; 300_000]), 1);
    for cut in 4..good.len() {
        assert_eq!(number(&good[..cut]), 4, "cut at {cut}");
    }
    let mut wrong = good.to_vec();
    wrong[4] ^= 1;
    assert_eq!(number(&wrong), 8);
}

#[test]
fn a_compressed_change_is_exactly_one_deflate_stream() {
    let mut change = notes().get_last_local_change().unwrap();
    let carried = change.bytes().into_owned();
    let mut reader = Reader::new(&carried[9..]);
    let length = reader.unsigned().unwrap();
    let deflated = reader.rest();
    assert_eq!(length, deflated.len() as u64);
    let rebuilt = |deflated: &[u8]| {
        let mut out = carried[..9].to_vec();
        write_unsigned(&mut out, deflated.len() as u64);
        out.extend(deflated);
        preflight(&out).map_or_else(|refusal| refusal.number(), |_| 0)
    };
    assert_eq!(rebuilt(deflated), 0);
    assert_eq!(rebuilt(&[deflated, &[0]].concat()), 6);
    assert_eq!(rebuilt(&deflated[..deflated.len() - 1]), 6);
    assert_eq!(rebuilt(&[]), 6);
    let other = miniz_oxide::deflate::compress_to_vec(&[0; 1000], 6);
    assert_eq!(rebuilt(&other), 8);
    let just = miniz_oxide::deflate::compress_to_vec(&vec![0; limits::CHANGE_INFLATED_BYTES_MAX], 6);
    assert_eq!(rebuilt(&just), 8);
    let above = miniz_oxide::deflate::compress_to_vec(&vec![0; limits::CHANGE_INFLATED_BYTES_MAX + 1], 6);
    assert_eq!(rebuilt(&above), 7);
}
