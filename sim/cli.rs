//! cli
use crate::rig::Rig;
use crate::{generate, report, shrink, swarm, world::Habits};
use clap::Parser;
use std::process::ExitCode;

#[derive(Debug, Parser)]
struct Cli {
    #[arg(long)]
    seed: u64,
    #[arg(long)]
    to: Option<u64>,
    #[arg(long)]
    steps: Option<u32>,
    #[arg(long)]
    bug: Option<String>,
    #[arg(long)]
    layer: Option<String>,
}

pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    let rig = Rig { bug: cli.bug.map(|b| crate::model::Bug::parse(&b).unwrap()), sabotage: None };
    if cli.layer.as_deref() == Some("calm") {
        let habits = Habits::of(cli.seed);
        let plan = crate::service::retimed(generate::plan_of(
            cli.seed,
            &habits,
            false,
            cli.steps.unwrap_or(habits.length),
        ));
        let t = std::time::Instant::now();
        for _ in 0..20 {
            let mut calm = crate::service::Calm::open(&plan, rig);
            for s in &plan.steps {
                calm.step(s).unwrap();
            }
        }
        println!("{:?} per call", t.elapsed() / (20 * plan.steps.len() as u32));
        return ExitCode::SUCCESS;
    }
    let mut n = 0;
    for seed in cli.seed..cli.to.unwrap_or(cli.seed + 1) {
        let habits = Habits::of(seed);
        let length = cli.steps.unwrap_or(habits.length);
        let run = swarm::play_seed(seed, &habits, length, rig);
        n += run.judge.tally.commands;
        if let Err(f) = &run.verdict {
            let mut plan = generate::plan_of(seed, &habits, false, length);
            plan.steps.extend(run.judge.drained.iter().cloned());
            let (shrunk, ending) = shrink::failing(&plan, f, rig);
            println!(
                "{}",
                report::failure(f, &format!("seed {seed}"), &shrunk.plan, ending, rig, shrunk.runs)
            );
            return ExitCode::from(1);
        }
        if cli.to.is_none() {
            println!("{}", report::seed(seed, &habits, &run.judge));
        }
    }
    println!("{n}");
    ExitCode::SUCCESS
}
