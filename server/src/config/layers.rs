//! The names of all settings, and how file, environment and flags are laid over each other.

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use config::{Config, ConfigError, File, FileFormat, Map, Source, Value, ValueKind};

use super::FILE;

/// Every name there is. `server/docs/samenspraak.toml` explains them; a test compares.
pub const KEYS: [&str; 20] = [
    "listen",
    "public_address",
    "hold_seconds",
    "log",
    "log_format",
    "tls.certificate",
    "tls.key",
    "metrics.listen",
    "proxy.trusted",
    "limits.connections",
    "limits.connections_per_address",
    "limits.handshakes",
    "limits.pushes_per_minute",
    "limits.push_bytes_per_minute",
    "limits.operations_per_day",
    "limits.requests",
    "limits.head_seconds",
    "limits.request_seconds",
    "limits.disk_free_bytes",
    "limits.stop_seconds",
];

/// The file, when it isn't in the data folder.
const FILE_VARIABLE: &str = "SAMENSPRAAK_CONFIG";
const VARIABLE: &str = "the variable ";
const PREFIX: &str = "SAMENSPRAAK_";
/// A name this near to one of ours was typed wrong. Other names may be of other programs, or of tests.
const TYPOS_MAX: usize = 2;

/// What the command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// The configuration file.
    pub file: Option<PathBuf>,
    /// Values by name, with the flag that gave them; later ones win.
    pub values: Vec<(String, String, &'static str)>,
}

/// The variable of a name.
#[must_use]
pub fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_uppercase())
}

/// Values with their origins, by full name.
pub(super) type Layered = Vec<(String, Value)>;

/// Values that came one by one.
#[derive(Clone, Debug)]
struct Given(Vec<(String, Value)>);

impl Source for Given {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.iter().cloned().collect())
    }
}

fn given(key: &str, value: String, origin: &str) -> (String, Value) {
    (key.to_owned(), Value::new(Some(&origin.to_owned()), ValueKind::String(value)))
}

/// Lays flags over the environment over the file, and says what isn't known.
pub(super) fn merge(folder: &Path, variables: Vec<(String, String)>, flags: &Flags) -> Result<Layered, Vec<String>> {
    let mut problems = Vec::new();
    let named = flags
        .file
        .clone()
        .or_else(|| variables.iter().find(|(name, _)| name == FILE_VARIABLE).map(|(_, file)| PathBuf::from(file)));
    // One that is named must be there.
    let file = named.or_else(|| Some(folder.join(FILE)).filter(|file| file.exists()));
    let mut builder = Config::builder();
    if let Some(file) = &file {
        builder = builder.add_source(File::from(file.as_path()).format(FileFormat::Toml));
    }
    builder = builder.add_source(from_variables(variables, &mut problems));
    let flagged = flags.values.iter().map(|(key, value, flag)| given(key, value.clone(), flag)).collect();
    builder = builder.add_source(Given(flagged));
    let merged = builder.build().map_err(|error| vec![file_problem(file.as_deref(), &error)])?;
    let place = file.map(|file| file.display().to_string()).unwrap_or_default();
    let layered = known(merged, &place, &mut problems);
    if problems.is_empty() { Ok(layered) } else { Err(problems) }
}

/// Values of the environment alone.
pub(super) fn only_variables(variables: Vec<(String, String)>) -> Result<Layered, Vec<String>> {
    let mut problems = Vec::new();
    let built = Config::builder().add_source(from_variables(variables, &mut problems)).build();
    let layered = built.map(|merged| known(merged, "", &mut problems)).map_err(|error| vec![error.to_string()])?;
    if problems.is_empty() { Ok(layered) } else { Err(problems) }
}

fn from_variables(variables: Vec<(String, String)>, problems: &mut Vec<String>) -> Given {
    let mut values = Vec::new();
    for (name, value) in variables {
        if let Some(key) = KEYS.iter().find(|key| variable(key) == name) {
            values.push(given(key, value, &format!("{VARIABLE}{name}")));
        } else if name != FILE_VARIABLE
            && name.starts_with(PREFIX)
            && let Some(near) = nearest(&name, KEYS.iter().map(|key| variable(key)))
        {
            problems.push(format!("the variable {name} is none of ours; is {near} meant?"));
        }
    }
    Given(values)
}

fn nearest(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    known
        .map(|key| (strsim::damerau_levenshtein(name, &key), key))
        .filter(|(far, _)| *far <= TYPOS_MAX)
        .min()
        .map(|(_, key)| key)
}

/// All values by their full names. What has no name of ours is a problem. `file` is where values come from that no variable or
/// flag gave: the library names it by another path.
fn known(merged: Config, file: &str, problems: &mut Vec<String>) -> Layered {
    let (mut found, mut tables) = (Vec::new(), vec![(String::new(), merged.cache)]);
    while let Some((name, value)) = tables.pop() {
        let origin = value.origin().filter(|origin| origin.starts_with(VARIABLE) || origin.starts_with("--"));
        let origin = origin.unwrap_or(file).to_owned();
        match value.kind {
            kind if KEYS.contains(&name.as_str()) => found.push((name, Value::new(Some(&origin), kind))),
            ValueKind::Table(rows)
                if name.is_empty() || KEYS.iter().any(|key| key.starts_with(&format!("{name}."))) =>
            {
                let prefix = if name.is_empty() { String::new() } else { format!("{name}.") };
                tables.extend(rows.into_iter().map(|(key, value)| (format!("{prefix}{key}"), value)));
            }
            _ => {
                let near = nearest(&name, KEYS.iter().map(|key| (*key).to_owned()));
                let hint = near.map(|near| format!("; is {near} meant?")).unwrap_or_default();
                problems.push(format!("{name} in {origin} is no setting{hint}"));
            }
        }
    }
    problems.sort();
    found
}

fn file_problem(file: Option<&Path>, error: &ConfigError) -> String {
    let place = file.map(|file| file.display().to_string()).unwrap_or_default();
    match error {
        ConfigError::FileParse { cause, .. } => {
            // Where, and what; between them the library draws the line with an arrow below.
            let text = cause.to_string();
            let (first, last) = (text.lines().next().unwrap_or_default(), text.lines().last().unwrap_or_default());
            if first == last { format!("{place}: {first}") } else { format!("{place}: {first}: {last}") }
        }
        other => format!("{place}: {other}"),
    }
}
