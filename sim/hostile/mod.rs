//! `sim hostile`: attacks a `loms serve` process, with an honest client beside each attack. The
//! server must stay within its memory, answer the honest client on time, and stop cleanly. Start
//! at [`run()`].
//!
//! | module | holds |
//! |---|---|
//! | `attacks`, `calls` | the attacks: by frames, and by calls |
//! | `mutate` | random and mutated requests |
//! | `attacker`, `frames` | a connection that sends any bytes, and HTTP/2 as bytes |
//! | `honest` | the client that an attack must not hurt |
//! | `server` | the process: its memory, its log, its end |
//! | `judge` | the figures, and what is wrong with them |

mod attacker;
mod attacks;
mod calls;
mod frames;
mod honest;
mod judge;
mod mutate;
mod server;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::time::{Instant, sleep};

use crate::exit::Exit;
use crate::progress::{self, Hung};
use attacker::{Attacker, Counts};
use attacks::{ATTACKS, Attack};
use honest::HonestClient;
use judge::{Allowed, Figures};
use mutate::Mutations;
use server::Server;

/// How long an attack lasts, and in the quick form.
const ATTACK: Duration = Duration::from_secs(5);
const QUICK_ATTACK: Duration = Duration::from_millis(1_000);

/// The time after an attack until its memory is measured, and in the quick form: connections close
/// meanwhile, and the allocator gives memory back after a second.
const AFTER: Duration = Duration::from_secs(3);
const QUICK_AFTER: Duration = Duration::from_millis(500);

/// The priority of an attacker.
const LOWEST_PRIORITY: i32 = 19;

/// The flags of `sim hostile`.
#[derive(Debug, Args)]
pub(crate) struct HostileFlags {
    /// The server's binary [default: `loms` beside this binary]
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// Only this attack
    #[arg(long, value_name = "NAME", value_parser = known, conflicts_with = "mutate")]
    only: Option<Attack>,
    /// List the attacks
    #[arg(long)]
    list: bool,
    /// Short attacks, and no judgement of latencies: for a machine with other work
    #[arg(long)]
    quick: bool,
    /// Most memory of the server over its start, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    memory: u64,
    /// Highest p99 of honest calls
    #[arg(long, value_name = "DURATION", default_value = "25ms")]
    #[arg(value_parser = humantime::parse_duration)]
    p99: Duration,
    /// Instead of the attacks, send this many random or mutated requests
    #[arg(long, value_name = "N")]
    mutate: Option<u64>,
    /// Seed of these requests
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

fn known(name: &str) -> Result<Attack, String> {
    let found = ATTACKS.into_iter().find(|attack| attack.name == name);
    found.ok_or_else(|| "unknown attack; --list prints them all".to_owned())
}

/// Attacks, and prints the figures of each attack when they are known.
pub(crate) fn run(flags: &HostileFlags, print: fn(&str)) -> (String, Exit) {
    if flags.list {
        return (list(), Exit::Ok);
    }
    let server = match flags.server.clone().map_or_else(beside, Ok) {
        Ok(server) => server,
        Err(problem) => return (format!("sim hostile: {problem}\n"), Exit::Usage),
    };
    raise_file_limit();
    let allowed = Allowed { memory: flags.memory << 20, p99: (!flags.quick).then_some(flags.p99) };
    let (time, after) = if flags.quick { (QUICK_ATTACK, QUICK_AFTER) } else { (ATTACK, AFTER) };
    let works: Vec<(&'static str, Work)> = match (flags.mutate, flags.only) {
        (Some(requests), _) => {
            vec![("mutate", Work::Mutations(Mutations { requests, seed: flags.seed }))]
        }
        (None, Some(attack)) => vec![(attack.name, Work::Attack(attack, time))],
        (None, None) => {
            ATTACKS.into_iter().map(|attack| (attack.name, Work::Attack(attack, time))).collect()
        }
    };
    let mut failed = 0;
    for (name, work) in works {
        let mut text = String::new();
        let _watched = progress::stage(move || Hung {
            what: format!("sim hostile, {name}"),
            ..Hung::default()
        });
        let problems = match measure(work, after, &server) {
            Ok((figures, counts)) => {
                let _ = writeln!(text, "{name}\n  {}\n  attacker: {counts}", figures.line());
                figures.problems(allowed)
            }
            Err(problem) => {
                let _ = writeln!(text, "{name}");
                vec![problem]
            }
        };
        for problem in &problems {
            let _ = writeln!(text, "  FAIL {problem}");
        }
        failed += u32::from(!problems.is_empty());
        print(&text);
    }
    let exit = if failed == 0 { Exit::Ok } else { Exit::Oracle };
    (format!("{failed} failed\n"), exit)
}

fn list() -> String {
    ATTACKS.iter().map(|attack| format!("{:20} {}\n", attack.name, attack.about)).collect()
}

/// The server's binary in the folder of this one.
fn beside() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| format!("no path of sim: {error}"))?;
    let server = own.with_file_name("loms");
    if server.exists() {
        Ok(server)
    } else {
        Err(format!("{} does not exist; build it, or set --server", server.display()))
    }
}

/// An attacker has many connections.
fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // If this fails, an attack has fewer connections.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// What to do to a server.
#[derive(Clone, Copy, Debug)]
enum Work {
    /// Attack for this time.
    Attack(Attack, Duration),
    Mutations(Mutations),
}

impl Work {
    /// Works in a thread of its own, which gives way to the server and to the honest client: an
    /// attacker has a machine of its own.
    fn run(self, server: &Server) -> Result<Counts, String> {
        let to = server.address.parse().map_err(|_invalid| "not an address".to_owned())?;
        let working = thread::spawn(move || {
            // This concerns the thread. If it fails, latencies are higher.
            let _ = setpriority_process(None, LOWEST_PRIORITY);
            runtime()?.block_on(self.work(to))
        });
        working.join().unwrap_or_else(|_panic| Err("the attack panicked".to_owned()))
    }

    async fn work(self, to: SocketAddr) -> Result<Counts, String> {
        match self {
            Self::Attack(attack, time) => {
                let attacker = Attacker::new(to, Instant::now() + time);
                attack.run(&attacker).await;
                let mut counts = attacker.counts.take();
                if attack.sends() && counts.connections == 0 {
                    counts.failures.push("the attack sent nothing".to_owned());
                }
                Ok(counts)
            }
            Self::Mutations(mutations) => Ok(mutations.run(to).await),
        }
    }
}

fn runtime() -> Result<LocalRuntime, String> {
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime.enable_all().build_local(LocalOptions::default());
    runtime.map_err(|error| format!("no runtime: {error}"))
}

/// Starts a server, works on it, and measures.
fn measure(work: Work, after: Duration, binary: &Path) -> Result<(Figures, Counts), String> {
    runtime()?.block_on(async {
        let mut server = Server::start(binary)?;
        let honest = HonestClient::start(&server.address);
        honest.has_called().await?;
        let before = server.memory()?.now;
        let counts = work.run(&server)?;
        sleep(after).await;
        let mut figures = Figures { memory_before: before, ..Figures::default() };
        if server.runs() {
            let memory = server.memory()?;
            (figures.memory_peak, figures.memory_after) = (memory.peak, memory.now);
        }
        honest.end(&mut figures);
        let (log, stop, broken) = server.stop().await;
        (figures.log_lines, figures.stop) = (log.lines, stop);
        figures.broken.extend(broken);
        figures.failures.extend(counts.failures.iter().cloned());
        Ok((figures, counts))
    })
}
