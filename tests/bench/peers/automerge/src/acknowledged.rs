//! W6: acknowledged changes a second, then a kill, then a look at the disk.

use std::time::{Duration, Instant};

use automerge::ChangeHash;

use crate::connection::Connection;
use crate::documents;
use crate::line::{Line, Workload, ms, quantile};
use crate::phone::Phone;
use crate::problem::Problem;
use crate::process::own_cpu;
use crate::{Options, SETTLE_MAX, Server, say};

/// How long an acknowledgement may take before the measurement ends.
const PATIENCE: Duration = Duration::from_secs(5);

fn write(phone: &mut Phone, line: &mut Connection, lane: usize) -> Result<(ChangeHash, Instant), Problem> {
    documents::append(&mut phone.slots[lane].doc, "ja ")?;
    let hash = phone.slots[lane].doc.commit().ok_or("nothing was written")?;
    let written = (hash, Instant::now());
    phone.kick(lane, line);
    Ok(written)
}

pub async fn run(options: &Options) -> Result<(), Problem> {
    let (lanes, seconds) = (options.sizes.lanes, options.sizes.ack_seconds);
    let wijk = documents::wijk(lanes, 3)?;
    documents::write_store(&options.data, &wijk)?;
    let mut server = Server::start(options)?;
    let mut phone = Phone::fresh("writer", &wijk);
    let all: Vec<usize> = (0..lanes).collect();
    phone.session(&server.url(), &all, options.sizes.limit(), 0).await?;
    server.process.settle(SETTLE_MAX).await;
    phone.offline()?;
    let mut line = Connection::open(&server.url(), &phone.name, phone.storage()).await?;
    for lane in &all {
        phone.kick(*lane, &mut line);
    }
    while phone.slots.iter().any(|slot| !slot.done) {
        let bytes = line.receive().await?;
        phone.take(&bytes, &mut line)?;
    }

    server.process.reset_peak();
    let (server_cpu, client_cpu, begun) = (server.process.cpu(), own_cpu(), Instant::now());
    let mut acked: Vec<Vec<ChangeHash>> = vec![Vec::new(); lanes];
    let mut times = Vec::new();
    let mut flying = Vec::with_capacity(lanes);
    for lane in &all {
        flying.push(write(&mut phone, &mut line, *lane)?);
    }
    while begun.elapsed() < Duration::from_secs(seconds) {
        let Ok(bytes) = tokio::time::timeout(PATIENCE, line.receive()).await else { break };
        let Some(lane) = phone.take(&bytes?, &mut line)? else { continue };
        let (hash, written) = flying[lane];
        if phone.slots[lane].state.their_heads.as_ref().is_some_and(|heads| heads.contains(&hash)) {
            acked[lane].push(hash);
            times.push(ms(written.elapsed()));
            flying[lane] = write(&mut phone, &mut line, lane)?;
        }
    }
    let mut result = Line::new(Workload::W6, "", &options.system, (lanes, lanes), options.run);
    result.wall_ms = Some(ms(begun.elapsed()));
    result.client_cpu_s = Some(own_cpu() - client_cpu);
    result.server_cpu_s = Some(server.process.cpu() - server_cpu);
    result.server_peak_mib = Some(server.process.peak_mib());
    server.process.kill()?;
    let count: usize = acked.iter().map(Vec::len).sum();
    let lost = acked.iter().zip(wijk.iter()).map(|(hashes, stored)| {
        let mut doc = documents::read_store(&options.data, &stored.id);
        documents::missing(&mut doc, hashes.iter()).len()
    });
    result.set("lost", lost.sum::<usize>() as f64);
    result.set("acknowledged", count as f64);
    result.set("acknowledged_per_s", count as f64 * 1e3 / result.wall_ms.unwrap_or(f64::NAN));
    result.set("acked_p50_ms", quantile(&times, 0.5).unwrap_or(f64::NAN));
    result.set("acked_p99_ms", quantile(&times, 0.99).unwrap_or(f64::NAN));
    say(&result)
}
