//! W8: a live meeting beside connections that ask for everything again and again and then don't read, or read one byte a
//! second.
//!
//! Three forms take turns in one run: the meeting alone, beside as many connections that do read, and beside those that
//! don't. The second says what following a meeting with more phones costs anyway; what the third adds to it is what not
//! reading does.

use std::time::Duration;

use samenspraak_core::model::SpaceId;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use super::meeting::{Heard, describe, gather, hold};
use super::{SYSTEM, Setting};
use crate::kept::{Kept, Spec};
use crate::lean::Lean;
use crate::line::{Line, Workload, quantile};
use crate::plan::{Size, Sizes};
use crate::problem::Problem;
use crate::serving::Serving;

/// Documents in the wijk: some megabytes that nobody reads.
const DOCS: usize = 1000;
/// How often each form is measured.
const TURNS: usize = 3;
/// How long each turn lasts, in seconds.
const SECONDS: u64 = 5;
/// How often such a connection asks for everything: so often that the system's own buffers can't swallow it.
const ASKS: usize = 16;
/// The forms.
const FORMS: [&str; 3] = ["alone", "beside readers", "beside non-readers"];
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
    for _ in 0..ASKS {
        lean.follow(SpaceId::Open, None).await?;
    }
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

/// A connection that reads all it is sent.
async fn reader(address: &str, wijk: &Kept, number: usize) -> Result<JoinHandle<()>, Problem> {
    let author = wijk.author(number % wijk.spec.kept)?;
    let mut lean = Lean::open(address, author.key()).await?;
    lean.follow(SpaceId::Open, None).await?;
    lean.until(SpaceId::Open, wijk.open_items).await?;
    Ok(tokio::spawn(async move { while lean.skip().await.is_ok() {} }))
}

async fn read_slowly(mut stream: TcpStream) {
    let mut byte = [0; 1];
    while stream.read(&mut byte).await.is_ok_and(|count| count > 0) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// What one form showed over all its turns.
#[derive(Default)]
struct Form {
    heard: Heard,
    server_cpu_s: f64,
    peak_mib: f64,
}

/// Measures all forms, taking turns.
///
/// # Errors
/// When a phone fails, or a change doesn't arrive.
pub async fn run(setting: &Setting, sizes: &Sizes, run: usize) -> Result<Vec<Line>, Problem> {
    let size = Size { phones: sizes.attending_hostile, seconds: SECONDS.min(sizes.seconds), ..sizes.meeting() };
    let docs = DOCS.min(sizes.docs);
    let cards = size.phones - size.writers;
    let spec = Spec { facilitators: size.writers, cards, ..Spec::ordinary(docs, setting.seed) };
    let kept = Kept::ensure(&setting.base, spec, &setting.program).await?;
    let wijk = kept.copy(&setting.copy_place("hostile"))?;
    let serving = Serving::start(&setting.program, &wijk.server_folder()).await?;
    let (mut drivers, subject) = gather(&serving, &wijk, size).await?;
    let mut forms: [Form; 3] = Default::default();
    for _ in 0..TURNS {
        for (at, form) in forms.iter_mut().enumerate() {
            let mut others = Vec::new();
            for number in 0..sizes.hostile {
                match at {
                    0 => {}
                    1 => others.push(reader(&serving.address(), &wijk, number).await?),
                    _ => others.push(hostile(&serving.address(), &wijk, number).await?),
                }
            }
            serving.process.settle(super::SETTLE_MAX).await;
            let (heard, began, back) = hold(&serving, drivers, subject, size).await?;
            form.server_cpu_s += serving.process.cpu() - began.server_cpu;
            form.peak_mib = form.peak_mib.max(serving.process.peak_mib());
            form.heard.delivered_ms.extend(heard.delivered_ms);
            form.heard.acked_ms.extend(heard.acked_ms);
            form.heard.changes += heard.changes;
            drivers = back;
            for task in others {
                task.abort();
            }
        }
    }
    let mut lines = Vec::new();
    for (name, form) in FORMS.into_iter().zip(&forms) {
        let mut line = Line::new(Workload::W8, name, SYSTEM, (docs, size.phones), run);
        describe(&mut line, &form.heard, size);
        line.wall_ms = Some(size.seconds as f64 * 1e3 * TURNS as f64);
        line.server_cpu_s = Some(form.server_cpu_s);
        line.server_peak_mib = Some(form.peak_mib);
        for (figure, part) in [("p50", 0.5), ("p99", 0.99)] {
            let before = |form: &Form| quantile(&form.heard.delivered_ms, part).unwrap_or(f64::NAN);
            line.set(&format!("{figure}_to_alone_ratio"), before(form) / before(&forms[0]));
            line.set(&format!("{figure}_to_readers_ratio"), before(form) / before(&forms[1]));
        }
        lines.push(line);
    }
    for line in &lines {
        if line.more.get("deliveries") != line.more.get("expected_deliveries") {
            return Err("changes did not arrive everywhere".into());
        }
    }
    Ok(lines)
}
