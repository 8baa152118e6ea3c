//! How asks and looks are read: CBOR, one map with the fields of all of them, each of which may be missing.
//!
//! Not JSON, as answers are: its reader knows floating numbers and compiles each record anew, and was a fiftieth of what a browser
//! downloads, for what is a dozen of texts and numbers. Not here: what a field means, nor whether what stands in it can be.

use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};
use samenspraak::{Content, Outcome, Role, Voice, WijkError};

use super::{Ask, Look};

const VOICES: [(&str, Voice); 5] = [
    ("support", Voice::Support),
    ("withdrawn", Voice::Withdrawn),
    ("agree", Voice::Agree),
    ("disagree", Voice::Disagree),
    ("pass", Voice::Pass),
];
const OUTCOMES: [(&str, Outcome); 4] =
    [("yes", Outcome::Yes), ("no", Outcome::No), ("partly", Outcome::Partly), ("later", Outcome::Later)];
const ROLES: [(&str, Role); 5] = [
    ("resident", Role::Resident),
    ("facilitator", Role::Facilitator),
    ("board", Role::Board),
    ("administrator", Role::Administrator),
    ("party", Role::Party),
];

/// All that anything asked for can hold.
#[derive(Default)]
struct Given {
    kind: String,
    id: Option<String>,
    link: Option<String>,
    title: Option<String>,
    text: Option<String>,
    before: Option<String>,
    insert: Option<String>,
    answer: Option<String>,
    reason: Option<String>,
    party: Option<String>,
    receipt: Option<String>,
    agenda: Option<Vec<String>>,
    about: Option<Vec<String>>,
    replaces: Option<Vec<String>>,
    item: Option<u32>,
    at: Option<u32>,
    delete: Option<u32>,
    first: Option<u32>,
    count: Option<u32>,
    due_day: Option<u32>,
    writes: Option<bool>,
    content: Option<Content>,
    voice: Option<Voice>,
    outcome: Option<Outcome>,
    role: Option<Role>,
}

impl Given {
    fn read(bytes: &[u8]) -> Result<Self, WijkError> {
        let (mut given, mut from) = (Self::default(), Decoder::new(bytes));
        fields(&mut from, &mut |name, from| given.take(name, from))?;
        if from.position() == bytes.len() {
            Ok(given)
        } else {
            Err(WijkError::invalid("more than one thing is asked for"))
        }
    }

    /// Takes the value of a field. What a newer page writes and isn't known here is passed over.
    fn take(&mut self, name: &str, from: &mut Decoder<'_>) -> Result<(), Error> {
        match name {
            "kind" => self.kind = text(from)?,
            "id" => self.id = Some(text(from)?),
            "link" => self.link = Some(text(from)?),
            "title" => self.title = Some(text(from)?),
            "text" => self.text = Some(text(from)?),
            "before" => self.before = Some(text(from)?),
            "insert" => self.insert = Some(text(from)?),
            "answer" => self.answer = Some(text(from)?),
            "reason" => self.reason = Some(text(from)?),
            "party" => self.party = Some(text(from)?),
            "receipt" => self.receipt = Some(text(from)?),
            "agenda" => self.agenda = Some(texts(from)?),
            "about" => self.about = Some(texts(from)?),
            "replaces" => self.replaces = Some(texts(from)?),
            "item" => self.item = Some(from.u32()?),
            "at" => self.at = Some(from.u32()?),
            "delete" => self.delete = Some(from.u32()?),
            "first" => self.first = Some(from.u32()?),
            "count" => self.count = Some(from.u32()?),
            "dueDay" => self.due_day = Some(from.u32()?),
            "writes" => self.writes = Some(from.bool()?),
            "content" => self.content = Some(content(from)?),
            "voice" => self.voice = Some(one_of(from, &VOICES)?),
            "outcome" => self.outcome = Some(one_of(from, &OUTCOMES)?),
            "role" => self.role = Some(one_of(from, &ROLES)?),
            _ => from.skip()?,
        }
        Ok(())
    }
}

/// What takes the value of one field.
type Take<'t> = &'t mut dyn FnMut(&str, &mut Decoder<'_>) -> Result<(), Error>;

/// Reads a map; a field that is null is as one that is missing.
fn fields(from: &mut Decoder<'_>, take: Take<'_>) -> Result<(), WijkError> {
    let wrong = |error: Error| WijkError::invalid(format!("nothing that can be asked for: {error}"));
    for _ in 0..from.map().map_err(wrong)?.unwrap_or(0) {
        let name = from.str().map_err(wrong)?;
        let taken = if from.datatype().map_err(wrong)? == Type::Null { from.skip() } else { take(name, from) };
        taken.map_err(|error| WijkError::invalid(format!("`{name}`: {error}")))?;
    }
    Ok(())
}

fn text(from: &mut Decoder<'_>) -> Result<String, Error> {
    from.str().map(Into::into)
}

fn texts(from: &mut Decoder<'_>) -> Result<Vec<String>, Error> {
    (0..from.array()?.unwrap_or(0)).map(|_| text(from)).collect()
}

fn one_of<T: Copy>(from: &mut Decoder<'_>, known: &[(&str, T)]) -> Result<T, Error> {
    let given = from.str()?;
    let found = known.iter().find(|(name, _)| *name == given);
    found.map(|(_, value)| *value).ok_or_else(|| Error::message("it isn't known here"))
}

/// The words of an input. A theme and a buurt may be missing.
fn content(from: &mut Decoder<'_>) -> Result<Content, Error> {
    let (mut content, mut is_whole) = (Content::default(), [false; 2]);
    let read = fields(from, &mut |name, from| {
        match name {
            "title" => (content.title, is_whole[0]) = (text(from)?, true),
            "text" => (content.text, is_whole[1]) = (text(from)?, true),
            "theme" => content.theme = from.u64()?,
            "buurt" => content.buurt = text(from)?,
            _ => from.skip()?,
        }
        Ok(())
    });
    read.map_err(Error::message)?;
    if is_whole == [true; 2] { Ok(content) } else { Err(Error::message("it has no title and text")) }
}

/// What has to be there.
fn need<T>(field: Option<T>, name: &str) -> Result<T, WijkError> {
    field.ok_or_else(|| WijkError::invalid(format!("`{name}` is missing")))
}

fn unknown(kind: &str) -> WijkError {
    WijkError::invalid(format!("`{kind}` isn't known here"))
}

impl Ask {
    /// Reads one.
    ///
    /// # Errors
    /// When it isn't CBOR, isn't known, or misses something.
    pub fn read(bytes: &[u8]) -> Result<Self, WijkError> {
        let given = Given::read(bytes)?;
        Ok(match given.kind.as_str() {
            "join" => Self::Join { link: need(given.link, "link")? },
            "contribute" => Self::Contribute { content: need(given.content, "content")? },
            "edit" => Self::Edit { id: need(given.id, "id")?, content: need(given.content, "content")? },
            "speak" => Self::Speak { id: need(given.id, "id")?, voice: need(given.voice, "voice")? },
            "erase" => Self::Erase { id: need(given.id, "id")? },
            "askErasure" => Self::AskErasure { id: need(given.id, "id")? },
            "newMeeting" => {
                Self::NewMeeting { title: need(given.title, "title")?, agenda: need(given.agenda, "agenda")? }
            }
            "addAgendaItem" => Self::AddAgendaItem { id: need(given.id, "id")?, title: need(given.title, "title")? },
            "editNotes" => Self::EditNotes {
                id: need(given.id, "id")?,
                item: need(given.item, "item")?,
                at: need(given.at, "at")?,
                delete: need(given.delete, "delete")?,
                insert: need(given.insert, "insert")?,
            },
            "setNotes" => Self::SetNotes {
                id: need(given.id, "id")?,
                item: need(given.item, "item")?,
                before: need(given.before, "before")?,
                text: need(given.text, "text")?,
            },
            "seal" => Self::Seal { content: need(given.content, "content")? },
            "answerSealed" => Self::AnswerSealed { id: need(given.id, "id")?, answer: need(given.answer, "answer")? },
            "decide" => Self::Decide {
                about: need(given.about, "about")?,
                outcome: need(given.outcome, "outcome")?,
                reason: need(given.reason, "reason")?,
                answer: need(given.answer, "answer")?,
                party: need(given.party, "party")?,
                due_day: given.due_day,
                replaces: need(given.replaces, "replaces")?,
            },
            "invite" => Self::Invite { role: need(given.role, "role")?, count: need(given.count, "count")? },
            "attend" => Self::Attend { id: given.id, writes: need(given.writes, "writes")? },
            kind => return Err(unknown(kind)),
        })
    }
}

impl Look {
    /// Reads one.
    ///
    /// # Errors
    /// When it isn't CBOR, isn't known, or misses something.
    pub fn read(bytes: &[u8]) -> Result<Self, WijkError> {
        let given = Given::read(bytes)?;
        Ok(match given.kind.as_str() {
            "me" => Self::Me,
            "contributionCount" => Self::ContributionCount,
            "contributions" => {
                Self::Contributions { first: need(given.first, "first")?, count: need(given.count, "count")? }
            }
            "contribution" => Self::Contribution { id: need(given.id, "id")? },
            "timeline" => Self::Timeline { id: need(given.id, "id")? },
            "meetings" => Self::Meetings,
            "meeting" => Self::Meeting { id: need(given.id, "id")? },
            "present" => Self::Present { id: need(given.id, "id")? },
            "ownSealed" => Self::OwnSealed,
            "sealedStories" => Self::SealedStories,
            "answersFor" => Self::AnswersFor { receipt: need(given.receipt, "receipt")? },
            "erasure" => Self::Erasure { id: need(given.id, "id")? },
            kind => return Err(unknown(kind)),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use minicbor::Encoder;
    use serde_json::Value;

    use super::*;

    fn wrong(read: Result<impl Debug, WijkError>) -> String {
        match read {
            Err(WijkError::Invalid { detail }) => detail,
            other => panic!("{other:?}"),
        }
    }

    /// Every ask and every look as a page of this version writes it: its kind, its fields, and which of them may be missing.
    const ASKS: [(&str, &str); 15] = [
        ("join", r#""link":"x""#),
        ("contribute", r#""content":{"title":"t","text":"x","theme":2,"buurt":"BU00000000"}"#),
        ("edit", r#""id":"0","content":{"title":"t","text":"x"}"#),
        ("speak", r#""id":"0","voice":"support""#),
        ("erase", r#""id":"0""#),
        ("askErasure", r#""id":"0""#),
        ("newMeeting", r#""title":"t","agenda":["a","b"]"#),
        ("addAgendaItem", r#""id":"0","title":"t""#),
        ("editNotes", r#""id":"0","item":1,"at":2,"delete":3,"insert":"i""#),
        ("setNotes", r#""id":"0","item":1,"before":"b","text":"x""#),
        ("seal", r#""content":{"title":"t","text":"x"}"#),
        ("answerSealed", r#""id":"0","answer":"a""#),
        ("decide", r#""about":["0"],"outcome":"yes","reason":"r","answer":"a","party":"p","replaces":[]"#),
        ("invite", r#""role":"resident","count":3"#),
        ("attend", r#""writes":true"#),
    ];
    const LOOKS: [(&str, &str); 12] = [
        ("me", ""),
        ("contributionCount", ""),
        ("contributions", r#""first":0,"count":9"#),
        ("contribution", r#""id":"0""#),
        ("timeline", r#""id":"0""#),
        ("meetings", ""),
        ("meeting", r#""id":"0""#),
        ("present", r#""id":"0""#),
        ("ownSealed", ""),
        ("sealedStories", ""),
        ("answersFor", r#""receipt":"r""#),
        ("erasure", r#""id":"0""#),
    ];

    /// As a page writes it.
    fn cbor(value: &Value, to: &mut Encoder<Vec<u8>>) {
        let wrote = match value {
            Value::Null => to.null(),
            Value::Bool(value) => to.bool(*value),
            Value::Number(value) => to.i64(value.as_i64().expect("a small number")),
            Value::String(value) => to.str(value),
            Value::Array(all) => {
                to.array(all.len() as u64).expect("memory");
                all.iter().for_each(|value| cbor(value, to));
                return;
            }
            Value::Object(all) => {
                to.map(all.len() as u64).expect("memory");
                for (name, value) in all {
                    to.str(name).expect("memory");
                    cbor(value, to);
                }
                return;
            }
        };
        wrote.expect("memory");
    }

    fn given(value: &Value) -> Vec<u8> {
        let mut to = Encoder::new(Vec::new());
        cbor(value, &mut to);
        to.into_writer()
    }

    fn parsed(json: &str) -> Value {
        serde_json::from_str(json).expect("a test's JSON")
    }

    /// Reads it, and says what is missing when one field after another is taken away.
    fn each<T: Debug>(all: &[(&str, &str)], read: fn(&[u8]) -> Result<T, WijkError>) {
        for (kind, fields) in all {
            let whole = parsed(&format!("{{\"kind\":\"{kind}\"{}{fields}}}", if fields.is_empty() { "" } else { "," }));
            let said = format!("{:?}", read(&given(&whole)).expect(kind));
            let name = said.split([' ', '{']).next().expect("a name");
            assert_eq!(name.to_lowercase(), kind.to_lowercase(), "{whole}");
            let names: Vec<String> = whole.as_object().expect("an object").keys().cloned().collect();
            for name in names {
                let mut less = whole.clone();
                less.as_object_mut().expect("an object").remove(&name);
                let named = if name == "kind" { "``".into() } else { format!("`{name}`") };
                assert!(wrong(read(&given(&less))).contains(&named), "{less}");
                less[&name] = Value::Array(vec![Value::Bool(true)]);
                assert!(wrong(read(&given(&less))).contains(&format!("`{name}`")), "{less}");
            }
        }
    }

    #[test]
    fn what_a_page_asks_for_is_read_and_what_it_misses_is_named() {
        each(&ASKS, Ask::read);
        each(&LOOKS, Look::read);
    }

    #[test]
    fn names_are_those_that_answers_have() {
        fn same<T: serde::Serialize>(all: &[(&str, T)]) {
            for (name, value) in all {
                assert_eq!(serde_json::to_string(value).expect("a name"), format!("\"{name}\""));
            }
        }
        same(&VOICES);
        same(&OUTCOMES);
        same(&ROLES);
    }

    #[test]
    fn what_may_be_missing_may() {
        let decide = parsed(
            r#"{"kind":"decide","about":[],"outcome":"no","reason":"","answer":"","party":"","replaces":[],"dueDay":20000}"#,
        );
        assert!(matches!(Ask::read(&given(&decide)), Ok(Ask::Decide { due_day: Some(20_000), .. })));
        let attend = parsed(r#"{"kind":"attend","id":null,"writes":false,"ofANewerPage":[{"x":[1]}]}"#);
        assert!(matches!(Ask::read(&given(&attend)), Ok(Ask::Attend { id: None, writes: false })));
        let words = parsed(r#"{"kind":"seal","content":{"title":"t","text":"x","theme":7,"buurt":"B","newer":null}}"#);
        let read = Ask::read(&given(&words));
        assert!(matches!(read, Ok(Ask::Seal { content }) if content.theme == 7 && content.buurt == "B"));
    }

    #[test]
    fn what_is_no_ask_is_refused_in_words() {
        assert!(wrong(Ask::read(&given(&parsed(r#"{"kind":"dance"}"#)))).contains("`dance`"));
        assert!(wrong(Look::read(&given(&parsed(r#"{"kind":"join","link":"x"}"#)))).contains("`join`"));
        let edit = parsed(r#"{"kind":"editNotes","id":"0","item":-1,"at":0,"delete":0,"insert":""}"#);
        assert!(wrong(Ask::read(&given(&edit))).contains("`item`"));
        let theme = parsed(r#"{"kind":"seal","content":{"title":"t","text":"x","theme":"house"}}"#);
        assert!(wrong(Ask::read(&given(&theme))).contains("`theme`"));
        let title = parsed(r#"{"kind":"seal","content":{"text":"x"}}"#);
        assert!(wrong(Ask::read(&given(&title))).contains("no title"));
        let whole = given(&parsed(r#"{"kind":"speak","id":"0","voice":"support"}"#));
        for end in 0..whole.len() {
            wrong(Ask::read(&whole[..end]));
        }
        wrong(Ask::read(&[whole.as_slice(), &whole].concat()));
        for bytes in [&[0xff; 9][..], &[0xbf, 0xff], &[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], &[0x9f]] {
            wrong(Look::read(bytes));
        }
    }
}
