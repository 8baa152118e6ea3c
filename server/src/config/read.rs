//! Values become types; what has another form is gathered, with where it came from.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use config::{Value, ValueKind};

use super::layers::{KEYS, Layered};

/// Values as they are read. See the module.
pub(crate) struct Reading {
    values: Layered,
    problems: Vec<String>,
}

impl Reading {
    pub(super) fn new(values: Layered) -> Self {
        Self { values, problems: Vec::new() }
    }

    pub(super) fn finish(self) -> Vec<String> {
        self.problems
    }

    fn value(&self, key: &str) -> Option<&Value> {
        debug_assert!(KEYS.contains(&key), "{key} has no name in the table");
        self.values.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The value as it would be typed; an empty text is none, so that a variable can be taken back.
    fn text(&mut self, key: &str, form: &str) -> Option<String> {
        match self.value(key)?.clone().into_string() {
            Ok(text) if text.trim().is_empty() => None,
            Ok(text) => Some(text.trim().to_owned()),
            Err(_) => self.problem(key, &format!("should be {form}")),
        }
    }

    /// Notes that a setting is wrong.
    pub(super) fn problem<T>(&mut self, key: &str, what: &str) -> Option<T> {
        let origin = self.value(key).and_then(Value::origin).unwrap_or("the configuration").to_owned();
        self.problems.push(format!("{key} from {origin} {what}"));
        None
    }

    pub(super) fn checked<T>(&mut self, key: &str, form: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.text(key, form)?;
        match read(&text) {
            Some(value) => Some(value),
            None => self.problem(key, &format!("is {text:?}, which is not {form}")),
        }
    }

    pub(super) fn optional<T: FromStr>(&mut self, key: &str, form: &str) -> Option<T> {
        self.checked(key, form, |text| text.parse().ok())
    }

    pub(super) fn address(&mut self, key: &str) -> Option<SocketAddr> {
        self.optional(key, "an address and a port, like 127.0.0.1:7447")
    }

    /// A number in a range, or what it is when nothing is said.
    pub(crate) fn number(&mut self, key: &str, range: RangeInclusive<u64>, otherwise: u64) -> u64 {
        let form = format!("a number from {} to {}", range.start(), range.end());
        let number = |text: &str| text.replace('_', "").parse().ok().filter(|number| range.contains(number));
        self.checked(key, &form, number).unwrap_or(otherwise)
    }

    /// A list; outside a file its parts are separated by commas.
    pub(super) fn list<T>(&mut self, key: &str, form: &str, read: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let Some(value) = self.value(key).cloned() else { return Vec::new() };
        let texts: Vec<String> = match value.kind {
            ValueKind::String(text) => text.split(',').map(|part| part.trim().to_owned()).collect(),
            ValueKind::Array(parts) => parts.into_iter().map(|part| part.into_string().unwrap_or_default()).collect(),
            other => vec![other.to_string()],
        };
        let mut found = Vec::new();
        for text in texts.iter().filter(|text| !text.is_empty() || texts.len() > 1) {
            match read(text) {
                Some(value) => found.push(value),
                None => drop(self.problem::<()>(key, &format!("is {text:?}, which is not {form}"))),
            }
        }
        found
    }
}
