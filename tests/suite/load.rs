//! `sim load`, run against a `loms` process and against a server with wrong answers.

use std::process::{Command, Output};

use crate::process::{Process, event, isolate};
use crate::scripted_server::ScriptedServer;

/// `sim load` with an empty environment.
fn load() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
    isolate(&mut command).current_dir(env!("CARGO_MANIFEST_DIR")).arg("load");
    command
}

fn call(process: &Process, flags: &str) -> Output {
    load().args(flags.split(' ')).args(["--address", &process.address]).output().unwrap()
}

#[test]
fn load_counts_every_call_and_reads_back_every_order() {
    let mut process = Process::start(&["serve"]);
    for pace in ["--concurrency 4", "--rate 500"] {
        let Output { status, stdout, stderr } =
            call(&process, &format!("{pace} --warm-up 0s --duration 500ms --json"));
        assert!(status.success() && stderr.is_empty(), "{}", String::from_utf8_lossy(&stderr));
        let report = event(std::str::from_utf8(&stdout).unwrap());
        let calls = report["calls"].as_u64().unwrap();
        let codes = report["codes"].as_object().unwrap().values();
        assert_eq!(codes.map(|count| count.as_u64().unwrap()).sum::<u64>(), calls);
        let kinds = report["kinds"].as_object().unwrap().values();
        assert_eq!(kinds.map(|kind| kind["calls"].as_u64().unwrap()).sum::<u64>(), calls);
        let check = &report["check"];
        assert_eq!((&report["ok"], &check["made"]), (&true.into(), &check["read_back"]));
        // Without a warm-up, every order comes from a create that was counted. A run with few calls
        // may have no create.
        let creates = report["kinds"]["create"]["codes"]["OK"].as_u64().unwrap_or(0);
        assert_eq!(check["made"], creates);
        if pace == "--rate 500" {
            // A busy machine may have some calls left to send at the end.
            assert_eq!(calls + report["unsent"].as_u64().unwrap(), 250);
        }
    }
    let unchecked = call(&process, "--duration 50ms --warm-up 0s --no-check --json");
    assert!(unchecked.status.success());
    assert!(event(std::str::from_utf8(&unchecked.stdout).unwrap())["check"].is_null());
    process.signal("TERM");
    assert_eq!(process.end().1, Some(0));
}

#[tokio::test]
async fn load_reports_a_server_with_wrong_answers() {
    // Every create and every info is answered with order 1, which belongs to user 0.
    let server = ScriptedServer::new([]);
    let address = format!("http://{}", server.listen().await);
    let mut load = tokio::process::Command::from(load());
    load.args("--mix create=1 --warm-up 0s --duration 50ms --concurrency 1".split(' '));
    let output = load.args(["--address", &address]).output().await.unwrap();
    let Output { status, stdout, stderr } = output;
    assert_eq!(status.code(), Some(1));
    let stdout = String::from_utf8(stdout).unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(stdout.contains("\ncheck: ") && !stdout.contains(" 0 wrong"), "{stdout}");
    assert!(stderr.starts_with("sim load: wrong: "), "{stderr}");
    assert!(stderr.contains(": order 1 belongs to user 0, not 1"), "{stderr}");
}

#[test]
fn address_comes_from_the_flag_or_the_environment() {
    let mut process = Process::start(&[]);
    let flags = "--duration 20ms --warm-up 0s --no-check --json";
    let output = load().args(flags.split(' ')).env("LOMS_ADDRESS", &process.address).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = event(std::str::from_utf8(&output.stdout).unwrap());
    assert_eq!(report["address"], process.address.as_str());
    process.signal("TERM");
    process.end();
}

#[test]
fn wrong_arguments_exit_with_2() {
    for flags in
        ["--rate 0", "--rate 5 --concurrency 5", "--mix buy=1", "--lines 6", "--timeout 0s"]
    {
        let Output { status, stdout, stderr } = load().args(flags.split(' ')).output().unwrap();
        assert_eq!((status.code(), &*stdout), (Some(2), &b""[..]), "sim load {flags}");
        assert!(stderr.starts_with(b"error: "), "{}", String::from_utf8_lossy(&stderr));
    }
}

#[test]
fn wrong_number_is_refused_with_its_range() {
    for (flags, message) in [
        ("--concurrency many", "must be a whole number from 1 to 100000"),
        ("--rate 0", "must be a whole number from 1 to 10000000"),
        ("--seed -", "must be a whole number from 0 to 18446744073709551615"),
        ("--warm-up soon", "expected number at 0; use a duration such as 500ms or 5s"),
    ] {
        let Output { status, stderr, .. } = load().args(flags.split(' ')).output().unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert!(status.code() == Some(2) && stderr.contains(message), "{flags}: {stderr}");
    }
}
