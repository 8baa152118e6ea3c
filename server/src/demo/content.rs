//! What the demo wijk holds: `server/demo/wijk.toml`, read and checked, so that a mistake in it is named before anything is
//! made.

use std::collections::BTreeSet;
use std::path::PathBuf;

use samenspraak_core::model::contribution::{AGENDA_ITEMS_MAX, EDIT_CHARS_MAX, TEXT_CHARS_MAX, TITLE_CHARS_MAX};
use samenspraak_core::model::decision::{ANSWER_BYTES_MAX, PARTY_BYTES_MAX};
use samenspraak_core::model::{AreaCode, Buurt, Choice, Directory, Outcome, Theme};
use serde::Deserialize;

use crate::date;
use crate::error::ProgramError;

/// People who live in the demo wijk and have a phone.
pub(super) const RESIDENTS: usize = 24;
/// Where the content stands in the repository.
const PLACE: &str = "server/demo/wijk.toml";
const TEXT: &str = include_str!("../../demo/wijk.toml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Demo {
    pub(super) wijk: DemoWijk,
    themes: Vec<DemoTheme>,
    buurten: Vec<DemoBuurt>,
    pub(super) contributions: Vec<DemoContribution>,
    pub(super) decisions: Vec<DemoDecision>,
    pub(super) meetings: Vec<DemoMeeting>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DemoWijk {
    pub(super) name: String,
    municipality: String,
    code: String,
    reference_year: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DemoTheme {
    number: u64,
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DemoBuurt {
    code: String,
    name: String,
}

/// Residents are named by their number, from 1.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DemoContribution {
    pub(super) id: String,
    pub(super) author: usize,
    pub(super) theme: u64,
    pub(super) buurt: String,
    pub(super) title: String,
    pub(super) text: String,
    #[serde(default)]
    pub(super) support: Vec<usize>,
    #[serde(default)]
    pub(super) agree: Vec<usize>,
    #[serde(default)]
    pub(super) disagree: Vec<usize>,
    #[serde(default)]
    pub(super) pass: Vec<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DemoDecision {
    pub(super) about: Vec<String>,
    /// Which board member signs it; 1 is the device that the board page writes with.
    #[serde(default = "first_member")]
    pub(super) member: usize,
    outcome: DemoOutcome,
    pub(super) reason: String,
    pub(super) answer: String,
    #[serde(default)]
    pub(super) party: String,
    due: Option<String>,
}

fn first_member() -> usize {
    1
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum DemoOutcome {
    Yes,
    No,
    Partly,
    Later,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DemoMeeting {
    pub(super) title: String,
    pub(super) items: Vec<DemoItem>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DemoItem {
    pub(super) title: String,
    #[serde(default)]
    pub(super) notes: String,
}

fn wrong(what: impl Into<String>) -> ProgramError {
    ProgramError::File { path: PathBuf::from(PLACE), what: what.into() }
}

/// Reads the demo's content and checks all of it.
pub(super) fn read() -> Result<Demo, ProgramError> {
    parse(TEXT)
}

fn parse(text: &str) -> Result<Demo, ProgramError> {
    let demo: Demo = toml::from_str(text).map_err(|error| wrong(error.to_string().trim().replace('\n', " ")))?;
    demo.check()?;
    Ok(demo)
}

impl Demo {
    /// The wijk's directory.
    pub(super) fn directory(&self) -> Result<Directory, ProgramError> {
        let area = |code: &str| AreaCode::parse(code).map_err(|error| wrong(error.to_string()));
        let buurten = self.buurten.iter().map(|b| Ok(Buurt { code: area(&b.code)?, name: b.name.clone() }));
        Ok(Directory {
            name: self.wijk.name.clone(),
            municipality: self.wijk.municipality.clone(),
            code: area(&self.wijk.code)?,
            reference_year: self.wijk.reference_year,
            themes: self.themes.iter().map(|t| Theme { number: t.number, name: t.name.clone() }).collect(),
            buurten: buurten.collect::<Result<_, ProgramError>>()?,
            counter: 1,
        })
    }

    /// How many board members sign decisions.
    pub(super) fn board_members(&self) -> usize {
        self.decisions.iter().map(|decision| decision.member).max().unwrap_or(1)
    }

    fn check(&self) -> Result<(), ProgramError> {
        self.directory()?;
        let mut ids = BTreeSet::new();
        for contribution in &self.contributions {
            let named = |what: String| wrong(format!("contribution {:?}: {what}", contribution.id));
            if !ids.insert(contribution.id.as_str()) {
                return Err(named("stands twice".into()));
            }
            self.check_contribution(contribution).map_err(named)?;
        }
        for (at, decision) in self.decisions.iter().enumerate() {
            decision.check(&ids).map_err(|what| wrong(format!("decision {}: {what}", at + 1)))?;
        }
        for meeting in &self.meetings {
            meeting.check().map_err(|what| wrong(format!("meeting {:?}: {what}", meeting.title)))?;
        }
        Ok(())
    }

    fn check_contribution(&self, contribution: &DemoContribution) -> Result<(), String> {
        chars("title", &contribution.title, TITLE_CHARS_MAX)?;
        chars("text", &contribution.text, TEXT_CHARS_MAX)?;
        if !self.themes.iter().any(|theme| theme.number == contribution.theme) {
            return Err(format!("there is no theme {}", contribution.theme));
        }
        if !contribution.buurt.is_empty() && !self.buurten.iter().any(|buurt| buurt.code == contribution.buurt) {
            return Err(format!("there is no buurt {}", contribution.buurt));
        }
        let mut spoken = BTreeSet::from([contribution.author]);
        let voices = contribution.voices();
        let speakers = voices.iter().flat_map(|(people, _)| people.iter().copied());
        for person in std::iter::once(contribution.author).chain(speakers.clone()) {
            if !(1..=RESIDENTS).contains(&person) {
                return Err(format!("there is no resident {person}; they are 1 to {RESIDENTS}"));
            }
        }
        for person in speakers {
            if !spoken.insert(person) {
                return Err(format!("resident {person} speaks twice, or about their own words"));
            }
        }
        Ok(())
    }
}

fn chars(what: &str, text: &str, max: usize) -> Result<(), String> {
    let count = text.chars().count();
    if (1..=max).contains(&count) { Ok(()) } else { Err(format!("the {what} has {count} characters, not 1 to {max}")) }
}

impl DemoContribution {
    /// Who says what.
    pub(super) fn voices(&self) -> [(&[usize], Choice); 4] {
        [
            (&self.support, Choice::Support),
            (&self.agree, Choice::Agree),
            (&self.disagree, Choice::Disagree),
            (&self.pass, Choice::Pass),
        ]
    }
}

impl DemoDecision {
    pub(super) fn outcome(&self) -> Outcome {
        match self.outcome {
            DemoOutcome::Yes => Outcome::Yes,
            DemoOutcome::No => Outcome::No,
            DemoOutcome::Partly => Outcome::Partly,
            DemoOutcome::Later => Outcome::Later,
        }
    }

    pub(super) fn due_day(&self) -> Result<Option<u32>, ProgramError> {
        self.due.as_deref().map(date::parse).transpose().map_err(wrong)
    }

    fn check(&self, ids: &BTreeSet<&str>) -> Result<(), String> {
        for id in &self.about {
            if !ids.contains(id.as_str()) {
                return Err(format!("there is no contribution {id:?}"));
            }
        }
        for (what, text) in [("reason", &self.reason), ("answer", &self.answer)] {
            if text.is_empty() || text.len() > ANSWER_BYTES_MAX {
                return Err(format!("the {what} has {} bytes, not 1 to {ANSWER_BYTES_MAX}", text.len()));
            }
        }
        if self.about.is_empty() || self.member == 0 || self.party.len() > PARTY_BYTES_MAX {
            return Err("it is about nothing, its member is 0, or its party's name is too long".into());
        }
        self.due.as_deref().map_or(Ok(()), |due| date::parse(due).map(drop))
    }
}

impl DemoMeeting {
    fn check(&self) -> Result<(), String> {
        chars("title", &self.title, TITLE_CHARS_MAX)?;
        if self.items.len() > AGENDA_ITEMS_MAX {
            return Err(format!("its agenda has {} items, at most {AGENDA_ITEMS_MAX} are shown", self.items.len()));
        }
        for item in &self.items {
            chars("title of an item", &item.title, TITLE_CHARS_MAX)?;
            if item.notes.chars().count() > EDIT_CHARS_MAX {
                return Err(format!("the notes of {:?} have more than {EDIT_CHARS_MAX} characters", item.title));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_of_the_demo_is_whole() {
        let demo = read().unwrap();
        assert!(demo.contributions.len() >= 60, "{}", demo.contributions.len());
        assert!(!demo.decisions.is_empty() && !demo.meetings.is_empty());
        let silent: Vec<usize> =
            (1..=RESIDENTS).filter(|person| demo.contributions.iter().all(|c| c.author != *person)).collect();
        assert!(silent.is_empty(), "residents {silent:?} say nothing");
    }

    #[test]
    fn a_mistake_in_the_content_is_named_in_one_line() {
        let cases = [
            ("author = 2\n", "author = 25\n", "contribution \"schimmel-1\": there is no resident 25"),
            ("support = [1, 4, 6,", "support = [2, 4, 6,", "contribution \"schimmel-1\": resident 2 speaks twice"),
            ("theme = 1\n", "theme = 9\n", "contribution \"schimmel-1\": there is no theme 9"),
            ("id = \"schimmel-2\"", "id = \"schimmel-1\"", "contribution \"schimmel-1\": stands twice"),
            ("about = [\"schimmel-1\"", "about = [\"nergens\"", "decision 1: there is no contribution \"nergens\""),
            ("due = \"2027-02-01\"", "due = \"1 februari\"", "decision 1: \"1 februari\" is no date"),
            ("outcome = \"yes\"", "outcome = \"maybe\"", "unknown variant `maybe`"),
            ("code = \"WK999901\"", "code = \"9999\"", "\"9999\" is no CBS code"),
        ];
        for (good, bad, expected) in cases {
            assert!(TEXT.contains(good), "{good}");
            let line = parse(&TEXT.replacen(good, bad, 1)).unwrap_err().line();
            assert!(line.contains(PLACE) && line.contains(expected) && !line.contains('\n'), "{line}");
        }
    }
}
