//! The simulator's pages stand in `snapshots/`, and its command line keeps its word.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::story::snapshot;

fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sim")).args(arguments).output().unwrap()
}

fn told(arguments: &[&str]) -> String {
    let output = sim(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap()
}

fn pages(which: &str) -> Vec<(String, String)> {
    let text = told(&["pages", which]);
    let pages = text.split("=== ").skip(1).map(|page| {
        let (name, page) = page.split_once('\n').unwrap();
        (name.to_owned(), page.to_owned())
    });
    pages.collect()
}

fn compare(which: &str) {
    for (name, page) in pages(which) {
        snapshot(&name, &page);
    }
}

#[test]
fn seeds_stand_in_snapshots() {
    compare("seeds");
}

#[test]
fn every_mark_has_its_scenario() {
    let pages = pages("scenarios");
    assert!(pages.iter().all(|(_, page)| !page.contains("NOT REACHED")), "{pages:#?}");
    for (name, page) in pages {
        snapshot(&name, &page);
    }
}

#[test]
fn every_planted_bug_dies_within_its_budget() {
    let pages = pages("kills");
    assert!(pages.iter().all(|(_, page)| !page.contains("OVER BUDGET")), "{pages:#?}");
    for (name, page) in pages {
        snapshot(&name, &page);
    }
}

#[test]
fn every_bug_of_old_has_its_page() {
    compare("bugs");
}

#[test]
fn no_page_is_orphaned() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let known: BTreeSet<String> = ["seeds", "scenarios", "kills", "bugs"]
        .iter()
        .flat_map(|which| pages(which))
        .map(|(name, _)| name)
        .collect();
    for file in fs::read_dir(root.join("snapshots")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(!name.starts_with("sim_") || known.contains(name), "nothing writes {name}");
    }
}

#[test]
fn a_plan_that_fails_is_told_and_shrunk_and_can_be_played_again() {
    let output = sim(&["--seed", "1", "--bug", "failed-shown-awaiting"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.starts_with("FAIL seed 1: "), "{told}");
    // The plan on the screen is a plan, and fails in the same way.
    let plan = told.split_once("\nplan v1\n").unwrap().1.split("\n\n").next().unwrap();
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

#[test]
fn output_is_the_same_whatever_the_number_of_jobs() {
    let run = |jobs| told(&["run", "--seeds", "0..40", "--steps", "200", "--jobs", jobs]);
    assert_eq!(run("1"), run("4"));
}

#[test]
fn a_wrong_use_exits_with_2() {
    for arguments in [
        &["--seed", "x"][..],
        &["run", "--seeds", "5..5"],
        &["replay", "no/such/file"],
        &["--seed", "1", "--bug", "none-such"],
        &["--layer", "swarm"],
    ] {
        assert_eq!(sim(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn the_simulator_checks_itself() {
    let text = told(&["selfcheck"]);
    assert!(text.lines().all(|line| line.starts_with("ok ")), "{text}");
}
