#![allow(clippy::unwrap_used, reason = "a test may panic")]
use super::*;

const EXAMPLE: &str = include_str!("../../docs/samenspraak.toml");

fn load(file: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(FILE), file).unwrap();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let values = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned(), "--set")).collect();
    Settings::from_layers(folder.path(), variables, &Flags { file: None, values }).map_err(|error| match error {
        ProgramError::Config { problems } => problems,
        other => panic!("{other}"),
    })
}

#[test]
fn flags_weigh_more_than_the_environment_and_that_more_than_the_file() {
    let file = "listen = \"127.0.0.1:1\"\nhold_seconds = 1\n[limits]\nconnections = 11\n";
    let variables = [("SAMENSPRAAK_LISTEN", "127.0.0.1:2"), ("SAMENSPRAAK_HOLD_SECONDS", "2"), ("OTHER", "x")];
    let settings = load(file, &variables, &[("listen", "127.0.0.1:3")]).unwrap();
    assert_eq!(settings.listen.port(), 3);
    assert_eq!(settings.hold, Duration::from_secs(2));
    assert_eq!(settings.limits.connections, 11);
    assert_eq!(settings.log, LogSettings { filter: LOG.into(), form: LogForm::Auto });
}

#[test]
fn everything_that_is_wrong_is_said_at_once_and_with_where_it_came_from() {
    let file =
        "listen = 5\nhold_seconds = \"soon\"\n[proxy]\ntrusted = [\"10.0.0.0/8\", \"there\"]\n[tls]\nkey = \"k.pem\"\n";
    let variables = [("SAMENSPRAAK_METRICS_LISTEN", "here"), ("SAMENSPRAAK_LOG", "=,=,samenspraak=loud")];
    let problems = load(file, &variables, &[("limits.connections", "0")]).unwrap_err();
    for (key, origin) in [
        ("listen ", FILE),
        ("hold_seconds ", FILE),
        ("proxy.trusted ", FILE),
        ("tls.key ", FILE),
        ("metrics.listen ", "the variable SAMENSPRAAK_METRICS_LISTEN"),
        ("log ", "the variable SAMENSPRAAK_LOG"),
        ("limits.connections ", "--set"),
    ] {
        let said = |line: &&String| line.starts_with(key) && line.contains(origin);
        assert_eq!(problems.iter().filter(said).count(), 1, "{key} from {origin}: {problems:#?}");
    }
    assert_eq!(problems.len(), 7, "{problems:#?}");
}

#[test]
fn names_that_are_unknown_are_errors_and_a_near_one_is_named() {
    let problems = load("lisen = \"127.0.0.1:1\"\n[limits]\nphones = 3\n[other]\na = 1\n", &[], &[]).unwrap_err();
    assert_eq!(problems.len(), 3, "{problems:#?}");
    assert!(problems.iter().any(|line| line.contains("lisen") && line.contains("is listen meant?")), "{problems:#?}");
    assert!(problems.iter().any(|line| line.contains("limits.phones") && line.contains(FILE)), "{problems:#?}");
    let problems = load("", &[("SAMENSPRAAK_LISTN", "127.0.0.1:1"), ("SAMENSPRAAK_POLIS_DIR", "x")], &[]).unwrap_err();
    assert_eq!(problems, ["the variable SAMENSPRAAK_LISTN is none of ours; is SAMENSPRAAK_LISTEN meant?"]);
    let problems = load("", &[], &[("limits.phones", "3")]).unwrap_err();
    assert_eq!(problems, ["limits.phones in --set is no setting"]);
    assert!(load("listen = ", &[], &[]).unwrap_err()[0].contains("line 1"));
}

#[test]
fn the_example_explains_every_setting_and_shows_what_it_is_when_nothing_is_said() {
    let plain = load(EXAMPLE, &[], &[]).unwrap();
    assert_eq!(plain, load("", &[], &[]).unwrap(), "all of it is commented out");
    // A line like `#name = value` is a setting; `# ` begins an explanation.
    let uncommented: Vec<&str> = EXAMPLE
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
        .collect();
    let file: toml::Table = toml::from_str(&uncommented.join("\n")).unwrap();
    let mut names = Vec::new();
    for (name, value) in &file {
        match value.as_table() {
            Some(table) => names.extend(table.keys().map(|key| format!("{name}.{key}"))),
            None => names.push(name.clone()),
        }
    }
    names.sort();
    let mut keys = KEYS.map(str::to_owned).to_vec();
    keys.sort();
    assert_eq!(names, keys);
    let shown = load(&uncommented.join("\n"), &[], &[]).unwrap();
    let examples = Settings {
        public_address: shown.public_address.clone(),
        tls: shown.tls.clone(),
        metrics_listen: shown.metrics_listen,
        proxies: shown.proxies.clone(),
        ..plain
    };
    assert_eq!(shown, examples, "these four have no value of their own; the others are shown as they are");
}
