//! Promise: phones that write in the same meeting notes offline show the same text after they synced, and nothing that
//! nobody deleted is lost, whatever the order of writing, syncing, breaking off and dying.
//!
//! `SAMENSPRAAK_CASES` for a longer run, `SAMENSPRAAK_SEED` to repeat one; a failure names its case.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;

use samenspraak_core::app::{Command, Reply};
use samenspraak_core::document::Splice;
use samenspraak_core::document::meeting::MeetingEdit;
use samenspraak_core::model::{MeetingText, Role, SubjectId};
use samenspraak_tests::world::{Phone, Seeded, World};

const PHONES: usize = 3;

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

/// Three facilitators who joined and have the notes of one meeting.
struct Template {
    world: World,
    phones: Vec<Phone>,
    meeting: SubjectId,
}

impl Template {
    fn new() -> Self {
        let mut world = World::with_seed(1);
        let mut phones: Vec<Phone> = (0..PHONES).map(|_| world.join(Role::Facilitator)).collect();
        for phone in &mut phones {
            assert_eq!(world.sync(phone).settled, Some(None));
        }
        let agenda = vec!["Licht".into(), "Groen".into()];
        let command = Command::NewMeeting { title: "Wijkavond".into(), agenda };
        let Reply::Saved { subject: meeting, .. } = world.ask(&mut phones[0], command).unwrap() else { panic!() };
        for phone in &mut phones {
            assert_eq!(world.sync(phone).settled, Some(None));
        }
        Self { world, phones, meeting }
    }
}

/// One interleaving.
struct Case {
    world: World,
    phones: Vec<Phone>,
    meeting: SubjectId,
    choose: Seeded,
    /// Words that were written and that nobody deleted.
    words: BTreeSet<String>,
    written: usize,
    titles: BTreeSet<String>,
    counts: Counts,
}

/// What happened, over all cases: the test is worth something only if all of it did.
#[derive(Debug, Default)]
struct Counts {
    inserts: usize,
    deletions: usize,
    items: usize,
    syncs: usize,
    cuts: usize,
    deaths: usize,
    server_deaths: usize,
}

fn text_of(phone: &mut Phone, meeting: SubjectId) -> MeetingText {
    phone.joined().meeting(meeting).unwrap().unwrap().text
}

/// Places in a text that are not inside a word: words look like `<中>`.
fn gaps(text: &str) -> Vec<usize> {
    let chars: Vec<char> = text.chars().collect();
    (0..=chars.len())
        .filter(|at| *at == 0 || *at == chars.len() || chars[*at] == '<' || chars[*at - 1] == '>')
        .collect()
}

impl Case {
    fn new(template: &Template, seed: u64) -> Self {
        Self {
            world: template.world.copy(seed),
            phones: template.phones.iter().map(Phone::copy).collect(),
            meeting: template.meeting,
            choose: Seeded::new(seed ^ 0x5eed),
            words: BTreeSet::new(),
            written: 0,
            titles: ["Licht", "Groen"].map(String::from).into(),
            counts: Counts::default(),
        }
    }

    fn step(&mut self) {
        let at = self.choose.below(PHONES);
        match self.choose.below(20) {
            0..8 => self.insert(at),
            8..11 => self.delete(at),
            11 => self.add_item(at),
            12..15 => {
                self.counts.syncs += 1;
                let synced = self.world.sync(&mut self.phones[at]);
                assert_eq!(synced.settled, Some(None), "{synced:?}");
            }
            15..18 => {
                self.counts.cuts += 1;
                let frames = self.choose.below(9);
                self.world.sync_cut(&mut self.phones[at], frames);
            }
            18 => {
                self.counts.deaths += 1;
                self.phones[at].restart();
            }
            _ => {
                self.counts.server_deaths += 1;
                self.world.restart_server();
            }
        }
    }

    fn edit(&mut self, at: usize, edit: MeetingEdit) {
        let command = Command::EditMeeting { subject: self.meeting, edit };
        let reply = self.world.ask(&mut self.phones[at], command).unwrap();
        assert!(matches!(reply, Reply::Saved { .. }), "{reply:?}");
    }

    fn word(&mut self) -> String {
        self.written += 1;
        // A sign of its own for each word: what is left of other words can't be put together to this one.
        let sign = char::from_u32(0x4e00 + u32::try_from(self.written).unwrap()).unwrap();
        let word = format!("<{sign}>");
        self.words.insert(word.clone());
        word
    }

    fn item(&mut self, at: usize) -> (usize, String) {
        let agenda = text_of(&mut self.phones[at], self.meeting).agenda;
        let item = self.choose.below(agenda.len());
        (item, agenda[item].text.clone())
    }

    fn insert(&mut self, at: usize) {
        self.counts.inserts += 1;
        let (item, text) = self.item(at);
        let gaps = gaps(&text);
        let place = gaps[self.choose.below(gaps.len())];
        let insert = (0..=self.choose.below(2)).map(|_| self.word()).collect();
        self.edit(at, MeetingEdit::Splice { item, splice: Splice { at: place, delete: 0, insert } });
    }

    /// Takes a piece away, sometimes with a new word in its place. Words that it touches may be gone afterwards.
    fn delete(&mut self, at: usize) {
        let (item, text) = self.item(at);
        let chars: Vec<char> = text.chars().collect();
        if chars.is_empty() {
            return;
        }
        self.counts.deletions += 1;
        let from = self.choose.below(chars.len());
        let to = (from + 1 + self.choose.below(12)).min(chars.len());
        let rest = [&chars[..from], &['\n'], &chars[to..]].concat().into_iter().collect::<String>();
        self.words.retain(|word| !text.contains(word) || rest.contains(word));
        let in_a_gap = gaps(&rest.replace('\n', "")).contains(&from);
        let insert = if in_a_gap && self.choose.below(2) == 0 { self.word() } else { String::new() };
        self.edit(at, MeetingEdit::Splice { item, splice: Splice { at: from, delete: to - from, insert } });
    }

    fn add_item(&mut self, at: usize) {
        self.counts.items += 1;
        let title = format!("Punt {}", self.written + 1000 * self.titles.len());
        self.titles.insert(title.clone());
        self.edit(at, MeetingEdit::AddItem { title });
    }

    /// Everybody syncs until nothing moves; then all must be equal and complete, also when opened again.
    fn finish(&mut self) {
        for _ in 0..2 {
            for phone in &mut self.phones {
                let synced = self.world.sync(phone);
                assert_eq!(synced.settled, Some(None), "{synced:?}");
            }
        }
        let text = text_of(&mut self.phones[0], self.meeting);
        for phone in &mut self.phones {
            assert_eq!(text_of(phone, self.meeting), text, "all show the same");
            assert_eq!(phone.joined().set_aside(self.meeting), 0);
            phone.restart();
            assert_eq!(text_of(phone, self.meeting), text, "and so they do when opened again");
        }
        let all: String = text.agenda.iter().map(|item| item.text.as_str()).collect();
        for word in &self.words {
            assert_eq!(all.matches(word.as_str()).count(), 1, "{word} in {all}");
        }
        let titles: Vec<&String> = text.agenda.iter().map(|item| &item.title).collect();
        assert_eq!(titles.len(), self.titles.len());
        assert_eq!(titles.into_iter().cloned().collect::<BTreeSet<_>>(), self.titles);
        assert_eq!(self.world.server().replica().waiting_count(), 0);
    }
}

#[test]
fn notes_written_by_three_offline_are_the_same_everywhere_and_lose_no_word() {
    let (cases, first) = (from_env("SAMENSPRAAK_CASES", 1_000), from_env("SAMENSPRAAK_SEED", 1));
    let template = Template::new();
    let mut total = Counts::default();
    let mut kept = 0;
    for seed in first..first + cases {
        let case = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut case = Case::new(&template, seed);
            for _ in 0..12 + case.choose.below(16) {
                case.step();
            }
            case.finish();
            (case.counts, case.words.len())
        }));
        let Ok((counts, words)) = case else {
            panic!("seed {seed} fails: SAMENSPRAAK_SEED={seed} SAMENSPRAAK_CASES=1")
        };
        kept += words;
        total.inserts += counts.inserts;
        total.deletions += counts.deletions;
        total.items += counts.items;
        total.syncs += counts.syncs;
        total.cuts += counts.cuts;
        total.deaths += counts.deaths;
        total.server_deaths += counts.server_deaths;
    }
    println!("{cases} interleavings from seed {first}: {total:?}, {kept} words kept");
    if cases >= 1_000 {
        let Counts { inserts, deletions, items, syncs, cuts, deaths, server_deaths } = total;
        assert!([inserts, deletions, items, syncs, cuts, deaths, server_deaths].into_iter().all(|n| n > 500));
        assert!(kept > 3_000);
    }
}
