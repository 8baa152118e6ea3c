//! Wijken that are made once and kept, so that a run begins with copying a folder.
//!
//! Everything is written the way it is in life: residents join with cards, their devices sign every change, and the server
//! admits, numbers and stores them through [`Server::admit`]. Documents follow from the seed; keys of the wijk are random.
//! A kept wijk is never served itself: every run gets a copy.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use samenspraak_core::app::Command;
use samenspraak_core::gate::Verdict;
use samenspraak_core::membership::card::{CardLink, CardSecret};
use samenspraak_core::model::{AreaCode, Directory, Role, SpaceId, Theme, WijkId};
use samenspraak_core::store::disk::{DiskOptions, DiskStore};
use samenspraak_core::store::{Batch, MemoryStore, Store, Table};
use samenspraak_core::sync::server::{PushJob, Server};
use samenspraak_core::sync::wire::Frame;
use samenspraak_server::client::Driver;
use samenspraak_server::date::today;
use samenspraak_server::device::DeviceStore;
use samenspraak_server::local;
use samenspraak_server::replay::seeded::Seeded;
use samenspraak_server::wijk::Founding;
use serde::{Deserialize, Serialize};

use crate::author::{Author, Planned};
use crate::documents::SESSION_BEGINS;
use crate::problem::Problem;
use crate::serving::Serving;

/// Changes when wijken are made in another way: kept ones of before are not used then.
const GENERATION: u32 = 2;
/// Longest that a server may take to prepare what it keeps for fresh phones.
const PREPARE_MAX: Duration = Duration::from_secs(120);
/// Days that went by while the documents were written.
const DAYS: u32 = 28;
/// Pushes admitted together: as many as wait for one flush on a busy evening.
const GROUP: usize = 64;
/// Documents of the phone that goes offline for a week, so that it has twenty of its own to change.
const OWN_MAX: usize = 20;
/// Rows copied in one batch.
const COPY_ROWS: usize = 2000;
/// Address on cards; every run gives its phones the real one.
const ADDRESS: &str = "http://127.0.0.1:9";

/// What a wijk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Documents.
    pub docs: usize,
    /// Residents who wrote them; the first also keeps a whole phone, in `me`.
    pub authors: usize,
    /// Authors whose devices are kept, to write on during a run.
    pub kept: usize,
    /// Facilitators, who wrote nothing yet; all are kept.
    pub facilitators: usize,
    /// Cards of residents that nobody used yet.
    pub cards: usize,
    /// From which words and choices follow.
    pub seed: u64,
}

impl Spec {
    /// 200 residents per 1,000 documents wrote them, at least 8; devices are kept that hold 200 documents together.
    pub fn ordinary(docs: usize, seed: u64) -> Self {
        let authors = (docs / 5).max(8);
        Self { docs, authors, kept: authors.min(64), facilitators: 0, cards: 16, seed }
    }

    fn folder(&self) -> String {
        let Self { docs, authors, kept, facilitators, cards, seed } = self;
        format!("wijk-g{GENERATION}-d{docs}-a{authors}-k{kept}-f{facilitators}-c{cards}-s{seed}")
    }
}

/// One document of a kept wijk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeptDocument {
    /// Its subject, in hexadecimal digits.
    pub subject: String,
    /// Its heads.
    pub heads: String,
    /// Its title.
    pub title: String,
    /// Which author wrote it.
    pub author: usize,
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    wijk: String,
    documents: Vec<KeptDocument>,
    cards: Vec<String>,
    /// Items in the log of `open`.
    open_items: u64,
}

/// A kept wijk, or a run's copy of one.
pub struct Kept {
    path: PathBuf,
    /// What it holds.
    pub spec: Spec,
    /// Which wijk it is.
    pub wijk: WijkId,
    /// Its documents, in the order in which they were begun.
    pub documents: Vec<KeptDocument>,
    /// Items in the log of `open`.
    pub open_items: u64,
    cards: Vec<String>,
}

impl Kept {
    /// The wijk of a specification: kept below `base`, made when it isn't there, and served once by `program` until that had
    /// nothing to do any more: what a server prepares for fresh phones is there in every wijk that runs.
    ///
    /// # Errors
    /// When it can't be made.
    pub async fn ensure(base: &Path, spec: Spec, program: &Path) -> Result<Self, Problem> {
        let path = base.join(spec.folder());
        if !path.join("manifest.json").exists() {
            let unfinished = base.join(format!("{}.unfinished", spec.folder()));
            if unfinished.exists() {
                fs::remove_dir_all(&unfinished)?;
            }
            let made = tokio::task::block_in_place(|| Self::make(&unfinished, spec))?;
            let mut serving = Serving::start(program, &made.server_folder()).await?;
            serving.process.settle(PREPARE_MAX).await;
            serving.process.stop().await?;
            fs::rename(&unfinished, &path)?;
        }
        Self::open(path, spec)
    }

    /// Makes a wijk in a new folder.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn make(path: &Path, spec: Spec) -> Result<Self, Problem> {
        fs::create_dir_all(path)?;
        make(path, spec)?;
        Self::open(path.to_owned(), spec)
    }

    fn open(path: PathBuf, spec: Spec) -> Result<Self, Problem> {
        let manifest: Manifest = serde_json::from_slice(&fs::read(path.join("manifest.json"))?)?;
        let wijk = WijkId::from_hex(&manifest.wijk).ok_or("a manifest without a wijk")?;
        let Manifest { documents, cards, open_items, .. } = manifest;
        Ok(Self { path, spec, wijk, documents, open_items, cards })
    }

    /// A copy of it for one run.
    ///
    /// # Errors
    /// When it can't be copied.
    pub fn copy(&self, to: &Path) -> Result<Self, Problem> {
        if to.exists() {
            fs::remove_dir_all(to)?;
        }
        copy_folder(&self.path, to)?;
        // A server that finds itself copied begins a new epoch and numbers everything anew. This copy takes the place of the
        // one it was made from, of which nobody has seen more: as a folder does that is moved to another disk.
        match fs::remove_file(to.join("wijk/keys/here")) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        Self::open(to.to_owned(), self.spec)
    }

    /// The data folder of the server.
    pub fn server_folder(&self) -> PathBuf {
        self.path.join("wijk")
    }

    /// The folder of the phone of the first author.
    pub fn me_folder(&self) -> PathBuf {
        self.path.join("me")
    }

    /// A place for something of this run.
    pub fn place(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A card that nobody used.
    ///
    /// # Errors
    /// When there aren't as many.
    pub fn card(&self, number: usize) -> Result<CardLink, Problem> {
        let letters = self.cards.get(number).ok_or("no cards left in this wijk")?;
        let secret = CardSecret::parse(letters)?;
        Ok(CardLink { server: ADDRESS.to_owned(), wijk: self.wijk, secret, device_of: None })
    }

    /// The store of an author's device, in memory.
    ///
    /// # Errors
    /// When it wasn't kept.
    pub fn author_store(&self, number: usize) -> Result<Arc<dyn Store>, Problem> {
        read_back(&self.path.join(format!("author-{number}")))
    }

    /// The store of a facilitator's device, in memory.
    ///
    /// # Errors
    /// When there aren't as many.
    pub fn facilitator_store(&self, number: usize) -> Result<Arc<dyn Store>, Problem> {
        read_back(&self.path.join(format!("facilitator-{number}")))
    }

    /// An author's device.
    ///
    /// # Errors
    /// When it wasn't kept.
    pub fn author(&self, number: usize) -> Result<Author, Problem> {
        Author::open(self.author_store(number)?, Seeded::new(self.spec.seed, "run", number))
    }

    /// Documents of an author.
    pub fn documents_of(&self, author: usize) -> impl Iterator<Item = &KeptDocument> {
        self.documents.iter().filter(move |document| document.author == author)
    }
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Problem> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &place)?;
        } else {
            fs::copy(entry.path(), &place)?;
        }
    }
    let rights = fs::metadata(from)?.permissions();
    Ok(fs::set_permissions(to, rights)?)
}

/// Copies all rows of one store into another.
fn copy_rows(from: &dyn Store, to: &dyn Store) -> Result<(), Problem> {
    for table in Table::ALL {
        let mut next = Vec::new();
        loop {
            let rows = from.scan(table, &next, None, COPY_ROWS)?;
            let full = rows.len() == COPY_ROWS;
            let mut batch = Batch::new();
            for row in rows {
                next.clone_from(&row.key);
                batch.put(table, row.key, row.value);
            }
            if !batch.is_empty() {
                to.commit(&batch)?;
            }
            if !full {
                break;
            }
            next.push(0);
        }
    }
    Ok(())
}

fn keep(store: &dyn Store, path: &Path) -> Result<(), Problem> {
    fs::create_dir_all(path)?;
    let (disk, _) = DiskStore::open(path, DiskOptions::default())?;
    copy_rows(store, &disk)?;
    Ok(disk.close()?)
}

fn read_back(path: &Path) -> Result<Arc<dyn Store>, Problem> {
    let (disk, _) = DiskStore::open_read_only(path)?;
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::new());
    copy_rows(&disk, memory.as_ref())?;
    Ok(memory)
}

fn directory() -> Result<Directory, Problem> {
    Ok(Directory {
        name: "Benchwijk".to_owned(),
        municipality: "Meetstad".to_owned(),
        code: AreaCode::parse("WK999901")?,
        reference_year: 2025,
        themes: (1..=5).map(|number| Theme { number, name: format!("thema {number}") }).collect(),
        buurten: Vec::new(),
        counter: 1,
    })
}

fn join(card: CardLink, random: &mut Seeded) -> Result<Arc<dyn Store>, Problem> {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    Driver::open(Arc::clone(&store))?.command_with(random.bytes(), Command::Join { card })?;
    Ok(store)
}

/// Pushes that wait to be admitted together.
struct Pushing<'s> {
    server: &'s mut Server,
    waiting: Vec<PushJob>,
    day: u32,
}

impl Pushing<'_> {
    fn push(&mut self, author: &Author, space: SpaceId, first_seq: u64) -> Result<(), Problem> {
        let mut next = first_seq;
        while let Some((batch, end)) = author.runs(space, next)? {
            self.waiting.push(PushJob { push: self.waiting.len() as u64, space, batch });
            next = end;
            if self.waiting.len() >= GROUP {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Problem> {
        let jobs = std::mem::take(&mut self.waiting);
        if jobs.is_empty() {
            return Ok(());
        }
        let (answers, _) = self.server.admit(&jobs, self.day)?;
        for answer in answers {
            match answer {
                Frame::Receipt(receipt) if receipt.lines.iter().all(|line| line.verdict == Verdict::Present) => {}
                other => return Err(format!("the server did not take what was written: {other:?}").into()),
            }
        }
        Ok(())
    }
}

/// Deals documents to authors: the first gets those it will change, everybody else at least one, the rest by chance.
fn deal(spec: &Spec, random: &mut Seeded) -> Vec<usize> {
    let own = if spec.authors == spec.docs { 1 } else { OWN_MAX.min(spec.docs / 5).max(1) };
    let others = (spec.authors - 1).max(1) as u64;
    let mut dealt: Vec<usize> = (0..spec.docs)
        .map(|number| match number {
            first if first < own => 0,
            next if next - own < spec.authors - 1 => next - own + 1,
            _ => 1 + random.below(others) as usize,
        })
        .map(|author| author.min(spec.authors - 1))
        .collect();
    for at in (1..dealt.len()).rev() {
        dealt.swap(at, random.below(at as u64 + 1) as usize);
    }
    dealt
}

fn make(path: &Path, spec: Spec) -> Result<(), Problem> {
    let first_day = today().saturating_sub(DAYS);
    let mut founding = Founding::begin(&path.join("wijk"), directory()?, ADDRESS, first_day)?;
    let mut stores = Vec::new();
    for (role, count) in [(Role::Resident, spec.authors), (Role::Facilitator, spec.facilitators)] {
        let mut left = count;
        while left > 0 {
            let now = left.min(samenspraak_core::app::INVITE_COUNT_MAX);
            for card in founding.cards(role, now, first_day)? {
                let mut random = Seeded::new(spec.seed, "join", stores.len());
                stores.push(join(card, &mut random)?);
            }
            left -= now;
        }
    }
    let spare = if spec.cards > 0 { founding.cards(Role::Resident, spec.cards, first_day)? } else { Vec::new() };
    let wijk = founding.server.replica().wijk();
    let open = |(number, store): (usize, &Arc<dyn Store>)| {
        Author::open(Arc::clone(store), Seeded::new(spec.seed, "author", number))
    };
    let mut authors = stores.iter().enumerate().map(open).collect::<Result<Vec<_>, _>>()?;
    let mut pushing = Pushing { server: &mut founding.server, waiting: Vec::new(), day: first_day };
    authors.iter().try_for_each(|author| pushing.push(author, SpaceId::Members, 0))?;
    pushing.flush()?;

    let dealt = deal(&spec, &mut Seeded::new(spec.seed, "deal", 0));
    let mut planned: Vec<Planned> = Vec::with_capacity(spec.docs);
    for (number, author) in dealt.iter().enumerate() {
        planned.push(authors[*author].plan(spec.seed, number)?);
    }
    let steps = SESSION_BEGINS.len() * spec.docs;
    let mut done = 0;
    for session in 0..SESSION_BEGINS.len() {
        for (plan, author) in planned.iter().zip(&dealt) {
            let author = &mut authors[*author];
            let first = author.written(SpaceId::Open);
            author.write_session(plan, session)?;
            pushing.day = first_day + (done * DAYS as usize / steps.max(1)) as u32;
            pushing.push(author, SpaceId::Open, first)?;
            done += 1;
        }
    }
    pushing.flush()?;
    // The board's own device, inside the server, has seen all of it, as in any wijk that runs.
    local::sync_on(&mut founding.board, &mut founding.server, today())?;
    local::sync_on(&mut founding.root, &mut founding.server, today())?;
    let open_items = founding.server.reader().head(SpaceId::Open)?.next;
    founding.finish()?;

    for (number, author) in authors.iter().enumerate() {
        match number.checked_sub(spec.authors) {
            Some(facilitator) => {
                keep(author.store().as_ref(), &path.join(format!("facilitator-{facilitator}")))?;
            }
            None if number < spec.kept => keep(author.store().as_ref(), &path.join(format!("author-{number}")))?,
            None => {}
        }
    }
    if let Some(first) = authors.first() {
        let me = DeviceStore::open_phone(&path.join("me"))?;
        copy_rows(first.store().as_ref(), me.rows().as_ref())?;
        me.close()?;
    }
    let documents = planned.iter().zip(&dealt).map(|(plan, author)| KeptDocument {
        subject: plan.subject.to_string(),
        heads: plan.history.heads.clone(),
        title: plan.history.title.clone(),
        author: *author,
    });
    let manifest = Manifest {
        wijk: wijk.to_string(),
        documents: documents.collect(),
        cards: spare.iter().map(|card| card.secret.letters()).collect(),
        open_items,
    };
    Ok(fs::write(path.join("manifest.json"), serde_json::to_vec(&manifest)?)?)
}
