//! What the server logs holds no words, names or ids of people, and no secrets of cards.

use samenspraak_core::app::Command;
use samenspraak_core::model::{Choice, Decision, Outcome};
use samenspraak_server::client::Driver;

use crate::support::{Wijk, runtime, write};

const CANARY: &str = "kanariepiet";
/// More than an administrator usually asks for.
const LOUD: [(&str, &str); 1] = [("SAMENSPRAAK_LOG", "info,samenspraak_server=trace,samenspraak_core=trace")];

fn ids(phone: &Driver) -> [String; 2] {
    let identity = phone.app().joined().unwrap().identity();
    [identity.person.to_string(), identity.key().id().to_string()]
}

#[test]
fn the_log_of_a_server_holds_no_words_names_or_ids_of_people() {
    let (wijk, runtime) = (Wijk::new(), runtime());
    let server = wijk.serve_with(&LOUD);
    let residents = wijk.cards("resident", 2);
    let board_card = wijk.cards("board", 1).remove(0);
    let (mut writer, mut twin) = (wijk.join(&residents[0]), wijk.join(&residents[0]));
    let (mut neighbour, mut board) = (wijk.join(&residents[1]), wijk.join(&board_card));
    let sync = |phone: &mut Driver| runtime.block_on(phone.sync_once(&wijk.address()));
    let (question, _) = write(&mut writer, &format!("titel {CANARY}"), &format!("tekst {CANARY}"));
    sync(&mut writer).unwrap();
    write(&mut twin, CANARY, CANARY);
    assert!(sync(&mut twin).is_err(), "its card was used");
    for phone in [&mut neighbour, &mut board] {
        sync(phone).unwrap();
    }
    neighbour.command(Command::Speak { question, choice: Choice::Agree }).unwrap();
    sync(&mut neighbour).unwrap();
    // Not even what the gate refuses: only a board decides.
    let decision = Decision {
        about: vec![question],
        outcome: Outcome::Yes,
        reason: format!("omdat {CANARY}"),
        answer: format!("antwoord {CANARY}"),
        party: CANARY.into(),
        due_day: None,
        replaces: Vec::new(),
    };
    board.command(Command::Decide(decision)).unwrap();
    sync(&mut board).unwrap();
    server.kill();
    let server = wijk.serve_with(&LOUD);
    writer.command(Command::Erase(question)).unwrap();
    sync(&mut writer).unwrap();
    sync(&mut board).unwrap();
    let (log, said) = (server.log(), server.begun.join("\n"));
    assert!(server.stop().0.success());
    let log = log + &std::fs::read_to_string(wijk.path("serve.log")).unwrap() + &said;
    assert!(log.contains("serving") && log.contains("rebuilt the index") && log.contains("stopped"), "{log}");
    let mut secrets = vec![CANARY.to_owned()];
    for phone in [&writer, &twin, &neighbour, &board] {
        // Also their first digits, as ids are shortened elsewhere.
        secrets.extend(ids(phone).into_iter().flat_map(|id| [id[..8].to_owned(), id]));
    }
    for card in residents.iter().chain([&board_card]) {
        secrets.push(card.rsplit_once('.').unwrap().1.to_owned());
    }
    for secret in &secrets {
        assert!(!log.contains(secret.as_str()), "{secret} stands in the log:\n{log}");
    }
    println!("{} bytes of log, none of {} words and ids in it", log.len(), secrets.len());
}
