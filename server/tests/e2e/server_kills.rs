//! An entry whose receipt a phone holds is on the server, however often the server is killed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use samenspraak_core::model::{EntryId, SubjectId};
use samenspraak_server::client::Driver;

use crate::support::{Seeded, Wijk, arg, has_arrived, kills, pause, run, runtime, write};

/// Phones that push all the time.
const PHONES: usize = 6;
/// A server is killed within this time after it was ready.
const MOMENTS: Duration = Duration::from_millis(60);
/// Entries a phone writes before it tries to sync, at most.
const BURST: u64 = 4;

/// What phones were told, and what they are told to do.
#[derive(Default)]
pub struct Told {
    /// Entries whose receipt a phone holds.
    pub arrived: Mutex<Vec<EntryId>>,
    broken: AtomicUsize,
    /// Write no more, and end when all has arrived.
    pub done: AtomicBool,
}

/// Writes and syncs until it is told to end; says how much it wrote.
pub async fn keep_writing(mut phone: Driver, address: String, number: usize, told: Arc<Told>) -> usize {
    let (mut random, mut waiting, mut written) = (Seeded(number as u64), Vec::<(SubjectId, EntryId)>::new(), 0);
    loop {
        let last = told.done.load(Ordering::SeqCst);
        if !last && waiting.len() < 20 {
            for _ in 0..=random.below(BURST) {
                waiting.push(write(&mut phone, &format!("{number}-{written}"), "Er is hier geen licht."));
                written += 1;
            }
        }
        if phone.sync_once(&address).await.is_err() {
            told.broken.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let (there, not_yet): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(subject, _)| has_arrived(&mut phone, *subject));
        told.arrived.lock().unwrap().extend(there.into_iter().map(|(_, id)| id));
        waiting = not_yet;
        if last && waiting.is_empty() {
            return written;
        }
    }
}

#[test]
fn an_entry_whose_receipt_a_phone_holds_is_on_the_server_after_every_kill() {
    let (wijk, mut random, kills, begun) = (Wijk::new(), Seeded(2), kills(), Instant::now());
    let told = Arc::new(Told::default());
    let runtime = runtime();
    let phones: Vec<_> = wijk
        .cards("resident", PHONES)
        .iter()
        .enumerate()
        .map(|(number, card)| {
            let phone = wijk.join(card);
            runtime.spawn(keep_writing(phone, wijk.address(), number, Arc::clone(&told)))
        })
        .collect();
    for kill in 0..kills {
        let server = wijk.serve();
        pause(random.time(MOMENTS));
        // Copied before the kill: the server must have flushed all of them by now.
        let arrived = told.arrived.lock().unwrap().clone();
        server.kill();
        let arrived = [arrived, told.arrived.lock().unwrap().clone()].concat();
        if kill % 10 == 9 {
            wijk.assert_holds(&arrived, &format!("seed 2, kill {kill}"));
        }
    }
    let server = wijk.serve();
    told.done.store(true, Ordering::SeqCst);
    let written: usize = phones.into_iter().map(|phone| runtime.block_on(phone).unwrap()).sum();
    assert!(server.stop().0.success());
    let mut arrived = told.arrived.lock().unwrap().clone();
    wijk.assert_holds(&arrived, "seed 2, at the end");
    arrived.sort();
    arrived.dedup();
    let broken = told.broken.load(Ordering::SeqCst);
    assert_eq!(arrived.len(), written, "seed 2: all that was written arrived, once");
    assert!(written > kills && broken > kills / 2, "{written} written, {broken} connections broken");
    run(&["verify", arg(&wijk.folder())]).ok();
    println!(
        "{kills} kills of the server: {written} entries receipted, {broken} broken syncs, 0 lost, {:?}",
        begun.elapsed()
    );
}
