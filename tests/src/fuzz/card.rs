//! What people type or scan to join: letters of a card and its link.

use samenspraak_core::membership::card::{CardError, CardLink, CardSecret};
use samenspraak_core::model::WijkId;

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
}

fn reason(error: CardError) -> u64 {
    match error {
        CardError::Length { letters } => letters.min(40) as u64,
        CardError::Sign { sign } => 100 + u64::from(sign.is_ascii()),
        CardError::Link => 200,
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let secrets = [[0; 10], [0xff; 10], [1, 35, 69, 103, 137, 171, 205, 239, 18, 52]].map(CardSecret::new);
    let links = secrets.iter().zip(["http://127.0.0.1:7447", "https://wijk.example/lindehoek"]);
    let links = links.map(|(secret, server)| CardLink {
        server: server.into(),
        wijk: WijkId::new([7; 32]),
        secret: secret.clone(),
    });
    let typed = secrets.iter().map(|secret| secret.letters().to_lowercase().replace('-', "  "));
    let texts = secrets.iter().map(CardSecret::letters).chain(typed).chain(links.map(|link| link.to_string()));
    texts.map(String::into_bytes).collect()
}
