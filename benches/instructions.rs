//! How many instructions a command costs the machine: a figure without noise, with a bound.
//!
//! `cargo bench --bench instructions` runs itself under `valgrind --tool=callgrind`, for some
//! commands and for twice as many; the difference is what the commands cost, without the set-up.
//! It ends with exit code 1 where the mix costs more than [`BOUND`]. The shop is small (1,000 SKUs,
//! recent orders, 40,000 of them), so that caches, which callgrind does not count, matter little.
#![expect(clippy::print_stdout, reason = "a bench tells its figures")]

#[path = "callgrind.rs"]
mod callgrind;
#[path = "shop/mod.rs"]
mod shop;

use std::env;
use std::process::ExitCode;

use shop::{Day, Kind, Reach, Supply, World};

/// The most instructions that a command of the mix may cost, what makes it up included: 3% above
/// what it did cost when this was last set.
const BOUND: u64 = 416;

/// Commands that are counted.
const COMMANDS: u64 = 50_000;

/// What is counted: the mix, and what it is made of.
const SUBJECTS: [&str; 8] =
    ["mix", "create", "create with key", "pay", "cancel", "expire", "info", "stock"];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().collect();
    if let [_, flag, subject, commands] = arguments.as_slice()
        && flag == "--play"
    {
        play(subject, commands.parse().expect("a number of commands"));
        return ExitCode::SUCCESS;
    }
    println!("instructions a command, by callgrind:");
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
    if mix > BOUND {
        eprintln!(
            "instructions: a command of the mix costs {mix} instructions, over the bound of \
             {BOUND}.\nFind what it pays for: `callgrind_annotate` tells. If it is worth that, \
             raise BOUND in benches/instructions.rs, and say why in the commit."
        );
        return ExitCode::FAILURE;
    }
    println!("the mix is within its bound of {BOUND}");
    ExitCode::SUCCESS
}

/// Counts all instructions of a process that plays this.
fn instructions(subject: &str, commands: u64) -> Result<u64, String> {
    let own = env::current_exe().map_err(|error| format!("cannot find itself: {error}"))?;
    let output = callgrind::counted(&own)
        .args(["--play", subject, &commands.to_string()])
        .output()
        .map_err(|error| format!("valgrind does not start ({error}); install valgrind"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    callgrind::collected(&told)
        .filter(|_| output.status.success())
        .ok_or_else(|| format!("valgrind failed: {}\n{told}", output.status))
}

/// Plays some commands, after a set-up that does not depend on how many.
fn play(subject: &str, commands: u64) {
    let world = match subject {
        "mix" => World { timeout: 10_000, window: 20_000, ..World::new(1_000, Reach::Recent) },
        // Nothing expires but where that is asked for.
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
            // An order that was placed at turn n is due at n + 4 × COMMANDS.
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
