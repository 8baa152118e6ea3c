//! W5: one document of notes, many readers, a few writers, and every arrival timed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use automerge::ChangeHash;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tokio::sync::Barrier;
use tokio::time::Instant as Moment;

use crate::connection::{Connection, Ear};
use crate::documents::{self, Wijk};
use crate::line::{Line, Workload, ms, quantile};
use crate::phone::Phone;
use crate::plan::Size;
use crate::problem::Problem;
use crate::{Began, Options, Server, say};

const GRACE: Duration = Duration::from_secs(2);
const LETTERS: usize = 4;

/// What all phones share.
struct Shared {
    born: RefCell<HashMap<ChangeHash, Instant>>,
    delivered_ms: RefCell<Vec<f64>>,
    bytes: RefCell<(u64, u64)>,
    start: Barrier,
    url: String,
    size: Size,
}

impl Shared {
    fn note(&self, changes: impl IntoIterator<Item = ChangeHash>) {
        let now = Instant::now();
        let born = self.born.borrow();
        let times = changes.into_iter().filter_map(|hash| born.get(&hash).copied());
        self.delivered_ms.borrow_mut().extend(times.map(|time| ms(now - time)));
    }
}

async fn attend(shared: &Shared, wijk: &Wijk, number: usize) -> Result<(), Problem> {
    let Size { writers, hz, seconds, .. } = shared.size;
    let mut phone = Phone::fresh(&format!("l{number}"), wijk);
    phone.slots[0].doc.set_actor(documents::actor(500, number as u64));
    let mut line = Connection::open(&shared.url, &phone.name, phone.storage()).await?;
    phone.kick(0, &mut line);
    while !phone.slots[0].done {
        let bytes = line.receive().await?;
        phone.take(&bytes, &mut line)?;
    }
    shared.start.wait().await;
    (line.bytes_up, line.bytes_down) = (0, 0);
    let begun = Moment::now() + Duration::from_millis(30);
    let end = begun + Duration::from_secs(seconds);
    let gap = Duration::from_secs(1) / hz;
    let mut tick = tokio::time::interval_at(begun + gap * (number % writers) as u32 / writers as u32, gap);
    let mut random = ChaCha8Rng::seed_from_u64(number as u64);
    let mut ear = Ear { document: phone.slots[0].id.clone(), heads: phone.slots[0].doc.get_heads() };
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(end + GRACE) => break,
            _ = tick.tick(), if number < writers && Moment::now() < end => {
                let doc = &mut phone.slots[0].doc;
                documents::append(doc, &documents::words(&mut random, LETTERS))?;
                let hash = doc.commit().ok_or("nothing was written")?;
                shared.born.borrow_mut().insert(hash, Instant::now());
                phone.kick(0, &mut line);
            }
            bytes = line.receive() => {
                let bytes = bytes?;
                if number >= writers {
                    let heard = ear.hear(&bytes, &mut line, &phone.name)?;
                    shared.note(heard);
                } else {
                    let before = phone.slots[0].doc.get_heads();
                    phone.take(&bytes, &mut line)?;
                    let new: Vec<ChangeHash> =
                        phone.slots[0].doc.get_changes_meta(&before).iter().map(|change| change.hash).collect();
                    shared.note(new);
                }
            }
        }
    }
    let mut bytes = shared.bytes.borrow_mut();
    *bytes = (bytes.0 + line.bytes_up, bytes.1 + line.bytes_down);
    Ok(())
}

pub async fn run(options: &Options) -> Result<(), Problem> {
    let wijk = documents::wijk(1, 5)?;
    documents::write_store(&options.data, &wijk)?;
    let server = Server::start(options)?;
    let size = options.sizes.meeting();
    let shared = Rc::new(Shared {
        born: RefCell::default(),
        delivered_ms: RefCell::default(),
        bytes: RefCell::default(),
        start: Barrier::new(size.phones + 1),
        url: server.url(),
        size,
    });
    let tasks: Vec<_> = (0..size.phones)
        .map(|number| {
            let (shared, wijk) = (Rc::clone(&shared), wijk.clone());
            tokio::task::spawn_local(async move { attend(&shared, &wijk, number).await })
        })
        .collect();
    tokio::time::timeout(options.sizes.limit(), shared.start.wait()).await.map_err(|_| "a phone never began")?;
    let began = Began::now(&server);
    for task in tasks {
        task.await??;
    }
    let mut line = Line::new(Workload::W5, "", &options.system, (1, size.phones), options.run);
    line.wall_ms = Some(size.seconds as f64 * 1e3);
    let (up, down) = *shared.bytes.borrow();
    (line.bytes_up, line.bytes_down) = (Some(up), Some(down));
    let delivered = shared.delivered_ms.borrow();
    for (name, part) in [("p50_ms", 0.5), ("p99_ms", 0.99), ("slowest_ms", 1.0)] {
        line.set(name, quantile(&delivered, part).unwrap_or(f64::NAN));
    }
    let changes = shared.born.borrow().len();
    line.set("changes", changes as f64);
    line.set("deliveries", delivered.len() as f64);
    line.set("expected_deliveries", (changes * (size.phones - 1)) as f64);
    began.end(&server, &mut line).await;
    say(&line)
}
