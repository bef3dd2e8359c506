//! The bugs of the shipped code that `.ci/mutants` plants: each of them still applies, and the
//! table of kills has all of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const BUGS: &str = "sim/mutation/machine";
const KILLS: &str = "sim/mutation/machine_kills.txt";

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// A text of a file, and what replaces it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Bug {
    file: String,
    find: String,
    replace: String,
}

impl Bug {
    /// Line 1 says what the bug is, line 2 has the file. `find:` and `replace:` have lines of their
    /// own; the texts are all between them and after them, without the last newline.
    fn parse(text: &str) -> Option<Self> {
        let (description, rest) = text.split_once("\nfile: ")?;
        let (file, rest) = rest.split_once("\nfind:\n")?;
        let (find, replace) = rest.split_once("\nreplace:\n")?;
        let replace = replace.strip_suffix('\n').unwrap_or(replace);
        let is_sentence = description.ends_with('.') && description.lines().count() == 1;
        let [file, find, replace] = [file, find, replace].map(str::to_owned);
        is_sentence.then_some(Self { file, find, replace })
    }
}

fn bugs() -> Vec<(String, Bug)> {
    let named = crate::tidy::files(BUGS).into_iter().map(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let bug = Bug::parse(&read(&path));
        (name, bug.unwrap_or_else(|| panic!("{}: not in the format", path.display())))
    });
    named.collect()
}

#[test]
fn every_bug_applies_to_the_code_that_ships() {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for (name, bug) in bugs() {
        let count = read(&bug.file).matches(bug.find.as_str()).count();
        if count != 1 {
            wrong.push(format!("{name}: its text occurs {count} times in {}", bug.file));
        }
        if bug.find == bug.replace {
            wrong.push(format!("{name}: changes nothing"));
        }
        let core = ["src/state_machine/", "src/sequencer/"];
        if !core.iter().any(|folder| bug.file.starts_with(folder)) {
            wrong.push(format!("{name}: {} is in neither of {core:?}", bug.file));
        }
        if !seen.insert(bug) {
            wrong.push(format!("{name}: there is another bug like this"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_bug_is_found_or_has_a_written_reason() {
    let kills = read(KILLS);
    let rows = kills.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    let rows: Vec<(&str, &str)> = rows.map(|row| (row[0], row[1])).collect();
    let listed: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
    let bugs = bugs();
    let names: Vec<&str> = bugs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(listed, names, "run `.ci/mutants table NAME` for the others");
    let manual = read("sim/README.md");
    for (name, check) in rows {
        let excused = check != "survives" || manual.contains(&format!("* `{name}`: "));
        assert!(excused, "{name} survives, and sim/README.md does not say why");
    }
}
