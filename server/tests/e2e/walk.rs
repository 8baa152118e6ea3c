//! The walk of `core/docs/walk.md`, step by step, with the real program: a wijk is founded, a card printed, somebody joins
//! without a network, seals a story, hears the answer, erases it, and it is gone everywhere.

use std::path::Path;

use crate::support::{Wijk, until};

const STORY: &str = "kwzbhfdxtqjplmvn in de slaapkamer";

/// The first word of the first line that holds `text`.
fn id_of(said: &str, text: &str) -> String {
    let line = said.lines().find(|line| line.contains(text)).unwrap_or_else(|| panic!("{text:?} isn't in {said}"));
    line.split_whitespace().next().unwrap().to_owned()
}

fn receipt_of(said: &str) -> String {
    let line = said.lines().find_map(|line| line.trim().strip_prefix("bewijs: ")).unwrap();
    line.split_whitespace().next().unwrap().to_owned()
}

fn found_in(folder: &Path, words: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found_in(&path, words),
            false => std::fs::read(&path).unwrap().windows(words.len()).any(|window| window == words),
        }
    })
}

#[test]
fn a_story_sealed_at_a_kitchen_table_is_answered_and_erased_everywhere() {
    let wijk = Wijk::new();
    let (board, card) = (wijk.cards("board", 1).remove(0), wijk.cards("resident", 1).remove(0));
    let friend = wijk.cards("resident", 1).remove(0);
    // No server runs yet: joining and writing work all the same.
    wijk.phone("amina", &["join", &card]).ok();
    let sealed = wijk.phone("amina", &["seal", "--title", "Thuis", "--text", STORY]).ok();
    assert!(sealed.contains("bewaard op dit toestel"), "{sealed}");
    let (id, receipt) = (id_of(&sealed, "bewaard"), receipt_of(&sealed));

    let serve = wijk.serve_with(&[("SAMENSPRAAK_HOLD_SECONDS", "0")]);
    wijk.phone("board", &["join", &board]).ok();
    wijk.phone("board", &["sync"]).ok();
    wijk.phone("board", &["sync"]).ok();
    wijk.phone("amina", &["sync"]).ok();
    let own = wijk.phone("amina", &["sealed"]).ok();
    assert!(own.contains("aangekomen op"), "{own}");
    // The server's own board device gives the new one the key to what comes, as soon as it hears of it.
    let inbox = until("the board reads the story", || {
        wijk.phone("board", &["sync"]).ok();
        let inbox = wijk.phone("board", &["inbox"]).ok();
        inbox.contains(STORY).then_some(inbox)
    });
    assert!(id.starts_with(&id_of(&inbox, "Thuis")), "{inbox}");

    wijk.phone("board", &["answer", &id[..12], "--text", "Er komt maandag iemand kijken"]).ok();
    wijk.phone("board", &["sync"]).ok();
    wijk.phone("amina", &["sync"]).ok();
    let own = wijk.phone("amina", &["sealed"]).ok();
    assert!(own.contains("Er komt maandag iemand kijken"), "{own}");
    // On somebody else's phone, with the letters alone.
    wijk.phone("friend", &["join", &friend]).ok();
    wijk.phone("friend", &["sync"]).ok();
    let answer = wijk.phone("friend", &["receipt", &receipt.to_lowercase()]).ok();
    assert!(answer.contains("Er komt maandag iemand kijken"), "{answer}");
    // Who isn't on the board has no inbox to read.
    let nothing = wijk.phone("friend", &["inbox"]).ok();
    assert!(!nothing.contains("Thuis"), "{nothing}");

    wijk.phone("amina", &["erase", &id[..12]]).ok();
    wijk.phone("amina", &["sync"]).ok();
    let own = wijk.phone("amina", &["sealed"]).ok();
    assert!(own.contains("gewist, hier en bij de server") && !own.contains("Thuis"), "{own}");
    until("it is gone from the board's phone", || {
        wijk.phone("board", &["sync"]).ok();
        let inbox = wijk.phone("board", &["inbox"]).ok();
        (!inbox.contains("Thuis")).then_some(())
    });
    let (ended, _) = serve.stop();
    assert!(ended.success());
    for folder in [wijk.folder(), wijk.path("amina"), wijk.path("board"), wijk.path("friend")] {
        assert!(!found_in(&folder, &STORY.as_bytes()[..16]), "in {}", folder.display());
    }
}

#[test]
fn a_circle_is_founded_entered_with_a_card_and_read_by_its_members_in_the_terminal() {
    let wijk = Wijk::new();
    let (staff, expert) = (wijk.cards("facilitator", 1).remove(0), wijk.cards("resident", 1).remove(0));
    let _serve = wijk.serve_with(&[("SAMENSPRAAK_HOLD_SECONDS", "0")]);
    for (name, card) in [("staff", &staff), ("expert", &expert)] {
        wijk.phone(name, &["join", card]).ok();
        wijk.phone(name, &["sync"]).ok();
    }
    wijk.phone("expert", &["circle", "new"]).refused(2);
    let founded = wijk.phone("staff", &["circle", "new"]).ok();
    let circle = id_of(&founded, "circle/").replace("circle/", "");
    let card = wijk.phone("staff", &["circle", "invite", &circle[..8]]).ok();
    wijk.phone("staff", &["sync"]).ok();
    wijk.phone("expert", &["circle", "join", card.trim()]).ok();
    wijk.phone("expert", &["sync"]).ok();
    wijk.phone("staff", &["sync"]).ok();
    wijk.phone("expert", &["sync"]).ok();
    wijk.phone("expert", &["circle", "write", &circle[..8], "Zo was het bij mij"]).ok();
    wijk.phone("expert", &["sync"]).ok();
    wijk.phone("staff", &["sync"]).ok();
    let read = wijk.phone("staff", &["circle", "read", &circle[..8]]).ok();
    assert!(read.contains("Zo was het bij mij"), "{read}");
    wijk.phone("expert", &["circle", "join", "kring#00"]).refused(2);
}
