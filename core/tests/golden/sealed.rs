//! Rows of a sealed store: what stands below it, and the same opened by hand.

use std::sync::Arc;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use samenspraak_core::store::sealed::{SEAL_ROW, SealedStore};
use samenspraak_core::store::{Batch, MemoryStore, Store, Table};
use samenspraak_core::vault::{KeyVault, MasterKey, MemoryVault};

use super::by_hand::{hmac, tagged};
use super::file;
use super::fixed::SECRET;

const ENTROPY: [u8; 32] = [0x2b; 32];
const KEY: &[u8] = b"a key of a row";
const VALUE: &[u8] = b"words of a resident";

fn vault() -> MemoryVault {
    let vault = MemoryVault::new();
    vault.keep("phone", &MasterKey::new(SECRET)).unwrap();
    vault
}

fn open(below: Arc<MemoryStore>) -> SealedStore {
    SealedStore::open(below, "golden", &vault(), "phone", ENTROPY).unwrap().0
}

/// Opens a sealed value with nothing of ours.
fn by_hand(key: &[u8; 32], table: u8, row: &[u8], sealed: &[u8]) -> Vec<u8> {
    let aad = [&[table], row].concat();
    let cipher = XChaCha20Poly1305::new((&tagged("samenspraak/seal/key/v1", key)).into());
    let payload = Payload { msg: &sealed[24..], aad: &aad };
    let value = cipher.decrypt(&XNonce::try_from(&sealed[..24]).unwrap(), payload).unwrap();
    let message = [&[table, u8::try_from(row.len()).unwrap()], row, &value].concat();
    assert_eq!(sealed[..24], hmac(&tagged("samenspraak/seal/nonce/v1", key), &message)[..24]);
    value
}

#[test]
fn sealed_rows_are_as_they_were_and_open_by_hand() {
    let below = Arc::new(MemoryStore::new());
    let store = open(below.clone());
    let mut batch = Batch::new();
    batch.put(Table::Entry, KEY, VALUE);
    store.commit(&batch).unwrap();
    let seal = below.get(Table::Meta, SEAL_ROW).unwrap().unwrap();
    let value = below.get(Table::Entry, KEY).unwrap().unwrap();
    let known = file::check("sealed.hex", &[("seal", seal), ("value", value)]);

    // The row of the seal ends with table 0 and an empty key; before it stands the data key, sealed: 72 bytes.
    let seal = &known["seal"];
    let wrapped = &seal[seal.len() - 2 - 72..seal.len() - 2];
    let data_key = by_hand(&SECRET, 0, b"samenspraak/seal/data-key/v1", wrapped);
    assert_eq!(by_hand(&data_key.try_into().unwrap(), Table::Entry as u8, KEY, &known["value"]), VALUE);

    // And a store that holds just these is opened.
    let below = Arc::new(MemoryStore::new());
    let mut batch = Batch::new();
    batch.put(Table::Meta, SEAL_ROW, seal.as_slice());
    batch.put(Table::Entry, KEY, known["value"].as_slice());
    below.commit(&batch).unwrap();
    assert_eq!(open(below).get(Table::Entry, KEY).unwrap().as_deref(), Some(VALUE));
}
