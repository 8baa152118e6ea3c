//! How long a store of many rows takes to open and how much memory it needs, after a clean close and after a kill:
//! `cargo run --release -p samenspraak-tests --example store_sizes -- FOLDER DOCUMENTS`. Decision 0012 has the figures.
//!
//! A document is twenty entries of six rows, with keys and values as long as real ones. The folder must not be there yet; it
//! is removed in the end. Every opening is a process of its own, for its memory.

use std::path::Path;
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use std::{env, fs, process};

use samenspraak_core::store::disk::sim::Random;
use samenspraak_core::store::disk::{DiskOptions, DiskStore, OnProgress, Progress};
use samenspraak_core::store::{Batch, Store, Table};

type Failure = Box<dyn std::error::Error>;

const ENTRIES_PER_DOCUMENT: u64 = 20;
/// Entries committed together, as a server does in a storm.
const ENTRIES_PER_COMMIT: u64 = 200;
const DEVICES: u64 = 300;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = env::args().collect();
    match &arguments[1..] {
        [folder, documents] => all(folder, documents),
        [folder, documents, role] => {
            let (folder, documents) = (Path::new(folder), documents.parse()?);
            match role.as_str() {
                "fill" => fill(folder, documents),
                "close" => open(folder, true),
                "kill" => open(folder, false),
                _ => Err("no such role".into()),
            }
        }
        _ => Err("store_sizes FOLDER DOCUMENTS".into()),
    }
}

fn all(folder: &str, documents: &str) -> Result<(), Failure> {
    if Path::new(folder).exists() {
        return Err("the folder is there already".into());
    }
    for role in ["fill", "close", "close", "kill", "close", "kill", "kill"] {
        Command::new(env::current_exe()?).args([folder, documents, role]).status()?;
    }
    println!("index {} MiB, journal {} MiB", size(folder, "index")? >> 20, size(folder, "journal")? >> 20);
    Ok(fs::remove_dir_all(folder)?)
}

fn size(folder: &str, prefix: &str) -> Result<u64, Failure> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().is_dir() {
            let inside = entry.file_name().to_string_lossy().starts_with(prefix);
            bytes += size(&entry.path().display().to_string(), if inside { "" } else { prefix })?;
        } else if prefix.is_empty() {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}

fn bytes(random: &mut Random, count: usize) -> Vec<u8> {
    (0..count.div_ceil(8)).flat_map(|_| random.next_bits().to_le_bytes()).take(count).collect()
}

fn fill(folder: &Path, documents: u64) -> Result<(), Failure> {
    let begun = Instant::now();
    fs::create_dir_all(folder)?;
    let (store, _) = DiskStore::open(folder, DiskOptions::default())?;
    let mut random = Random(1);
    let devices: Vec<_> = (0..DEVICES).map(|_| bytes(&mut random, 32)).collect();
    let (mut batch, mut subject) = (Batch::new(), Vec::new());
    for number in 0..documents * ENTRIES_PER_DOCUMENT {
        if number.is_multiple_of(ENTRIES_PER_DOCUMENT) {
            subject = bytes(&mut random, 16);
        }
        let device = &devices[random.below(DEVICES) as usize];
        let place = [&[2][..], device, &number.to_be_bytes()].concat();
        let value = bytes(&mut random, 300);
        batch.put(Table::Entry, place.clone(), value);
        batch.put(Table::EntryId, bytes(&mut random, 32), place.clone());
        batch.put(Table::Log, [&[2; 17][..], &number.to_be_bytes()].concat(), vec![1; 46]);
        batch.put(Table::Subject, [&[2][..], &subject].concat(), vec![2; 60]);
        batch.put(Table::Change, [&subject[..], &bytes(&mut random, 32)].concat(), vec![3; 12]);
        batch.put(Table::Receipt, place, vec![4; 40]);
        batch.put(Table::Meta, [&b"chain/"[..], device].concat(), vec![5; 40]);
        if (number + 1).is_multiple_of(ENTRIES_PER_COMMIT) {
            store.commit(&std::mem::take(&mut batch))?;
        }
    }
    store.commit(&batch)?;
    println!("filled: {documents} documents in {:.1?}, {}", begun.elapsed(), memory());
    let begun = Instant::now();
    store.close()?;
    println!("closed in {:.1?}, {}", begun.elapsed(), memory());
    Ok(())
}

/// Opens, reads what a server reads first, waits until all is ready, reads at random, and ends with a close or without.
fn open(folder: &Path, close: bool) -> Result<(), Failure> {
    let begun = Instant::now();
    let (tell, ready) = channel();
    let progress = OnProgress::new(move |progress| {
        if progress == Progress::Ready {
            // The other end lives as long as this process.
            let _ = tell.send(());
        }
    });
    let first_rows = vec![(Table::Meta, Vec::new()), (Table::Pending, Vec::new())];
    let options = DiskOptions { first_rows, progress, ..DiskOptions::default() };
    let (store, report) = DiskStore::open(folder, options)?;
    let opened = begun.elapsed();
    let chains = store.scan(Table::Meta, b"", None, usize::MAX)?.len();
    let first = begun.elapsed();
    let early = memory();
    ready.recv_timeout(Duration::from_secs(600))?;
    let all = begun.elapsed();
    let built = memory();
    let begun = Instant::now();
    let rows = store.scan(Table::Entry, &[2, 77], None, 2_000)?.len();
    let read = begun.elapsed();
    println!(
        "{:?}: opened {opened:.1?}, first answers ({chains} rows) {first:.1?} ({early}), all {all:.1?} ({built}), \
         {rows} entries {read:.1?}, {}",
        report.index_rebuilt,
        memory()
    );
    if close {
        let begun = Instant::now();
        store.close()?;
        println!("closed in {:.1?}, {}", begun.elapsed(), memory());
        Ok(())
    } else {
        process::exit(0)
    }
}

/// What this process holds in memory now, and held at most.
fn memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mib = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) / 1024
    };
    format!("{} MiB, at most {}", mib("VmRSS:"), mib("VmHWM:"))
}
