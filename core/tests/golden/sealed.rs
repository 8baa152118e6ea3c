//! Rows of a sealed store: what stands below it, and the same opened by hand.

use std::sync::Arc;

use chacha20::XChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use samenspraak_core::store::sealed::{SEAL_ROW, SealedStore};
use samenspraak_core::store::{Batch, MemoryStore, Store, Table};
use samenspraak_core::vault::{KeyVault, MasterKey, MemoryVault};

use super::by_hand::{hmac, tagged};
use super::file;
use super::fixed::SECRET;

const ENTROPY: [u8; 32] = [0x2b; 32];
const DATA_KEY: &[u8] = b"samenspraak/seal/data-key/v1";
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

/// Opens a value as it was sealed before, with nothing of ours.
fn before_by_hand(key: &[u8; 32], table: u8, row: &[u8], sealed: &[u8]) -> Vec<u8> {
    let aad = [&[table], row].concat();
    let cipher = XChaCha20Poly1305::new((&tagged("samenspraak/seal/key/v1", key)).into());
    let payload = Payload { msg: &sealed[24..], aad: &aad };
    let value = cipher.decrypt(&XNonce::try_from(&sealed[..24]).unwrap(), payload).unwrap();
    let message = [&[table, u8::try_from(row.len()).unwrap()], row, &value].concat();
    assert_eq!(sealed[..24], hmac(&tagged("samenspraak/seal/nonce/v1", key), &message)[..24]);
    value
}

/// Opens a sealed value with nothing of ours.
fn by_hand(key: &[u8; 32], table: u8, row: &[u8], sealed: &[u8]) -> Vec<u8> {
    let mut value = sealed[24..].to_vec();
    let nonce: [u8; 24] = sealed[..24].try_into().unwrap();
    XChaCha20::new((&tagged("samenspraak/seal/key/v2", key)).into(), &nonce.into()).apply_keystream(&mut value);
    let message = [&[table, u8::try_from(row.len()).unwrap()], row, &value].concat();
    assert_eq!(nonce, hmac(&tagged("samenspraak/seal/tag/v2", key), &message)[..24]);
    value
}

/// The data key in the row of the seal: that ends with table 0 and an empty key, and before these stands the key, sealed.
fn wrapped(seal: &[u8], sealed_bytes: usize) -> &[u8] {
    &seal[seal.len() - 2 - sealed_bytes..seal.len() - 2]
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
    let known = file::check("sealed-2.hex", &[("seal", seal), ("value", value)]);

    let data_key = by_hand(&SECRET, 0, DATA_KEY, wrapped(&known["seal"], 24 + 32));
    let value = by_hand(&data_key.try_into().unwrap(), Table::Entry as u8, KEY, &known["value"]);
    assert_eq!(value, VALUE);
    opens(&known["seal"], &known["value"]);
}

#[test]
fn rows_that_were_sealed_before_are_opened_for_ever() {
    let known = file::known("sealed.hex", &[]);
    let data_key = before_by_hand(&SECRET, 0, DATA_KEY, wrapped(&known["seal"], 24 + 32 + 16));
    let value = before_by_hand(&data_key.try_into().unwrap(), Table::Entry as u8, KEY, &known["value"]);
    assert_eq!(value, VALUE);
    opens(&known["seal"], &known["value"]);
}

/// A store that holds just these is opened, and opened again.
fn opens(seal: &[u8], value: &[u8]) {
    let below = Arc::new(MemoryStore::new());
    let mut batch = Batch::new();
    batch.put(Table::Meta, SEAL_ROW, seal);
    batch.put(Table::Entry, KEY, value);
    below.commit(&batch).unwrap();
    for _ in 0..2 {
        assert_eq!(open(below.clone()).get(Table::Entry, KEY).unwrap().as_deref(), Some(VALUE));
    }
}
