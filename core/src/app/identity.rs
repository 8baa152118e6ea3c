//! Who this phone is in one wijk: its keys, its person, and where the wijk's server is. Lives in the phone's own store, so
//! that a copied key without its store is another device.

use crate::cbor::{CborError, Fields, Reader, Writer};
use crate::entry::sign::Key;
use crate::entry::{EraseCommit, EraseSecret, Seed};
use crate::model::{PersonId, WijkId};
use crate::replica::ReplicaError;
use crate::seal::SealSecret;
use crate::store::{Store, Table};

/// The row of `Table::Meta` it stands in.
pub(super) const IDENTITY_KEY: &[u8] = b"identity";

/// Longest address of a server in bytes.
pub const SERVER_BYTES_MAX: usize = 300;

/// See the module.
#[derive(Clone)]
pub struct Identity {
    /// The wijk.
    pub wijk: WijkId,
    /// 32 secret bytes of the signing key.
    pub signing_secret: [u8; 32],
    /// 32 secret bytes of the X25519 key.
    pub encryption_secret: [u8; 32],
    /// The person.
    pub person: PersonId,
    /// Secret from which the person's erase secrets follow.
    pub person_secret: [u8; 32],
    /// Address of the server.
    pub server: String,
    /// The same secrets of the person's other devices, for what they wrote.
    pub other_secrets: Vec<[u8; 32]>,
}

/// Secrets of other devices that are kept: as many as one person can have.
const OTHER_SECRETS_MAX: usize = crate::membership::DEVICES_PER_PERSON_MAX;

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity in {:?}", self.wijk)
    }
}

impl Identity {
    /// The root of a wijk whose store is gone, from its signing key alone. Its chain comes back with a sync, and before that
    /// nothing may be written with it: its chain would fork. Other secrets of it are new, from `entropy`.
    #[must_use]
    pub fn of_root(wijk: WijkId, signing_secret: [u8; 32], server: String, entropy: [u8; 32]) -> Self {
        let mut entropy = super::entropy::Entropy::new(entropy);
        Self {
            wijk,
            signing_secret,
            encryption_secret: entropy.bytes(),
            person: crate::entry::codec::person_of(wijk, Key::from_secret(&signing_secret).id()),
            person_secret: entropy.bytes(),
            server,
            other_secrets: Vec::new(),
        }
    }

    /// Makes an empty store this device's.
    ///
    /// # Errors
    /// When it is another's already, or can't be written.
    pub fn write(&self, store: &dyn Store) -> Result<(), ReplicaError> {
        if store.get(Table::Meta, IDENTITY_KEY)?.is_some() {
            return Err(ReplicaError::Contradiction { what: "a store of a device that is to be another's" });
        }
        let mut batch = crate::store::Batch::new();
        batch.put(Table::Meta, IDENTITY_KEY, self.encode());
        batch.put(Table::Meta, super::loading::QUICK_KEY, [1]);
        Ok(store.commit(&batch)?)
    }

    /// The signing key.
    #[must_use]
    pub fn key(&self) -> Key {
        Key::from_secret(&self.signing_secret)
    }

    /// The erase secret of a subject of this person, whichever of the person's devices created it.
    #[must_use]
    pub fn erase_secret(&self, seed: &Seed, commit: &EraseCommit) -> Option<EraseSecret> {
        let secrets = std::iter::once(&self.person_secret).chain(&self.other_secrets);
        secrets.map(|secret| EraseSecret::derive(secret, seed)).find(|secret| secret.commit() == *commit)
    }

    /// Takes the secret of another device of this person; says whether it was new.
    pub fn adopt(&mut self, secret: [u8; 32]) -> bool {
        let known = self.person_secret == secret || self.other_secrets.contains(&secret);
        if known || self.other_secrets.len() >= OTHER_SECRETS_MAX {
            return false;
        }
        self.other_secrets.push(secret);
        true
    }

    /// The X25519 public key.
    #[must_use]
    pub fn encryption_key(&self) -> [u8; 32] {
        *SealSecret::new(self.encryption_secret).public().as_bytes()
    }

    /// Who the device of a store is; `None` where nobody joined yet.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn read(store: &dyn Store) -> Result<Option<Self>, ReplicaError> {
        let row = store.get(Table::Meta, IDENTITY_KEY)?;
        let wrong = |cause| ReplicaError::Row { table: Table::Meta, cause };
        row.map(|row| Self::decode(&row).map_err(wrong)).transpose()
    }

    /// To bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.map(6 + usize::from(!self.other_secrets.is_empty()))
            .uint(1)
            .bytes(self.wijk.as_bytes())
            .uint(2)
            .bytes(&self.signing_secret);
        w.uint(3).bytes(&self.encryption_secret).uint(4).bytes(self.person.as_bytes());
        w.uint(5).bytes(&self.person_secret).uint(6).text(&self.server);
        if !self.other_secrets.is_empty() {
            w.uint(7).array(self.other_secrets.len());
            for secret in &self.other_secrets {
                w.bytes(secret);
            }
        }
        w.finish()
    }

    /// From bytes.
    ///
    /// # Errors
    /// When they have another form.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let f = Fields::parse(bytes)?;
        let secret = |key| -> Result<[u8; 32], CborError> { f.need(key)?.exact() };
        let mut server: Reader<'_> = f.need(6)?;
        let mut other_secrets = Vec::new();
        if let Some(mut r) = f.get(7) {
            for _ in 0..r.array(OTHER_SECRETS_MAX)? {
                other_secrets.push(r.exact()?);
            }
        }
        Ok(Self {
            wijk: WijkId::new(secret(1)?),
            signing_secret: secret(2)?,
            encryption_secret: secret(3)?,
            person: PersonId::new(f.need(4)?.exact()?),
            person_secret: secret(5)?,
            server: server.text(SERVER_BYTES_MAX)?.to_owned(),
            other_secrets,
        })
    }
}
