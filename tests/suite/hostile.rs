//! `sim hostile`, run against a `loms` process: it can pass and it can fail.

use std::process::{Command, Output};

use crate::process::isolate;

fn hostile(flags: &str) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
    isolate(&mut command).arg("hostile").args(flags.split(' '));
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(stderr.is_empty(), "{}", String::from_utf8_lossy(&stderr));
    (status.code(), String::from_utf8(stdout).unwrap())
}

#[test]
fn attack_within_the_limits_passes_and_disconnects_the_attacker() {
    let (code, page) = hostile("--quick --only rapid-reset");
    assert_eq!(code, Some(0), "{page}");
    assert!(page.starts_with("rapid-reset\n  memory +"), "{page}");
    assert!(!page.contains(" 0 disconnected"), "{page}");
}

#[test]
fn attack_that_takes_too_much_memory_fails() {
    let (code, page) = hostile("--quick --only half-open-wide --memory 1");
    assert_eq!(code, Some(1), "{page}");
    assert!(page.contains("\n  FAIL the server took "), "{page}");
}

#[test]
fn mutated_requests_are_all_sent() {
    let (code, page) = hostile("--quick --mutate 2000 --seed 7");
    assert_eq!(code, Some(0), "{page}");
    assert!(page.starts_with("mutate\n"), "{page}");
}

#[test]
fn attacks_have_distinct_names() {
    let (code, list) = hostile("--list");
    let names: std::collections::BTreeSet<_> =
        list.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!((code, names.len()), (Some(0), list.lines().count()));
}
