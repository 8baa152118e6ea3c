//! What this phone keeps of its own sealed input: the words, what the answer is sealed to, and what erases it. The author
//! can't read the space it went to, so nobody else's copy helps.

use crate::cbor::{CborError, Reader, Writer};
use crate::entry::codec::{self, Opening, Record};
use crate::entry::{EraseSecret, Kind, Seed, Tombstone};
use crate::hash::Hash;
use crate::model::closed::SEALED_BYTES_MAX;
use crate::model::{GenerationId, Sealed, SealedWords, SpaceId, SubjectId, WijkId};
use crate::replica::ReplicaError;
use crate::seal::{self, Context, DropInner, ReceiptSecret, SealError, SealPublic};
use crate::store::erased::{self, Erasure};
use crate::store::{Batch, Store, Table};

/// How far it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Flushed here; not receipted.
    Saved,
    /// The server's word is here that it is flushed there.
    Arrived {
        /// When, as days since 1 January 1970.
        day: u32,
    },
    /// To be erased; the server has not said yet that it knows.
    Erasing,
    /// Erased, and the server knows.
    Erased,
}

/// One own sealed input.
#[derive(Clone, Debug)]
pub struct OwnSealed {
    /// Where it goes.
    pub space: SpaceId,
    /// What it says; gone once it is erased.
    pub words: Option<SealedWords>,
    /// With which answers are found.
    pub receipt: ReceiptSecret,
    /// Opens its subject.
    pub seed: Seed,
    /// Erases it.
    pub erase_secret: EraseSecret,
    /// For sealing, once.
    pub entropy: [u8; 32],
    /// The body, once there was a key to seal it to.
    pub body: Option<Vec<u8>>,
    /// How far it got.
    pub stage: Stage,
}

/// Takes the words out of own sealed input that a list from elsewhere says was erased; an old copy of the store may have been put
/// back. Returns how many still had them.
pub(super) fn erase_again(store: &dyn Store, erasures: &[Erasure]) -> Result<usize, ReplicaError> {
    let (mut rows, mut count) = (Batch::new(), 0);
    for erasure in erasures.iter().filter(|erasure| erasure.kind == Kind::DROPPED) {
        let key = erasure.subject.as_bytes().as_slice();
        let Some(row) = store.get(Table::Own, key)? else { continue };
        let own = OwnSealed::decode(&row).map_err(|cause| ReplicaError::Row { table: Table::Own, cause })?;
        if own.words.is_some() || own.body.is_some() {
            let own = OwnSealed { words: None, body: None, stage: Stage::Erased, ..own };
            rows.put(Table::Own, key, own.encode());
            count += 1;
        }
    }
    if count > 0 {
        let (key, value) = erased::note_cleared(store)?;
        rows.put(Table::Meta, key, value);
        store.commit(&rows)?;
    }
    Ok(count)
}

impl OwnSealed {
    /// Its subject.
    #[must_use]
    pub fn subject(&self, wijk: WijkId) -> SubjectId {
        let commit = self.erase_secret.commit();
        let (space, nonce) = (self.space, self.seed.nonce());
        let nobody = crate::model::DeviceId::ZERO;
        crate::entry::subject::subject_id(wijk, space, nobody, Kind::DROPPED, &nonce, &commit)
    }

    /// Seals it, if that wasn't done; the bytes stay the same however often they are sent.
    ///
    /// # Errors
    /// When the words are too long or the key is weak.
    pub fn seal(&mut self, wijk: WijkId, to: &SealPublic) -> Result<(), SealError> {
        if let (None, Some(words)) = (&self.body, &self.words) {
            self.body = Some(sealed_body(
                wijk,
                self.space,
                Kind::DROPPED,
                (self.seed, &self.erase_secret),
                to,
                words,
                self.entropy,
            )?);
        }
        Ok(())
    }

    /// What is to be dropped now, if anything.
    #[must_use]
    pub fn to_drop(&self, wijk: WijkId) -> Option<DropInner> {
        match (self.stage, &self.body) {
            (Stage::Saved, Some(body)) => {
                Some(DropInner { space: self.space, kind: Kind::DROPPED, body: body.clone() })
            }
            (Stage::Erasing, _) => {
                let tombstone = Tombstone::Owner {
                    subject: self.subject(wijk),
                    device: crate::model::DeviceId::ZERO,
                    kind: Kind::DROPPED,
                    nonce: self.seed.nonce(),
                    erase_secret: self.erase_secret,
                };
                Some(DropInner { space: self.space, kind: Kind::TOMBSTONE, body: tombstone.encode() })
            }
            _ => None,
        }
    }

    /// The hash of what is to be dropped now.
    #[must_use]
    pub fn digest(&self, wijk: WijkId) -> Option<Hash> {
        self.to_drop(wijk).map(|inner| inner.digest())
    }

    /// To bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.array(9).bytes(&self.space.to_bytes());
        match &self.words {
            Some(words) => w.bytes(&codec::encode_words(words)),
            None => w.null(),
        };
        w.bytes(&self.receipt.to_bytes()).bytes(&self.seed.0).bytes(&self.erase_secret.0).bytes(&self.entropy);
        match &self.body {
            Some(body) => w.bytes(body),
            None => w.null(),
        };
        match self.stage {
            Stage::Saved => w.uint(0).uint(0),
            Stage::Arrived { day } => w.uint(1).uint(u64::from(day)),
            Stage::Erasing => w.uint(2).uint(0),
            Stage::Erased => w.uint(3).uint(0),
        };
        w.finish()
    }

    /// From bytes.
    ///
    /// # Errors
    /// When they have another form.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut r = Reader::new(bytes);
        r.array_of(9)?;
        let space = SpaceId::from_bytes(r.bytes(17)?).ok_or_else(|| r.error("a space"))?;
        let words = if r.null()? { None } else { Some(codec::decode_words(r.bytes(bytes.len())?)?) };
        let receipt = ReceiptSecret::new(r.exact()?);
        let (seed, erase_secret) = (Seed(r.exact()?), EraseSecret(r.exact()?));
        let entropy = r.exact()?;
        let body = if r.null()? { None } else { Some(r.bytes(bytes.len())?.to_vec()) };
        let (stage, day) = (r.uint()?, r.uint()?);
        let day = u32::try_from(day).map_err(|_| r.error("a day"))?;
        let stage = match stage {
            0 => Stage::Saved,
            1 => Stage::Arrived { day },
            2 => Stage::Erasing,
            3 => Stage::Erased,
            _ => return Err(r.error("a stage of sealed input")),
        };
        r.end()?;
        Ok(Self { space, words, receipt, seed, erase_secret, entropy, body, stage })
    }
}

/// A sealed body with what stands beside it in the clear.
///
/// # Errors
/// When the words are too long or the key is weak.
pub fn sealed_body(
    wijk: WijkId,
    space: SpaceId,
    kind: Kind,
    (seed, erase_secret): (Seed, &EraseSecret),
    to: &SealPublic,
    words: &SealedWords,
    entropy: [u8; 32],
) -> Result<Vec<u8>, SealError> {
    let generation: GenerationId = to.generation();
    let opening = Opening { seed, commit: erase_secret.commit() };
    let context = Context { wijk, space, kind, seed, commit: opening.commit, generation };
    let bytes = seal::seal(to, &context, &codec::encode_words(words), entropy)?;
    debug_assert!(bytes.len() <= SEALED_BYTES_MAX);
    Ok(codec::encode(Some(&opening), &Record::Sealed(Sealed { generation, bytes })))
}
