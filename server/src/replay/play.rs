//! The conversation, performed: phones side by side, a server that is killed, a last sync for everybody, and the verdict.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use samenspraak_core::model::{AreaCode, Directory, Role, SubjectId};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;

use super::Options;
use super::compare::{AnswerKey, Findings, check_phone};
use super::input::{Act, Conversation, Statement};
use super::phone::Phone;
use super::process::{ServerProcess, free_address};
use super::schedule::{Batch, batches};
use super::seeded::Seeded;
use super::show::{Progress, Summary};
use super::temporary::Temporary;
use super::{server_copy, tamper};
use crate::error::ProgramError;
use crate::wijk;

/// Phones that do something at the same time: enough that pushes meet at the server, few enough for two processors.
const AT_ONCE: usize = 8;
/// Phones with a disk, where there are so many; never more than half.
const DISKS: usize = 40;

/// What all phones share.
pub struct World {
    /// Where the server is.
    pub address: String,
    conversation: Conversation,
    subjects: Vec<OnceLock<SubjectId>>,
    steps: watch::Sender<u64>,
    syncing: AtomicU64,
}

/// A sync that is under way, as long as this lives.
pub struct UnderWay<'w>(&'w AtomicU64);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl World {
    /// The conversation.
    pub fn conversation(&self) -> &Conversation {
        &self.conversation
    }

    /// A statement.
    pub fn statement(&self, statement: usize) -> &Statement {
        &self.conversation.statements[statement]
    }

    /// The subject of a statement that was written.
    pub fn subject(&self, statement: usize) -> Result<SubjectId, ProgramError> {
        self.subjects[statement].get().copied().ok_or_else(|| ProgramError::Stopped {
            what: format!("replay: statement {} was never written", self.statement(statement).name),
        })
    }

    /// Notes the subject of a statement.
    pub fn written(&self, statement: usize, subject: SubjectId) {
        // A statement is written once: the schedule has it once.
        let _ = self.subjects[statement].set(subject);
    }

    /// Subjects that must be on a phone before a batch: those it votes on and doesn't write itself.
    pub fn needed(&self, batch: &Batch) -> Vec<SubjectId> {
        let all = batch.acts.iter().filter_map(|act| match act {
            Act::Vote(statement, _) => self.subjects[*statement].get().copied(),
            Act::Write(_) => None,
        });
        all.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Something was done.
    pub fn step(&self) {
        self.steps.send_modify(|steps| *steps += 1);
    }

    /// A sync begins; it lasts as long as what is returned.
    pub fn sync_begins(&self) -> UnderWay<'_> {
        self.syncing.fetch_add(1, Ordering::Relaxed);
        UnderWay(&self.syncing)
    }
}

/// Replays a conversation.
pub async fn play(conversation: Conversation, options: Options) -> Result<Summary, ProgramError> {
    let begun = Instant::now();
    let temporary = Temporary::new(options.keep)?;
    let listen = free_address()?;
    let folder = temporary.path().join("wijk");
    let server = ServerProcess::new(&folder, listen, &temporary.path().join("server.log"))?;
    let address = server.address();

    let people = conversation.people.len();
    let plan = batches(&conversation, options.seed);
    let steps_total = (conversation.happenings.len() + people) as u64;
    let folder = tokio::task::block_in_place(|| wijk::found(&folder, directory()?, &address))?;
    let (cards, _) = wijk::invite(&folder, Role::Resident, people).await?;
    let with_disk = Seeded::new(options.seed, "disks", 0).pick(DISKS.max(people / 8).min(people / 2), people);
    let disk = |index: usize| -> Option<PathBuf> {
        with_disk.binary_search(&index).is_ok().then(|| temporary.path().join(format!("phone-{index}")))
    };
    let phones = cards.into_iter().enumerate();
    let phones: Vec<_> = phones.map(|(at, card)| Phone::new(at, options.seed, card, disk(at))).collect();
    let phones: Arc<Vec<Mutex<Phone>>> = Arc::new(phones.into_iter().map(Mutex::new).collect());

    let world = Arc::new(World {
        address,
        subjects: conversation.statements.iter().map(|_| OnceLock::new()).collect(),
        conversation,
        steps: watch::Sender::new(0),
        syncing: AtomicU64::new(0),
    });
    server.start().await?;
    let progress = Progress::start(steps_total, world.steps.subscribe());
    let killer = Killer { world: &world, server: &server, options, steps_total };
    let work = async {
        perform(&world, &phones, plan).await?;
        let key = AnswerKey::new(&world, &phones).await?;
        last_round(&world, &phones, Arc::new(key), options).await
    };
    let (findings, kills) = tokio::try_join!(work, killer.run())?;
    progress.stop().await;
    server.stop().await?;
    let mut summary = Summary::new(&world.conversation, findings, kills);
    let mut entries = Vec::new();
    for phone in phones.iter() {
        let mut phone = phone.lock().await;
        entries.extend(std::mem::take(&mut phone.saved));
        summary.count_phone(&phone);
    }
    let key = AnswerKey::new(&world, &phones).await?;
    // The process ends soon. Giving back the millions of small pieces that hundreds of replicas in memory are made of takes
    // longer than comparing them.
    std::mem::forget(phones);
    let copy = tokio::task::block_in_place(|| server_copy::check(&folder, &key, &entries))?;
    summary.count_server(copy);
    summary.seconds = begun.elapsed().as_secs_f64();
    Ok(summary)
}

fn directory() -> Result<Directory, ProgramError> {
    let code = AreaCode::parse("WK000000").map_err(|error| ProgramError::Argument(error.to_string()))?;
    Ok(Directory {
        name: "Replay".into(),
        municipality: "Replay".into(),
        code,
        reference_year: 2027,
        themes: Vec::new(),
        buurten: Vec::new(),
        counter: 1,
    })
}

/// Performs all batches: each as soon as those it needs are synced, the earliest first.
async fn perform(world: &Arc<World>, phones: &Arc<Vec<Mutex<Phone>>>, plan: Vec<Batch>) -> Result<(), ProgramError> {
    let plan = Arc::new(plan);
    let mut missing: Vec<usize> = plan.iter().map(|batch| batch.needs.len()).collect();
    let mut needed_by = vec![Vec::new(); plan.len()];
    for (number, batch) in plan.iter().enumerate() {
        for need in &batch.needs {
            needed_by[*need].push(number);
        }
    }
    let mut ready: BTreeSet<usize> = (0..plan.len()).filter(|number| missing[*number] == 0).collect();
    let mut running = JoinSet::new();
    loop {
        while running.len() < AT_ONCE
            && let Some(number) = ready.pop_first()
        {
            let (world, phones, plan) = (Arc::clone(world), Arc::clone(phones), Arc::clone(&plan));
            running.spawn(async move {
                let batch = &plan[number];
                let mut phone = phones[batch.person].lock().await;
                phone.perform(&world, batch).await.map_err(|error| of_participant(&world, batch.person, &error))?;
                Ok::<usize, ProgramError>(number)
            });
        }
        let Some(done) = running.join_next().await else { return Ok(()) };
        for next in &needed_by[joined(done)??] {
            missing[*next] -= 1;
            if missing[*next] == 0 {
                ready.insert(*next);
            }
        }
    }
}

fn joined<T>(done: Result<T, tokio::task::JoinError>) -> Result<T, ProgramError> {
    done.map_err(|_| ProgramError::Stopped { what: "replay: a task of the replay panicked".into() })
}

fn of_participant(world: &World, person: usize, error: &ProgramError) -> ProgramError {
    let name = world.conversation.people[person];
    ProgramError::Stopped { what: format!("replay: the phone of participant {name} can't go on: {}", error.line()) }
}

/// Every phone syncs once more, so that it has everything, and is compared.
async fn last_round(
    world: &Arc<World>,
    phones: &Arc<Vec<Mutex<Phone>>>,
    key: Arc<AnswerKey>,
    options: Options,
) -> Result<Findings, ProgramError> {
    let tampered = options.tamper.then(|| tamper::choose(&key, options.seed)).flatten();
    let (mut findings, mut running, mut next) = (Findings::default(), JoinSet::new(), 0..phones.len());
    loop {
        while running.len() < AT_ONCE
            && let Some(person) = next.next()
        {
            let (world, phones, key) = (Arc::clone(world), Arc::clone(phones), Arc::clone(&key));
            running.spawn(async move {
                let mut phone = phones[person].lock().await;
                let found = last_sync(&world, &mut phone, &key, tampered).await;
                world.step();
                found.map_err(|error| of_participant(&world, person, &error))
            });
        }
        let Some(done) = running.join_next().await else { return Ok(findings) };
        findings.add(joined(done)??);
    }
}

async fn last_sync(
    world: &World,
    phone: &mut Phone,
    key: &AnswerKey,
    tampered: Option<tamper::Cell>,
) -> Result<Findings, ProgramError> {
    phone.sync(world).await?;
    let tampered = tampered.filter(|cell| cell.phone == phone.index);
    // Texts are read once, from the copy that is looked at last: they cost more than everything else.
    let last_look = phone.disk.is_none() && tampered.is_none();
    let mut findings = check_phone(phone, key, last_look)?;
    if let Some(cell) = tampered {
        tokio::task::block_in_place(|| tamper::change(phone, key, cell))?;
    }
    if !last_look {
        phone.reopen()?;
        // It counts as the same phone: only what differs is added.
        findings.differences.extend(check_phone(phone, key, true)?.differences);
    }
    if phone.disk.is_some() {
        phone.put_away();
    }
    Ok(findings)
}

/// What became of the server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kills {
    /// How often it was killed.
    pub kills: u32,
    /// How often while phones were syncing.
    pub while_syncing: u32,
}

/// Kills the server at seeded moments, counted in what was done, and starts it again.
struct Killer<'r> {
    world: &'r World,
    server: &'r ServerProcess,
    options: Options,
    steps_total: u64,
}

impl Killer<'_> {
    async fn run(self) -> Result<Kills, ProgramError> {
        let mut seeded = Seeded::new(self.options.seed, "kills", 0);
        let mut steps = self.world.steps.subscribe();
        let mut kills = Kills::default();
        for moment in self.moments(&mut seeded) {
            let (aim, away) = (seeded.below(30), seeded.between(50, 400));
            // The world lives until the replay ends.
            let _ = steps.wait_for(|steps| *steps >= moment).await;
            tokio::time::sleep(Duration::from_millis(aim)).await;
            kills.while_syncing += u32::from(self.world.syncing.load(Ordering::Relaxed) > 0);
            self.server.kill()?;
            kills.kills += 1;
            tokio::time::sleep(Duration::from_millis(away)).await;
            self.server.start().await?;
        }
        Ok(kills)
    }

    /// One moment in each equal part of the way, the last among the last syncs.
    fn moments(&self, seeded: &mut Seeded) -> Vec<u64> {
        let parts = u64::from(self.options.kills);
        let last_round = self.world.conversation.people.len() as u64;
        let before = self.steps_total - last_round;
        let moment = |part: u64| {
            let (begin, length) = if part + 1 == parts {
                (before, last_round)
            } else {
                (before * part / parts.max(2), before / parts.max(2))
            };
            begin + length / 10 + seeded.below((length * 8 / 10).max(1))
        };
        (0..parts).map(moment).collect()
    }
}
