//! W6: how many changes a second the server acknowledges, and whether any of them is lost when it is killed.
//!
//! Sixty-four residents write at once, each on a connection and in a document of their own, and each waits for the signed
//! receipt of one change before making the next. Changes are made and signed while it is measured, as at the peers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use samenspraak_core::gate::Verdict;
use samenspraak_core::model::{EntryId, SpaceId, SubjectId};
use samenspraak_core::replica::Kept as KeptBody;
use samenspraak_core::sync::server::Server;
use samenspraak_server::folder::Folder;

use super::{Began, SYSTEM, Setting};
use crate::kept::{Kept, Spec};
use crate::lean::Lean;
use crate::line::{Line, Workload, ms, quantile};
use crate::problem::Problem;
use crate::serving::Serving;

/// What all lanes share.
struct Shared {
    address: String,
    acknowledged: AtomicUsize,
    dying: AtomicBool,
}

/// Measures `lanes` writers for `seconds`, then kills the server and looks what is there.
///
/// # Errors
/// When the server fails before it is killed, or its folder can't be opened afterwards.
pub async fn run(setting: &Setting, lanes: usize, seconds: u64, run: usize) -> Result<Line, Problem> {
    let spec = Spec { docs: lanes, authors: lanes, kept: lanes, facilitators: 0, cards: 1, seed: setting.seed };
    let kept = Kept::ensure(&setting.base, spec, &setting.program).await?;
    let wijk = kept.copy(&setting.copy_place("acknowledged"))?;
    let mut serving = Serving::start(&setting.program, &wijk.server_folder()).await?;
    let mut line = Line::new(Workload::W6, "", SYSTEM, (lanes, lanes), run);
    let shared = Arc::new(Shared {
        address: serving.address(),
        acknowledged: AtomicUsize::new(0),
        dying: AtomicBool::new(false),
    });
    let mut ready = Vec::new();
    for number in 0..lanes {
        let mut author = wijk.author(number)?;
        let document = wijk.documents_of(number).next().ok_or("an author without documents")?;
        let subject = SubjectId::from_hex(&document.subject).ok_or("a subject that is none")?;
        let writing = author.go_on(subject)?;
        ready.push((author, writing));
    }
    serving.process.settle(super::SETTLE_MAX).await;
    let began = Began::now(&serving);
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for (mut author, mut writing) in ready {
        let shared = Arc::clone(&shared);
        tasks.push(tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            let mut times = Vec::new();
            let done = async {
                let mut lane = Lean::open(&shared.address, author.key()).await?;
                for push in 0.. {
                    let first = author.written(SpaceId::Open);
                    let written = Instant::now();
                    let id = author.append(&mut writing, "ja ")?;
                    let (batch, _) = author.runs(SpaceId::Open, first)?.ok_or("a change that is not there")?;
                    lane.push(push, SpaceId::Open, batch).await?;
                    let receipt = lane.receipt().await?;
                    if !receipt.lines.iter().any(|line| line.id == id && line.verdict == Verdict::Present) {
                        return Err("a receipt for something else".into());
                    }
                    times.push(ms(written.elapsed()));
                    acknowledged.push(id);
                    shared.acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<(), Problem>(())
            };
            match done.await {
                // The line breaks when the server is killed; before that it must not.
                Err(problem) if !shared.dying.load(Ordering::SeqCst) => Err(problem),
                _ => Ok((acknowledged, times)),
            }
        }));
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let (count, took) = (shared.acknowledged.load(Ordering::Relaxed), begun.elapsed());
    line.client_cpu_s = Some(crate::process::own_cpu() - began.client_cpu);
    line.server_cpu_s = Some(serving.process.cpu() - began.server_cpu);
    line.server_peak_mib = Some(serving.process.peak_mib());
    shared.dying.store(true, Ordering::SeqCst);
    serving.process.kill()?;
    line.wall_ms = Some(ms(took));
    let (mut all, mut times): (Vec<EntryId>, Vec<f64>) = (Vec::new(), Vec::new());
    for task in tasks {
        let (acknowledged, lane_times) = task.await??;
        all.extend(acknowledged);
        times.extend(lane_times);
    }
    line.set("acknowledged", count as f64);
    line.set("acknowledged_per_s", count as f64 / took.as_secs_f64());
    line.set("acked_p50_ms", quantile(&times, 0.5).unwrap_or(f64::NAN));
    line.set("acked_p99_ms", quantile(&times, 0.99).unwrap_or(f64::NAN));
    let opening = Instant::now();
    let lost = tokio::task::block_in_place(|| lost(&wijk, &all))?;
    line.set("reopened_ms", ms(opening.elapsed()));
    line.set("lost", lost as f64);
    if lost > 0 {
        return Err(format!("{lost} of {} acknowledged changes were lost", all.len()).into());
    }
    Ok(line)
}

/// How many acknowledged changes the server's folder no longer holds.
fn lost(wijk: &Kept, acknowledged: &[EntryId]) -> Result<usize, Problem> {
    let folder = Folder::open(&wijk.server_folder())?;
    let store = folder.server_store()?;
    let server = Server::open(folder.wijk()?, folder.keys()?, store.rows())?;
    let mut lost = 0;
    for id in acknowledged {
        let place = server.replica().place_of(*id)?;
        let entry = place.map(|place| server.replica().entry(place)).transpose()?.flatten();
        lost += usize::from(!entry.is_some_and(|entry| matches!(entry.kept, KeptBody::Present(_))));
    }
    drop(server);
    store.close()?;
    Ok(lost)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn what_the_folder_does_not_hold_is_counted_as_lost() {
        let folder = tempfile::tempdir().unwrap();
        let spec = Spec { docs: 2, authors: 2, kept: 2, facilitators: 0, cards: 0, seed: 1 };
        let wijk = Kept::make(&folder.path().join("made"), spec).unwrap();
        let mut author = wijk.author(0).unwrap();
        let subject = SubjectId::from_hex(&wijk.documents_of(0).next().unwrap().subject).unwrap();
        let there = author.entry_ids(subject).unwrap();
        assert_eq!(there.len(), crate::documents::CHANGES);
        assert_eq!(lost(&wijk, &there).unwrap(), 0);
        let mut writing = author.go_on(subject).unwrap();
        let never_sent = author.append(&mut writing, "ja ").unwrap();
        assert_eq!(lost(&wijk, &[there[0], never_sent]).unwrap(), 1);
    }
}
