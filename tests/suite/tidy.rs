//! House rules that neither the compiler nor clippy checks. `imports.rs` checks the imports.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const LONGEST_FILE: usize = 500;
const LONGEST_LINE: usize = 100;
const LONGEST_README: usize = 150;

/// Maximum number of lines of one snapshot, and of all together: more are not reviewed with care.
const LONGEST_SNAPSHOT: usize = 60;
const ALL_SNAPSHOTS: usize = 1_300;

/// The top-level entries of the project.
const TOP_LEVEL: &[&str] = &[
    ".ci",
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
    "tests",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder, as paths from the root, in order.
pub(crate) fn files(folder: &str) -> Vec<PathBuf> {
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

/// Every Rust file, with its text.
pub(crate) fn sources() -> Vec<(PathBuf, String)> {
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

#[test]
fn file_is_short_and_starts_with_its_purpose() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        if text.lines().count() > LONGEST_FILE {
            wrong.push(format!("{}: over {LONGEST_FILE} lines", path.display()));
        }
        if !text.starts_with("//!") {
            wrong.push(format!("{}: does not start with `//!`", path.display()));
        }
        for (number, line) in (1..).zip(text.lines()) {
            if line.chars().count() > LONGEST_LINE {
                wrong.push(format!("{}:{number}: over {LONGEST_LINE} characters", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn file_name_says_what_is_inside() {
    let vague = ["utils", "util", "common", "helpers", "helper", "types", "misc", "core", "data"];
    for (path, _) in sources() {
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(!vague.contains(&name), "{}", path.display());
    }
}

#[test]
fn no_test_is_ignored_or_sleeps() {
    // Split, so that this file does not contain the banned texts.
    let banned = [["#[ig", "nore"].concat(), ["thread::sl", "eep"].concat()];
    for (path, text) in sources() {
        for banned in &banned {
            assert!(!text.contains(banned.as_str()), "{}: {banned}", path.display());
        }
    }
}

#[test]
fn top_level_entries_are_known() {
    // Files that git does not track are not part of the project.
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    let names: BTreeSet<String> = match listed {
        Ok(listed) if listed.status.success() => String::from_utf8(listed.stdout)
            .unwrap()
            .split('\0')
            .filter_map(|path| path.split('/').next().map(ToOwned::to_owned))
            .filter(|name| !name.is_empty())
            .collect(),
        // Without git, for example in an unpacked archive, every file counts.
        Ok(_) | Err(_) => fs::read_dir(root())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "target")
            .collect(),
    };
    assert!(names.contains("Cargo.toml"));
    for name in names {
        assert!(TOP_LEVEL.contains(&name.as_str()), "unknown top-level entry: {name}");
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
        // The simulator names its own snapshots; its test checks them.
        let known = name.starts_with("sim_") || tests.contains(&format!("\"{name}\""));
        assert!(known, "{}: no test", path.display());
    }
}

#[test]
fn snapshots_are_few_and_short() {
    let mut all = 0;
    for path in files("snapshots") {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        // insta writes a header before the page.
        let (_, page) = text.split_once("\n---\n").unwrap();
        let lines = page.lines().count();
        assert!(lines <= LONGEST_SNAPSHOT, "{} has {lines} lines", path.display());
        all += lines;
    }
    assert!(
        all <= ALL_SNAPSHOTS,
        "all snapshots together have {all} lines, more than {ALL_SNAPSHOTS}"
    );
}

#[test]
fn readme_is_short() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let lines = readme.lines().count();
    assert!(lines <= LONGEST_README, "README.md has {lines} lines, more than {LONGEST_README}");
}
