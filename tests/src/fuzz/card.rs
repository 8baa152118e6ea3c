//! What people type or scan: letters of a card, links of cards and circles, letters of a receipt.

use samenspraak_core::membership::card::{CardError, CardLink, CardSecret};
use samenspraak_core::membership::circle::CircleLink;
use samenspraak_core::model::{PersonId, SpaceId, WijkId};
use samenspraak_core::seal::{ReceiptError, ReceiptSecret};

use super::{Ends, Target};

pub const TARGET: Target = Target { name: "card", run, seeds, accepts: "a card" };

fn run(input: &[u8], ends: &mut Ends) {
    let text = String::from_utf8_lossy(input);
    match CardSecret::parse(&text) {
        Ok(secret) => {
            ends.reach("a card", 0);
            let letters = secret.letters();
            assert_eq!(CardSecret::parse(&letters).as_ref(), Ok(&secret), "a card reads back as another one");
            let sloppy = letters.to_lowercase().replace('-', " ").replace('0', "o").replace('1', "i");
            assert_eq!(CardSecret::parse(&sloppy), Ok(secret), "a card that is typed is another one");
        }
        Err(error) => ends.reach("no card", reason(error)),
    }
    match CardLink::parse(&text) {
        Ok(link) => {
            ends.reach("a card", 1);
            assert_eq!(CardLink::parse(&link.to_string()), Ok(link), "a link reads back as another one");
        }
        Err(error) => ends.reach("no link", reason(error)),
    }
    match CircleLink::parse(&text) {
        Ok(link) => {
            ends.reach("a card", 2);
            assert_eq!(CircleLink::parse(&link.to_string()), Ok(link), "a circle's link reads back as another one");
        }
        Err(error) => ends.reach("no circle", reason(error)),
    }
    match ReceiptSecret::parse(&text) {
        Ok(secret) => {
            ends.reach("a card", 3);
            let again = ReceiptSecret::parse(&secret.letters()).map(|again| again.to_bytes());
            assert_eq!(again, Ok(secret.to_bytes()), "a receipt reads back as another one");
        }
        Err(ReceiptError::Length { letters }) => ends.reach("no receipt", letters.min(40) as u64),
        Err(ReceiptError::Sign { .. }) => ends.reach("no receipt", 100),
        Err(ReceiptError::Check) => ends.reach("no receipt", 101),
    }
}

fn reason(error: CardError) -> u64 {
    match error {
        CardError::Length { letters } => letters.min(40) as u64,
        CardError::Sign { sign } => 100 + u64::from(sign.is_ascii()),
        CardError::Link => 200,
        CardError::CircleLink => 201,
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let secrets = [[0; 10], [0xff; 10], [1, 35, 69, 103, 137, 171, 205, 239, 18, 52]].map(CardSecret::new);
    let links = secrets.iter().zip(["http://127.0.0.1:7447", "https://wijk.example/lindehoek"]);
    let persons = [None, Some(PersonId::new([9; 16]))];
    let links = links.zip(persons).map(|((secret, server), device_of)| CardLink {
        server: server.into(),
        wijk: WijkId::new([7; 32]),
        secret: secret.clone(),
        device_of,
    });
    let circle = SpaceId::Circle([3; 16]);
    let circles = secrets.clone().map(|secret| CircleLink { wijk: WijkId::new([7; 32]), circle, secret }.to_string());
    let receipts = [[0; 16], [0xff; 16], [0x5a; 16]].map(|secret| ReceiptSecret::new(secret).letters());
    let typed = secrets.iter().map(|secret| secret.letters().to_lowercase().replace('-', "  "));
    let texts = secrets.iter().map(CardSecret::letters).chain(typed).chain(links.map(|link| link.to_string()));
    let texts = texts.chain(circles).chain(receipts);
    texts.map(String::into_bytes).collect()
}
