//! Who belongs and who rules, with the real program: a lost phone, cards taken back, rulings, erasures by staff, and how far an
//! erasure reached.

use crate::support::{Ran, Serve, Wijk, arg, run, until};

/// A wijk that is served, with phones that joined by card and synced.
struct Town {
    wijk: Wijk,
    server: Serve,
}

impl Town {
    fn with(phones: &[(&str, &str)]) -> Self {
        let wijk = Wijk::new();
        let server = wijk.serve();
        let town = Self { wijk, server };
        for (name, role) in phones {
            let card = town.wijk.cards(role, 1).remove(0);
            town.phone(name, &["join", &card]).ok();
            town.sync(name);
        }
        town
    }

    fn phone(&self, name: &str, args: &[&str]) -> Ran {
        self.wijk.phone(name, args)
    }

    #[track_caller]
    fn sync(&self, name: &str) -> String {
        self.phone(name, &["sync"]).ok()
    }

    #[track_caller]
    fn write(&self, name: &str, title: &str) -> String {
        let said = self.phone(name, &["write", "--title", title, "--text", "Zo is het."]).ok();
        said.split_whitespace().next().unwrap().to_owned()
    }

    /// The beginning of a phone's person, as everybody sees it.
    fn person(&self, name: &str) -> String {
        let members = self.phone(name, &["members"]).ok();
        let own = members.lines().find(|line| line.contains("(jij)")).unwrap();
        own.split_whitespace().next().unwrap().to_owned()
    }

    /// The beginning of its device.
    fn device(&self, name: &str) -> String {
        let members = self.phone(name, &["members"]).ok();
        let own = members.lines().find(|line| line.contains("(dit toestel)")).unwrap();
        own.split_whitespace().nth(1).unwrap().to_owned()
    }

    fn root(&self, args: &[&str]) -> Ran {
        run(&[&["root", arg(&self.wijk.folder())], args].concat())
    }
}

#[test]
fn a_lost_phone_that_was_revoked_is_refused_and_its_later_words_count_nowhere() {
    let town = Town::with(&[("lost", "resident"), ("helper", "facilitator"), ("other", "resident")]);
    town.write("lost", "Voor het verlies");
    town.sync("lost");
    town.sync("helper");
    let device = town.device("lost");
    let by_resident = town.phone("other", &["revoke", "device", &device, "--reason", "lost"]);
    by_resident.refused(2);
    town.phone("helper", &["revoke", "device", &device, "--reason", "lost"]).ok();
    town.sync("helper");

    town.write("lost", "Na het verlies");
    let refused = town.phone("lost", &["sync"]);
    assert!(refused.refused(4).contains("this device no longer belongs to the wijk"), "{refused:?}");
    let shown = town.phone("lost", &["list"]).ok();
    assert!(shown.starts_with("Dit toestel hoort niet meer bij de wijk: kwijt of gestolen."), "{shown}");
    assert!(shown.contains("Na het verlies  [telt niet mee"), "{shown}");
    let more = town.phone("lost", &["write", "--title", "Meer", "--text", "Meer."]);
    assert!(more.refused(2).contains("no longer belongs"), "{more:?}");
    for name in ["helper", "other"] {
        let shown = town.sync(name);
        assert!(shown.contains("Voor het verlies") && !shown.contains("Na het verlies"), "{name}: {shown}");
    }
    let members = town.phone("other", &["members"]).ok();
    assert!(members.contains(&format!("toestel {device}  [hoort er niet meer bij: kwijt of gestolen]")), "{members}");
}

#[test]
fn withdrawn_cards_let_nobody_in_and_whoever_tries_is_told() {
    let town = Town::with(&[("helper", "facilitator")]);
    let made = town.phone("helper", &["invite", "--count", "2", "--plain"]).ok();
    let links: Vec<&str> = made.lines().collect();
    assert_eq!(links.len(), 2, "{made}");
    town.sync("helper");
    town.phone("early", &["join", links[0]]).ok();
    town.sync("early");
    town.sync("helper");
    let cards = town.phone("helper", &["cards"]).ok();
    let batch = cards.lines().find(|line| line.contains("2 gemaakt, 1 gebruikt, 1 nog te gebruiken")).unwrap();
    let batch = batch.split_whitespace().next().unwrap();
    let said = town.phone("helper", &["withdraw", batch]).ok();
    assert_eq!(said, "Ingetrokken. Met 1 kaart kan niemand meer meedoen.\n");
    town.sync("helper");
    town.phone("late", &["join", links[1]]).ok();
    let refused = town.phone("late", &["sync"]);
    assert!(refused.refused(4).contains("this card was withdrawn; ask for a new card"), "{refused:?}");
    town.write("early", "Ik ben er nog");
    assert!(town.sync("early").contains("Ik ben er nog  [aangekomen op "));
}

#[test]
fn one_more_device_joins_with_a_link_of_its_owner_who_may_leave_with_both() {
    let town = Town::with(&[("first", "resident"), ("other", "resident")]);
    let said = town.phone("first", &["invite-device", "--plain"]).ok();
    let link = said.lines().next().unwrap();
    town.sync("first");
    town.phone("second", &["join", link]).ok();
    town.write("second", "Van mijn tablet");
    town.sync("second");
    assert_eq!(town.person("first"), town.person("second"));
    town.sync("other");
    town.phone("first", &["leave"]).refused(2);
    town.write("first", "Mijn laatste woord");
    town.phone("first", &["leave", "--yes"]).ok();
    assert_eq!(town.sync("first"), "De wijk weet dat je weg bent.\n");
    let shown = town.sync("other");
    assert!(shown.contains("Van mijn tablet") && shown.contains("Mijn laatste woord"), "{shown}");
    assert_eq!(town.sync("second"), "De wijk weet dat je weg bent.\n");
}

#[test]
fn a_ruling_hides_for_others_and_a_newer_one_shows_again() {
    let town = Town::with(&[("author", "resident"), ("other", "resident"), ("helper", "facilitator")]);
    let id = town.write("author", "Over mijn buurman");
    for name in ["author", "other", "helper"] {
        town.sync(name);
    }
    let rule = |measure: &str| {
        let reason = "Noem geen namen van buren.";
        town.phone("helper", &["rule", &id[..8], measure, "--ground", "huisregel 2", "--reason", reason]).ok();
        for name in ["helper", "author", "other"] {
            town.sync(name);
        }
    };
    rule("hide");
    for name in ["other", "helper"] {
        let shown = town.phone(name, &["list"]).ok();
        assert!(!shown.contains("Over mijn buurman"), "{name}: {shown}");
    }
    assert!(town.phone("author", &["list"]).ok().contains("Over mijn buurman  [aangekomen op "));
    let line = town.phone("author", &["show", &id]).ok();
    let parts =
        ["Zo is het.", "- verborgen voor anderen op ", "grond: huisregel 2", "waarom: Noem geen namen van buren."];
    assert!(parts.iter().all(|part| line.contains(part)), "{line}");
    let ruling = line.lines().find_map(|line| line.split_once("nummer van deze beslissing: ")).unwrap().1;
    town.phone("author", &["appeal", ruling, "--text", "Ik noem niemand."]).ok();
    let rulings = town.phone("helper", &["rulings"]).ok();
    assert!(rulings.contains("Over mijn buurman: Zo is het."), "{rulings}");
    rule("keep");
    assert!(town.phone("other", &["list"]).ok().contains("Over mijn buurman"));
}

#[test]
fn two_of_staff_erase_with_a_legal_ground_one_of_them_an_administrator() {
    let town = Town::with(&[("author", "resident"), ("keeper", "resident"), ("board", "board"), ("other", "resident")]);
    let id = town.write("author", "Over de ziekte van mijn buurvrouw");
    for name in ["author", "keeper", "board", "other"] {
        town.sync(name);
    }
    let erase = ["erase", &id[..8], "--ground", "AVG artikel 17: gezondheid van een ander"];
    assert!(town.phone("keeper", &erase).refused(2).contains("administrator or board"));
    // An administrator is made by the root, from the wijk's folder.
    let keeper = town.person("keeper");
    town.root(&["grant", &keeper, "administrator"]).ok();
    assert!(town.root(&["members"]).ok().contains("beheerder"));
    town.sync("keeper");
    town.phone("keeper", &erase).ok();
    town.sync("keeper");
    assert!(!town.sync("other").contains("Over de ziekte"));
    assert!(town.sync("author").contains("[verborgen voor anderen]"));
    town.sync("board");
    let waiting = town.phone("board", &["erasures"]).ok();
    assert!(waiting.contains("[verborgen; wacht op een tweede handtekening]"), "{waiting}");
    assert!(waiting.contains("grond: AVG artikel 17"), "{waiting}");
    town.phone("board", &erase).ok();
    town.sync("board");
    assert!(!town.sync("author").contains("Over de ziekte"));
    let done = town.phone("author", &["erasures"]).ok();
    assert!(done.contains("[gewist]") && done.matches("getekend door").count() == 2, "{done}");
}

#[test]
fn a_secret_answer_is_kept_sent_and_counted_without_being_shown() {
    let town = Town::with(&[("asker", "facilitator"), ("resident", "resident")]);
    let id = town.write("asker", "Bent u weleens bang?");
    town.sync("asker");
    town.sync("resident");
    town.phone("resident", &["ballot", &id, "agree"]).ok();
    let own = town.phone("resident", &["poll", &id]).ok();
    assert_eq!(own, "jouw geheime antwoord: eens  [bewaard op dit toestel]\nEr is nog niet geteld.\n");
    town.sync("resident");
    town.phone("resident", &["count", &id]).refused(2);
    town.phone("asker", &["count", &id]).ok();
    town.sync("asker");
    let counted = town.phone("asker", &["poll", &id]).ok();
    assert!(counted.contains("Geteld op ") && counted.contains("minder dan 10 mensen"), "{counted}");
    assert!(!counted.contains("- eens"), "{counted}");
}

#[test]
fn an_erasure_report_counts_two_of_three_and_then_three_of_three() {
    // The third device is the board's, inside the server.
    let town = Town::with(&[("author", "resident"), ("away", "resident")]);
    let id = town.write("author", "Wat ik terugneem");
    town.sync("author");
    town.sync("away");
    until("the board has it", || town.server.get("/bestuur", "").1.contains("Wat ik terugneem").then_some(()));
    town.phone("author", &["erase", &id]).ok();
    town.sync("author");
    until("the board has it no longer", || {
        (!town.server.get("/bestuur", "").1.contains("Wat ik terugneem")).then_some(())
    });
    // A running device scrubs after a while, and at the latest when it ends.
    let Town { wijk, server } = town;
    assert!(server.stop().0.success());
    let server = wijk.serve();
    let town = Town { wijk, server };
    let report = || town.phone("author", &["erase-report", &id[..8]]).ok();
    let said = until("the board's device has confirmed", || {
        Some(report()).filter(|said| !said.contains("Gewist op 1 van de 3 toestellen."))
    });
    assert!(said.starts_with("Gewist op 2 van de 3 toestellen.\n1 toestel heeft het nog niet bevestigd."), "{said}");
    assert!(said.contains("een foto van een scherm"), "{said}");
    town.sync("away");
    assert!(report().starts_with("Gewist op 3 van de 3 toestellen.\nWat niemand kan wissen"), "{}", report());
    let other = town.phone("away", &["erase-report", &id]);
    other.refused(2);
}
