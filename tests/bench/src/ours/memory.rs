//! W9: what the server keeps in memory after many fresh phones caught up, and while many are connected and quiet.
//!
//! The phones read and count what they are sent without keeping it: two hundred real ones would need more memory than the
//! server that is measured.

use std::sync::Arc;
use std::time::Instant;

use samenspraak_core::model::SpaceId;
use samenspraak_core::store::log::LogHead;
use tokio::sync::Semaphore;

use super::{Began, SYSTEM, Setting};
use crate::author::Author;
use crate::kept::{Kept, Spec};
use crate::lean::Lean;
use crate::line::{Line, Workload, ms};
use crate::plan::Sizes;
use crate::problem::Problem;
use crate::serving::Serving;

/// Phones that catch up at the same time: an evening's rush.
const AT_ONCE: usize = 20;

/// Measures both.
///
/// # Errors
/// When a phone doesn't get everything.
pub async fn run(setting: &Setting, sizes: &Sizes, run: usize) -> Result<Vec<Line>, Problem> {
    let kept = Kept::ensure(&setting.base, Spec::ordinary(sizes.memory_docs, setting.seed), &setting.program).await?;
    let wijk = kept.copy(&setting.copy_place("memory"))?;
    let serving = Serving::start(&setting.program, &wijk.server_folder()).await?;
    serving.process.settle(super::SETTLE_MAX).await;
    let authors: Vec<Arc<Author>> =
        (0..wijk.spec.kept).map(|number| wijk.author(number).map(Arc::new)).collect::<Result<_, _>>()?;
    let mut line = Line::new(Workload::W9, "caught up", SYSTEM, (sizes.memory_docs, sizes.catching_up), run);
    line.set("resident_before_mib", serving.process.resident_mib());
    let began = Began::now(&serving);
    let begun = Instant::now();
    let (bytes, head) = catch_up(&serving, &wijk, &authors, sizes.catching_up).await?;
    line.wall_ms = Some(ms(begun.elapsed()));
    line.bytes_down = Some(bytes);
    began.end(&serving, &mut line).await;

    let mut quiet = Line::new(Workload::W9, "quiet", SYSTEM, (sizes.memory_docs, sizes.idle), run);
    let began = Began::now(&serving);
    let begun = Instant::now();
    let mut connected = Vec::with_capacity(sizes.idle);
    for number in 0..sizes.idle {
        let mut lean = Lean::open(&serving.address(), authors[number % authors.len()].key()).await?;
        lean.follow(SpaceId::Open, Some(head)).await?;
        lean.until(SpaceId::Open, head.next).await?;
        connected.push(lean);
    }
    quiet.wall_ms = Some(ms(begun.elapsed()));
    began.end(&serving, &mut quiet).await;
    quiet.set("connected", connected.len() as f64);
    Ok(vec![line, quiet])
}

/// Lets phones read everything from the beginning; returns the bytes they were sent, and where the log ends.
async fn catch_up(
    serving: &Serving,
    wijk: &Kept,
    authors: &[Arc<Author>],
    phones: usize,
) -> Result<(u64, LogHead), Problem> {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = Vec::new();
    for number in 0..phones {
        let (address, items) = (serving.address(), wijk.open_items);
        let (author, turns) = (Arc::clone(&authors[number % authors.len()]), Arc::clone(&turns));
        tasks.push(tokio::spawn(async move {
            let _turn = turns.acquire().await?;
            let mut lean = Lean::open(&address, author.key()).await?;
            lean.follow(SpaceId::Members, None).await?;
            lean.until(SpaceId::Members, 1).await?;
            lean.follow(SpaceId::Open, None).await?;
            let head = lean.until(SpaceId::Open, items).await?;
            let bytes = lean.bytes_down;
            lean.close().await;
            Ok::<_, Problem>((bytes, head))
        }));
    }
    let (mut bytes, mut end) = (0, None);
    for task in tasks {
        let (read, head) = task.await??;
        bytes += read;
        end = Some(head);
    }
    Ok((bytes, end.ok_or("nobody caught up")?))
}
