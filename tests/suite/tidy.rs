//! The rules of the house that neither the compiler nor clippy can hold.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const LONGEST_FILE: usize = 500;
const LONGEST_LINE: usize = 100;

/// What a reviewer reads rather than waves through: lines of one page, and of all of them.
const LONGEST_PAGE: usize = 60;
const ALL_PAGES: usize = 1_200;

/// What each room may use of this crate. A room is a file or folder below `src/`.
const MAY_USE: &[(&str, &[&str])] = &[
    ("state_machine", &["state_machine"]),
    ("sequencer.rs", &["state_machine"]),
    ("grpc", &["grpc", "sequencer", "state_machine"]),
    ("client.rs", &["grpc"]),
    ("client", &["client", "grpc"]),
    ("config", &["config", "grpc", "state_machine"]),
    ("config.rs", &["config", "grpc", "state_machine"]),
    ("opening_stock.rs", &["state_machine"]),
    ("server.rs", &["grpc", "sequencer", "state_machine"]),
    ("server", &["server"]),
    ("signals.rs", &[]),
    ("lib.rs", &[]),
];

/// What the core may use of the standard library, and that it uses no other crate at all.
const CORE_MAY_USE: &[&str] = &["collections", "fmt", "iter", "num"];

/// All that may stand at the top: what the service consists of, and what convention needs.
const TOP_LEVEL: &[&str] = &[
    ".ci",
    ".git",
    ".gitignore",
    "Cargo.lock",
    "Cargo.toml",
    "README.md",
    "benches",
    "build.rs",
    "clippy.toml",
    "config",
    "data",
    "proto",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "sim",
    "snapshots",
    "src",
    "target",
    "tests",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder, as paths from the root, in order.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<(PathBuf, String)> {
    ["src", "sim", "tests", "benches"]
        .iter()
        .flat_map(|folder| files(folder))
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            let text = fs::read_to_string(root().join(&path)).unwrap();
            (path, text)
        })
        .collect()
}

/// The words that follow `prefix` in code, comments left out: `crate::` gives the modules used.
fn words_after<'a>(text: &'a str, prefix: &'a str) -> BTreeSet<&'a str> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split(prefix).skip(1))
        .flat_map(|rest| {
            // `std::{collections, fmt}` names several.
            let group = rest
                .strip_prefix('{')
                .map_or(rest, |group| group.split_once('}').map_or(group, |(inside, _)| inside));
            let several = rest.starts_with('{');
            group.split(',').take(if several { usize::MAX } else { 1 })
        })
        .filter_map(|name| name.trim().split(|c: char| !c.is_alphanumeric() && c != '_').next())
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn imports_go_one_way() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let Ok(inside) = path.strip_prefix("src") else { continue };
        let room = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        // The binary's own files use the library by its name, as any other crate does.
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == room) else {
            let own = ["main.rs", "client_commands.rs", "serve_command.rs"];
            assert!(own.contains(&room), "{room}: say what it may use");
            continue;
        };
        for used in words_after(&text, "crate::") {
            if !allowed.contains(&used) {
                wrong.push(format!("{} uses crate::{used}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn core_knows_no_crate_and_little_of_std() {
    let foreign = ["tokio::", "tonic::", "prost", "serde", "tracing::", "rand::", "rand_chacha::"];
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        if !path.starts_with("src/state_machine") {
            continue;
        }
        for used in words_after(&text, "std::") {
            if !CORE_MAY_USE.contains(&used) {
                wrong.push(format!("{} uses std::{used}", path.display()));
            }
        }
        for name in foreign {
            if text.contains(name) {
                wrong.push(format!("{} uses {name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn files_are_short_and_begin_with_what_they_are_for() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        if text.lines().count() > LONGEST_FILE {
            wrong.push(format!("{}: over {LONGEST_FILE} lines", path.display()));
        }
        if !text.starts_with("//!") {
            wrong.push(format!("{}: begins with no `//!`", path.display()));
        }
        for (number, line) in (1..).zip(text.lines()) {
            if line.chars().count() > LONGEST_LINE {
                wrong.push(format!("{}:{number}: a long line", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_file_is_named_after_nothing() {
    let empty = ["utils", "util", "common", "helpers", "helper", "types", "misc", "core", "data"];
    for (path, _) in sources() {
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(!empty.contains(&name), "{}", path.display());
    }
}

#[test]
fn no_test_is_ignored_or_waits_for_the_clock() {
    // In pieces, so that this file does not contain what it looks for.
    let banned = [["#[ig", "nore"].concat(), ["thread::sl", "eep"].concat()];
    for (path, text) in sources() {
        for banned in &banned {
            assert!(!text.contains(banned.as_str()), "{}: {banned}", path.display());
        }
    }
}

#[test]
fn nothing_strange_stands_at_the_top() {
    // What somebody has lying there for the day is no part of the project, as far as git knows.
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    let names: BTreeSet<String> = match listed {
        Ok(listed) if listed.status.success() => String::from_utf8(listed.stdout)
            .unwrap()
            .split('\0')
            .filter_map(|path| path.split('/').next().map(ToOwned::to_owned))
            .filter(|name| !name.is_empty())
            .collect(),
        Ok(_) | Err(_) => fs::read_dir(root())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect(),
    };
    assert!(names.contains("Cargo.toml"));
    for name in names {
        assert!(TOP_LEVEL.contains(&name.as_str()), "{name} stands at the top");
    }
}

#[test]
fn every_snapshot_belongs_to_a_test() {
    let tests: String = sources()
        .into_iter()
        .filter(|(path, _)| path.starts_with("tests"))
        .map(|(_, text)| text)
        .collect();
    for path in files("snapshots") {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert_eq!(path.extension().unwrap(), "snap", "{}", path.display());
        // The simulator names its own pages; its test knows them.
        let known = name.starts_with("sim_") || tests.contains(&format!("\"{name}\""));
        assert!(known, "{}: no test", path.display());
    }
}

#[test]
fn snapshots_are_few_and_short_enough_to_be_read() {
    let mut all = 0;
    for path in files("snapshots") {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        // What stands before the page is insta's.
        let (_, page) = text.split_once("\n---\n").unwrap();
        let lines = page.lines().count();
        assert!(lines <= LONGEST_PAGE, "{} has {lines} lines", path.display());
        all += lines;
    }
    assert!(all <= ALL_PAGES, "{all} lines in all");
}
