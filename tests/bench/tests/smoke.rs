//! The whole benchmark in small, without peers: that every figure is there, that nothing acknowledged was lost and that every
//! document arrived. Nothing is judged by time.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Where the server's program is: named by the task, or beside the benchmark.
fn program() -> PathBuf {
    let bench = Path::new(env!("CARGO_BIN_EXE_samenspraak-bench"));
    let beside = bench.with_file_name(format!("samenspraak{}", std::env::consts::EXE_SUFFIX));
    let program = std::env::var_os("SAMENSPRAAK_PROGRAM").map_or(beside, PathBuf::from);
    assert!(program.is_file(), "build the server first: cargo build -p samenspraak-server");
    program
}

fn measure(folder: &Path) -> Vec<Value> {
    let json = folder.join("results.jsonl");
    let small = "--only W1,W2,W3,W4,W5,W6,W7,W9 --runs 1 --peers none --docs 50 --phones 4 --storm-docs 12 --attending 6 \
                 --writers 2 --seconds 1 --lanes 4 --ack-seconds 1 --starts 1 --memory-docs 50 --catching-up 6 --idle 10";
    let output = Command::new(env!("CARGO_BIN_EXE_samenspraak-bench"))
        .arg("--program")
        .arg(program())
        .arg("--data")
        .arg(folder.join("data"))
        .arg("--json")
        .arg(&json)
        .args(small.split_whitespace())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let text = std::fs::read_to_string(json).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of<'l>(lines: &'l [Value], workload: &str, form: &str) -> &'l Value {
    let found = lines.iter().find(|line| line["workload"] == workload && line["form"] == form);
    found.unwrap_or_else(|| panic!("no line of {workload} {form}"))
}

#[test]
fn every_line_has_its_figures_and_nothing_was_lost_on_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let lines = measure(folder.path());
    let common = ["wall_ms", "server_cpu_s", "server_peak_mib"];
    let moved = ["client_cpu_s", "bytes_up", "bytes_down", "round_trips"];
    let expected: [(&str, &str, &[&str], &[&str]); 11] = [
        ("W1", "cold", &moved, &["first_screen_ms", "synced_ms", "listed_docs", "different_docs"]),
        ("W1", "warm", &moved, &["first_screen_ms", "synced_ms", "listed_docs", "different_docs"]),
        ("W2", "", &moved, &["app_open_ms", "opened_docs"]),
        ("W3", "", &moved, &["changed_here", "changed_by_others", "missed_docs", "missed_at_server_docs"]),
        ("W4", "", &moved, &["acked_max_ms", "deliveries", "real_phones"]),
        ("W5", "", &["client_cpu_s", "bytes_up", "bytes_down"], &["p50_ms", "p99_ms", "acked_p50_ms", "deliveries"]),
        ("W6", "", &["client_cpu_s"], &["acknowledged", "acknowledged_per_s", "lost"]),
        ("W7", "stopped", &[], &["first_answer_ms", "slowest_ms"]),
        ("W7", "killed", &[], &["first_answer_ms", "slowest_ms"]),
        ("W9", "caught up", &[], &["server_resident_mib"]),
        ("W9", "quiet", &[], &["server_resident_mib", "connected"]),
    ];
    for (workload, form, fields, more) in expected {
        let line = of(&lines, workload, form);
        assert_eq!(line["outcome"], "ok", "{line}");
        assert_eq!(line["system"], "samenspraak", "{line}");
        for field in common.iter().chain(fields).chain(more) {
            assert!(line[field].is_number(), "{workload} {form} has no {field}: {line}");
        }
    }
    assert_eq!(lines.len(), expected.len());

    let number = |workload, form, field: &str| of(&lines, workload, form)[field].as_f64().unwrap();
    for form in ["cold", "warm"] {
        assert_eq!((number("W1", form, "listed_docs"), number("W1", form, "different_docs")), (50.0, 0.0));
    }
    assert_eq!(number("W2", "", "opened_docs"), 0.0);
    assert_eq!((number("W3", "", "changed_here"), number("W3", "", "changed_by_others")), (10.0, 10.0));
    assert_eq!((number("W3", "", "missed_docs"), number("W3", "", "missed_at_server_docs")), (0.0, 0.0));
    assert!(number("W5", "", "changes") > 0.0);
    assert_eq!(number("W5", "", "deliveries"), number("W5", "", "changes") * 5.0);
    assert!(number("W6", "", "acknowledged") > 0.0);
    assert_eq!(number("W6", "", "lost"), 0.0);
    assert_eq!(number("W9", "quiet", "connected"), 10.0);
}
