//! The documentation pages (`*.md`) are correct: their examples run, their tables match the code,
//! and their links resolve.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use loms::config::keys::KEYS;
use loms::grpc::proto::{Item, OrderCreateRequest};
use loms::grpc::service::ServiceOptions;
use loms::opening_stock;
use tokio::process::Command;

use crate::script::Shop;

const FOLDERS: &[&str] = &["benches", "config", "data", "proto", "sim", "src", "tests"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every page, as a path from the root.
fn pages() -> Vec<String> {
    let below = FOLDERS.iter().flat_map(|folder| crate::tidy::files(folder));
    [PathBuf::from("README.md")]
        .into_iter()
        .chain(below)
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| path.to_str().unwrap().to_owned())
        .collect()
}

/// A command of a `console` block, and what the page shows below it.
struct Example {
    command: String,
    shown: String,
}

fn examples(page: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    for block in page.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap();
        let mut continued = false;
        for line in block.lines() {
            let (text, more) = match line.strip_suffix('\\') {
                Some(text) => (text, true),
                None => (line, false),
            };
            if let Some(command) = text.strip_prefix("$ ") {
                examples.push(Example { command: command.to_owned(), shown: String::new() });
                continued = more;
            } else if continued {
                examples.last_mut().unwrap().command.push_str(text.trim_start());
                continued = more;
            } else {
                let example = examples.last_mut().expect("a block starts with a command");
                example.shown.push_str(line);
                example.shown.push('\n');
            }
        }
    }
    examples
}

/// The output of a command, both streams.
async fn output(mut command: Command) -> String {
    let output = command.output().await.unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    stdout + std::str::from_utf8(&output.stderr).unwrap()
}

async fn loms(shop: &Shop, arguments: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loms"));
    command.env_clear().env("LOMS_ADDRESS", &shop.address).args(arguments.split(' '));
    output(command).await
}

/// What `grpcurl` prints for an OrderCreate: the answer as Protobuf JSON.
async fn grpcurl(shop: &mut Shop, arguments: &str) -> String {
    let (_, rest) = arguments.split_once("-d '").unwrap();
    let (json, target) = rest.split_once("' ").unwrap();
    assert_eq!(target.trim(), "localhost:50051 loms.LOMS/OrderCreate");
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    let number = |value: &serde_json::Value| u32::try_from(value.as_u64().unwrap()).unwrap();
    let items = json["items"].as_array().unwrap().iter();
    let request = OrderCreateRequest {
        user: json["user"].as_i64().unwrap(),
        items: items
            .map(|item| Item { sku: number(&item["sku"]), count: number(&item["count"]) })
            .collect(),
        idempotency_key: String::new(),
    };
    let created = shop.client.order_create(request).await.unwrap().into_inner();
    let (id, status) = (created.order_id, created.status);
    format!("{{\n  \"orderID\": \"{id}\",\n  \"status\": \"{status}\"\n}}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn example_prints_what_its_page_shows() {
    // `sim_pages.rs` runs the examples of the simulator's manual.
    for page in pages().iter().filter(|page| *page != "sim/README.md") {
        let stock = opening_stock::embedded();
        let mut shop = Shop::open_with(&stock, ServiceOptions::default()).await;
        for Example { command, shown } in examples(&read(page)) {
            let printed = match command.split_once(' ').unwrap() {
                ("alias", _) => String::new(),
                ("loms", arguments) => loms(&shop, arguments).await,
                ("grpcurl", arguments) => grpcurl(&mut shop, arguments).await,
                _ => panic!("{page}: no test runs {command}"),
            };
            assert_eq!(printed, shown, "{page}: {command}");
        }
    }
}

/// The anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn link_leads_to_a_page_and_heading() {
    let mut broken = Vec::new();
    for page in pages() {
        let folder = Path::new(&page).parent().unwrap();
        for link in read(&page).split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            if link.contains("://") {
                continue;
            }
            let (target, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if target.is_empty() { PathBuf::from(&page) } else { folder.join(target) };
            if !root().join(&target).exists() {
                broken.push(format!("{page}: {link}"));
                continue;
            }
            let is_heading = |line: &str| {
                line.starts_with('#') && anchor(line.trim_start_matches('#').trim()) == heading
            };
            if !heading.is_empty() && !read(target.to_str().unwrap()).lines().any(is_heading) {
                broken.push(format!("{page}: {link}: no such heading"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The rows of the table below this heading row, cells trimmed.
fn table(page: &str, header: &str) -> Vec<Vec<String>> {
    let mut lines = page.lines().skip_while(|line| *line != header).skip(2).peekable();
    assert!(lines.peek().is_some(), "no table {header}");
    lines
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect()
}

/// The texts in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn configuration_table_lists_every_key() {
    let rows = table(&read("config/README.md"), "| key | default | environment variable | flag |");
    let code = |text: &str| format!("`{text}`");
    let expected: Vec<Vec<String>> = KEYS
        .iter()
        .map(|key| {
            vec![
                code(key.name),
                key.default.map_or("built in".to_owned(), code),
                code(key.variable),
                key.flag.map_or(String::new(), code),
            ]
        })
        .collect();
    assert_eq!(rows, expected);
}

#[test]
fn refusal_table_lists_every_reason() {
    let rows = table(&read("proto/README.md"), "| | reason | when | code | facts |");
    let listed: BTreeSet<&str> = rows.iter().flat_map(|row| quoted(&row[1])).collect();
    assert_eq!(listed.len(), rows.len(), "each reason once");
    let mut reasons = BTreeSet::new();
    let status = read("src/grpc/status.rs");
    for text in status.split('"').skip(1).step_by(2) {
        let is_reason = text.len() > 4 && text.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        // This reason means a bug of the server. It is no rule of the contract.
        if is_reason && text != "CLOCK_WENT_BACK" {
            reasons.insert(text);
        }
    }
    assert_eq!(listed, reasons);
}

#[test]
fn module_table_lists_every_module() {
    let rows = table(&read("src/README.md"), "| module | purpose |");
    let listed: BTreeSet<&str> = rows.iter().flat_map(|row| quoted(&row[0])).collect();
    let src = root().join("src");
    for module in &listed {
        let exists = src.join(module).is_dir() || src.join(format!("{module}.rs")).is_file();
        assert!(exists, "src/README.md: there is no module {module}");
    }
    let library = read("src/lib.rs");
    for line in library.lines() {
        if let Some(module) = line.strip_prefix("pub mod ") {
            let module = module.trim_end_matches(';');
            assert!(listed.contains(module), "src/README.md does not list {module}");
        }
    }
}

#[test]
fn dependency_table_lists_every_crate() {
    let rows = table(&read("README.md"), "| crate | purpose |");
    let listed: BTreeSet<&str> = rows.iter().flat_map(|row| quoted(&row[0])).collect();
    let manifest = read("Cargo.toml");
    let mut crates = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]");
        } else if let Some((name, _)) = line.split_once(" = ")
            && inside
        {
            crates.insert(name);
        }
    }
    assert_eq!(listed, crates);
}

#[test]
fn benchmark_of_a_page_exists() {
    let manifest = read("Cargo.toml");
    for page in pages() {
        for command in read(&page).split("--bench ").skip(1) {
            let end = command.find(|c: char| !c.is_alphanumeric()).unwrap();
            let name = &command[..end];
            let entry = format!("[[bench]]\nname = \"{name}\"\n");
            assert!(manifest.contains(&entry), "{page}: there is no bench {name}");
        }
    }
}

#[test]
fn path_of_a_page_exists() {
    let mut missing = Vec::new();
    for page in pages() {
        let text = read(&page);
        // Blocks hold code, where a backtick has another meaning.
        let prose: String = text.split("```").step_by(2).collect();
        for path in quoted(&prose) {
            let is_path = path.split_once('/').is_some_and(|(folder, _)| FOLDERS.contains(&folder));
            if is_path && !path.contains(['*', ' ']) && !root().join(path).exists() {
                missing.push(format!("{page}: {path}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
