//! W4: all phones come back in the same instant, each with five changed documents and three new ones.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use automerge::{AutoCommit, ChangeHash};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::documents::{self, Wijk};
use crate::line::{Line, Workload, ms, quantile};
use crate::phone::{Phone, Session, Slot};
use crate::problem::Problem;
use crate::{Began, Options, Server, say};

const EDITS: usize = 5;
const NEW: usize = 3;
/// How long is looked whether everything is on disk.
const DURABLE_MAX: Duration = Duration::from_secs(20);

/// What one phone wrote offline.
struct Offline {
    edited: BTreeMap<usize, AutoCommit>,
    new: Vec<(String, AutoCommit)>,
}

fn write_offline(options: &Options, wijk: &Wijk, truth: &mut [AutoCommit]) -> Result<Vec<Offline>, Problem> {
    let mut random = ChaCha8Rng::seed_from_u64(7 + options.run as u64);
    let seed = 1000 + options.run as u64;
    let mut all = Vec::new();
    for phone in 0..options.sizes.phones {
        let mut edited = BTreeMap::new();
        for at in rand::seq::index::sample(&mut random, wijk.len(), EDITS.min(wijk.len())) {
            let actor = documents::actor(99 + options.run as u64, phone as u64);
            let mut doc = AutoCommit::load(&wijk[at].bytes)?.with_actor(actor);
            let more = documents::words(&mut random, 40);
            documents::append(&mut doc, &more)?;
            doc.commit();
            truth[at].merge(&mut doc.fork())?;
            edited.insert(at, doc);
        }
        let numbers = (0..NEW).map(|new| (phone * NEW + new) as u64);
        let new = numbers.map(|number| Ok((documents::id(seed, number), documents::document(seed, number)?)));
        all.push(Offline { edited, new: new.collect::<Result<_, Problem>>()? });
    }
    Ok(all)
}

/// The phones, each with everything from before the storm, its own work first in line.
fn phones(wijk: &Wijk, wanted: &[(String, Vec<ChangeHash>)], all: Vec<Offline>) -> Result<Vec<(Phone, Vec<usize>, usize)>, Problem> {
    let mut ready = Vec::new();
    for (number, mut offline) in all.into_iter().enumerate() {
        let mut order: Vec<usize> = offline.edited.keys().copied().collect();
        let mut slots = Vec::with_capacity(wanted.len());
        for (at, (id, heads)) in wanted.iter().enumerate() {
            let new = at.checked_sub(wijk.len());
            let doc = match new {
                None => match offline.edited.remove(&at) {
                    Some(doc) => doc,
                    None => AutoCommit::load(&wijk[at].bytes)?,
                },
                Some(new) if new / NEW == number => {
                    order.push(at);
                    offline.new[new % NEW].1.fork()
                }
                Some(_) => AutoCommit::new(),
            };
            let mut slot = Slot::new(id, doc);
            slot.target = Some(heads.clone());
            slots.push(slot);
        }
        let own = order.len();
        let first: BTreeSet<usize> = order.iter().copied().collect();
        order.extend((0..wanted.len()).filter(|at| !first.contains(at)));
        ready.push((Phone::new(&format!("p{number}"), slots), order, own));
    }
    Ok(ready)
}

pub async fn run(options: &Options) -> Result<(), Problem> {
    let docs = options.sizes.storm_docs.max(options.sizes.phones);
    let wijk = documents::wijk(docs, options.seed)?;
    documents::write_store(&options.data, &wijk)?;
    let server = Server::start(options)?;
    let mut truth: Vec<AutoCommit> =
        wijk.iter().map(|stored| AutoCommit::load(&stored.bytes)).collect::<Result<_, _>>()?;
    let mut offline = write_offline(options, &wijk, &mut truth)?;
    let mut wanted: Vec<(String, Vec<ChangeHash>)> =
        wijk.iter().zip(&mut truth).map(|(stored, doc)| (stored.id.clone(), doc.get_heads())).collect();
    for one in &mut offline {
        wanted.extend(one.new.iter_mut().map(|(id, doc)| (id.clone(), doc.get_heads())));
    }
    drop(truth);
    let wanted = Rc::new(wanted);
    let ready = phones(&wijk, &wanted, offline)?;

    let began = Began::now(&server);
    let (begun, url, limit) = (Instant::now(), server.url(), options.sizes.limit());
    let tasks: Vec<_> = ready
        .into_iter()
        .map(|(mut phone, order, own)| {
            let url = url.clone();
            tokio::task::spawn_local(async move { phone.session(&url, &order, limit, own).await })
        })
        .collect();
    let mut sessions: Vec<Session> = Vec::new();
    for task in tasks {
        sessions.push(task.await??);
    }
    let sizes = (docs, options.sizes.phones);
    let mut line = Line::new(Workload::W4, "", &options.system, sizes, options.run);
    let walls: Vec<f64> = sessions.iter().map(|session| session.wall_ms).collect();
    let acks: Vec<f64> = sessions.iter().map(|session| session.acked_ms).collect();
    line.wall_ms = quantile(&walls, 1.0);
    line.bytes_up = Some(sessions.iter().map(|session| session.bytes_up).sum());
    line.bytes_down = Some(sessions.iter().map(|session| session.bytes_down).sum());
    line.round_trips = sessions.iter().map(|session| session.trips + 1).max();
    line.set("all_p50_ms", quantile(&walls, 0.5).unwrap_or(f64::NAN));
    line.set("acked_p50_ms", quantile(&acks, 0.5).unwrap_or(f64::NAN));
    line.set("acked_max_ms", quantile(&acks, 1.0).unwrap_or(f64::NAN));

    // Acknowledged is not on disk yet: until when, and is it ever?
    let looking = Instant::now();
    let mut left: Vec<usize> = (0..wanted.len()).collect();
    loop {
        left.retain(|at| documents::read_store(&options.data, &wanted[*at].0).get_heads() != wanted[*at].1);
        if left.is_empty() {
            line.set("on_disk_ms", ms(begun.elapsed()));
        }
        if left.is_empty() || looking.elapsed() > DURABLE_MAX {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    line.set("not_on_disk_docs", left.len() as f64);
    let client = line.client_cpu_s;
    began.end(&server, &mut line).await;
    // Looking at the disk is not the phones' work.
    if client.is_some() {
        line.client_cpu_s = client;
    }
    say(&line)
}
