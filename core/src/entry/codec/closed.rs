//! Bodies of closed spaces, and what is inside the sealed ones.

use super::{Body, exact, finish, list, optional, read_space, text};
use crate::cbor::{CborError, Fields, Writer};
use crate::model::closed::{GENERATION_REPLACES_MAX, NOTICE_CHARS_MAX, SEALED_BYTES_MAX, WRAP_BYTES_MAX};
use crate::model::contribution::{TEXT_CHARS_MAX, TITLE_CHARS_MAX};
use crate::model::*;

pub(super) fn enrolment(body: &Body<'_>, e: &Enrolment) -> Vec<u8> {
    let way = usize::from(!matches!(e.way, Way::Right)) + usize::from(matches!(e.way, Way::Card { .. }));
    let mut w = body.map(3 + way);
    w.uint(3).bytes(e.device.as_bytes()).uint(4).bytes(&e.encryption_key).uint(5).bytes(&e.signature);
    match &e.way {
        Way::Right => {}
        Way::Founds(nonce) => drop(w.uint(6).bytes(nonce)),
        Way::Card { card, proof } => drop(w.uint(7).bytes(card.as_bytes()).uint(8).bytes(proof)),
    }
    w.finish()
}

pub(super) fn read_enrolment(f: &Fields<'_>) -> Result<Enrolment, CborError> {
    let way = match (optional(f, 6)?, optional(f, 7)?) {
        (None, None) => Way::Right,
        (Some(nonce), None) => Way::Founds(nonce),
        (None, Some(card)) => Way::Card { card: InvitationKey::new(card), proof: exact(f, 8)? },
        (Some(_), Some(_)) => return Err(CborError { at: 0, what: "one way into a closed space" }),
    };
    Ok(Enrolment { device: DeviceId::new(exact(f, 3)?), encryption_key: exact(f, 4)?, signature: exact(f, 5)?, way })
}

pub(super) fn generation(body: &Body<'_>, g: &Generation) -> Vec<u8> {
    let mut w = body.map(3);
    w.uint(3).bytes(&g.space.to_bytes()).uint(4).bytes(&g.public).uint(5).array(g.replaces.len());
    for id in &g.replaces {
        w.bytes(id.as_bytes());
    }
    w.finish()
}

pub(super) fn read_generation(f: &Fields<'_>) -> Result<Generation, CborError> {
    let space = read_space(&mut f.need(3)?)?;
    if !space.is_closed() {
        return Err(CborError { at: 0, what: "a closed space" });
    }
    let replaces = list(f, 5, GENERATION_REPLACES_MAX, |r| r.exact().map(GenerationId::new))?;
    Ok(Generation { space, public: exact(f, 4)?, replaces })
}

pub(super) fn wrap(body: &Body<'_>, wrap: &Wrap) -> Vec<u8> {
    let mut w = body.map(3);
    w.uint(3).bytes(wrap.generation.as_bytes()).uint(4).bytes(wrap.to.as_bytes());
    finish(w.uint(5).bytes(&wrap.sealed))
}

pub(super) fn read_wrap(f: &Fields<'_>) -> Result<Wrap, CborError> {
    Ok(Wrap {
        generation: GenerationId::new(exact(f, 3)?),
        to: DeviceId::new(exact(f, 4)?),
        sealed: f.need(5)?.bytes(WRAP_BYTES_MAX)?.to_vec(),
    })
}

pub(super) fn sealed(body: &Body<'_>, sealed: &Sealed) -> Vec<u8> {
    finish(body.map(2).uint(3).bytes(sealed.generation.as_bytes()).uint(4).bytes(&sealed.bytes))
}

pub(super) fn read_sealed(f: &Fields<'_>) -> Result<Sealed, CborError> {
    let bytes = f.need(4)?.bytes(SEALED_BYTES_MAX)?.to_vec();
    Ok(Sealed { generation: GenerationId::new(exact(f, 3)?), bytes })
}

pub(super) fn answer(body: &Body<'_>, answer: &SealedAnswer) -> Vec<u8> {
    finish(body.map(2).uint(3).bytes(answer.to.as_bytes()).uint(4).bytes(&answer.bytes))
}

pub(super) fn read_answer(f: &Fields<'_>) -> Result<SealedAnswer, CborError> {
    Ok(SealedAnswer { to: ReplyId::new(exact(f, 3)?), bytes: f.need(4)?.bytes(SEALED_BYTES_MAX)?.to_vec() })
}

/// Longest code of a buurt in bytes.
const BUURT_BYTES_MAX: usize = 16;

/// What goes into a sealed body: a map whose key 0 says what it is.
#[must_use]
pub fn encode_words(words: &SealedWords) -> Vec<u8> {
    let mut w = Writer::new();
    let reply = |w: &mut Writer, key: u64, reply: &Option<[u8; 32]>| {
        if let Some(reply) = reply {
            w.uint(key).bytes(reply);
        }
    };
    match words {
        SealedWords::Story { content: c, reply: to } => {
            w.map(5 + usize::from(to.is_some())).uint(0).uint(1);
            w.uint(1).text(&c.title).uint(2).text(&c.text).uint(3).uint(c.theme).uint(4).text(&c.buurt);
            reply(&mut w, 5, to);
        }
        SealedWords::Notice { about, text, reply: to } => {
            w.map(3 + usize::from(to.is_some())).uint(0).uint(2).uint(1).bytes(about.as_bytes()).uint(2).text(text);
            reply(&mut w, 5, to);
        }
        SealedWords::Appeal { ruling, text, reply: to } => {
            w.map(3 + usize::from(to.is_some())).uint(0).uint(3).uint(1).bytes(ruling.as_bytes()).uint(2).text(text);
            reply(&mut w, 5, to);
        }
        SealedWords::Note { text } => drop(w.map(2).uint(0).uint(4).uint(2).text(text)),
        SealedWords::PersonSecret(secret) => drop(w.map(2).uint(0).uint(5).uint(1).bytes(secret)),
    }
    w.finish()
}

/// Reads what was in a sealed body.
///
/// # Errors
/// When it has another form.
pub fn decode_words(bytes: &[u8]) -> Result<SealedWords, CborError> {
    let f = Fields::parse(bytes)?;
    // Four bytes a letter are the most.
    let notice = |f: &Fields<'_>| text(f, 2, NOTICE_CHARS_MAX * 4);
    Ok(match f.need(0)?.uint()? {
        1 => SealedWords::Story {
            content: Content {
                title: text(&f, 1, TITLE_CHARS_MAX * 4)?,
                text: text(&f, 2, TEXT_CHARS_MAX * 4)?,
                theme: f.need(3)?.uint()?,
                buurt: text(&f, 4, BUURT_BYTES_MAX)?,
            },
            reply: optional(&f, 5)?,
        },
        2 => SealedWords::Notice { about: SubjectId::new(exact(&f, 1)?), text: notice(&f)?, reply: optional(&f, 5)? },
        3 => SealedWords::Appeal { ruling: EntryId::new(exact(&f, 1)?), text: notice(&f)?, reply: optional(&f, 5)? },
        4 => SealedWords::Note { text: notice(&f)? },
        5 => SealedWords::PersonSecret(exact(&f, 1)?),
        _ => return Err(CborError { at: 0, what: "sealed words of a known form" }),
    })
}

/// What goes into a sealed answer.
#[must_use]
pub fn encode_answer(words: &AnswerWords) -> Vec<u8> {
    let mut w = Writer::new();
    w.map(1).uint(1).text(&words.answer);
    w.finish()
}

/// Reads what was in a sealed answer.
///
/// # Errors
/// When it has another form.
pub fn decode_answer(bytes: &[u8]) -> Result<AnswerWords, CborError> {
    Ok(AnswerWords { answer: text(&Fields::parse(bytes)?, 1, NOTICE_CHARS_MAX * 4)? })
}
