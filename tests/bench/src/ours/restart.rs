//! W7: from starting the server to the first synced document, after a clean stop and after a kill.
//!
//! The phone is one that was there yesterday: it has everything but the one change that came since, and waits for it.

use std::time::{Duration, Instant};

use samenspraak_core::model::SubjectId;

use super::catch_up::bring;
use super::{SYSTEM, Setting, fresh_memory_phone};
use crate::documents;
use crate::kept::{Kept, Spec};
use crate::line::{Line, Workload, ms, quantile};
use crate::problem::Problem;
use crate::serving::Serving;

/// How long a server may take to serve its first document.
const PATIENCE: Duration = Duration::from_secs(300);

/// Measures `repeats` starts of each kind.
///
/// # Errors
/// When the server or the phone fails.
pub async fn run(setting: &Setting, docs: usize, run: usize, repeats: usize) -> Result<Vec<Line>, Problem> {
    let kept = Kept::ensure(&setting.base, Spec::ordinary(docs, setting.seed), &setting.program).await?;
    let wijk = kept.copy(&setting.copy_place("restart"))?;
    let mut serving = Serving::start(&setting.program, &wijk.server_folder()).await?;
    let mut phone = fresh_memory_phone(&wijk, 0)?;
    phone.sync_once(&serving.address()).await?;
    let mut author = wijk.author(1)?;
    let document = wijk.documents_of(1).next().ok_or("an author without documents")?;
    let subject = SubjectId::from_hex(&document.subject).ok_or("a subject that is none")?;
    let mut writing = author.go_on(subject)?;
    let mut lines = Vec::new();
    for form in ["stopped", "killed"] {
        let (mut answers, mut firsts, mut cpus, mut residents) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..repeats {
            let first = author.written(samenspraak_core::model::SpaceId::Open);
            author.append(&mut writing, "sinds gisteren ")?;
            bring(&serving, &author, first).await?;
            if form == "killed" {
                serving.process.kill()?;
            } else {
                serving.process.stop().await?;
            }
            serving.restart()?;
            answers.push(ms(serving.answers().await?));
            let until = Instant::now() + PATIENCE;
            while phone.sync_once(&serving.address()).await.is_err() {
                if Instant::now() > until {
                    return Err("the first document never came".into());
                }
            }
            firsts.push(ms(serving.process.started.elapsed()));
            cpus.push(serving.process.cpu());
            residents.push(serving.process.resident_mib());
            let joined = phone.app_mut().joined_mut().ok_or("a phone that has not joined")?;
            let heads = joined.document(subject)?.map(|doc| documents::heads(&doc.get_heads()));
            if heads != Some(writing.heads()) {
                return Err("an acknowledged change was lost in a restart".into());
            }
        }
        let mut line = Line::new(Workload::W7, form, SYSTEM, (docs, 1), run);
        line.wall_ms = quantile(&firsts, 0.5);
        line.server_cpu_s = Some(cpus.iter().sum::<f64>() / cpus.len().max(1) as f64);
        line.server_peak_mib = quantile(&residents, 1.0);
        line.set("first_answer_ms", quantile(&answers, 0.5).unwrap_or(f64::NAN));
        line.set("slowest_first_answer_ms", quantile(&answers, 1.0).unwrap_or(f64::NAN));
        line.set("slowest_ms", quantile(&firsts, 1.0).unwrap_or(f64::NAN));
        line.set("starts", repeats as f64);
        lines.push(line);
    }
    Ok(lines)
}
