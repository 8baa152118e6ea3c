//! The segments of a wijk's logs: packed and compressed once, kept in files, sent as the bytes that were stored.
//!
//! ```text
//! segments/list.json       which segments there are, and what they were made of
//! segments/<hash>.seg      one frame, as it goes over the line, named by its hash
//! ```
//! All of it is derived from the store: whatever is missing, damaged or out of date is made anew, and until then phones are sent
//! pieces. A segment holds bodies, so an erasure takes the files that held them away before it is answered
//! ([`Segments::refresh`]). Bytes are compared with their name before they are sent. Must never serve a body that the store no
//! longer has. Next: `packer` makes them.

mod packer;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use samenspraak_core::hash::{Hash, tagged};
use samenspraak_core::model::{SpaceId, WijkId};
use samenspraak_core::store::log::LogHead;
use samenspraak_core::store::{Store, erased};
use samenspraak_core::sync::pieces::{PieceError, PieceReader};
use serde::{Deserialize, Serialize};

use crate::erased_log::unhex;
use crate::folder::{hex, write_whole};
pub use packer::Packer;

/// Name of the folder in a wijk's folder.
pub const NAME: &str = "segments";
const LIST: &str = "list.json";
/// Version of what stands in the list and in the files.
const LAYOUT: u32 = 1;

/// One segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Segment {
    /// Number of the first item.
    from: u64,
    /// Number behind the last.
    next: u64,
    /// Head of the log behind it.
    head: String,
    /// Name of the file without its ending.
    hash: String,
    /// Bytes of the file.
    bytes: u64,
    /// Whether nothing can be added to it.
    full: bool,
}

/// What stands in the list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct List {
    layout: u32,
    epoch: String,
    /// How many of the store's erasures these segments take account of.
    erasures: u64,
    /// By space: up to where of the log it was looked for what was judged anew.
    looked_at: BTreeMap<String, u64>,
    /// By space, in the order of the log; where one was taken away there is a gap.
    segments: BTreeMap<String, Vec<Segment>>,
}

/// See the module.
pub struct Segments {
    dir: PathBuf,
    wijk: WijkId,
    reader: PieceReader,
    store: Arc<dyn Store>,
    state: OnceLock<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// See [`List`].
    erasures: u64,
    looked_at: BTreeMap<SpaceId, u64>,
    segments: BTreeMap<SpaceId, Vec<Segment>>,
    /// Grows whenever something was taken away: what was read before must not be published after.
    taken_away: u64,
    /// How many items had been looked at, in all logs, when the list was written last.
    noted: u64,
}

/// So many items may be looked at again at the next start: that takes some milliseconds.
const UNNOTED_MAX: u64 = 1024;

/// What is made of one stretch of a log, before it is published.
struct Made {
    space: SpaceId,
    from: u64,
    head: LogHead,
    bytes: Vec<u8>,
    full: bool,
    /// [`State::taken_away`] before it was read.
    as_of: u64,
}

/// A map by space as it stands in the list.
fn by_name<T: Clone>(map: &BTreeMap<SpaceId, T>) -> BTreeMap<String, T> {
    map.iter().map(|(space, value)| (hex(&space.to_bytes()), value.clone())).collect()
}

/// The other way; what names no space is left out.
fn by_space<T>(map: BTreeMap<String, T>) -> BTreeMap<SpaceId, T> {
    let named = map.into_iter();
    named.filter_map(|(name, value)| Some((SpaceId::from_bytes(&unhex(&name)?)?, value))).collect()
}

/// What a file with these bytes is called.
fn file_name(bytes: &[u8]) -> String {
    hex(&tagged("samenspraak/segment/v1", 1, |w| {
        w.bytes(bytes);
    }))
}

impl Segment {
    fn head(&self) -> Option<LogHead> {
        let hash: Hash = unhex(&self.head)?.try_into().ok()?;
        Some(LogHead { next: self.next, hash })
    }
}

impl Segments {
    /// The segments in a wijk's folder. Nothing is read before the first of them is asked for.
    #[must_use]
    pub fn open(folder: &Path, wijk: WijkId, reader: PieceReader, store: Arc<dyn Store>) -> Self {
        Self { dir: folder.join(NAME), wijk, reader, store, state: OnceLock::new() }
    }

    /// Reads the list and keeps of it what fits the logs; nothing in it can be so wrong that it fails.
    fn read(&self) -> Result<State, PieceError> {
        let epoch = hex(&self.reader.epoch());
        let read = fs::read(self.dir.join(LIST)).ok().and_then(|bytes| serde_json::from_slice::<List>(&bytes).ok());
        let read = read.filter(|list| list.layout == LAYOUT && list.epoch == epoch);
        let count = erased::count(self.store.as_ref())?;
        let list = read.filter(|list| list.erasures <= count);
        let list = list.unwrap_or_else(|| List { erasures: count, ..List::default() });
        let mut state = State {
            erasures: list.erasures,
            looked_at: by_space(list.looked_at),
            segments: by_space(list.segments),
            taken_away: 0,
            noted: 0,
        };
        self.check(&mut state)?;
        self.refresh_state(&mut state)?;
        Ok(state)
    }

    /// Keeps of the list what fits the logs.
    fn check(&self, state: &mut State) -> Result<(), PieceError> {
        for (space, segments) in &mut state.segments {
            let empty = LogHead::empty(self.wijk, *space, &self.reader.epoch());
            let mut next = 0;
            for segment in std::mem::take(segments) {
                let fits = segment.from >= next && segment.next > segment.from && self.path(&segment.hash).exists();
                if let (Some(head), true) = (segment.head(), fits)
                    && self.reader.had_head(*space, &empty, &head)?
                {
                    next = segment.next;
                    segments.push(segment);
                }
            }
        }
        Ok(())
    }

    /// What is known of the segments. Whoever asks first has the list read and checked: the packer, at the start, or a phone that
    /// comes before it.
    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.state.get_or_init(|| {
            let read = self.read().unwrap_or_else(|error| {
                tracing::error!(%error, "the logs can't be read: segments are made anew");
                State::default()
            });
            self.sweep(&read);
            Mutex::new(read)
        });
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The frame that begins at number `from` of a log, and where it ends. What can't be read any more is taken away.
    #[must_use]
    pub fn frame(&self, space: SpaceId, from: u64) -> Option<(Vec<u8>, LogHead)> {
        let segment = {
            let state = self.state();
            let segments = state.segments.get(&space)?;
            segments.binary_search_by_key(&from, |segment| segment.from).ok().map(|at| segments[at].clone())?
        };
        let bytes = fs::read(self.path(&segment.hash)).ok().filter(|bytes| file_name(bytes) == segment.hash);
        if let (Some(bytes), Some(head)) = (bytes, segment.head()) {
            return Some((bytes, head));
        }
        tracing::warn!(%space, from, "a segment of the log is damaged: it is made anew");
        self.take_away(&mut self.state(), space, &BTreeSet::from([from]));
        None
    }

    /// Whether the list was read and checked: before that, asking anything else may take a while.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.state.get().is_some()
    }

    /// Whether a segment begins at number `from` of a log.
    #[must_use]
    pub fn begins(&self, space: SpaceId, from: u64) -> bool {
        let state = self.state();
        let segments = state.segments.get(&space).map_or(&[][..], Vec::as_slice);
        segments.binary_search_by_key(&from, |segment| segment.from).is_ok()
    }

    /// Number at which the next segment behind `from` begins.
    #[must_use]
    pub fn next_after(&self, space: SpaceId, from: u64) -> Option<u64> {
        let state = self.state();
        let segments = state.segments.get(&space)?;
        segments.get(segments.partition_point(|segment| segment.from <= from)).map(|segment| segment.from)
    }

    /// Takes account of what was erased and of what was judged anew since it was asked last: segments that hold such items go,
    /// with their files. Call it after a commit that erased something, before that is answered. Returns whether any went.
    ///
    /// # Errors
    /// When the store can't be read: then nothing is served until it can.
    pub fn refresh(&self) -> Result<bool, PieceError> {
        let mut state = self.state();
        let done = self.refresh_state(&mut state);
        if done.is_err() {
            let all = std::mem::take(&mut state.segments);
            state.taken_away += 1;
            all.values().flatten().for_each(|segment| self.remove(&segment.hash));
        }
        done
    }

    fn refresh_state(&self, state: &mut State) -> Result<bool, PieceError> {
        let mut touched: BTreeMap<SpaceId, BTreeSet<u64>> = BTreeMap::new();
        for erasure in erased::since(self.store.as_ref(), state.erasures)? {
            state.erasures += 1;
            let numbers = self.reader.numbers_about(erasure.space, erasure.subject)?;
            touched.entry(erasure.space).or_default().extend(numbers);
        }
        let spaces: Vec<SpaceId> = state.segments.keys().copied().collect();
        for space in spaces {
            let from = state.looked_at.get(&space).copied().unwrap_or(0);
            let (numbers, next) = self.reader.judged_again(space, from)?;
            state.looked_at.insert(space, next);
            touched.entry(space).or_default().extend(numbers);
        }
        let mut went = false;
        for (space, numbers) in touched.into_iter().filter(|(_, numbers)| !numbers.is_empty()) {
            // What is being packed at this moment may hold it too.
            state.taken_away += 1;
            went |= self.take_away(state, space, &numbers);
        }
        Ok(went)
    }

    /// Takes the segments away that hold one of these items.
    fn take_away(&self, state: &mut State, space: SpaceId, numbers: &BTreeSet<u64>) -> bool {
        let Some(segments) = state.segments.get_mut(&space) else { return false };
        let holds = |segment: &Segment| numbers.range(segment.from..segment.next).next().is_some();
        let gone: Vec<Segment> = segments.iter().filter(|segment| holds(segment)).cloned().collect();
        segments.retain(|segment| !holds(segment));
        if gone.is_empty() {
            return false;
        }
        state.taken_away += 1;
        self.save(state);
        gone.iter().for_each(|segment| self.remove(&segment.hash));
        true
    }

    fn path(&self, hash: &str) -> PathBuf {
        self.dir.join(format!("{hash}.seg"))
    }

    fn remove(&self, hash: &str) {
        match fs::remove_file(self.path(hash)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::error!(%error, "a segment with erased words can't be removed");
            }
            _ => {}
        }
    }

    fn save(&self, state: &mut State) {
        state.noted = state.looked_at.values().sum();
        let list = List {
            layout: LAYOUT,
            epoch: hex(&self.reader.epoch()),
            erasures: state.erasures,
            looked_at: by_name(&state.looked_at),
            segments: by_name(&state.segments),
        };
        let saved = serde_json::to_vec_pretty(&list).map_err(std::io::Error::other);
        // Without the list the next start makes all of it anew.
        if let Err(error) = saved.and_then(|bytes| write_whole(&self.dir.join(LIST), &bytes, true)) {
            tracing::warn!(%error, "the list of segments can't be written");
        }
    }

    /// Adds what was made, in place of what it covers, unless something was taken away since it was read.
    fn publish(&self, made: &Made) -> bool {
        let hash = file_name(&made.bytes);
        let written = fs::create_dir_all(&self.dir).and_then(|()| write_whole(&self.path(&hash), &made.bytes, true));
        let mut state = self.state();
        if written.is_err() || state.taken_away != made.as_of {
            self.remove(&hash);
            return false;
        }
        let segments = state.segments.entry(made.space).or_default();
        let covered = |segment: &Segment| segment.from < made.head.next && segment.next > made.from;
        let gone: Vec<Segment> = segments.iter().filter(|segment| covered(segment)).cloned().collect();
        segments.retain(|segment| !covered(segment));
        let at = segments.partition_point(|segment| segment.from < made.from);
        let (from, next, head) = (made.from, made.head.next, hex(&made.head.hash));
        let bytes = made.bytes.len() as u64;
        segments.insert(at, Segment { from, next, head, hash: hash.clone(), bytes, full: made.full });
        self.save(&mut state);
        // Whoever is reading one of them at this moment gets a piece instead.
        gone.iter().filter(|segment| segment.hash != hash).for_each(|segment| self.remove(&segment.hash));
        true
    }

    /// Writes down up to where the logs were looked at, if that is much more than the list says: the next start need not do it
    /// again.
    fn note(&self) {
        let mut state = self.state();
        if state.looked_at.values().sum::<u64>() >= state.noted + UNNOTED_MAX {
            self.save(&mut state);
        }
    }

    /// Removes files that no list names: what a kill left behind.
    fn sweep(&self, state: &State) {
        let named: BTreeSet<String> =
            state.segments.values().flatten().map(|segment| format!("{}.seg", segment.hash)).collect();
        let Ok(files) = fs::read_dir(&self.dir) else { return };
        for file in files.flatten() {
            let file_name = file.file_name().to_string_lossy().into_owned();
            if file_name != LIST && !named.contains(&file_name) {
                // What can't be removed now is tried again at the next start.
                let _ = fs::remove_file(file.path());
            }
        }
    }
}
