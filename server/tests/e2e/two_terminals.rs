//! By hand, in two terminals: a resident's words, written without a server, reach the board, and the answer comes back.

use std::time::Duration;

use samenspraak_core::app::Command;
use samenspraak_core::model::{Choice, Decision, Outcome};

use crate::phone_kills::killed;
use crate::support::{Wijk, arg, run, runtime};

#[test]
fn words_written_while_the_server_is_stopped_reach_the_board_and_the_answer_is_shown() {
    let (wijk, runtime) = (Wijk::new(), runtime());
    let cards = wijk.cards("resident", 2);
    assert!(wijk.phone("phone", &["join", &cards[0]]).ok().contains("Je doet mee met wijk"));
    let words = "In de kinderkamer zit schimmel,\nal een jaar.";
    let write = ["write", "--title", "Schimmel", "--text", words, "--theme", "1"];
    let said = killed(&wijk, &write, Some("bewaard op dit toestel"), Duration::ZERO);
    let id = said.split_whitespace().next().unwrap().to_owned();
    let shown = wijk.phone("phone", &["show", &id]).ok();
    assert_eq!(shown, format!("Schimmel\n{words}\n\n- bewaard op dit toestel\n"));

    let server = wijk.serve();
    let synced = wijk.phone("phone", &["sync"]).ok();
    assert!(synced.contains("Schimmel  [aangekomen op "), "{synced}");

    let mut neighbour = wijk.join(&cards[1]);
    let mut board = wijk.join(&wijk.cards("board", 1)[0]);
    for phone in [&mut neighbour, &mut board] {
        runtime.block_on(phone.sync_once(&wijk.address())).unwrap();
    }
    let queue = board.app_mut().joined_mut().unwrap().contributions().unwrap();
    assert_eq!(queue.iter().map(|item| item.content.text.as_str()).collect::<Vec<_>>(), [words]);
    let question = queue[0].subject;
    neighbour.command(Command::Speak { question, choice: Choice::Support }).unwrap();
    runtime.block_on(neighbour.sync_once(&wijk.address())).unwrap();
    let decision = Decision {
        about: vec![question],
        outcome: Outcome::Partly,
        reason: "Vocht is ongezond.".into(),
        answer: "We komen in mei kijken.".into(),
        party: "de woningcorporatie".into(),
        due_day: Some(20_780),
        replaces: Vec::new(),
    };
    board.command(Command::Decide(decision)).unwrap();
    runtime.block_on(board.sync_once(&wijk.address())).unwrap();

    wijk.phone("phone", &["sync"]).ok();
    assert!(server.stop().0.success());
    let shown = wijk.phone("phone", &["show", &id[..6]]).ok();
    println!("{shown}");
    let day = samenspraak_server::messages::day(samenspraak_server::date::today());
    let line = [
        format!("- aangekomen op {day}"),
        format!("- ontvangen op {day}"),
        "- 1 keer steun, 0 eens, 0 oneens, 0 geen mening".into(),
        format!("- besluit op {day}: voor een deel"),
        "  waarom: Vocht is ongezond.".into(),
        "  door: de woningcorporatie".into(),
        "  voor: 23 november 2026".into(),
        "  antwoord: We komen in mei kijken.".into(),
    ];
    assert_eq!(shown, format!("Schimmel\n{words}\n\n{}\n", line.join("\n")));
    run(&["verify", arg(&wijk.folder())]).ok();
}
