//! Bodies of records and changes that all members read.

use super::{Body, CHANGE_BYTES_MAX, DocumentChange, exact, list, numbered, optional, text};
use crate::cbor::{CborError, Fields};
use crate::model::decision::{ABOUT_MAX, ANSWER_BYTES_MAX, PARTY_BYTES_MAX, REPLACES_MAX};
use crate::model::directory::{BUURTEN_MAX, NAME_BYTES_MAX, THEMES_MAX};
use crate::model::notice::{GROUND_BYTES_MAX, REASON_BYTES_MAX};
use crate::model::poll::TALLY_MIN;
use crate::model::*;

pub(super) fn change(body: &Body<'_>, c: &DocumentChange) -> Vec<u8> {
    let mut w = body.map(2 + usize::from(c.replaces.is_some()));
    w.uint(3).bytes(&c.session).uint(4).bytes(&c.change);
    if let Some(replaces) = c.replaces {
        w.uint(5).bytes(replaces.as_bytes());
    }
    w.finish()
}

pub(super) fn read_change(f: &Fields<'_>) -> Result<DocumentChange, CborError> {
    Ok(DocumentChange {
        session: exact(f, 3)?,
        change: f.need(4)?.bytes(CHANGE_BYTES_MAX)?.to_vec(),
        replaces: optional(f, 5)?.map(SubjectId::new),
    })
}

pub(super) fn voice(body: &Body<'_>, v: &Voice) -> Vec<u8> {
    let mut w = body.map(3 + usize::from(v.replaces.is_some()));
    w.uint(3).bytes(v.question.as_bytes()).uint(4).uint(v.choice.number()).uint(5).uint(v.counter);
    if let Some(replaces) = v.replaces {
        w.uint(6).bytes(replaces.as_bytes());
    }
    w.finish()
}

pub(super) fn read_voice(f: &Fields<'_>) -> Result<Voice, CborError> {
    Ok(Voice {
        question: SubjectId::new(exact(f, 3)?),
        choice: numbered(f, 4, Choice::from_number, "a choice")?,
        counter: f.need(5)?.uint()?,
        replaces: optional(f, 6)?.map(EntryId::new),
    })
}

pub(super) fn directory(body: &Body<'_>, d: &Directory) -> Vec<u8> {
    let mut w = body.map(7);
    w.uint(3).text(&d.name).uint(4).text(&d.municipality).uint(5).text(d.code.as_str()).uint(6).uint(d.reference_year);
    w.uint(7).array(d.themes.len());
    for theme in &d.themes {
        w.array(2).uint(theme.number).text(&theme.name);
    }
    w.uint(8).array(d.buurten.len());
    for buurt in &d.buurten {
        w.array(2).text(buurt.code.as_str()).text(&buurt.name);
    }
    w.uint(9).uint(d.counter);
    w.finish()
}

fn area(text: &str) -> Result<AreaCode, CborError> {
    AreaCode::parse(text).map_err(|_| CborError { at: 0, what: "a CBS code" })
}

pub(super) fn read_directory(f: &Fields<'_>) -> Result<Directory, CborError> {
    Ok(Directory {
        name: text(f, 3, NAME_BYTES_MAX)?,
        municipality: text(f, 4, NAME_BYTES_MAX)?,
        code: area(&text(f, 5, 16)?)?,
        reference_year: f.need(6)?.uint()?,
        themes: list(f, 7, THEMES_MAX, |r| {
            r.array_of(2)?;
            Ok(Theme { number: r.uint()?, name: r.text(NAME_BYTES_MAX)?.to_owned() })
        })?,
        buurten: list(f, 8, BUURTEN_MAX, |r| {
            r.array_of(2)?;
            Ok(Buurt { code: area(r.text(16)?)?, name: r.text(NAME_BYTES_MAX)?.to_owned() })
        })?,
        counter: f.need(9)?.uint()?,
    })
}

pub(super) fn decision(body: &Body<'_>, d: &Decision) -> Vec<u8> {
    let mut w = body.map(6 + usize::from(d.due_day.is_some()));
    w.uint(3).array(d.about.len());
    for subject in &d.about {
        w.bytes(subject.as_bytes());
    }
    w.uint(4).uint(d.outcome.number()).uint(5).text(&d.reason).uint(6).text(&d.answer).uint(7).text(&d.party);
    if let Some(day) = d.due_day {
        w.uint(8).uint(u64::from(day));
    }
    w.uint(9).array(d.replaces.len());
    for id in &d.replaces {
        w.bytes(id.as_bytes());
    }
    w.finish()
}

pub(super) fn read_decision(f: &Fields<'_>) -> Result<Decision, CborError> {
    let day = f.get(8).map(|mut r| r.uint()).transpose()?;
    let decision = Decision {
        about: list(f, 3, ABOUT_MAX, |r| r.exact().map(SubjectId::new))?,
        outcome: numbered(f, 4, Outcome::from_number, "an outcome")?,
        reason: text(f, 5, ANSWER_BYTES_MAX)?,
        answer: text(f, 6, ANSWER_BYTES_MAX)?,
        party: text(f, 7, PARTY_BYTES_MAX)?,
        due_day: day.map(u32::try_from).transpose().map_err(|_| CborError { at: 0, what: "a day" })?,
        replaces: list(f, 9, REPLACES_MAX, |r| r.exact().map(EntryId::new))?,
    };
    if decision.about.is_empty() || decision.reason.is_empty() || decision.answer.is_empty() {
        return Err(CborError { at: 0, what: "a decision with contributions, a reason and an answer" });
    }
    Ok(decision)
}

pub(super) fn tally(body: &Body<'_>, tally: &Tally) -> Vec<u8> {
    let mut w = body.map(2);
    w.uint(3).bytes(tally.question.as_bytes()).uint(4).array(tally.counts.len());
    for (choice, count) in &tally.counts {
        w.array(2).uint(choice.number()).uint(*count);
    }
    w.finish()
}

pub(super) fn read_tally(f: &Fields<'_>) -> Result<Tally, CborError> {
    let counts = list(f, 4, Choice::ALL.len(), |r| {
        r.array_of(2)?;
        let choice = Choice::from_number(r.uint()?).ok_or_else(|| r.error("a choice"))?;
        let count = r.uint()?;
        if count < TALLY_MIN { Err(r.error("a count that is large enough to be shown")) } else { Ok((choice, count)) }
    })?;
    if !counts.is_sorted_by_key(|(choice, _)| choice.number()) {
        return Err(CborError { at: 0, what: "choices in order" });
    }
    Ok(Tally { question: SubjectId::new(exact(f, 3)?), counts })
}

pub(super) fn ruling(body: &Body<'_>, r: &Ruling) -> Vec<u8> {
    let mut w = body.map(5 + usize::from(r.answers.is_some()) + usize::from(r.replaces.is_some()));
    w.uint(3).bytes(r.about.as_bytes()).uint(4).uint(r.measure.number()).uint(5).text(&r.ground);
    w.uint(6).text(&r.reason).uint(7).uint(r.counter);
    if let Some(answers) = r.answers {
        w.uint(8).bytes(answers.as_bytes());
    }
    if let Some(replaces) = r.replaces {
        w.uint(9).bytes(replaces.as_bytes());
    }
    w.finish()
}

pub(super) fn read_ruling(f: &Fields<'_>) -> Result<Ruling, CborError> {
    let ruling = Ruling {
        about: SubjectId::new(exact(f, 3)?),
        measure: numbered(f, 4, Measure::from_number, "a measure")?,
        ground: text(f, 5, GROUND_BYTES_MAX)?,
        reason: text(f, 6, REASON_BYTES_MAX)?,
        counter: f.need(7)?.uint()?,
        answers: optional(f, 8)?.map(SubjectId::new),
        replaces: optional(f, 9)?.map(EntryId::new),
    };
    if ruling.ground.trim().is_empty() || ruling.reason.trim().is_empty() {
        return Err(CborError { at: 0, what: "a ruling with its ground and its reason" });
    }
    Ok(ruling)
}
