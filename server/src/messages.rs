//! All texts that people of the wijk read, from `server/messages/nl.ftl`. The program itself speaks English to its
//! administrator.

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use std::sync::LazyLock;

const DUTCH: &str = include_str!("../messages/nl.ftl");

static BUNDLE: LazyLock<FluentBundle<FluentResource>> = LazyLock::new(|| {
    let resource = FluentResource::try_new(DUTCH.to_owned()).unwrap_or_else(|(resource, _)| resource);
    let dutch = unic_langid::LanguageIdentifier::from_bytes(b"nl").unwrap_or_default();
    let mut bundle = FluentBundle::new_concurrent(vec![dutch]);
    // Texts go into HTML and terminals; invisible direction marks around values help neither.
    bundle.set_use_isolating(false);
    // Two messages with one name: the first stands. A test refuses such a file.
    let _ = bundle.add_resource(resource);
    bundle
});

/// A text without values.
#[must_use]
pub fn text(name: &str) -> String {
    with(name, &[])
}

/// A text with values.
#[must_use]
pub fn with(name: &str, values: &[(&str, FluentValue<'_>)]) -> String {
    let mut args = FluentArgs::new();
    for (key, value) in values {
        args.set((*key).to_owned(), value.clone());
    }
    let Some(pattern) = BUNDLE.get_message(name).and_then(|message| message.value()) else {
        // Shown as its name: odd, but nothing is lost. A test looks for every name that the sources use.
        return name.to_owned();
    };
    BUNDLE.format_pattern(pattern, Some(&args), &mut Vec::new()).into_owned()
}

/// A day in Dutch, as in "22 november 2026".
#[must_use]
pub fn day(day: u32) -> String {
    let date = crate::date::date(day);
    let month = text(&format!("month-{}", u8::from(date.month())));
    format!("{} {month} {}", date.day(), date.year())
}

/// A day in Dutch for narrow columns, as in "22-11-2026".
#[must_use]
pub fn short_day(day: u32) -> String {
    let date = crate::date::date(day);
    format!("{}-{}-{}", date.day(), u8::from(date.month()), date.year())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn names_in_file() -> Vec<String> {
        let names = DUTCH.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
        names.filter_map(|line| Some(line.split_once(" =")?.0.to_owned())).collect()
    }

    /// Names in `text("…")` and `with("…"` calls of the sources.
    fn names_in_sources(folder: &Path, names: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                names_in_sources(&path, names);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            for call in ["text(\"", "with(\"", "messages::text(\"", "messages::with(\""] {
                // `starts_with("…")` is no call of `with`.
                let calls = source.match_indices(call).filter(|(at, _)| !source[..*at].ends_with('_'));
                for (at, _) in calls {
                    let rest = &source[at + call.len()..];
                    names.insert(rest[..rest.find('"').unwrap()].to_owned());
                }
            }
        }
    }

    #[test]
    fn every_message_parses_once_and_every_name_in_the_sources_has_one() {
        assert!(FluentResource::try_new(DUTCH.to_owned()).is_ok());
        let listed = names_in_file();
        let unique: BTreeSet<String> = listed.iter().cloned().collect();
        assert_eq!(unique.len(), listed.len(), "a name stands twice");
        let mut used = BTreeSet::new();
        names_in_sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut used);
        used.remove("…");
        let missing: Vec<_> = used.difference(&unique).filter(|name| !name.contains('\\')).collect();
        assert!(missing.is_empty(), "no text for {missing:?}");
        // Names that are put together at run time.
        let composed = |name: &str| ["month-", "outcome-", "theme-", "reason-"].iter().any(|p| name.starts_with(p));
        let idle: Vec<_> = unique.difference(&used).filter(|name| !composed(name)).collect();
        assert!(idle.is_empty(), "nobody uses {idle:?}");
    }

    #[test]
    fn days_read_as_people_say_them() {
        assert_eq!(day(20_779), "22 november 2026");
        assert_eq!(short_day(20_779), "22-11-2026");
    }
}
