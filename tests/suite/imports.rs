//! The imports of `src/` go in one direction, and the core uses `std` only.
//!
//! An import is a `use` tree, or a path in the code that starts with `crate`, `super`, `self` or a
//! child module. The test reads imports from the text of the files. A re-exported name counts as an
//! import of the module that defines it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The modules of this crate that each module may import, besides itself. The longest prefix of
/// the module's name decides.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("lib", &[]),
    ("state_machine", &[]),
    ("state_machine::storage", &["state_machine::ids"]),
    ("sequencer", &["state_machine"]),
    ("grpc", &["sequencer", "state_machine"]),
    ("server", &["grpc", "sequencer", "state_machine"]),
    ("client", &["grpc"]),
    ("config", &["grpc", "state_machine"]),
    ("opening_stock", &["state_machine"]),
    ("signals", &[]),
    ("telemetry", &["config"]),
];

/// Parts of `std` without clocks, IO, threads or random state.
const CORE_STD: &[&str] = &[
    "array",
    "borrow",
    "cmp",
    "collections",
    "convert",
    "fmt",
    "hash",
    "hint",
    "iter",
    "marker",
    "mem",
    "num",
    "ops",
    "slice",
    "str",
    "vec",
];

/// Paths that the core's code can start with, besides `std`, `super`, `crate` and its own names.
const PRIMITIVES: &[&str] = &[
    "bool", "char", "i8", "i16", "i32", "i64", "i128", "isize", "str", "u8", "u16", "u32", "u64",
    "u128", "usize",
];

/// One module of `src/`: its path without `crate`, and its imports.
struct Module {
    path: Vec<String>,
    code: String,
    imports: Vec<Import>,
}

/// One path of a `use` tree.
struct Import {
    path: Vec<String>,
    /// The name that it binds.
    name: String,
    public: bool,
}

/// The text without comments, attributes, string literals, visibilities and inline test modules.
fn code_of(text: &str) -> String {
    let mut code = String::new();
    let mut inside_attribute = false;
    let mut inside_tests = false;
    for line in text.lines() {
        inside_tests |= line == "mod tests {";
        if inside_tests {
            inside_tests = line != "}";
            continue;
        }
        let trimmed = line.trim_start();
        if trimmed.starts_with("//") {
            continue;
        }
        inside_attribute |= trimmed.starts_with("#[") || trimmed.starts_with("#![");
        if inside_attribute {
            inside_attribute = !trimmed.ends_with(']');
            continue;
        }
        let line = line.split(" // ").next().unwrap();
        // Every other part is inside quotes. An escaped quote shifts the parts of its line only.
        let line: String = line.split('"').step_by(2).flat_map(|outside| [outside, " "]).collect();
        match line.split_once("pub(in ") {
            Some((before, after)) => {
                code.push_str(before);
                code.push_str("pub ");
                code.push_str(after.split_once(") ").map_or("", |(_, after)| after));
            }
            None => code.push_str(&line),
        }
        code.push('\n');
    }
    code
}

/// The paths of a `use` tree: `a::{b, c::d as e}` is `a::b` and `a::c::d`.
fn expand(tree: &str, prefix: &[String], public: bool, imports: &mut Vec<Import>) {
    let tree = tree.trim();
    let mut path = prefix.to_vec();
    let (start, group) = match tree.split_once('{') {
        Some((start, group)) => (start, group.strip_suffix('}')),
        None => (tree, None),
    };
    let (start, alias) = start.split_once(" as ").unwrap_or((start, ""));
    let words = start.split("::").map(str::trim).filter(|word| !word.is_empty());
    path.extend(words.map(ToOwned::to_owned));
    let Some(group) = group else {
        if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
            path.pop();
        }
        if let Some(last) = path.last() {
            let name = if alias.is_empty() { last } else { alias.trim() }.to_owned();
            imports.push(Import { path, name, public });
        }
        return;
    };
    let (mut depth, mut begin) = (0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&group[begin..at], &path, public, imports);
                begin = at + 1;
            }
            _ => {}
        }
    }
    expand(&group[begin..], &path, public, imports);
}

/// Takes the `use` statements out of the code.
fn take_imports(code: &mut String) -> Vec<Import> {
    let mut imports = Vec::new();
    let mut rest = String::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        let visible = trimmed.strip_prefix("pub").map(|rest| match rest.strip_prefix('(') {
            Some(rest) => rest.split_once(") ").map_or("", |(_, rest)| rest),
            None => rest.trim_start(),
        });
        let Some(tree) = visible.unwrap_or(trimmed).strip_prefix("use ") else {
            rest.push_str(line);
            rest.push('\n');
            continue;
        };
        let mut tree = tree.to_owned();
        while !tree.contains(';') {
            tree.push_str(lines.next().expect("a use statement ends"));
        }
        let tree = tree.split(';').next().unwrap();
        expand(tree, &[], visible.is_some(), &mut imports);
    }
    *code = rest;
    imports
}

/// The modules of `src/`, without the files of the binary unless `binary` asks for those.
fn modules(binary: bool) -> BTreeMap<Vec<String>, Module> {
    let sources = crate::tidy::sources();
    let main = &sources.iter().find(|(path, _)| path == Path::new("src/main.rs")).unwrap().1;
    let of_binary = |name: &str| name == "main" || main.contains(&format!("\nmod {name};"));
    let mut modules = BTreeMap::new();
    for (path, text) in &sources {
        let Ok(inside) = path.strip_prefix("src") else { continue };
        let inside = inside.with_extension("");
        let mut path: Vec<String> =
            inside.components().map(|part| part.as_os_str().to_str().unwrap().to_owned()).collect();
        if of_binary(&path[0]) != binary {
            continue;
        }
        if ["mod", "lib", "main"].contains(&path.last().unwrap().as_str()) {
            path.pop();
        }
        let mut code = code_of(text);
        let imports = take_imports(&mut code);
        modules.insert(path.clone(), Module { path, code, imports });
    }
    modules
}

/// The paths in code that start with a word for which `starts` holds.
fn inline_paths(code: &str, starts: impl Fn(&str) -> bool) -> Vec<Vec<String>> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut paths = Vec::new();
    let mut path: Vec<String> = Vec::new();
    let mut rest = code;
    while let Some(begin) = rest.find(is_word) {
        let continues = rest[..begin] == *"::" && !path.is_empty();
        let word = &rest[begin..];
        let end = word.find(|c| !is_word(c)).unwrap_or(word.len());
        let (word, after) = word.split_at(end);
        if !continues {
            paths.push(std::mem::take(&mut path));
            // After `<T>::` and `.` comes an item of a type.
            let is_item_of_type = rest[..begin].ends_with("::") || rest[..begin].ends_with('.');
            if is_item_of_type || !after.starts_with("::") || !starts(word) {
                rest = after;
                continue;
            }
        }
        path.push(word.to_owned());
        rest = after;
    }
    paths.push(path);
    paths.retain(|path| !path.is_empty());
    paths
}

/// The module that a path from `from` leads to; `None` outside this crate.
fn resolve(
    modules: &BTreeMap<Vec<String>, Module>,
    from: &[String],
    path: &[String],
) -> Option<Vec<String>> {
    let mut words = path.iter().peekable();
    let mut at = from.to_vec();
    match path[0].as_str() {
        "crate" => {
            words.next();
            at.clear();
        }
        "self" => drop(words.next()),
        "super" => {
            while words.next_if(|word| *word == "super").is_some() {
                at.pop();
            }
        }
        child => {
            at.push(child.to_owned());
            modules.get(&at)?;
            words.next();
        }
    }
    for word in words {
        let mut child = at.clone();
        child.push(word.clone());
        if modules.contains_key(&child) {
            at = child;
            continue;
        }
        let exported = modules[&at].imports.iter().find(|import| import.name == *word);
        match exported {
            Some(import) if import.path != path => return resolve(modules, &at, &import.path),
            Some(_) | None => break,
        }
    }
    Some(at)
}

/// The name of a module: its path, or the name of the file for the root.
fn name(path: &[String], binary: bool) -> String {
    match path {
        [] if binary => "main".to_owned(),
        [] => "lib".to_owned(),
        _ => path.join("::"),
    }
}

/// What each module imports of this crate.
fn graph(binary: bool) -> BTreeMap<String, BTreeSet<String>> {
    let modules = &modules(binary);
    let mut graph = BTreeMap::new();
    for module in modules.values() {
        let is_child = |word: &str| {
            let mut child = module.path.clone();
            child.push(word.to_owned());
            modules.contains_key(&child)
        };
        let starts = |word: &str| ["crate", "super", "self"].contains(&word) || is_child(word);
        let inline = inline_paths(&module.code, starts);
        // A re-export alone does not count as an import.
        let is_used = |import: &&Import| {
            !import.public
                || module
                    .code
                    .split(|c: char| !c.is_alphanumeric() && c != '_')
                    .any(|word| word == import.name)
        };
        let used = module.imports.iter().filter(is_used).map(|import| &import.path);
        let targets = used
            .chain(&inline)
            .filter_map(|path| resolve(modules, &module.path, path))
            .filter(|target| *target != module.path)
            .map(|target| name(&target, binary));
        graph.insert(name(&module.path, binary), targets.collect::<BTreeSet<_>>());
    }
    graph
}

/// Whether the module is `prefix` or below it.
fn is_within(module: &str, prefix: &str) -> bool {
    module.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[test]
fn imports_follow_the_layout() {
    let mut wrong = Vec::new();
    for (module, targets) in graph(false) {
        let rules = MAY_IMPORT.iter().filter(|(prefix, _)| is_within(&module, prefix));
        let Some((own, allowed)) = rules.max_by_key(|(prefix, _)| prefix.len()) else {
            panic!("{module}: add to MAY_IMPORT what it may import");
        };
        for target in targets {
            let allowed = allowed.iter().chain([own]).any(|prefix| is_within(&target, prefix));
            if !allowed {
                wrong.push(format!("{module} imports {target}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The modules that reach each other, each group once.
fn cycles(graph: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<Vec<String>> {
    let reachable = |start: &String| {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&String> = graph[start].iter().collect();
        while let Some(module) = open.pop() {
            if seen.insert(module) {
                open.extend(&graph[module]);
            }
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        graph.keys().map(|module| (module, reachable(module))).collect();
    let cycle_of = |module: &&String| -> Vec<String> {
        let others = reached[*module].iter().filter(|other| reached[*other].contains(*module));
        others.map(|other| (*other).clone()).collect()
    };
    reached.keys().map(cycle_of).filter(|cycle| !cycle.is_empty()).collect()
}

#[test]
fn imports_have_no_cycles() {
    let cycles = [false, true].map(|binary| cycles(&graph(binary)));
    assert!(cycles.iter().flatten().next().is_none(), "{cycles:#?}");
}

#[test]
fn core_uses_std_only() {
    let modules = modules(false);
    let mut wrong = Vec::new();
    for module in modules
        .values()
        .filter(|module| module.path.first().is_some_and(|first| first == "state_machine"))
    {
        let bound: BTreeSet<&str> =
            module.imports.iter().map(|import| import.name.as_str()).collect();
        let starts = |word: &str| {
            word.starts_with(|c: char| c.is_lowercase())
                && !bound.contains(word)
                && !PRIMITIVES.contains(&word)
        };
        let inline = inline_paths(&module.code, starts);
        let paths = module.imports.iter().map(|import| &import.path).chain(&inline);
        for path in paths {
            let allowed = match path[0].as_str() {
                "std" => CORE_STD.contains(&path[1].as_str()),
                _ => resolve(&modules, &module.path, path).is_some_and(|target| {
                    target.first().is_some_and(|first| first == "state_machine")
                }),
            };
            if !allowed {
                wrong.push(format!("{} uses {}", module.path.join("::"), path.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn paths_are_read_as_the_compiler_reads_them() {
    let mut code = code_of(
        "use super::super::a::{self, b::C as D};\npub(crate) use e::F;\n// use g::H;\n\
         #[expect(clippy::x)]\npub(in super::r) fn f() {\n\
         super::i::j(\"k::l\"); <M>::n(); o::P::q() }\n\
         let s = t.collect::<u::V>();\nmod tests {\n    use super::*;\n}\n",
    );
    let imports = take_imports(&mut code);
    let paths: Vec<_> = imports
        .iter()
        .map(|import| (import.path.join("::"), import.name.as_str(), import.public))
        .collect();
    let expected = [
        ("super::super::a".to_owned(), "a", false),
        ("super::super::a::b::C".to_owned(), "D", false),
        ("e::F".to_owned(), "F", true),
    ];
    assert_eq!(paths, expected);
    let inline = inline_paths(&code, |word| word.starts_with(|c: char| c.is_lowercase()));
    let inline: Vec<_> = inline.iter().map(|path| path.join("::")).collect();
    assert_eq!(inline, ["super::i::j", "o::P::q", "u::V"]);
}
