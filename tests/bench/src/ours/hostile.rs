//! W8: a live meeting beside connections that ask for everything and then don't read, or read one byte a second. What they
//! change for others is measured in one run, with and without them taking turns.

use std::time::Duration;

use samenspraak_core::model::SpaceId;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use super::meeting::{Heard, describe, gather, hold};
use super::{Began, SYSTEM, Setting};
use crate::kept::{Kept, Spec};
use crate::lean::Lean;
use crate::line::{Line, Workload, quantile};
use crate::plan::{Size, Sizes};
use crate::problem::Problem;
use crate::serving::Serving;

/// Documents in the wijk: some megabytes that nobody reads.
const DOCS: usize = 1000;
/// How often each half is measured.
const TURNS: usize = 3;
/// How long each turn lasts, in seconds.
const SECONDS: u64 = 5;
/// What a reader that doesn't read lets its system take in. With the usual megabytes, its system would read for it.
const RECEIVE_BUFFER_BYTES: u32 = 4096;

/// A connection that proved who it is, asked for everything, and is left alone with it.
async fn hostile(address: &str, wijk: &Kept, number: usize) -> Result<JoinHandle<()>, Problem> {
    let author = wijk.author(number % wijk.spec.kept)?;
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    let to = address.strip_prefix("http://").ok_or("an address of another kind")?;
    let stream = socket.connect(to.parse()?).await?;
    let mut lean = Lean::over(stream, address, author.key()).await?;
    lean.follow(SpaceId::Members, None).await?;
    lean.follow(SpaceId::Open, None).await?;
    let stream = lean.into_stream()?;
    Ok(tokio::spawn(async move {
        if number.is_multiple_of(2) {
            read_slowly(stream).await;
        } else {
            // Held open until the meeting is over.
            std::future::pending::<()>().await;
            drop(stream);
        }
    }))
}

async fn read_slowly(mut stream: TcpStream) {
    let mut byte = [0; 1];
    while stream.read(&mut byte).await.is_ok_and(|count| count > 0) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Measures both halves, taking turns.
///
/// # Errors
/// When a phone fails, or a change doesn't arrive.
pub async fn run(setting: &Setting, sizes: &Sizes, run: usize) -> Result<Vec<Line>, Problem> {
    let size = Size { phones: sizes.attending_hostile, seconds: SECONDS.min(sizes.seconds), ..sizes.meeting() };
    let docs = DOCS.min(sizes.docs);
    let cards = size.phones - size.writers;
    let spec = Spec { facilitators: size.writers, cards, ..Spec::ordinary(docs, setting.seed) };
    let kept = Kept::ensure(&setting.base, spec)?;
    let wijk = kept.copy(&setting.copy_place("hostile"))?;
    let serving = Serving::start(&setting.program, &wijk.server_folder()).await?;
    let (mut drivers, subject) = gather(&serving, &wijk, size).await?;
    let mut halves = [(Heard::default(), Vec::new(), 0.0, 0.0_f64), (Heard::default(), Vec::new(), 0.0, 0.0)];
    for _ in 0..TURNS {
        for (with, half) in halves.iter_mut().enumerate() {
            let mut bad = Vec::new();
            for number in 0..if with == 1 { sizes.hostile } else { 0 } {
                bad.push(hostile(&serving.address(), &wijk, number).await?);
            }
            serving.process.settle(super::SETTLE_MAX).await;
            let (heard, began, back): (Heard, Began, _) = hold(&serving, drivers, subject, size).await?;
            half.2 += serving.process.cpu() - began.server_cpu;
            half.3 = half.3.max(serving.process.peak_mib());
            half.1.push(quantile(&heard.delivered_ms, 0.5).unwrap_or(f64::NAN));
            half.0.delivered_ms.extend(heard.delivered_ms);
            half.0.acked_ms.extend(heard.acked_ms);
            half.0.changes += heard.changes;
            drivers = back;
            for task in bad {
                task.abort();
            }
        }
    }
    let mut lines = Vec::new();
    for (form, (heard, medians, cpu, peak)) in ["without", "with"].into_iter().zip(&halves) {
        let mut line = Line::new(Workload::W8, form, SYSTEM, (docs, size.phones), run);
        describe(&mut line, heard, size);
        line.wall_ms = Some(size.seconds as f64 * 1e3 * TURNS as f64);
        line.server_cpu_s = Some(*cpu);
        line.server_peak_mib = Some(*peak);
        line.set("hostile_phones", if form == "with" { sizes.hostile as f64 } else { 0.0 });
        line.set("slowest_turn_p50_ms", quantile(medians, 1.0).unwrap_or(f64::NAN));
        lines.push(line);
    }
    let [without, with] = &mut lines[..] else { return Err("two halves were measured".into()) };
    for name in ["p50_ms", "p99_ms"] {
        if let (Some(before), Some(after)) = (without.more.get(name).copied(), with.more.get(name).copied()) {
            with.set(&format!("ratio_{name}").replace("_ms", ""), after / before);
        }
    }
    for line in &lines {
        if line.more.get("deliveries") != line.more.get("expected_deliveries") {
            return Err("changes did not arrive everywhere".into());
        }
    }
    Ok(lines)
}
