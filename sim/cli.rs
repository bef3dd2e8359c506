//! The command line. What is told of runs goes to stdout, and is the same for the same arguments,
//! byte for byte; what is told of speed goes to stderr.

use std::io::{self, Read as _, Write as _};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::check::swarm;
use crate::ci;
use crate::exit::Exit;
use crate::layers::{against, concurrent, service};
use crate::mutation::injected::InjectedFaults;
use crate::mutation::planted_bugs::Bug;
use crate::mutation::selfcheck;
use crate::plan::Plan;
use crate::report::{self, pages};
use crate::runner::{self, RunRequest};
use crate::{load, shrink};

/// The simulator of LOMS: an exact model beside the shipped machine, compared after every command.
#[derive(Debug, Parser)]
#[command(
    name = "sim",
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 everything agrees, 1 service and model differ, 2 wrong usage, \
                  3 stock stays reserved, 4 two equal runs differ, 5 a mark is not reached, \
                  6 a planted bug is not found, 7 a check could not decide"
)]
struct Cli {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    one: One,
}

/// One run.
#[derive(Debug, Args)]
struct One {
    /// The seed: a number, or a git commit.
    #[arg(long, value_parser = seed)]
    seed: Option<u64>,
    /// What is put to the test.
    #[arg(long, value_enum, default_value_t)]
    layer: Layer,
    /// Number of commands (default: chosen by the seed).
    #[arg(long)]
    steps: Option<u32>,
    #[command(flatten)]
    planted: Planted,
}

/// A bug planted in the model.
#[derive(Clone, Copy, Debug, Args)]
struct Planted {
    /// Plants a bug in the model, to see it found: `sim mutants` lists them.
    #[arg(long = "bug", value_parser = bug)]
    bug: Option<Bug>,
}

impl Planted {
    fn injected(self) -> InjectedFaults {
        self.bug.map_or_else(InjectedFaults::default, InjectedFaults::with_bug)
    }
}

/// What is put to the test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Layer {
    /// The machine, by random programs of many clients.
    #[default]
    Swarm,
    /// The machine, in a tiny world, by everything that can be done.
    Exhaustive,
    /// The service and the client, in process, over a network with faults.
    Service,
}

/// Many runs.
#[derive(Debug, Args)]
struct Run {
    /// Seeds, from FIRST up to but not including END (default: 0..2000). The exhaustive layer has
    /// no seeds.
    #[arg(long, value_parser = range, value_name = "FIRST..END")]
    seeds: Option<Range<u64>>,
    /// Number of threads (default: number of cores). The output does not depend on it.
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// Number of commands of each seed (default: chosen by the seed). The exhaustive layer tries
    /// all programs of at most so many commands (default: no limit).
    #[arg(long)]
    steps: Option<u32>,
    /// What is tested.
    #[arg(long, value_enum, default_value_t)]
    layer: Layer,
    /// Stops after this time, for example 60s, even if not everything is played.
    #[arg(long, value_parser = humantime::parse_duration)]
    time: Option<Duration>,
    /// Stops after 1,000 seeds in a row that reach nothing new. The exhaustive layer always stops
    /// when it reaches no new state.
    #[arg(long)]
    until_stable: bool,
    #[command(flatten)]
    planted: Planted,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Plays many seeds.
    Run(Run),
    /// Plays a plan, from a file or from stdin (`-`).
    Replay {
        /// The plan.
        file: PathBuf,
        /// Tells what was answered.
        #[arg(long)]
        explain: bool,
        #[command(flatten)]
        planted: Planted,
    },
    /// Makes a failing plan small.
    Shrink {
        /// The plan; `-` for stdin.
        file: PathBuf,
        #[command(flatten)]
        planted: Planted,
    },
    /// Tries everything in a tiny world.
    Exhaustive {
        #[command(flatten)]
        planted: Planted,
    },
    /// Plants every bug in the model and sees how long it lives.
    Mutants {
        /// This bug only, with the plan that shows it.
        #[arg(long, value_parser = bug)]
        only: Option<Bug>,
        /// Threads.
        #[arg(long)]
        jobs: Option<NonZeroUsize>,
    },
    /// Runs the server over loopback with many clients at once, and checks what they saw.
    Concurrent {
        /// Clients.
        #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
        clients: u32,
        /// Calls of all of them.
        #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
        calls: u32,
        /// What they call.
        #[arg(long, value_parser = seed, default_value = "1")]
        seed: u64,
    },
    /// Judges any server of the contract. Nobody else may use it meanwhile.
    Against {
        /// Where it is: http://HOST:PORT.
        address: String,
        /// Which random programs are tried.
        #[arg(long, value_parser = seed, default_value = "1")]
        seed: u64,
        /// The stock file with which it was started just now.
        #[arg(long)]
        stock: Option<PathBuf>,
    },
    /// Puts a server under load and checks its answers.
    Load(load::LoadFlags),
    /// Tells what is reached within the seeds of CI.
    Marks,
    /// Replays every bug that was ever found.
    Bugs,
    /// Checks the simulator itself.
    Selfcheck {
        /// Another build of `sim`, whose output must be the same.
        #[arg(long)]
        against: Option<PathBuf>,
    },
    /// Everything that CI asks for.
    Ci {
        /// Another build of `sim`, whose output must be the same.
        #[arg(long)]
        against: Option<PathBuf>,
    },
    /// Prints the pages of `snapshots/`.
    Pages {
        /// Which.
        #[arg(value_enum)]
        which: Pages,
    },
}

/// The pages of `snapshots/`, by what they are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Pages {
    Seeds,
    Scenarios,
    Kills,
    Bugs,
}

/// Does what the command line says.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    let (text, exit) = match cli.what {
        None => one(&cli.one),
        Some(what) => many(what),
    };
    say(&text);
    exit.into()
}

/// Ends the process as clap does for wrong arguments.
pub(crate) fn usage(problem: &str) -> ! {
    Cli::command().error(ErrorKind::ArgumentConflict, problem).exit()
}

fn say(text: &str) {
    // Whoever closes our stdout has read enough.
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

fn one(one: &One) -> (String, Exit) {
    let injected = one.planted.injected();
    match (one.layer, one.seed) {
        (Layer::Exhaustive, Some(_)) => refused("--seed", one.layer),
        (Layer::Exhaustive, None) => ci::explore(one.steps, None, ci::cores(), injected),
        (Layer::Swarm, Some(seed)) => runner::run_seed(seed, one.steps, injected),
        (Layer::Service, Some(seed)) => service::seed(seed, one.steps, injected),
        (Layer::Swarm | Layer::Service, None) => ("sim: which --seed?\n".to_owned(), Exit::Usage),
    }
}

fn run_layer(run: Run) -> (String, Exit) {
    let Run { seeds, jobs, steps, layer, time, until_stable, planted } = run;
    let injected = planted.injected();
    let jobs = jobs.map_or_else(ci::cores, NonZeroUsize::get);
    if layer == Layer::Exhaustive {
        return match seeds {
            Some(_) => refused("--seeds", layer),
            None => ci::explore(steps, time, jobs, injected),
        };
    }
    let seeds = seeds.unwrap_or(0..2_000);
    let request = RunRequest { seeds, jobs, steps, time, until_stable, injected };
    if layer == Layer::Service { service::run_many(request) } else { runner::run_many(request) }
}

/// The answer to an option that a layer does not have.
fn refused(option: &str, layer: Layer) -> (String, Exit) {
    let layer = layer.to_possible_value().map_or_else(String::new, |it| it.get_name().to_owned());
    (format!("sim: {option} does not apply to --layer {layer}\n"), Exit::Usage)
}

fn many(what: What) -> (String, Exit) {
    match what {
        What::Run(run) => run_layer(run),
        What::Replay { file, explain, planted } => {
            with_plan(&file, planted.injected(), |plan, injected| {
                let run = swarm::play_plan(plan, injected, swarm::Ending::Drained);
                match run.verdict {
                    Ok(()) if explain => (format!("plan v1\n{}", report::trace(plan)), Exit::Ok),
                    Ok(()) => (format!("{} commands, all agree\n", plan.steps.len()), Exit::Ok),
                    Err(failure) => {
                        runner::report_failure(&failure, &file.to_string_lossy(), plan, injected)
                    }
                }
            })
        }
        What::Shrink { file, planted } => with_plan(&file, planted.injected(), |plan, injected| {
            match swarm::play_plan(plan, injected, swarm::Ending::Drained).verdict {
                Ok(()) => ("sim: the plan does not fail\n".to_owned(), Exit::Usage),
                Err(failure) => {
                    let (shrunk, _) = shrink::failing(plan, &failure, injected);
                    (shrunk.plan.to_string(), Exit::Ok)
                }
            }
        }),
        What::Exhaustive { planted } => ci::exhaustive(planted.injected()),
        What::Mutants { only, jobs } => {
            ci::mutants(only, jobs.map_or_else(ci::cores, NonZeroUsize::get))
        }
        What::Concurrent { clients, calls, seed } => concurrent::run(clients, calls, seed),
        What::Against { address, seed, stock } => against::run(&address, seed, stock.as_deref()),
        What::Load(flags) => load::run(flags),
        What::Marks => ci::marks(),
        What::Bugs => ci::bugs(),
        What::Selfcheck { against } => checked(against.as_deref(), selfcheck_alone),
        What::Ci { against } => checked(against.as_deref(), ci::everything),
        What::Pages { which } => {
            let pages = match which {
                Pages::Seeds => pages::seeds(),
                Pages::Scenarios => pages::scenarios(ci::cores()),
                Pages::Kills => pages::kills(ci::cores()),
                Pages::Bugs => pages::bugs(),
            };
            let text = pages.iter().map(|(name, page)| format!("=== {name}\n{page}"));
            (text.collect(), Exit::Ok)
        }
    }
}

fn selfcheck_alone() -> (String, Exit) {
    ci::selfcheck(&selfcheck::all(ci::cores()))
}

/// Compares this build with another one first, if there is one.
fn checked(other: Option<&Path>, then: fn() -> (String, Exit)) -> (String, Exit) {
    let Some(other) = other else { return then() };
    let arguments = ["run", "--seeds", "0..64", "--steps", "600", "--jobs", "1"];
    let ours = many_words(&arguments);
    match Command::new(other).args(arguments).output() {
        Err(error) => (format!("sim: cannot run {}: {error}\n", other.display()), Exit::Usage),
        Ok(output) if output.stdout == ours.as_bytes() => {
            let (text, exit) = then();
            (format!("ok   the other build says the same, byte for byte\n{text}"), exit)
        }
        Ok(_) => ("FAIL the other build says something else\n".to_owned(), Exit::Nondeterminism),
    }
}

/// What this build prints for these arguments.
fn many_words(arguments: &[&str]) -> String {
    let cli = Cli::parse_from(std::iter::once("sim").chain(arguments.iter().copied()));
    cli.what.map_or_else(String::new, |what| many(what).0)
}

/// Plays the plan in this file. One of the service layer, which has its weather with it, is played
/// there, and made small if it fails.
fn with_plan(
    file: &Path,
    injected: InjectedFaults,
    play: impl FnOnce(&Plan, InjectedFaults) -> (String, Exit),
) -> (String, Exit) {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        io::stdin().read_to_string(&mut text).map(drop)
    } else {
        std::fs::read_to_string(file).map(|read| text = read)
    };
    if let Err(error) = read {
        return (format!("sim: cannot read {}: {error}\n", file.display()), Exit::Usage);
    }
    if let Some(replayed) = service::replay(&text, injected) {
        return replayed;
    }
    match Plan::parse(&text) {
        Ok(plan) => play(&plan, injected),
        Err(unreadable) => (format!("sim: {}: {unreadable}\n", file.display()), Exit::Usage),
    }
}

fn bug(name: &str) -> Result<Bug, String> {
    Bug::parse(name).ok_or_else(|| format!("there is no bug {name:?}"))
}

/// A number, or a git commit, whose first 64 bits are the number.
fn seed(text: &str) -> Result<u64, String> {
    if text.len() == 40 {
        return u64::from_str_radix(&text[..16], 16).map_err(|_| "no git commit".to_owned());
    }
    text.parse().map_err(|_| "a seed is a number or a git commit of 40 digits".to_owned())
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let wrong = || "seeds are given as FIRST..END, and END comes after FIRST".to_owned();
    let (first, end) = text.split_once("..").ok_or_else(wrong)?;
    let (first, end) = (first.parse().map_err(|_| wrong())?, end.parse().map_err(|_| wrong())?);
    if first < end { Ok(first..end) } else { Err(wrong()) }
}
