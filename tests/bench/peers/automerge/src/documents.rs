//! The documents of the benchmark as automerge peers have them, and the folder layout that automerge-repo's nodefs storage
//! and samod's file system storage share.
//!
//! As many changes, sessions and bytes of text as ours; the ids are known to a phone beforehand, which favours the peers.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use automerge::transaction::Transactable;
use automerge::{ActorId, AutoCommit, ChangeHash, ObjType, ROOT, ReadDoc};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use crate::problem::Problem;

const WORDS: [&str; 56] = [
    "de", "het", "een", "van", "wij", "buurt", "straat", "plein", "bewoners", "gemeente", "speeltuin", "verkeer", "fietspad",
    "groen", "bankje", "overlast", "voorstel", "vergadering", "avond", "samen", "graag", "zouden", "willen", "omdat",
    "kinderen", "ouderen", "veilig", "parkeren", "bomen", "aanleg", "subsidie", "wijkteam", "besluit", "notulen", "actie",
    "volgende", "week", "iedereen", "mening", "oversteek", "drempel", "verlichting", "afval", "container", "moestuin",
    "initiatief", "stemmen", "tegen", "voor", "misschien", "niet", "wel", "altijd", "hoek", "school", "winkel",
];

/// A document as it lies on a server's disk.
pub struct Stored {
    /// Its id in automerge-repo's form.
    pub id: String,
    /// Saved.
    pub bytes: Vec<u8>,
    /// Its heads.
    pub heads: Vec<ChangeHash>,
}

/// All documents of a wijk.
pub type Wijk = Arc<Vec<Stored>>;

/// The id of document `number` of a seed: a well-formed version 4 UUID.
pub fn id(seed: u64, number: u64) -> String {
    let hash = Sha256::digest([seed.to_le_bytes(), number.to_le_bytes()].concat());
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&hash[..16]);
    uuid[6] = (uuid[6] & 0x0f) | 0x40;
    uuid[8] = (uuid[8] & 0x3f) | 0x80;
    bs58::encode(uuid).with_check().into_string()
}

/// An actor.
pub fn actor(seed: u64, number: u64) -> ActorId {
    ActorId::from(&Sha256::digest([seed.to_be_bytes(), number.to_be_bytes()].concat())[..16])
}

/// Words of about so many bytes.
pub fn words(random: &mut ChaCha8Rng, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 12);
    while text.len() < bytes {
        text.push_str(WORDS[random.gen_range(0..WORDS.len())]);
        text.push(' ');
    }
    text
}

/// One document: a few fields, about 600 bytes of text, 20 changes by 3 actors.
pub fn document(seed: u64, number: u64) -> Result<AutoCommit, Problem> {
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ number.wrapping_mul(0x9E37_79B9));
    let mut doc = AutoCommit::new().with_actor(actor(seed, number * 4));
    doc.put(ROOT, "titel", words(&mut random, 30))?;
    doc.put(ROOT, "thema", 1 + random.gen_range(0..5_i64))?;
    doc.put(ROOT, "buurt", "")?;
    let text = doc.put_object(ROOT, "tekst", ObjType::Text)?;
    doc.splice_text(&text, 0, 0, &words(&mut random, 70))?;
    doc.commit();
    for at in 1..20_u64 {
        if at % 7 == 0 {
            doc.set_actor(actor(seed, number * 4 + at / 7));
        }
        if at % 10 == 9 {
            doc.put(ROOT, "thema", 1 + (at as i64 + random.gen_range(0..4_i64)) % 5)?;
        } else {
            let more = words(&mut random, 28);
            append(&mut doc, &more)?;
        }
        doc.commit();
    }
    Ok(doc)
}

/// Adds words at the end of a document's text.
pub fn append(doc: &mut AutoCommit, more: &str) -> Result<(), Problem> {
    let (_, text) = doc.get(ROOT, "tekst")?.ok_or("a document without text")?;
    let end = doc.length(&text);
    Ok(doc.splice_text(&text, end, 0, more)?)
}

/// So many documents.
pub fn wijk(count: usize, seed: u64) -> Result<Wijk, Problem> {
    let made = (0..count as u64).map(|number| {
        let mut doc = document(seed, number)?;
        Ok(Stored { id: id(seed, number), bytes: doc.save(), heads: doc.get_heads() })
    });
    Ok(Arc::new(made.collect::<Result<_, Problem>>()?))
}

/// Puts documents where both servers look for them.
pub fn write_store(folder: &Path, wijk: &[Stored]) -> Result<(), Problem> {
    for stored in wijk {
        let place = folder.join(&stored.id[..2]).join(&stored.id[2..]).join("snapshot");
        fs::create_dir_all(&place)?;
        let mut hash = Sha256::new();
        for head in &stored.heads {
            hash.update(head.0);
        }
        let name: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(place.join(name), &stored.bytes)?;
    }
    Ok(())
}

/// Reads a document back from a server's disk: every chunk below its folder.
pub fn read_store(folder: &Path, id: &str) -> AutoCommit {
    let base = folder.join(&id[..2]).join(&id[2..]);
    let mut doc = AutoCommit::new();
    for kind in ["snapshot", "incremental"] {
        for file in fs::read_dir(base.join(kind)).into_iter().flatten().flatten() {
            if let Ok(bytes) = fs::read(file.path()) {
                // A chunk that was being written when the server was killed is as good as not there.
                drop(doc.load_incremental(&bytes));
            }
        }
    }
    doc
}

/// Which of these changes a document on disk lacks.
pub fn missing<'c>(doc: &mut AutoCommit, changes: impl Iterator<Item = &'c ChangeHash>) -> BTreeSet<ChangeHash> {
    changes.filter(|hash| doc.get_change_by_hash(hash).is_none()).copied().collect()
}
