//! Damage in a journal in use is found by looking, a little at a time, and nothing else is taken for damage.
#![cfg(feature = "disk")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;

use samenspraak_core::store::disk::sim::Random;
use samenspraak_core::store::disk::{Damage, DiskOptions, DiskStore, Patrol};
use samenspraak_core::store::{Batch, Store, Table};

fn commit(store: &DiskStore, random: &mut Random) {
    let mut batch = Batch::new();
    let key = [1 + random.below(30) as u8];
    match random.below(4) {
        0 => batch.delete(Table::Entry, key),
        _ => batch.put(Table::Entry, key, vec![random.next_bits() as u8; random.below(500) as usize]),
    }
    store.commit(&batch).unwrap();
}

fn open(dir: &Path) -> DiskStore {
    let options = DiskOptions { segment_bytes_max: 4_000, ..DiskOptions::default() };
    DiskStore::open(dir, options).unwrap().0
}

fn round(store: &DiskStore, step_bytes: u64) -> (u64, Vec<Damage>) {
    let (mut patrol, mut bytes, mut damage) = (Patrol::default(), 0, Vec::new());
    loop {
        let seen = store.patrol(&mut patrol, step_bytes).unwrap();
        assert!(seen.bytes > 0 || seen.is_round_over || !seen.damage.is_empty(), "it goes on");
        bytes += seen.bytes;
        damage.extend(seen.damage);
        if seen.is_round_over {
            return (bytes, damage);
        }
    }
}

#[test]
fn a_whole_round_sees_every_byte_and_each_flipped_bit_is_found() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let mut random = Random(1);
    (0..60).for_each(|_| commit(&store, &mut random));
    let mut segments: Vec<_> =
        fs::read_dir(root.path().join("journal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.sort();
    let length: u64 = segments.iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    for step_bytes in [1, 700, 1 << 20] {
        assert_eq!(round(&store, step_bytes), (length, Vec::new()), "{step_bytes}");
    }
    for path in &segments {
        let whole = fs::read(path).unwrap();
        for _ in 0..20 {
            let mut bad = whole.clone();
            bad[random.below(whole.len() as u64) as usize] ^= 1 << random.below(8);
            fs::write(path, &bad).unwrap();
            let (_, damage) = round(&store, 5_000);
            assert_eq!(damage.len(), 1, "{path:?}");
            assert!(damage[0].place.contains(&path.display().to_string()), "{damage:?}");
        }
        fs::write(path, &whole).unwrap();
    }
}

#[test]
fn commits_and_scrubs_between_two_steps_are_no_damage() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let mut random = Random(2);
    (0..40).for_each(|_| commit(&store, &mut random));
    let (mut patrol, mut rounds) = (Patrol::default(), 0);
    for step in 0..400 {
        let seen = store.patrol(&mut patrol, 300).unwrap();
        assert_eq!(seen.damage, Vec::new(), "step {step}");
        rounds += u32::from(seen.is_round_over);
        commit(&store, &mut random);
        if step % 7 == 0 {
            store.scrub().unwrap();
        }
    }
    assert!(rounds > 2, "{rounds}");
}
