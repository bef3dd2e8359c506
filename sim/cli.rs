//! The command line. Results go to stdout and are the same for the same arguments, byte for byte;
//! times and speed go to stderr.

use std::io::{self, Read as _, Write as _};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::check::swarm;
use crate::ci;
use crate::credentials::CredentialFlags;
use crate::exit::Exit;
use crate::hostile;
use crate::layers::{against, concurrent, service};
use crate::mutation::injected::InjectedFaults;
use crate::mutation::planted_bugs::Bug;
use crate::mutation::selfcheck;
use crate::plan::Plan;
use crate::plan::generator::GENERATOR;
use crate::progress::{self, Hung};
use crate::report::{self, pages};
use crate::runner::{self, RunRequest};
use crate::{load, shrink};

/// The simulator of LOMS: compares the state machine with an exact model after every command
#[derive(Debug, Parser)]
#[command(
    name = "sim",
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 success, 1 subject and model differ, 2 usage, 3 units stay \
                  reserved at the end, 4 two equal runs differ, 5 a mark is not reached, 6 a \
                  planted bug is not found, 7 a check could not decide, 8 a check makes no \
                  progress"
)]
struct Cli {
    #[command(subcommand)]
    subcommand: Option<Subcommands>,
    #[command(flatten)]
    single: SingleRun,
}

/// One run.
#[derive(Debug, Args)]
struct SingleRun {
    /// Seed: a number or a git commit
    #[arg(long, value_parser = seed)]
    seed: Option<u64>,
    #[command(flatten)]
    version: Version,
    /// Layer to test
    #[arg(long, value_enum, default_value_t)]
    layer: Layer,
    /// Number of commands (default: chosen by the seed)
    #[arg(long)]
    steps: Option<u32>,
    #[command(flatten)]
    planted: Planted,
}

/// The generator's version.
#[derive(Clone, Copy, Debug, Args)]
struct Version {
    /// Generator version that was printed with the seed. Only the default is known: for another
    /// one, check out the commit that printed it.
    #[arg(long, value_parser = generator, default_value_t = GENERATOR)]
    generator: u32,
}

/// A bug planted in the model.
#[derive(Clone, Copy, Debug, Args)]
struct Planted {
    /// Plant this bug in the model, to see that it is found (`sim mutants` lists all)
    #[arg(long = "bug", value_parser = bug)]
    bug: Option<Bug>,
}

impl Planted {
    fn injected(self) -> InjectedFaults {
        self.bug.map_or_else(InjectedFaults::default, InjectedFaults::with_bug)
    }
}

/// Layer to test
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Layer {
    /// The state machine, with random commands of many clients
    #[default]
    Swarm,
    /// The state machine, with every sequence of commands in a tiny world
    Exhaustive,
    /// The service and the client in one process, over a network with faults
    Service,
}

/// Many runs.
#[derive(Debug, Args)]
struct ManyRuns {
    /// Seeds, from FIRST up to but not including END (default: 0..2000). The exhaustive layer has
    /// no seeds.
    #[arg(long, value_parser = range, value_name = "FIRST..END")]
    seeds: Option<Range<u64>>,
    #[command(flatten)]
    version: Version,
    /// Number of threads (default: number of cores). The output does not depend on it.
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// Number of commands of each seed (default: chosen by the seed). The exhaustive layer tries
    /// all programs of at most this many commands (default: no limit).
    #[arg(long)]
    steps: Option<u32>,
    /// Layer to test
    #[arg(long, value_enum, default_value_t)]
    layer: Layer,
    /// Stop after this time, for example 60s, even if seeds are left.
    #[arg(long, value_parser = humantime::parse_duration)]
    time: Option<Duration>,
    /// Stop after 1,000 seeds in a row without a new mark; in the service layer, without a new
    /// fault or kind of answer. The exhaustive layer always stops when it reaches no new state.
    #[arg(long)]
    until_stable: bool,
    #[command(flatten)]
    planted: Planted,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Run many seeds
    Run(ManyRuns),
    /// Run a plan
    Replay {
        /// File with the plan; `-` for stdin
        file: PathBuf,
        /// Print the answers
        #[arg(long)]
        explain: bool,
        #[command(flatten)]
        planted: Planted,
    },
    /// Shrink a failing plan
    Shrink {
        /// File with the plan; `-` for stdin
        file: PathBuf,
        #[command(flatten)]
        planted: Planted,
    },
    /// Check the laws with the first steps of some seeds
    Laws,
    /// Run every sequence of commands in a tiny world
    Exhaustive {
        #[command(flatten)]
        planted: Planted,
    },
    /// Plant every bug in the model and measure how soon it is found
    Mutants {
        /// Only this bug, with the plan that finds it
        #[arg(long, value_parser = bug)]
        only: Option<Bug>,
        /// Number of threads (default: number of cores)
        #[arg(long)]
        jobs: Option<NonZeroUsize>,
    },
    /// Run the server with concurrent clients over loopback, and check linearizability
    Concurrent {
        /// Number of clients
        #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
        clients: u32,
        /// Number of calls of all clients
        #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
        calls: u32,
        /// Seed of the calls
        #[arg(long, value_parser = seed, default_value = "1")]
        seed: u64,
    },
    /// Check any server that implements the API. It must have no other clients during the check.
    Against {
        /// Address: http://HOST:PORT or https://HOST:PORT
        address: String,
        #[command(flatten)]
        credentials: CredentialFlags,
        /// Seed of the random programs
        #[arg(long, value_parser = seed, default_value = "1")]
        seed: u64,
        /// Stock file of the server, which must have just started
        #[arg(long)]
        stock: Option<PathBuf>,
    },
    /// Put a server under load and check its answers
    Load(load::LoadFlags),
    /// Attack a server process, with an honest client beside each attack
    Hostile(hostile::HostileFlags),
    /// Print the coverage of the seeds of CI
    Marks,
    /// Run all regression plans
    Regressions,
    /// Check the simulator itself
    Selfcheck {
        /// Another build of `sim`, whose output must be identical
        #[arg(long)]
        against: Option<PathBuf>,
    },
    /// Run everything that CI runs
    Ci {
        /// Another build of `sim`, whose output must be identical
        #[arg(long)]
        against: Option<PathBuf>,
    },
    /// Print the pages in `snapshots/`
    Pages {
        /// Kind of page
        #[arg(value_enum)]
        which: Pages,
    },
}

/// The pages in `snapshots/`, by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Pages {
    Seeds,
    Scenarios,
    Kills,
    Regressions,
}

/// Runs the command.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    let (text, exit) = match cli.subcommand {
        None => watched(|| run_single(&cli.single)),
        // The load tool has its own timeouts, and a plan can come from the terminal: `with_plan`
        // reads it first.
        Some(
            subcommand @ (Subcommands::Load(_)
            | Subcommands::Replay { .. }
            | Subcommands::Shrink { .. }),
        ) => run_subcommand(subcommand),
        Some(subcommand) => watched(|| run_subcommand(subcommand)),
    };
    print(&text);
    exit.into()
}

/// Runs a command that the watchdog ends if it hangs.
fn watched<T>(run: impl FnOnce() -> T) -> T {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments = arguments.join(" ");
    progress::watch(|report| {
        print(report);
        std::process::exit(Exit::Hung.code().into())
    });
    let _watched = progress::stage(move || Hung {
        what: format!("sim {arguments}"),
        again: Some(arguments.clone()),
        ..Hung::default()
    });
    run()
}

pub(crate) fn print(text: &str) {
    // A closed stdout is not an error.
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

fn run_single(run: &SingleRun) -> (String, Exit) {
    let injected = run.planted.injected();
    match (run.layer, run.seed) {
        (Layer::Exhaustive, Some(_)) => refused("--seed", run.layer),
        (Layer::Exhaustive, None) => ci::explore(run.steps, None, ci::cores(), injected),
        (Layer::Swarm, Some(seed)) => runner::run_seed(seed, run.steps, injected),
        (Layer::Service, Some(seed)) => service::seed(seed, run.steps, injected),
        (Layer::Swarm | Layer::Service, None) => {
            ("sim: --seed is required\n".to_owned(), Exit::Usage)
        }
    }
}

fn run_many(run: ManyRuns) -> (String, Exit) {
    let ManyRuns { seeds, version: _, jobs, steps, layer, time, until_stable, planted } = run;
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
    match layer {
        Layer::Service => service::run_with_speed(request),
        Layer::Swarm | Layer::Exhaustive => runner::run_many(request),
    }
}

/// The error for an option that the layer does not have.
fn refused(option: &str, layer: Layer) -> (String, Exit) {
    let layer = layer.to_possible_value().map_or_else(String::new, |it| it.get_name().to_owned());
    (format!("sim: {option} does not apply to --layer {layer}\n"), Exit::Usage)
}

fn run_subcommand(subcommand: Subcommands) -> (String, Exit) {
    match subcommand {
        Subcommands::Run(run) => run_many(run),
        Subcommands::Replay { file, explain, planted } => {
            with_plan(&file, planted.injected(), |plan, injected| {
                match swarm::check_plan(plan, injected) {
                    Ok(()) if explain => (format!("plan v1\n{}", report::trace(plan)), Exit::Ok),
                    Ok(()) => (format!("{} commands, all agree\n", plan.steps.len()), Exit::Ok),
                    Err(failure) => {
                        runner::report_failure(&failure, &file.to_string_lossy(), plan, injected)
                    }
                }
            })
        }
        Subcommands::Shrink { file, planted } => {
            with_plan(&file, planted.injected(), |plan, injected| {
                match swarm::check_plan(plan, injected) {
                    Ok(()) => ("sim: the plan does not fail\n".to_owned(), Exit::Usage),
                    Err(failure) => {
                        let (shrunk, _) = shrink::failing(plan, &failure, injected);
                        (shrunk.plan.to_string(), Exit::Ok)
                    }
                }
            })
        }
        Subcommands::Laws => ci::laws(),
        Subcommands::Exhaustive { planted } => ci::run_exhaustive(planted.injected()),
        Subcommands::Mutants { only, jobs } => {
            ci::mutants(only, jobs.map_or_else(ci::cores, NonZeroUsize::get))
        }
        Subcommands::Concurrent { clients, calls, seed } => concurrent::run(clients, calls, seed),
        Subcommands::Against { address, credentials, seed, stock } => {
            against::run(&address, credentials, seed, stock.as_deref())
        }
        Subcommands::Load(flags) => load::run(flags),
        Subcommands::Hostile(flags) => hostile::run(&flags, print),
        Subcommands::Marks => ci::marks(),
        Subcommands::Regressions => ci::regressions(),
        Subcommands::Selfcheck { against } => checked(against.as_deref(), selfcheck_alone),
        Subcommands::Ci { against } => checked(against.as_deref(), ci::everything),
        Subcommands::Pages { which } => {
            let pages = match which {
                Pages::Seeds => pages::seeds(),
                Pages::Scenarios => pages::scenarios(ci::cores()),
                Pages::Kills => pages::kills(ci::cores()),
                Pages::Regressions => pages::regressions(),
            };
            let text = pages.iter().map(|(name, page)| format!("=== {name}\n{page}"));
            (text.collect(), Exit::Ok)
        }
    }
}

fn selfcheck_alone() -> (String, Exit) {
    ci::selfcheck(&selfcheck::all(ci::cores()))
}

/// If there is another build, first compares its output with that of this build.
fn checked(other: Option<&Path>, then: fn() -> (String, Exit)) -> (String, Exit) {
    let Some(other) = other else { return then() };
    let arguments = ["run", "--seeds", "0..64", "--steps", "600", "--jobs", "1"];
    let ours = output_of(&arguments);
    match Command::new(other).args(arguments).output() {
        Err(error) => (format!("sim: cannot run {}: {error}\n", other.display()), Exit::Usage),
        Ok(output) if output.stdout == ours.as_bytes() => {
            print("ok   the other build prints the same bytes\n");
            then()
        }
        Ok(_) => ("FAIL the other build prints other bytes\n".to_owned(), Exit::Nondeterminism),
    }
}

/// The output of this build for these arguments.
fn output_of(arguments: &[&str]) -> String {
    let cli = Cli::parse_from(std::iter::once("sim").chain(arguments.iter().copied()));
    cli.subcommand.map_or_else(String::new, |subcommand| run_subcommand(subcommand).0)
}

/// Runs the plan in this file. A plan with a fault schedule runs in the service layer.
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
    watched(|| {
        if let Some(replayed) = service::replay(&text, injected) {
            return replayed;
        }
        match Plan::parse(&text) {
            Ok(plan) => play(&plan, injected),
            Err(unreadable) => (format!("sim: {}: {unreadable}\n", file.display()), Exit::Usage),
        }
    })
}

fn bug(name: &str) -> Result<Bug, String> {
    Bug::parse(name).ok_or_else(|| format!("unknown bug {name:?}"))
}

fn generator(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(GENERATOR) => Ok(GENERATOR),
        Ok(_) => Err(format!(
            "this build knows only generator {GENERATOR}; check out the commit that printed the \
             seed"
        )),
        Err(_) => Err(format!("a generator version is a number; this build knows {GENERATOR}")),
    }
}

/// A seed: a number, or a git commit, whose first 64 bits are used.
fn seed(text: &str) -> Result<u64, String> {
    if text.len() == 40 {
        return u64::from_str_radix(&text[..16], 16).map_err(|_| "not a git commit".to_owned());
    }
    text.parse().map_err(|_| "a seed is a number or a git commit of 40 digits".to_owned())
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let wrong = || "seeds are FIRST..END, and END is greater than FIRST".to_owned();
    let (first, end) = text.split_once("..").ok_or_else(wrong)?;
    let (first, end) = (first.parse().map_err(|_| wrong())?, end.parse().map_err(|_| wrong())?);
    if first < end { Ok(first..end) } else { Err(wrong()) }
}
