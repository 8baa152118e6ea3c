//! W4: all phones come back in the same instant, each with five changes of its own documents and three new ones, and all of
//! it must reach all of them.
//!
//! The first phones are real apps over memory, which place and verify every entry. Beyond [`REAL_PHONES_MAX`] they would
//! drown the server that is measured: the others push what their devices signed, check receipts, and follow the log to its
//! end without keeping it. The result says how many of each there were.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use samenspraak_core::model::{DeviceId, SpaceId, SubjectId};
use samenspraak_core::replica::RunBatch;
use samenspraak_core::store::Store;
use samenspraak_core::store::log::LogHead;
use samenspraak_core::sync::wire::Frame;
use samenspraak_server::replay::seeded::Seeded;
use tokio::sync::Barrier;

use super::{Began, SYSTEM, Setting, memory_phone};
use crate::author::Author;
use crate::documents::{CHANGES, words};
use crate::kept::{Kept, KeptDocument, Spec};
use crate::lean::Lean;
use crate::line::{Line, Workload, ms, quantile};
use crate::live::Live;
use crate::problem::Problem;
use crate::serving::Serving;

/// Phones that place and verify every entry. Fifty of them use as much of two cores as is left beside a server.
const REAL_PHONES_MAX: usize = 50;
/// Times a phone comes back after its line ended: in ten minutes of a machine that is overrun, some phones read nothing for a
/// minute a few times.
const RETURNS_MAX: usize = 20;
/// Own documents changed by each phone.
const EDITS: usize = 5;
/// Contributions written by each phone.
const NEW: usize = 3;
/// Documents written in a storm are numbered from here, so that none of them is one of the wijk.
const NEW_NUMBERS_FROM: usize = 1_000_000;

/// What each phone writes offline adds so many items to the log.
const ITEMS_EACH: u64 = (EDITS + NEW * CHANGES) as u64;

/// What one phone reports.
#[derive(Default)]
struct Told {
    acked_ms: f64,
    all_ms: f64,
    bytes_up: u64,
    bytes_down: u64,
    flights: u64,
    /// Times its line ended before it had all, and it came back.
    returns: usize,
}

impl Told {
    /// Comes back after a line ended: a phone that read nothing for a minute is told to.
    fn come_back(&mut self, ended: Result<(), Problem>) -> Result<(), Problem> {
        self.returns += 1;
        if self.returns > RETURNS_MAX { ended } else { Ok(()) }
    }
}

/// What all phones must reach.
struct Goal {
    address: String,
    /// Entries of each chain.
    chains: BTreeMap<DeviceId, u64>,
    items: u64,
    from: LogHead,
    start: Barrier,
}

/// Measures one storm of `phones`.
///
/// # Errors
/// When a phone doesn't get everything.
pub async fn run(setting: &Setting, docs: usize, phones: usize, run: usize) -> Result<Line, Problem> {
    let docs = docs.max(phones);
    let spec = Spec { docs, authors: phones, kept: phones, facilitators: 0, cards: 1, seed: setting.seed };
    let kept = Kept::ensure(&setting.base, spec, &setting.program).await?;
    let wijk = kept.copy(&setting.copy_place("storm"))?;
    let serving = Serving::start(&setting.program, &wijk.server_folder()).await?;
    let real = phones.min(REAL_PHONES_MAX);
    let mut line = Line::new(Workload::W4, "", SYSTEM, (docs, phones), run);
    line.set("real_phones", real as f64);

    let (mut stores, mut chains, mut written) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    for number in 0..phones {
        let store = wijk.author_store(number)?;
        if number < real {
            // It has seen everything before it went offline.
            memory_phone(Arc::clone(&store))?.sync_once(&serving.address()).await?;
        }
        let mut author = Author::open(Arc::clone(&store), Seeded::new(setting.seed, "storm", run * phones + number))?;
        let first = author.written(SpaceId::Open);
        write_offline(&wijk, &mut author, number, run, &mut written)?;
        chains.insert(author.device(), author.written(SpaceId::Open));
        stores.push((store, first));
    }
    let from = base_head(&serving, &wijk).await?;
    serving.process.settle(super::SETTLE_MAX).await;
    let goal = Arc::new(Goal {
        address: serving.address(),
        chains,
        items: wijk.open_items + ITEMS_EACH * phones as u64,
        from,
        start: Barrier::new(phones + 1),
    });

    let mut tasks = Vec::new();
    let mut first_phone = None;
    for (number, (store, first_seq)) in stores.into_iter().enumerate() {
        let goal = Arc::clone(&goal);
        if number == 0 {
            first_phone = Some(Arc::clone(&store));
        }
        tasks.push(if number < real {
            tokio::spawn(real_phone(store, goal))
        } else {
            tokio::spawn(lean_phone(store, first_seq, goal))
        });
    }
    goal.start.wait().await;
    let began = Began::now(&serving);
    let (mut acks, mut alls, mut up, mut down, mut flights) = (Vec::new(), Vec::new(), 0, 0, 0);
    let mut returns = 0;
    for task in tasks {
        let told = task.await??;
        acks.push(told.acked_ms);
        alls.push(told.all_ms);
        returns += told.returns;
        (up, down, flights) = (up + told.bytes_up, down + told.bytes_down, flights.max(told.flights));
    }
    line.wall_ms = quantile(&alls, 1.0);
    (line.bytes_up, line.bytes_down, line.round_trips) = (Some(up), Some(down), Some(flights));
    began.end(&serving, &mut line).await;
    line.set("all_p50_ms", quantile(&alls, 0.5).unwrap_or(f64::NAN));
    line.set("acked_p50_ms", quantile(&acks, 0.5).unwrap_or(f64::NAN));
    line.set("acked_max_ms", quantile(&acks, 1.0).unwrap_or(f64::NAN));
    line.set("returns", returns as f64);
    line.set("deliveries", (ITEMS_EACH as usize * phones * phones.saturating_sub(1)) as f64);
    check(&wijk, first_phone.ok_or("a storm without phones")?, &written)?;
    Ok(line)
}

/// The storm of one phone, written while it is offline.
fn write_offline(
    wijk: &Kept,
    author: &mut Author,
    number: usize,
    run: usize,
    written: &mut BTreeMap<String, String>,
) -> Result<(), Problem> {
    let own: Vec<&KeptDocument> = wijk.documents_of(number).collect();
    let mut random = Seeded::new(wijk.spec.seed, "edits", number);
    let first = own.first().ok_or("an author without documents")?;
    for document in own.iter().chain(std::iter::repeat(first)).take(EDITS) {
        let subject = SubjectId::from_hex(&document.subject).ok_or("a subject that is none")?;
        let mut writing = author.go_on(subject)?;
        author.append(&mut writing, &words(&mut random, 40))?;
        written.insert(document.subject.clone(), writing.heads());
    }
    for new in 0..NEW {
        let planned = author.plan(wijk.spec.seed, NEW_NUMBERS_FROM + (run * wijk.spec.authors + number) * NEW + new)?;
        author.write_all(&planned)?;
        written.insert(planned.subject.to_string(), planned.history.heads);
    }
    Ok(())
}

/// Where the log of `open` stands before the storm.
async fn base_head(serving: &Serving, wijk: &Kept) -> Result<LogHead, Problem> {
    let author = wijk.author(0)?;
    let mut lean = Lean::open(&serving.address(), author.key()).await?;
    lean.follow(SpaceId::Open, None).await?;
    let head = lean.until(SpaceId::Open, wijk.open_items).await?;
    lean.close().await;
    Ok(head)
}

async fn real_phone(store: Arc<dyn Store>, goal: Arc<Goal>) -> Result<Told, Problem> {
    let mut driver = memory_phone(store)?;
    goal.start.wait().await;
    let begun = Instant::now();
    let (mut missing, mut told) = (goal.chains.clone(), Told::default());
    loop {
        let mut live = Live::open(driver, &goal.address).await?;
        let result = hear_all(&mut live, &mut missing, begun, &mut told).await;
        told.bytes_up += live.bytes_up;
        told.bytes_down += live.bytes_down;
        told.flights += live.flights_up;
        driver = live.close().await;
        if result.is_ok() {
            told.all_ms = ms(begun.elapsed());
            return Ok(told);
        }
        told.come_back(result)?;
    }
}

/// Until a phone has all of it, or its line ends.
async fn hear_all(
    live: &mut Live,
    missing: &mut BTreeMap<DeviceId, u64>,
    begun: Instant,
    told: &mut Told,
) -> Result<(), Problem> {
    while !missing.is_empty() || !live.settled {
        let bytes = live.next().await?;
        live.take(bytes).await?;
        let replica = live.joined()?.replica();
        missing
            .retain(|device, entries| replica.head(SpaceId::Open, *device).is_none_or(|head| head.seq + 1 < *entries));
        if live.settled && told.acked_ms == 0.0 {
            told.acked_ms = ms(begun.elapsed());
        }
    }
    Ok(())
}

async fn lean_phone(store: Arc<dyn Store>, first_seq: u64, goal: Arc<Goal>) -> Result<Told, Problem> {
    let author = Author::open(store, Seeded::new(0, "lean", 0))?;
    goal.start.wait().await;
    let begun = Instant::now();
    let (mut next, mut pushes) = (first_seq, BTreeMap::new());
    while let Some((batch, end)) = author.runs(SpaceId::Open, next)? {
        pushes.insert(pushes.len() as u64, batch);
        next = end;
    }
    let (mut told, mut head) = (Told { flights: 1, ..Told::default() }, goal.from);
    loop {
        let mut lean = Lean::open(&goal.address, author.key()).await?;
        let result = bring_and_follow(&mut lean, &mut pushes, &mut head, goal.items, begun, &mut told).await;
        told.bytes_up += lean.bytes_up;
        told.bytes_down += lean.bytes_down;
        lean.close().await;
        if result.is_ok() {
            told.all_ms = ms(begun.elapsed());
            return Ok(told);
        }
        told.come_back(result)?;
    }
}

/// Brings what isn't receipted, and reads to the end; or until the line ends.
async fn bring_and_follow(
    lean: &mut Lean,
    pushes: &mut BTreeMap<u64, RunBatch>,
    head: &mut LogHead,
    items: u64,
    begun: Instant,
    told: &mut Told,
) -> Result<(), Problem> {
    for (push, batch) in &*pushes {
        lean.push(*push, SpaceId::Open, batch.clone()).await?;
    }
    lean.follow(SpaceId::Open, Some(*head)).await?;
    while !pushes.is_empty() || head.next < items {
        match lean.next().await? {
            Frame::Receipt(receipt) => {
                lean.check(&receipt)?;
                pushes.remove(&receipt.push);
                told.acked_ms = ms(begun.elapsed());
            }
            Frame::Current { space: SpaceId::Open, head: now, .. } => *head = now,
            Frame::Bye => return Err("the server said goodbye".into()),
            refused @ Frame::Refused { .. } => return Err(format!("refused: {refused:?}").into()),
            _ => {}
        }
    }
    Ok(())
}

/// One phone is looked through: every document that anybody wrote is there as it was written.
fn check(wijk: &Kept, store: Arc<dyn Store>, written: &BTreeMap<String, String>) -> Result<(), Problem> {
    let mut driver = memory_phone(store)?;
    let joined = driver.app_mut().joined_mut().ok_or("a phone that has not joined")?;
    let old = wijk.documents.iter().filter(|document| !written.contains_key(&document.subject));
    let all = old.map(|document| (&document.subject, &document.heads)).chain(written);
    for (subject, heads) in all {
        let id = SubjectId::from_hex(subject).ok_or("a subject that is none")?;
        let found = joined.document(id)?.map(|doc| crate::documents::heads(&doc.get_heads()));
        if found.as_ref() != Some(heads) {
            return Err(format!("document {subject} is not as it was written").into());
        }
    }
    Ok(())
}
