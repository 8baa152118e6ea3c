//! What lies in `server/docs/` for a real machine is held to the program, as far as this machine can: the systemd unit by
//! systemd itself, the container file by its lines.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use samenspraak_server::config::{KEYS, variable};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

fn read(name: &str) -> String {
    fs::read_to_string(docs().join(name)).unwrap()
}

/// The settings of the unit, without comments; a later one of the same name stands behind.
fn settings(unit: &str) -> Vec<(&str, &str)> {
    unit.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('=')).collect()
}

#[test]
fn the_systemd_unit_is_one_and_locks_the_server_in() {
    let unit = read("samenspraak.service");
    let settings = settings(&unit);
    for (name, value) in [
        ("Type", "notify"),
        ("DynamicUser", "yes"),
        ("StateDirectory", "samenspraak"),
        ("ProtectSystem", "strict"),
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("ExecReload", "/bin/kill -HUP $MAINPID"),
    ] {
        assert!(settings.contains(&(name, value)), "{name}={value}");
    }
    let installed = "/usr/local/bin/samenspraak";
    assert!(settings.contains(&("ExecStart", &format!("{installed} serve /var/lib/samenspraak/wijk"))));
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        println!("skipped: systemd-analyze is not installed here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let verify = |unit: String| {
        let file = folder.path().join("samenspraak.service");
        fs::write(&file, unit.replace(installed, env!("CARGO_BIN_EXE_samenspraak"))).unwrap();
        let ran = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output().unwrap();
        (ran.status.success(), String::from_utf8_lossy(&ran.stderr).into_owned())
    };
    let (is_one, said) = verify(unit.clone());
    assert!(is_one && !said.contains("samenspraak.service"), "{said}");
    let (_, said) = verify(unit.replace("NoNewPrivileges=yes", "NoNewPriviliges=yes"));
    assert!(said.contains("NoNewPriviliges"), "a slip of the pen is noticed: {said}");
}

#[test]
fn the_container_runs_as_nobody_keeps_its_data_and_names_only_settings_there_are() {
    let file = read("Containerfile");
    let lines: Vec<&str> = file.lines().filter(|line| !line.starts_with('#')).collect();
    let runs_from = lines.iter().rposition(|line| line.starts_with("FROM ")).unwrap();
    let (build, stage) = lines.split_at(runs_from);
    let rust = env!("CARGO_PKG_RUST_VERSION");
    assert!(
        build[0].contains(&format!("rust:{rust}-slim-bookworm")),
        "built with the Rust of this workspace: {}",
        build[0]
    );
    assert!(stage[0].ends_with("debian:bookworm-slim"), "the same Debian, for the same C library: {}", stage[0]);
    let has = |begins: &str| stage.iter().any(|line| line.trim_start().starts_with(begins));
    assert!(has("USER 7447:7447") && has("VOLUME /data") && has("STOPSIGNAL SIGTERM") && has("HEALTHCHECK "));
    assert!(file.contains("/readyz"));
    let known: Vec<String> = KEYS.iter().map(|key| variable(key)).collect();
    let named = file.split_whitespace().filter_map(|word| word.trim_start_matches('`').split_once('='));
    let named: Vec<&str> = named.map(|(name, _)| name).filter(|name| name.starts_with("SAMENSPRAAK_")).collect();
    assert!(named.len() >= 3, "{named:?}");
    for name in named {
        assert!(known.iter().any(|known| known == name), "{name} is no setting");
    }
}

#[test]
fn the_recipes_for_proxies_keep_to_what_the_server_needs() {
    let recipes = read("proxy.md");
    for needed in
        ["proxy_http_version 1.1", "Upgrade $http_upgrade", "X-Forwarded-For $remote_addr", "proxy_buffering off"]
    {
        assert!(recipes.contains(needed), "{needed}");
    }
    let configuration = recipes.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("samenspraak.toml"), configuration).unwrap();
    let ran = Command::new(env!("CARGO_BIN_EXE_samenspraak")).arg("serve").arg(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(said.contains("no wijk here"), "the settings are right, only the wijk is missing: {said}");
}
