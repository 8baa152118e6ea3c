//! Headers, ids, subjects, signatures, runs, cards.

use samenspraak_core::cbor::{Reader, Writer};
use samenspraak_core::entry::codec::{actor, join_message, wijk_id};
use samenspraak_core::entry::subject::{body_hash, tombstone_salt};
use samenspraak_core::entry::{EraseSecret, Header, Kind, Run, sign};
use samenspraak_core::membership::card::{CardLink, CardSecret};
use samenspraak_core::model::*;

use super::file::check;
use super::fixed::*;

fn run_bytes(run: &Run) -> Vec<u8> {
    let mut w = Writer::new();
    run.encode(&mut w);
    w.finish()
}

/// Everything in `entries.hex`.
pub fn values() -> Vec<(&'static str, Vec<u8>)> {
    let (plain, newer) = (header(vec![]), header(extra()));
    let space = |space: SpaceId| space.to_bytes();
    vec![
        ("header", plain.encode()),
        ("header of a newer app", newer.encode()),
        ("id", plain.id().as_bytes().to_vec()),
        ("id of a newer app", newer.id().as_bytes().to_vec()),
        ("nonce", SEED.nonce().to_vec()),
        ("salt", SEED.salt().0.to_vec()),
        ("erase commitment", ERASE.commit().0.to_vec()),
        ("erase secret of a person", EraseSecret::derive(&[0x99; 32], &SEED).0.to_vec()),
        ("salt of tombstones", tombstone_salt().0.to_vec()),
        ("subject", subject(Kind::CONTRIBUTION).as_bytes().to_vec()),
        ("hash of a body", body_hash(&SEED.salt(), device(), 41_207, b"a body").to_vec()),
        ("signature", key().sign_entry(plain.id()).0.to_vec()),
        ("device", device().as_bytes().to_vec()),
        ("actor", actor(device(), SUBJECT, &SESSION).to_vec()),
        ("wijk", wijk_id(b"a genesis body").as_bytes().to_vec()),
        ("what a card signs", join_message(WIJK, device(), PERSON, &[0x66; 32]).to_vec()),
        ("space members", space(SpaceId::Members)),
        ("space open", space(SpaceId::Open)),
        ("space board", space(SpaceId::Board)),
        ("space inbox", space(SpaceId::Inbox)),
        ("space ballot", space(SpaceId::Ballot)),
        ("space circle", space(SpaceId::Circle([0x0c; 16]))),
        ("space own", space(SpaceId::Own(PERSON))),
        ("run", run_bytes(&run())),
    ]
}

#[test]
fn headers_ids_and_subjects_keep_their_bytes() {
    let (plain, newer) = (header(vec![]), header(extra()));
    let known = check("entries.hex", &values());
    assert_eq!(Header::decode(&known["header"]), Ok(plain.clone()));
    assert_eq!(Header::decode(&known["header of a newer app"]), Ok(newer));
    let signature = samenspraak_core::entry::Signature(known["signature"].as_slice().try_into().unwrap());
    assert!(sign::verify_entry(device(), plain.id(), &signature));
    let mut reader = Reader::new(&known["run"]);
    assert_eq!(Run::decode(&mut reader), Ok(run()));
    assert_eq!(reader.end(), Ok(()));
}

#[test]
fn the_letters_of_a_card_give_the_same_key_for_ever() {
    let letters = "0123-4567-89AB-CDEF";
    let secret = CardSecret::parse(letters).unwrap();
    let link = CardLink { server: "https://wijk.example".into(), wijk: WIJK, secret: secret.clone(), device_of: None };
    let known = check(
        "card.hex",
        &[
            ("letters", secret.letters().into_bytes()),
            ("public key", secret.public(WIJK).as_bytes().to_vec()),
            ("link", link.to_string().into_bytes()),
        ],
    );
    assert_eq!(known["letters"], letters.as_bytes());
    let text = String::from_utf8(known["link"].clone()).unwrap();
    assert_eq!(CardLink::parse(&text), Ok(link));
}
