//! Network faults, one by one and all together.

use super::edge::{self, Edge};
use super::fault_counts::FaultCounts;
use super::fault_free::{self, retimed};
use super::fault_schedule::{FaultSchedule, NetworkFault, ScheduledFault};
use super::faulty_run::FaultyRun;
use super::server::{SHIPPED_EXPIRY_STEP, Server};
use super::*;
use crate::check::failure::Oracle;
use crate::exit::Exit;
use crate::mutation::injected::InjectedFaults;
use crate::mutation::planted_bugs::Bug;
use crate::plan::Plan;
use crate::plan::generator::plan_of;
use crate::plan::workload::Workload;
use crate::runner::RunRequest;

const PLAN: &str = "plan v1
world timeout=10s window=18446744073709551615ns max_lines=1000 start=0s
stock 1=5
1 @1s c0 create user=1 1x2 key=k1
2 @2s c0 pay order#1
3 @3s c0 stock 1
";

fn run(faults: &[(u32, u8, NetworkFault)]) -> (Plan, FaultSchedule) {
    let fault = |&(step, attempt, fault)| ScheduledFault { step, attempt, fault };
    let faults = faults.iter().map(fault).collect();
    (
        Plan::parse(PLAN).unwrap(),
        FaultSchedule { deadline: 100, attempts: 2, expiry_step: SHIPPED_EXPIRY_STEP, faults },
    )
}

/// Runs [`PLAN`] with these faults; gives the final number of orders.
fn orders(faults: &[(u32, u8, NetworkFault)]) -> usize {
    let (plan, schedule) = run(faults);
    let mut run = FaultyRun::open(&plan, &schedule, Edge::default(), InjectedFaults::default());
    run.play().unwrap();
    run.checker.model.orders()
}

#[test]
fn without_faults_the_answers_equal_those_of_the_swarm() {
    for seed in 0..40 {
        let workload = Workload::of(seed);
        let plan = retimed(plan_of(seed, &workload, false, 100));
        fault_free::play(&plan, Edge::of(seed), InjectedFaults::default())
            .unwrap_or_else(|failure| panic!("{seed}: {failure:#?}"));
    }
}

#[test]
fn with_faults_the_answers_equal_the_model_s_and_every_fault_happens() {
    let (text, exit) = run_covered(0..40, 1, InjectedFaults::default());
    assert_eq!(exit, Exit::Ok, "{text}");
    // The same text again, with any number of threads.
    assert_eq!(text, run_covered(0..40, 3, InjectedFaults::default()).0);
}

#[test]
fn the_number_of_threads_changes_no_output() {
    let request = |jobs, until_stable| RunRequest {
        seeds: 0..1_100,
        jobs,
        steps: Some(3),
        time: None,
        until_stable,
        injected: InjectedFaults::default(),
    };
    let (all, exit) = run_many(request(1, false));
    assert_eq!(exit, Exit::Ok, "{all}");
    assert!(all.starts_with("seeds 0..1100 "), "{all}");
    assert_eq!(all, run_many(request(4, false)).0);
    let bug = InjectedFaults::with_bug(Bug::CancelPaidAllowed);
    let failing =
        |jobs| run_many(RunRequest { injected: bug, steps: Some(60), ..request(jobs, false) });
    assert_eq!(failing(1).1, Exit::Oracle);
    assert_eq!(failing(1), failing(4));
}

#[test]
fn a_retried_create_makes_one_order() {
    assert_eq!(orders(&[(1, 0, NetworkFault::ReplyLost)]), 1);
    assert_eq!(orders(&[(1, 0, NetworkFault::Duplicate(7))]), 1);
    assert_eq!(orders(&[(1, 0, NetworkFault::RequestDelayed(101))]), 1);
}

#[test]
fn a_disconnected_client_creates_no_order() {
    assert_eq!(
        orders(&[(1, 0, NetworkFault::Disconnect(3)), (1, 1, NetworkFault::RequestLost)]),
        0
    );
    assert_eq!(orders(&[(1, 0, NetworkFault::BodyDelayed(3))]), 1);
}

/// 3 orders that are due when step 4 moves the clock.
const DUE: &str = "plan v1
world timeout=10s window=0s max_lines=9 start=0s
stock 1=5
1 @1s c0 create user=1 1x1
2 @1s c1 create user=1 1x1
3 @1s c2 create user=1 1x1
4 @2s c0 create user=1 1x5
";

fn run_with_backlog(attempts: u8, deadline: u64) -> FaultCounts {
    let plan = Plan::parse(DUE).unwrap();
    let ahead = NetworkFault::ClockForward(600_000_000_000);
    let faults = vec![ScheduledFault { step: 4, attempt: 0, fault: ahead }];
    let expiry_step = std::num::NonZeroUsize::MIN;
    let schedule = FaultSchedule { deadline, attempts, expiry_step, faults };
    let mut run = FaultyRun::open(&plan, &schedule, Edge::default(), InjectedFaults::default());
    run.play().unwrap();
    // The last create finds the stock of the expired orders, and no other.
    assert_eq!(run.checker.model.orders(), 4);
    run.fault_counts
}

#[test]
fn a_call_that_finds_a_backlog_waits_or_is_refused_and_sent_again() {
    let counts = run_with_backlog(3, 5_000_000_000);
    assert_eq!((counts.backlogs, counts.resolved), (1, 4));
    assert!(counts.backlog_steps >= 2, "{counts:?}");
    assert_eq!(counts.waited + counts.retries, 1, "{counts:?}");
    assert_eq!(counts.catching_up, counts.retries);
}

#[test]
fn a_backlog_stays_when_the_clock_jumps_back() {
    let mut found = 0;
    // The delays of the ticker depend on the start of the plan.
    for start in 0..20 {
        let mut plan = Plan::parse(&format!("{DUE}5 @2s c1 stock 1\n")).unwrap();
        plan.start = start;
        let [ahead, back] = [NetworkFault::ClockForward, NetworkFault::ClockBack];
        let fault = |step, fault| ScheduledFault { step, attempt: 0, fault };
        let faults = vec![fault(4, ahead(600_000_000_000)), fault(5, back(600_000_000_000))];
        let expiry_step = std::num::NonZeroUsize::MIN;
        let schedule = FaultSchedule { deadline: 5_000_000_000, attempts: 3, expiry_step, faults };
        let mut run = FaultyRun::open(&plan, &schedule, Edge::default(), InjectedFaults::default());
        run.play().unwrap();
        found += run.fault_counts.backlogs;
    }
    assert!(found > 0);
}

#[test]
fn ten_thousand_due_orders_expire_in_steps() {
    let (plan, schedule) = backlog::of(1);
    let mut run = FaultyRun::open(&plan, &schedule, Edge::default(), InjectedFaults::default());
    run.play().unwrap();
    assert!(run.fault_counts.backlog_steps >= 3, "{:?}", run.fault_counts);
    assert!(run.fault_counts.waited > 0, "{:?}", run.fault_counts);
}

#[test]
fn a_server_that_answers_during_a_backlog_is_found() {
    let plan = Plan::parse(DUE).unwrap();
    let ahead = NetworkFault::ClockForward(600_000_000_000);
    let faults = vec![ScheduledFault { step: 4, attempt: 0, fault: ahead }];
    let expiry_step = std::num::NonZeroUsize::MIN;
    let schedule = FaultSchedule { deadline: 100, attempts: 1, expiry_step, faults };
    let mut run = FaultyRun::open(&plan, &schedule, Edge::default(), InjectedFaults::default());
    // This server expires more orders at once than the checker knows.
    let clock = run.server.clock.clone();
    run.server = Server::start(&plan.world, Edge::default(), clock, SHIPPED_EXPIRY_STEP);
    let failure = run.play().unwrap_err();
    assert_eq!((failure.signature.oracle, failure.number), (Oracle::Answer, 4));
    assert!(failure.expected.starts_with("CATCHING_UP"), "{}", failure.expected);
}

#[test]
fn a_restarted_server_starts_again_at_order_1() {
    assert_eq!(orders(&[(2, 0, NetworkFault::Restart)]), 0);
}

#[test]
fn a_planted_bug_is_found_and_shrunk_to_a_plan_that_replays() {
    let injected = InjectedFaults::with_bug(Bug::SecondCancelRefused);
    let (text, exit) = run_covered(0..300, 2, injected);
    assert_eq!(exit, Exit::Oracle, "{text}");
    let (from, to) = (text.find("plan v1").unwrap(), text.find("\nreplay: ").unwrap());
    let (again, exit) = replay(&text[from..to], injected).unwrap();
    assert_eq!(exit, Exit::Oracle, "{again}");
    assert!(again.lines().filter(|line| line.contains(" @")).count() <= 4, "{again}");
}

#[test]
fn a_network_that_never_reorders_is_detected() {
    let workload = Workload::of(0);
    let mut plan = plan_of(0, &workload, false, 100);
    // One client, and no delays.
    plan.steps.iter_mut().for_each(|step| step.client = 0);
    let schedule = FaultSchedule {
        deadline: 100,
        attempts: 1,
        expiry_step: SHIPPED_EXPIRY_STEP,
        faults: Vec::new(),
    };
    let mut run = FaultyRun::open(&plan, &schedule, Edge::default(), InjectedFaults::default());
    run.play().unwrap();
    assert_eq!(run.fault_counts.reordered, 0);
}

#[test]
fn a_plan_with_settings_is_text_and_back() {
    for seed in 0..40 {
        let workload = Workload::of(seed);
        let usual = (edge::plan(seed, &workload, 60), Edge::of(seed));
        for (plan, edge) in std::iter::once(usual).chain(edge::wide(seed, &workload, 60)) {
            let (again, rest) = Edge::parse(&format!("{plan}{edge}\n")).unwrap();
            assert_eq!((again, Plan::parse(&rest)), (edge, Ok(plan)), "seed {seed}");
        }
    }
    assert!(Edge::parse("edge failed_create=maybe").is_err());
}

#[test]
fn a_fault_schedule_is_text_and_back() {
    let workload = Workload::of(5);
    let plan = plan_of(5, &workload, false, 60);
    for seed in 0..20 {
        let schedule = FaultSchedule::of(seed, &plan);
        let (again, rest) = FaultSchedule::parse(&format!("{plan}{schedule}")).unwrap();
        assert_eq!((again, rest), (schedule, plan.to_string()));
    }
    assert!(FaultSchedule::parse("fault 1 request-lost").is_err());
}
