//! Instructions per command of the state machine: a figure without noise, with a limit.
//!
//! `cargo bench --bench instructions` runs itself under `valgrind --tool=callgrind`, once with some
//! commands and once with twice as many. The difference is the cost of the commands without the
//! set-up. The exit code is 1 if the mix costs more than [`LIMIT`]. The workload is small (1,000
//! SKUs, 40,000 orders, recent ones used), because callgrind does not count cache misses.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "callgrind.rs"]
mod callgrind;
#[path = "shop/mod.rs"]
mod shop;

use std::env;
use std::process::ExitCode;

use shop::{Day, Kind, Reach, Supply, World};

/// Maximum number of instructions per command of the mix, including its generation.
const LIMIT: u64 = 440;

/// Number of commands that are counted.
const COMMANDS: u64 = 50_000;

/// What is counted: the mix, and each kind of command.
const SUBJECTS: [&str; 8] =
    ["mix", "create", "create with key", "pay", "cancel", "expire", "info", "stock"];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().collect();
    if let [_, flag, subject, commands] = arguments.as_slice()
        && flag == "--run"
    {
        run(subject, commands.parse().expect("a number of commands"));
        return ExitCode::SUCCESS;
    }
    println!("instructions per command, counted by callgrind:");
    let mut mix = 0;
    for subject in SUBJECTS {
        let count = |commands| instructions(subject, commands);
        let counted = count(COMMANDS).and_then(|once| Ok((once, count(2 * COMMANDS)?)));
        let (once, twice) = match counted {
            Ok(counts) => counts,
            Err(problem) => {
                eprintln!("instructions: {problem}");
                return ExitCode::FAILURE;
            }
        };
        let each = (twice - once).div_ceil(COMMANDS);
        println!("  {subject:15} {each:5}");
        if subject == "mix" {
            mix = each;
        }
    }
    if mix > LIMIT {
        eprintln!(
            "instructions: a command of the mix costs {mix} instructions, over the limit of \
             {LIMIT}.\nFind the cause with `callgrind_annotate`. If it is worth the cost, raise \
             LIMIT in benches/instructions.rs, and give the reason in the commit."
        );
        return ExitCode::FAILURE;
    }
    println!("the mix is within its limit of {LIMIT}");
    ExitCode::SUCCESS
}

/// Counts all instructions of a process that runs these commands.
fn instructions(subject: &str, commands: u64) -> Result<u64, String> {
    let program =
        env::current_exe().map_err(|error| format!("cannot find its own program: {error}"))?;
    let output = callgrind::counted(&program)
        .args(["--run", subject, &commands.to_string()])
        .output()
        .map_err(|error| format!("cannot start valgrind ({error}): install it"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    callgrind::collected(&stderr)
        .filter(|_| output.status.success())
        .ok_or_else(|| format!("valgrind failed: {}\n{stderr}", output.status))
}

/// Runs this many commands, after a set-up that does not depend on their number.
fn run(subject: &str, commands: u64) {
    let world = match subject {
        "mix" => World { timeout: 10_000, window: 20_000, ..World::new(1_000, Reach::Recent) },
        // Long enough that orders expire only in "expire".
        _ => World { timeout: 4 * COMMANDS, ..World::new(1_000, Reach::InTurn) },
    };
    let supply = Supply::new(world);
    let mut day = Day::new(&supply);
    let kind = match subject {
        "mix" => {
            (0..commands).for_each(|_| day.step());
            return;
        }
        "create" => Kind::Create,
        "create with key" => Kind::CreateWithKey,
        "pay" => Kind::Pay,
        "cancel" => Kind::Cancel,
        "info" => Kind::Info,
        "stock" => Kind::Stock,
        "expire" => {
            (0..2 * COMMANDS).for_each(|_| day.act(Kind::Create));
            // An order that is placed at turn n is due at turn n + 4 × COMMANDS.
            day.wait(2 * COMMANDS + commands);
            day.expire(usize::MAX);
            return;
        }
        _ => panic!("{subject}: not a subject"),
    };
    if !matches!(kind, Kind::Create | Kind::CreateWithKey) {
        (0..2 * COMMANDS).for_each(|_| day.act(Kind::Create));
    }
    (0..commands).for_each(|_| day.act(kind));
}
