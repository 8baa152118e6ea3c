//! W1, W2 and W3: one phone that catches up. A fresh one with a server that just started and with one that is warm; one for
//! which nothing changed; one that was away for a week.

use std::time::Instant;

use samenspraak_core::app::{App, Command};
use samenspraak_core::model::{SpaceId, SubjectId};

use super::{Began, DiskPhone, SYSTEM, Setting, moved};
use crate::author::Author;
use crate::kept::{Kept, KeptDocument, Spec};
use crate::lean::Lean;
use crate::line::{Line, Workload, ms};
use crate::problem::Problem;
use crate::serving::Serving;

/// Titles on the first screen.
const SCREEN: usize = 20;
/// Syncs in which nothing changed, of which the mean counts: one is too short to be measured well.
const QUIET_SYNCS: u32 = 5;
/// Documents that others changed in a week, at most a fifth of all.
const THEIRS: usize = 200;
/// Documents that this phone changed in a week, at most a fifth of all.
const MINE: usize = 20;

/// Runs those of the three that are wanted.
///
/// # Errors
/// When something goes wrong; what was measured before is in `lines`.
pub async fn run(
    setting: &Setting,
    docs: usize,
    run: usize,
    wanted: &[Workload],
    lines: &mut Vec<Line>,
) -> Result<(), Problem> {
    let kept = Kept::ensure(&setting.base, Spec::ordinary(docs, setting.seed), &setting.program).await?;
    let wijk = kept.copy(&setting.copy_place("catch-up"))?;
    let serving = Serving::start(&setting.program, &wijk.server_folder()).await?;
    let wants = |workload| wanted.contains(&workload);
    if wants(Workload::W1) {
        let phone = DiskPhone::fresh(&wijk, 0, "phone-cold")?;
        let (line, phone) = fresh(&serving, &wijk, phone, "cold", run).await?;
        lines.push(line);
        phone.close()?;
    }
    if wants(Workload::W1) || wants(Workload::W2) {
        let phone = DiskPhone::fresh(&wijk, 1, "phone-warm")?;
        let (line, phone) = fresh(&serving, &wijk, phone, "warm", run).await?;
        if wants(Workload::W1) {
            lines.push(line);
        }
        phone.close()?;
    }
    if wants(Workload::W2) {
        lines.push(nothing_changed(&serving, &wijk, run).await?);
    }
    if wants(Workload::W3) {
        lines.push(week_offline(&serving, &wijk, run).await?);
    }
    Ok(())
}

/// Whether so many contributions have a title on screen.
fn lists(app: &mut App, count: usize) -> bool {
    let Some(joined) = app.joined_mut() else { return false };
    let subjects: Vec<SubjectId> = joined.view().contributions().map(|(subject, _)| subject).take(count).collect();
    subjects.len() == count
        && subjects.into_iter().all(|subject| joined.words(subject).is_ok_and(|words| words.is_some()))
}

async fn fresh(
    serving: &Serving,
    wijk: &Kept,
    mut phone: DiskPhone,
    form: &str,
    run: usize,
) -> Result<(Line, DiskPhone), Problem> {
    let docs = wijk.documents.len();
    let mut line = Line::new(Workload::W1, form, SYSTEM, (docs, 1), run);
    let screen = SCREEN.min(docs);
    let began = Began::now(serving);
    let begun = Instant::now();
    let mut first_screen = None;
    let mut watch = |app: &mut App| {
        if first_screen.is_none() && lists(app, screen) {
            first_screen = Some(begun.elapsed());
        }
    };
    moved(&mut line, phone.driver.sync_watched(&serving.address(), &mut watch).await?);
    let synced = begun.elapsed();
    // The list as a screen has it: all of them in their order, and the words of those that are in sight.
    let order = phone.driver.app_mut().joined_mut().ok_or("a phone that has not joined")?.contribution_order();
    if !lists(phone.driver.app_mut(), screen) || order.len() != docs {
        return Err(format!("a list of {} instead of {docs} documents", order.len()).into());
    }
    line.wall_ms = Some(ms(begun.elapsed()));
    began.end(serving, &mut line).await;
    // Scrolling through all of it opens every document once.
    let scrolling = Instant::now();
    let listed = list(phone.driver.app_mut())?;
    line.set("every_title_ms", ms(scrolling.elapsed()));
    line.set("first_screen_ms", ms(first_screen.ok_or("the first screen never came")?));
    line.set("synced_ms", ms(synced));
    line.set("listed_docs", listed as f64);
    let different = differing(phone.driver.app_mut(), &wijk.documents)?;
    line.set("different_docs", different as f64);
    if listed != docs || different > 0 {
        return Err(format!("{listed} of {docs} documents arrived, {different} differ").into());
    }
    Ok((line, phone))
}

/// Reads the words of every document, as somebody does who scrolls to the end; says how many have a title.
fn list(app: &mut App) -> Result<usize, Problem> {
    let joined = app.joined_mut().ok_or("a phone that has not joined")?;
    Ok(joined.contributions()?.iter().filter(|item| !item.content.title.is_empty()).count())
}

/// How many documents have other heads than they were written with.
fn differing(app: &mut App, documents: &[KeptDocument]) -> Result<usize, Problem> {
    let joined = app.joined_mut().ok_or("a phone that has not joined")?;
    let mut different = 0;
    for document in documents {
        let subject = SubjectId::from_hex(&document.subject).ok_or("a subject that is none")?;
        let heads = joined.document(subject)?.map(|doc| crate::documents::heads(&doc.get_heads()));
        different += usize::from(heads.as_ref() != Some(&document.heads));
    }
    Ok(different)
}

async fn nothing_changed(serving: &Serving, wijk: &Kept, run: usize) -> Result<Line, Problem> {
    let mut line = Line::new(Workload::W2, "", SYSTEM, (wijk.documents.len(), 1), run);
    let opening = Instant::now();
    let mut phone = DiskPhone::open(&wijk.place("phone-warm"))?;
    line.set("app_open_ms", ms(opening.elapsed()));
    let before = phone.driver.app().joined().map_or(0, samenspraak_core::app::Joined::documents_opened);
    // The first one may have to confirm what the last one before it brought.
    phone.driver.sync_once(&serving.address()).await?;
    let began = Began::now(serving);
    let begun = Instant::now();
    let mut all = samenspraak_server::client::Moved::default();
    for _ in 0..QUIET_SYNCS {
        all = phone.driver.sync_once(&serving.address()).await?;
    }
    let each = f64::from(QUIET_SYNCS);
    line.wall_ms = Some(ms(begun.elapsed()) / each);
    moved(&mut line, all);
    began.end(serving, &mut line).await;
    line.server_cpu_s = line.server_cpu_s.map(|all| all / each);
    line.client_cpu_s = line.client_cpu_s.map(|all| all / each);
    if let Some(until_done) = line.more.get("server_cpu_until_done_s").copied() {
        line.set("server_cpu_until_done_s", until_done / each);
    }
    let after = phone.driver.app().joined().map_or(0, samenspraak_core::app::Joined::documents_opened);
    line.set("opened_docs", (after - before) as f64);
    phone.close()?;
    Ok(line)
}

async fn week_offline(serving: &Serving, wijk: &Kept, run: usize) -> Result<Line, Problem> {
    let docs = wijk.documents.len();
    let mut line = Line::new(Workload::W3, "", SYSTEM, (docs, 1), run);
    let mut phone = DiskPhone::open(&wijk.me_folder())?;
    phone.driver.sync_once(&serving.address()).await?;
    let mut expected: Vec<KeptDocument> = others_write(serving, wijk, THEIRS.min(docs / 5)).await?;
    line.set("changed_by_others", expected.len() as f64);
    serving.process.settle(super::SETTLE_MAX).await;
    let mine: Vec<SubjectId> = wijk
        .documents_of(0)
        .take(MINE.min(docs / 5))
        .map(|document| SubjectId::from_hex(&document.subject).ok_or("a subject that is none"))
        .collect::<Result<_, _>>()?;
    for subject in &mine {
        let joined = phone.driver.app_mut().joined_mut().ok_or("a phone that has not joined")?;
        let mut content = joined.words(*subject)?.ok_or("an own document that is not here")?;
        content.text.push_str("mijn aanvulling van deze week ");
        phone.driver.command(Command::Edit { subject: *subject, content })?;
    }
    line.set("changed_here", mine.len() as f64);
    let began = Began::now(serving);
    let begun = Instant::now();
    moved(&mut line, phone.driver.sync_once(&serving.address()).await?);
    line.wall_ms = Some(ms(begun.elapsed()));
    began.end(serving, &mut line).await;
    let joined = phone.driver.app_mut().joined_mut().ok_or("a phone that has not joined")?;
    for subject in &mine {
        let heads = joined.document(*subject)?.map(|doc| crate::documents::heads(&doc.get_heads()));
        let subject = subject.to_string();
        let (heads, author, title) = (heads.ok_or("an own document that went away")?, 0, String::new());
        expected.push(KeptDocument { subject, heads, title, author });
    }
    let missed = differing(phone.driver.app_mut(), &expected)?;
    line.set("missed_docs", missed as f64);
    phone.close()?;
    // What was written here must be at the server too: a phone that was never there gets it.
    let mut witness = super::fresh_memory_phone(wijk, 2)?;
    witness.sync_once(&serving.address()).await?;
    let not_there = differing(witness.app_mut(), &expected)?;
    line.set("missed_at_server_docs", not_there as f64);
    if missed + not_there > 0 {
        return Err(format!("{missed} changed documents did not arrive here, {not_there} not at the server").into());
    }
    Ok(line)
}

/// Other authors each change documents of theirs and push them; returns those documents as they are now.
async fn others_write(serving: &Serving, wijk: &Kept, wanted: usize) -> Result<Vec<KeptDocument>, Problem> {
    let mut changed = Vec::new();
    for number in 1..wijk.spec.kept {
        if changed.len() >= wanted {
            break;
        }
        let mut author = wijk.author(number)?;
        let first = author.written(SpaceId::Open);
        for document in wijk.documents_of(number).take(wanted - changed.len()) {
            let subject = SubjectId::from_hex(&document.subject).ok_or("a subject that is none")?;
            let mut writing = author.go_on(subject)?;
            author.append(&mut writing, "reactie van de buren op dit voorstel ")?;
            changed.push(KeptDocument { heads: writing.heads(), ..document.clone() });
        }
        bring(serving, &author, first).await?;
    }
    Ok(changed)
}

/// Brings an author's entries to the server.
///
/// # Errors
/// When it refuses them.
pub async fn bring(serving: &Serving, author: &Author, first_seq: u64) -> Result<(), Problem> {
    let mut line = Lean::open(&serving.address(), author.key()).await?;
    let (mut next, mut push) = (first_seq, 0);
    while let Some((batch, end)) = author.runs(SpaceId::Open, next)? {
        line.push(push, SpaceId::Open, batch).await?;
        line.receipt().await?;
        (next, push) = (end, push + 1);
    }
    line.close().await;
    Ok(())
}
