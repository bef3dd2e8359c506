//! The simulator: its pages are the snapshots, and its manual shows real output.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::story::snapshot;

fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sim")).args(arguments).output().unwrap()
}

fn success(arguments: &[&str]) -> String {
    let output = sim(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap()
}

fn pages(which: &str) -> Vec<(String, String)> {
    let text = success(&["pages", which]);
    let pages = text.split("=== ").skip(1).map(|page| {
        let (name, page) = page.split_once('\n').unwrap();
        (name.to_owned(), page.to_owned())
    });
    pages.collect()
}

/// Compares these pages with their snapshots. A page with the text `bad` is an error.
fn compare(which: &str, bad: Option<&str>) {
    let pages = pages(which);
    if let Some(bad) = bad {
        assert!(pages.iter().all(|(_, page)| !page.contains(bad)), "{pages:#?}");
    }
    for (name, page) in pages {
        snapshot(&name, &page);
    }
}

#[test]
fn seed_pages_are_snapshots() {
    compare("seeds", None);
}

#[test]
fn every_mark_has_a_scenario() {
    compare("scenarios", Some("NOT REACHED"));
}

#[test]
fn every_planted_bug_is_found_within_its_budget() {
    compare("kills", Some("OVER BUDGET"));
}

#[test]
fn every_regression_plan_has_a_page() {
    compare("regressions", None);
}

#[test]
fn every_sim_snapshot_is_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let written: BTreeSet<String> = ["seeds", "scenarios", "kills", "regressions"]
        .iter()
        .flat_map(|which| pages(which))
        .map(|(name, _)| name)
        .collect();
    for file in fs::read_dir(root.join("snapshots")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(!name.starts_with("sim_") || written.contains(name), "no page {name}");
    }
}

#[test]
fn a_failure_is_shrunk_and_its_plan_can_be_replayed() {
    let output = sim(&["--seed", "1", "--bug", "failed-shown-awaiting"]);
    assert_eq!(output.status.code(), Some(1));
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(report.starts_with("FAIL seed 1, generator 5: "), "{report}");
    // The report contains the plan, which fails in the same way.
    let plan = report.split_once("\nplan v1\n").unwrap().1.split("\n\n").next().unwrap();
    let mut replay = Command::new(env!("CARGO_BIN_EXE_sim"))
        .args(["replay", "-", "--bug", "failed-shown-awaiting"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    write!(replay.stdin.take().unwrap(), "plan v1\n{plan}\n").unwrap();
    let again = replay.wait_with_output().unwrap();
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8(again.stdout).unwrap().contains("FAIL -: "));
}

fn manual() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/sim/README.md")).unwrap()
}

/// Runs every example of the manual and compares its output. `INSTA_UPDATE=always` updates the
/// manual, as it updates the snapshots.
#[test]
fn the_manual_shows_real_output() {
    const PROMPT: &str = "$ cargo run --release --bin sim -- ";
    let manual = manual();
    let mut parts = manual.split(PROMPT);
    let mut real = parts.next().unwrap().to_owned();
    for part in parts {
        let (arguments, rest) = part.split_once('\n').unwrap();
        let (_, after) = rest.split_once("```").unwrap();
        let output = sim(&arguments.split(' ').collect::<Vec<_>>()).stdout;
        let output = String::from_utf8(output).unwrap();
        real.push_str(&format!("{PROMPT}{arguments}\n{output}```{after}"));
    }
    assert_eq!(manual.matches(PROMPT).count(), 4);
    #[expect(clippy::disallowed_methods, reason = "insta has no function that reads its variable")]
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/sim/README.md"), real).unwrap();
    } else {
        assert_eq!(manual, real);
    }
}

#[test]
fn the_manual_names_every_command_and_exit_code() {
    let manual = manual();
    let help = success(&["--help"]);
    let commands = help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    for command in commands.lines().filter_map(|line| line.split_whitespace().next()) {
        assert!(command == "help" || manual.contains(&format!("`sim {command}")), "{command}");
    }
    let codes = help.split_once("Exit codes: ").unwrap().1.replace('\n', " ");
    for code in codes.split(", ") {
        let (code, meaning) = code.trim().split_once(' ').unwrap();
        let row = format!("| {code} | {meaning} |");
        assert!(manual.contains(&row), "{row}");
    }
}

#[test]
fn output_does_not_depend_on_the_number_of_jobs() {
    let run = |jobs| success(&["run", "--seeds", "0..40", "--steps", "200", "--jobs", jobs]);
    assert_eq!(run("1"), run("4"));
}

#[test]
fn wrong_usage_exits_with_2() {
    for arguments in [
        &["--seed", "x"][..],
        &["run", "--seeds", "5..5"],
        &["replay", "no/such/file"],
        &["--seed", "1", "--bug", "none-such"],
        &["--layer", "swarm"],
        &["--seed", "1", "--generator", "1"],
        &["run", "--seeds", "0..1", "--generator", "2"],
    ] {
        assert_eq!(sim(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn the_selfcheck_passes() {
    let text = success(&["selfcheck"]);
    assert!(text.lines().all(|line| line.starts_with("ok ")), "{text}");
}
