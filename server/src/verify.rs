//! `verify`: recomputes every chain and every log head of a data folder, and says what it found.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use samenspraak_core::app::Identity;
use samenspraak_core::entry::Header;
use samenspraak_core::entry::sign;
use samenspraak_core::entry::subject::{body_hash, tombstone_salt};
use samenspraak_core::entry::{Kind, codec};
use samenspraak_core::hash::Hash;
use samenspraak_core::model::{DeviceId, EntryId, SpaceId, SubjectId, WijkId};
use samenspraak_core::replica::{EntryRow, Head, Place, SubjectRow};
use samenspraak_core::store::disk::{DiskStore, Verification};
use samenspraak_core::store::log::{Epoch, LogHead, decode_head, decode_run};
use samenspraak_core::store::{Store, Table, keys, walk};

use crate::device::{PHONE, phone_vault, read_device};
use crate::error::ProgramError;
use crate::folder::{Folder, Which};

/// What was found in one store.
#[derive(Debug, Default)]
pub struct Found {
    /// Chains whose links were recomputed.
    pub chains: usize,
    /// Entries in them.
    pub entries: usize,
    /// Signatures that were checked.
    pub signatures: usize,
    /// Bodies whose hash was recomputed.
    pub bodies: usize,
    /// Log items whose head was recomputed.
    pub items: usize,
    /// Everything that doesn't fit, each in a line of its own.
    pub problems: Vec<String>,
}

/// Checks a data folder of a wijk or of a phone and prints what it found.
///
/// # Errors
/// [`ProgramError::Found`] when anything doesn't fit; others when it can't be read.
pub fn run(path: &Path) -> Result<(), ProgramError> {
    let mut problems = 0;
    if path.join("wijk.json").exists() {
        let folder = Folder::open(path)?;
        for which in Which::ALL {
            let path = folder.store_path(which);
            let (store, journal) = match which {
                Which::Server => {
                    let (store, journal) = DiskStore::open_read_only(&path)?;
                    (Arc::new(store) as Arc<dyn Store>, journal)
                }
                Which::Root | Which::Board => read_device(&path, &folder.vault(), which.name())?,
            };
            problems += check(which.name(), store.as_ref(), &journal, Some(folder.wijk()?))?;
        }
    } else if path.join("journal").exists() {
        let (store, journal) = read_device(path, &phone_vault(path), PHONE)?;
        problems += check("phone", store.as_ref(), &journal, None)?;
    } else {
        let hint = "name the folder that was given to `wijk new` or to `phone --data`";
        return Err(ProgramError::NoFolder { path: path.to_owned(), what: "data", hint });
    }
    if problems > 0 {
        return Err(ProgramError::Found { what: format!("verify: {problems} problems found; nothing was changed") });
    }
    say!("verify: everything fits");
    Ok(())
}

fn check(name: &str, store: &dyn Store, journal: &Verification, wijk: Option<WijkId>) -> Result<usize, ProgramError> {
    let mut found = Found::default();
    for damage in &journal.damage {
        found.problems.push(format!("{}: {}", damage.place, damage.what));
    }
    if journal.torn_bytes > 0 {
        say!("{name}: {} bytes of an unfinished write at the end; the next start cuts them off", journal.torn_bytes);
    }
    let identity = store.get(Table::Meta, b"identity")?.and_then(|bytes| Identity::decode(&bytes).ok());
    match wijk.or(identity.map(|identity| identity.wijk)) {
        Some(wijk) => check_store(store, wijk, &mut found)?,
        None => found.problems.push("it belongs to no wijk yet".into()),
    }
    for problem in &found.problems {
        say!("{name}: {problem}");
    }
    say!(
        "{name}: {} chains with {} entries, {} signatures, {} bodies, {} log items, {} frames: {} problems",
        found.chains,
        found.entries,
        found.signatures,
        found.bodies,
        found.items,
        journal.frames,
        found.problems.len()
    );
    Ok(found.problems.len())
}

/// Checks chains and logs of one store.
///
/// # Errors
/// When the store can't be read.
pub fn check_store(store: &dyn Store, wijk: WijkId, found: &mut Found) -> Result<(), ProgramError> {
    check_chains(store, wijk, found)?;
    check_logs(store, wijk, found)
}

fn check_chains(store: &dyn Store, wijk: WijkId, found: &mut Found) -> Result<(), ProgramError> {
    let mut ends: BTreeMap<(SpaceId, DeviceId), Head> = BTreeMap::new();
    walk::<ProgramError>(store, Table::Entry, &[], |row| {
        let (Some(place), Ok(entry)) = (Place::decode(&row.key), EntryRow::decode(&row.value)) else {
            found.problems.push("an entry can't be read".into());
            return Ok(());
        };
        found.entries += 1;
        let chain = (place.space, place.device);
        let before = ends.get(&chain).copied();
        let expected = before.map_or(0, |head| head.seq + 1);
        if place.seq != expected {
            found.problems.push(format!("{} chain of {:?}: {expected} is missing", place.space, place.device));
        }
        let header = Header {
            wijk,
            space: place.space,
            device: place.device,
            seq: place.seq,
            prev: before.map_or(EntryId::ZERO, |head| head.id),
            subject: entry.subject,
            kind: entry.kind,
            body_hash: entry.body_hash,
            extra: entry.extra.clone(),
        };
        let mut wrong = |what: &str| {
            found.problems.push(format!("{} entry {} of {:?}: {what}", place.space, place.seq, place.device));
        };
        if header.id() != entry.id {
            wrong("its id isn't the hash of its header");
        }
        if let Some(signature) = &entry.signature {
            found.signatures += 1;
            if !sign::verify_entry(place.device, entry.id, signature) {
                wrong("its signature isn't its device's");
            }
        }
        if let Some(body) = entry.kept.body()
            && let Some(hash) = recomputed_hash(store, place, &entry, body)?
        {
            found.bodies += 1;
            if hash != entry.body_hash {
                wrong("its body isn't the one its header names");
            }
        }
        ends.insert(chain, Head { seq: place.seq, id: entry.id });
        Ok(())
    })?;
    found.chains = ends.len();
    for ((space, device), end) in ends {
        let head = store.get(Table::Meta, &keys::chain_head(space, device))?;
        if head.and_then(|head| Head::decode(&head).ok()) != Some(end) {
            found.problems.push(format!("{space} chain of {device:?}: its end isn't where it should be"));
        }
    }
    Ok(())
}

fn recomputed_hash(
    store: &dyn Store,
    place: Place,
    entry: &EntryRow,
    body: &[u8],
) -> Result<Option<Hash>, ProgramError> {
    let salt = if entry.kind == Kind::TOMBSTONE {
        Some(tombstone_salt())
    } else if entry.creates {
        codec::opening(body).ok().flatten().map(|opening| opening.seed.salt())
    } else {
        subject_salt(store, place.space, entry.subject)?
    };
    Ok(salt.map(|salt| body_hash(&salt, place.device, place.seq, body)))
}

fn subject_salt(
    store: &dyn Store,
    space: SpaceId,
    subject: SubjectId,
) -> Result<Option<samenspraak_core::entry::Salt>, ProgramError> {
    let row = store.get(Table::Subject, &keys::subject(space, subject))?;
    let row = row.and_then(|row| SubjectRow::decode(&row).ok());
    Ok(row.and_then(|row| row.opening).map(|(seed, _)| seed.salt()))
}

fn check_logs(store: &dyn Store, wijk: WijkId, found: &mut Found) -> Result<(), ProgramError> {
    let mut heads: Vec<(SpaceId, Epoch, LogHead)> = Vec::new();
    let prefix = b"log-head/";
    walk::<ProgramError>(store, Table::Meta, prefix, |row| {
        let key = &row.key[prefix.len()..];
        let at = key.len().saturating_sub(16);
        let space = SpaceId::from_bytes(&key[..at]);
        let epoch: Option<Epoch> = key[at..].try_into().ok();
        match (space, epoch, decode_head(&row.value)) {
            (Some(space), Some(epoch), Ok(head)) => heads.push((space, epoch, head)),
            _ => found.problems.push("the head of a log can't be read".into()),
        }
        Ok(())
    })?;
    for (space, epoch, head) in heads {
        let mut computed = LogHead::empty(wijk, space, &epoch);
        let mut stopped = false;
        while computed.next < head.next && !stopped {
            let key = keys::log_line(space, &epoch, computed.next);
            let Some(Ok((items, _))) = store.get(Table::Log, &key)?.map(|row| decode_run(&row)) else {
                stopped = true;
                continue;
            };
            stopped = items.is_empty();
            for item in items {
                computed = computed.after(&item);
                found.items += 1;
                if store.get(Table::EntryId, item.id.as_bytes())?.is_none() {
                    let number = computed.next - 1;
                    found.problems.push(format!("log of {space}, item {number}: its entry is missing"));
                }
            }
        }
        if computed != head {
            found.problems.push(format!("log of {space}: its head doesn't fit item {}", computed.next));
        }
    }
    Ok(())
}
