//! W1, W2, W3 and W7: one phone that catches up, and how soon a started server gives it a document.

use std::time::Duration;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::documents::{self, Wijk};
use crate::line::{Line, Workload, ms, quantile};
use crate::phone::{Phone, Session};
use crate::problem::Problem;
use crate::{Began, Options, SETTLE_MAX, Server, line_of, say};

/// Syncs in which nothing changed, of which the mean counts.
const QUIET_SYNCS: usize = 3;

async fn timed(
    server: &Server,
    phone: &mut Phone,
    order: &[usize],
    own: usize,
    limit: Duration,
    line: impl FnOnce(&Session) -> Line,
) -> Result<Line, Problem> {
    let began = Began::now(server);
    let session = phone.session(&server.url(), order, limit, own).await?;
    let mut line = line(&session);
    line.set("first_screen_ms", session.first_screen_ms);
    if own > 0 {
        line.set("acked_ms", session.acked_ms);
    }
    began.end(server, &mut line).await;
    Ok(line)
}

fn whole(phone: &mut Phone, wijk: &Wijk) -> Result<(), Problem> {
    let mut different = 0;
    for (slot, stored) in phone.slots.iter_mut().zip(wijk.iter()) {
        different += usize::from(slot.doc.get_heads() != stored.heads);
    }
    if different == 0 { Ok(()) } else { Err(format!("{different} documents did not arrive").into()) }
}

pub async fn run(options: &Options) -> Result<(), Problem> {
    let docs = options.sizes.docs;
    let wijk = documents::wijk(docs, options.seed)?;
    documents::write_store(&options.data, &wijk)?;
    let server = Server::start(options)?;
    let (all, limit): (Vec<usize>, _) = ((0..docs).collect(), options.sizes.limit());

    let mut other = Phone::fresh("other", &wijk);
    let line = |form| move |session: &Session| line_of(Workload::W1, form, options, docs, session);
    say(&timed(&server, &mut other, &all, 0, limit, line("cold")).await?)?;
    whole(&mut other, &wijk)?;
    let mut me = Phone::fresh("me", &wijk);
    say(&timed(&server, &mut me, &all, 0, limit, line("warm")).await?)?;
    whole(&mut me, &wijk)?;

    let began = Began::now(&server);
    let (mut walls, mut last) = (0.0, Session::default());
    for _ in 0..QUIET_SYNCS {
        me.offline()?;
        last = me.session(&server.url(), &all, limit, 0).await?;
        walls += last.wall_ms;
    }
    let each = QUIET_SYNCS as f64;
    let mut quiet = line_of(Workload::W2, "", options, docs, &Session { wall_ms: walls / each, ..last });
    began.end(&server, &mut quiet).await;
    quiet.server_cpu_s = quiet.server_cpu_s.map(|all| all / each);
    quiet.client_cpu_s = quiet.client_cpu_s.map(|all| all / each);
    if let Some(all) = quiet.more.get("server_cpu_until_done_s").copied() {
        quiet.set("server_cpu_until_done_s", all / each);
    }
    say(&quiet)?;

    say(&week_offline(options, &server, &all, &mut me, &mut other).await?)
}

async fn week_offline(
    options: &Options,
    server: &Server,
    all: &[usize],
    me: &mut Phone,
    other: &mut Phone,
) -> Result<Line, Problem> {
    let (docs, limit) = (all.len(), options.sizes.limit());
    other.offline()?;
    let mut pick = all.to_vec();
    pick.shuffle(&mut ChaCha8Rng::seed_from_u64(options.run as u64));
    let theirs = pick[..200.min(docs / 5)].to_vec();
    for at in &theirs {
        documents::append(&mut other.slots[*at].doc, "reactie van de buren op dit voorstel ")?;
        other.slots[*at].doc.commit();
    }
    other.session(&server.url(), &theirs, limit, theirs.len()).await?;
    server.process.settle(SETTLE_MAX).await;
    me.offline()?;
    let mine = pick[190.min(docs / 6)..][..20.min(docs / 5)].to_vec();
    for at in &mine {
        documents::append(&mut me.slots[*at].doc, "mijn aanvulling van deze week ")?;
        me.slots[*at].doc.commit();
    }
    let mut order = mine.clone();
    order.extend(all.iter().filter(|at| !mine.contains(at)));
    let line = |session: &Session| line_of(Workload::W3, "", options, docs, session);
    let mut line = timed(server, me, &order, mine.len(), limit, line).await?;
    let mut missed = 0;
    for at in &theirs {
        let heads = other.slots[*at].doc.get_heads();
        missed += usize::from(heads.iter().any(|head| me.slots[*at].doc.get_change_by_hash(head).is_none()));
    }
    line.set("missed_docs", missed as f64);
    if missed == 0 { Ok(line) } else { Err(format!("{missed} changed documents did not arrive").into()) }
}

/// From starting the server to one document on a phone that knows its id. These servers have no other state to read, so a
/// clean stop and a kill are the same to them.
pub async fn restart(options: &Options) -> Result<(), Problem> {
    let docs = options.sizes.docs;
    let wijk = documents::wijk(docs, options.seed)?;
    documents::write_store(&options.data, &wijk)?;
    let mut server = Server::start(options)?;
    let (mut listens, mut firsts, mut cpus, mut residents) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for start in 0..options.sizes.starts {
        server.process.kill()?;
        server.restart()?;
        let at = (start * 37) % docs;
        let mut phone = Phone::fresh(&format!("first-{start}"), &wijk[at..=at]);
        let listening = server.process.started.elapsed();
        let session = phone.session(&server.url(), &[0], options.sizes.limit(), 0).await?;
        listens.push(ms(server.listens));
        firsts.push(ms(listening) + session.wall_ms);
        cpus.push(server.process.cpu());
        residents.push(server.process.resident_mib());
        if phone.slots[0].doc.get_heads() != wijk[at].heads {
            return Err("the first document is another one".into());
        }
    }
    let mut line = Line::new(Workload::W7, "killed", &options.system, (docs, 1), options.run);
    line.wall_ms = quantile(&firsts, 0.5);
    line.server_cpu_s = Some(cpus.iter().sum::<f64>() / cpus.len().max(1) as f64);
    line.server_peak_mib = quantile(&residents, 1.0);
    line.set("first_answer_ms", quantile(&listens, 0.5).unwrap_or(f64::NAN));
    line.set("slowest_ms", quantile(&firsts, 1.0).unwrap_or(f64::NAN));
    line.set("starts", options.sizes.starts as f64);
    say(&line)
}
