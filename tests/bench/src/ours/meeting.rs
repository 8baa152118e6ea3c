//! W5: a live meeting. Forty phones follow one set of notes, four of them write, and every arrival is timed, from the moment
//! a change was stored where it was written to the moment it was stored where it was read.
//!
//! All phones are real apps over memory: each verifies and places every change.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use samenspraak_core::app::{Command, Joined, OwnState, Reply};
use samenspraak_core::document::Splice;
use samenspraak_core::document::meeting::MeetingEdit;
use samenspraak_core::model::{DeviceId, EntryId, SpaceId, SubjectId};
use samenspraak_server::client::Driver;
use samenspraak_server::replay::seeded::Seeded;
use tokio::sync::Barrier;
use tokio::time::{Instant as Moment, MissedTickBehavior};

use super::{Began, SYSTEM, Setting, fresh_memory_phone, memory_phone};
use crate::documents::words;
use crate::kept::{Kept, Spec};
use crate::line::{Line, Workload, ms, quantile};
use crate::live::Live;
use crate::plan::Size;
use crate::problem::Problem;
use crate::serving::Serving;

/// Documents beside the notes.
const DOCS: usize = 8;
/// What is still on its way when the writers stop may take this long.
const GRACE: Duration = Duration::from_secs(2);
/// Letters written at a time.
const LETTERS: usize = 4;

/// When each change was stored where it was written.
type Born = Arc<Mutex<BTreeMap<(DeviceId, u64), Instant>>>;

/// What a meeting showed.
#[derive(Default)]
pub struct Heard {
    /// Milliseconds of every delivery.
    pub delivered_ms: Vec<f64>,
    /// Milliseconds until each receipt.
    pub acked_ms: Vec<f64>,
    /// Changes written.
    pub changes: usize,
    bytes_up: u64,
    bytes_down: u64,
}

/// Measures one meeting.
///
/// # Errors
/// When a change does not arrive, or phones differ in the end.
pub async fn run(setting: &Setting, size: Size, run: usize) -> Result<Line, Problem> {
    let cards = size.phones - size.writers;
    let spec = Spec { docs: DOCS, authors: DOCS, kept: 0, facilitators: size.writers, cards, seed: setting.seed };
    let kept = Kept::ensure(&setting.base, spec, &setting.program).await?;
    let wijk = kept.copy(&setting.copy_place("meeting"))?;
    let serving = Serving::start(&setting.program, &wijk.server_folder()).await?;
    let (drivers, subject) = gather(&serving, &wijk, size).await?;
    serving.process.settle(super::SETTLE_MAX).await;
    let mut line = Line::new(Workload::W5, "", SYSTEM, (DOCS, size.phones), run);
    let (heard, began, mut drivers) = hold(&serving, drivers, subject, size).await?;
    began.end(&serving, &mut line).await;
    line.wall_ms = Some(size.seconds as f64 * 1e3);
    (line.bytes_up, line.bytes_down) = (Some(heard.bytes_up), Some(heard.bytes_down));
    describe(&mut line, &heard, size);
    agree(&mut drivers, subject)?;
    let expected = heard.changes * (size.phones - 1);
    if heard.delivered_ms.len() != expected || heard.acked_ms.len() != heard.changes {
        let (delivered, acked) = (heard.delivered_ms.len(), heard.acked_ms.len());
        return Err(format!("{delivered} of {expected} deliveries, {acked} of {} receipts", heard.changes).into());
    }
    Ok(line)
}

/// Writes into a line what was heard.
pub fn describe(line: &mut Line, heard: &Heard, size: Size) {
    for (name, values, part) in [
        ("p50_ms", &heard.delivered_ms, 0.5),
        ("p99_ms", &heard.delivered_ms, 0.99),
        ("slowest_ms", &heard.delivered_ms, 1.0),
        ("acked_p50_ms", &heard.acked_ms, 0.5),
        ("acked_p99_ms", &heard.acked_ms, 0.99),
    ] {
        line.set(name, quantile(values, part).unwrap_or(f64::NAN));
    }
    line.set("changes", heard.changes as f64);
    line.set("deliveries", heard.delivered_ms.len() as f64);
    line.set("expected_deliveries", (heard.changes * (size.phones - 1)) as f64);
}

/// Facilitators and residents who have everything, and the notes they will write in.
pub async fn gather(serving: &Serving, wijk: &Kept, size: Size) -> Result<(Vec<Driver>, SubjectId), Problem> {
    let mut drivers = Vec::new();
    for writer in 0..size.writers {
        drivers.push(memory_phone(wijk.facilitator_store(writer)?)?);
    }
    let chair = drivers.first_mut().ok_or("a meeting without writers")?;
    chair.sync_once(&serving.address()).await?;
    let agenda = vec!["wat ter tafel komt".to_owned()];
    let reply = chair.command(Command::NewMeeting { title: "avond in het buurthuis".to_owned(), agenda })?;
    let Reply::Saved { subject, .. } = reply else { return Err("notes that were not begun".into()) };
    chair.sync_once(&serving.address()).await?;
    for resident in 0..size.phones - size.writers {
        drivers.push(fresh_memory_phone(wijk, resident)?);
    }
    for driver in &mut drivers {
        driver.sync_once(&serving.address()).await?;
    }
    Ok((drivers, subject))
}

/// Holds the meeting; returns what was heard, what had been used when it began, and the phones.
///
/// # Errors
/// When a phone fails.
pub async fn hold(
    serving: &Serving,
    drivers: Vec<Driver>,
    subject: SubjectId,
    size: Size,
) -> Result<(Heard, Began, Vec<Driver>), Problem> {
    let start = Arc::new(Barrier::new(drivers.len() + 1));
    let born = Born::default();
    let mut writers = Vec::new();
    for driver in drivers.iter().take(size.writers) {
        let joined = driver.app().joined().ok_or("a phone that has not joined")?;
        writers.push(joined.identity().key().id());
    }
    let mut tasks = Vec::new();
    for (number, driver) in drivers.into_iter().enumerate() {
        let address = serving.address();
        let attending = Attending {
            number,
            subject,
            size,
            writers: writers.clone(),
            born: Arc::clone(&born),
            start: Arc::clone(&start),
        };
        tasks.push(tokio::spawn(async move {
            let mut live = Live::open(driver, &address).await?;
            live.until_settled().await?;
            let heard = attending.attend(&mut live).await?;
            Ok::<_, Problem>((heard, live.close().await))
        }));
    }
    start.wait().await;
    let began = Began::now(serving);
    let (mut all, mut drivers) = (Heard::default(), Vec::new());
    for task in tasks {
        let (heard, driver) = task.await??;
        all.delivered_ms.extend(heard.delivered_ms);
        all.acked_ms.extend(heard.acked_ms);
        all.changes += heard.changes;
        all.bytes_up += heard.bytes_up;
        all.bytes_down += heard.bytes_down;
        drivers.push(driver);
    }
    Ok((all, began, drivers))
}

/// One phone in the meeting.
struct Attending {
    number: usize,
    subject: SubjectId,
    size: Size,
    writers: Vec<DeviceId>,
    born: Born,
    start: Arc<Barrier>,
}

impl Attending {
    async fn attend(&self, live: &mut Live) -> Result<Heard, Problem> {
        let me = live.joined()?.identity().key().id();
        let mut seen: BTreeMap<DeviceId, u64> = BTreeMap::new();
        for writer in self.writers.iter().filter(|writer| **writer != me) {
            seen.insert(*writer, written(live.joined()?, *writer));
        }
        let (mut heard, mut unacked) = (Heard::default(), BTreeMap::new());
        self.start.wait().await;
        let (up, down) = (live.bytes_up, live.bytes_down);
        let gap = Duration::from_secs(1) / self.size.hz;
        // Writers take turns within the gap, as people do.
        let offset = gap * (self.number % self.size.writers) as u32 / self.size.writers as u32;
        let begun = Moment::now() + Duration::from_millis(30);
        let (end, stop) =
            (begun + Duration::from_secs(self.size.seconds), begun + Duration::from_secs(self.size.seconds) + GRACE);
        let mut tick = tokio::time::interval_at(begun + offset, gap);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut random = Seeded::new(self.size.seconds, "typing", self.number);
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(stop) => break,
                _ = tick.tick(), if self.number < self.size.writers && Moment::now() < end => {
                    heard.changes += 1;
                    self.write(live, me, &mut random, &mut unacked).await?;
                }
                bytes = live.next() => {
                    live.take(bytes?).await?;
                    self.note(live.joined()?, &mut seen, &mut heard);
                    acknowledged(live.joined()?, &mut unacked, &mut heard)?;
                }
            }
        }
        (heard.bytes_up, heard.bytes_down) = (live.bytes_up - up, live.bytes_down - down);
        Ok(heard)
    }

    async fn write(
        &self,
        live: &mut Live,
        me: DeviceId,
        random: &mut Seeded,
        unacked: &mut BTreeMap<EntryId, Instant>,
    ) -> Result<(), Problem> {
        // Behind the end is at the end.
        let splice = Splice { at: usize::MAX, delete: 0, insert: words(random, LETTERS) };
        let edit = MeetingEdit::Splice { item: 0, splice };
        let born = |joined: &mut Joined, reply: &Reply| {
            let Reply::Saved { id, .. } = reply else { return Err("a change that was not saved".into()) };
            let seq = written(joined, me).checked_sub(1).ok_or("a chain without entries")?;
            let now = Instant::now();
            unacked.insert(*id, now);
            self.born.lock().unwrap_or_else(PoisonError::into_inner).insert((me, seq), now);
            Ok(())
        };
        live.ask(Command::EditMeeting { subject: self.subject, edit }, born).await?;
        Ok(())
    }

    /// Notes what came of others.
    fn note(&self, joined: &Joined, seen: &mut BTreeMap<DeviceId, u64>, heard: &mut Heard) {
        let now = Instant::now();
        for (writer, known) in seen {
            let entries = written(joined, *writer);
            if entries > *known {
                let born = self.born.lock().unwrap_or_else(PoisonError::into_inner);
                let times = (*known..entries).filter_map(|seq| born.get(&(*writer, seq)));
                heard.delivered_ms.extend(times.map(|time| ms(now.duration_since(*time))));
                *known = entries;
            }
        }
    }
}

/// Entries of a writer that are stored here.
fn written(joined: &Joined, writer: DeviceId) -> u64 {
    joined.replica().head(SpaceId::Open, writer).map_or(0, |head| head.seq + 1)
}

/// Notes receipts that came: the server flushed those changes.
fn acknowledged(joined: &Joined, unacked: &mut BTreeMap<EntryId, Instant>, heard: &mut Heard) -> Result<(), Problem> {
    let mut arrived = Vec::new();
    for (id, written) in unacked.iter() {
        if let Some(OwnState::Arrived { .. }) = joined.own_entry_state(*id)? {
            arrived.push((*id, ms(written.elapsed())));
        }
    }
    for (id, after) in arrived {
        unacked.remove(&id);
        heard.acked_ms.push(after);
    }
    Ok(())
}

/// In the end all phones read the same notes.
fn agree(drivers: &mut [Driver], subject: SubjectId) -> Result<(), Problem> {
    let mut heads = Vec::new();
    for driver in drivers {
        let joined = driver.app_mut().joined_mut().ok_or("a phone that has not joined")?;
        let doc = joined.document(subject)?.ok_or("notes that are not here")?;
        heads.push(crate::documents::heads(&doc.get_heads()));
    }
    heads.dedup();
    if heads.len() == 1 { Ok(()) } else { Err("phones ended with different notes".into()) }
}
