//! The exhaustive layer: every sequence of commands in a tiny world, until no new state appears.
//!
//! The world has two SKUs, a few orders ([`Scope::orders`]), a payment timeout of 2 ns and an
//! idempotency window of 3 ns. In each state every command is tried: creates that fit, that fail
//! and that can never fit, with and without a key; payment and cancellation of every order and of a
//! missing one; reads; and time steps, alone and with a call. The checker compares both sides after
//! each command, and their whole state once for every new state. The state machine has the
//! smallest containers, so that even these few orders cross their boundaries.
//!
//! In [`Scope::ChangingRules`] the operator also changes the rules, at any time. In
//! [`Scope::Forgetting`] finished orders are forgotten, room and open orders are limited, and the
//! operator changes these limits.
//!
//! States that behave the same count as one ([`Behavior`]). The details of finished orders matter
//! only if they are forgotten, and of the time only the rest until the deadlines does. The search
//! is breadth first, so a counterexample has the fewest possible commands.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use loms::state_machine::Tiny;

use crate::check::behavior::{Behavior, Keys, OLD, behavior, keys_after};
use crate::check::checker::Checker;
use crate::check::compared::Compared;
use crate::check::failure::Failure;
use crate::check::swarm::catch_panic;
use crate::clock::Stopwatch;
use crate::model::contract::Limits;
use crate::model::{ContainerSizes, World};
use crate::mutation::injected::InjectedFaults;
use crate::plan::{Key, Op, Plan, Step, Target};
use crate::progress::{self, Watched};
use crate::report::screen;
use crate::runner;

/// Payment timeout, in nanoseconds.
const TIMEOUT: u64 = 2;
/// Idempotency window, in nanoseconds.
const WINDOW: u64 = 3;
/// Timeouts and windows that the rules change between, in [`Scope::ChangingRules`].
const RULES: [(u64, u64); 3] = [(TIMEOUT, WINDOW), (1, 1), (0, WINDOW + 1)];
/// The limits that the rules change between, in [`Scope::Forgetting`]. There is room for two orders
/// and a key, or for three orders.
const LIMITS: [Limits; 2] = [
    Limits { keep: 2, keep_failed: 1, retry_failed: false, max_bytes: 170, open_orders: 0 },
    Limits { keep: 1, keep_failed: 3, retry_failed: true, max_bytes: 0, open_orders: 1 },
];
const _: () = assert!(OLD > WINDOW + 1, "every timeout, window and time to keep is shorter");

/// What may happen in the tiny world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Calls, and time passing.
    FixedRules,
    /// The rules change as well: each of [`RULES`], at any time.
    ChangingRules,
    /// Finished orders are forgotten, and the limits change: each of [`LIMITS`], at any time.
    Forgetting,
}

impl Scope {
    /// Every scope.
    pub(crate) const ALL: [Self; 3] = [Self::FixedRules, Self::ChangingRules, Self::Forgetting];

    /// The name on pages.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::FixedRules => "fixed rules",
            Self::ChangingRules => "changing rules",
            Self::Forgetting => "forgotten orders",
        }
    }

    /// The maximum number of orders that `sim ci` tries.
    pub(crate) const fn orders(self) -> usize {
        match self {
            Self::FixedRules => 4,
            Self::ChangingRules | Self::Forgetting => 3,
        }
    }
}

/// The result of an exploration.
#[derive(Debug)]
pub(crate) struct Exploration {
    /// Number of states.
    pub(crate) states: usize,
    /// Number of checked commands.
    pub(crate) commands: u64,
    /// Number of commands to the state that is farthest from the start.
    pub(crate) depth: usize,
    /// Whether every state was reached: no command leads to a new one.
    pub(crate) closed: bool,
    /// The first failure, with its plan.
    pub(crate) failed: Option<(Plan, Box<Failure>)>,
}

/// A visited state: the command and the state before it.
#[derive(Clone, Copy, Debug)]
struct Visited {
    from: usize,
    command: usize,
    depth: usize,
    keys: Keys,
}

/// A time step, a command and its lines.
type Command = (u64, Op, Vec<(u32, u32)>);

/// Every command that is tried: creates, calls on orders, reads, time steps.
fn commands(orders: i64, scope: Scope) -> Vec<Command> {
    let none = Key::NONE;
    let key = Key::named(1);
    let mut commands = Vec::new();
    for (user, key, items) in [
        (1, none, vec![(1, 1)]),
        (1, key, vec![(1, 1)]),
        (2, key, vec![(1, 1)]),
        (1, key, vec![(2, 1), (1, 1)]),
        (1, none, vec![(1, 1), (1, 1), (2, 1)]),
        (1, key, vec![(2, 2)]),
        (1, none, vec![(1, 1), (3, 1)]),
    ] {
        // The others differ only in what they reserve, which does not decide what is forgotten.
        let matters = key != none || items.len() == 1 || items.iter().any(|(sku, _)| *sku == 3);
        if scope != Scope::Forgetting || matters {
            commands.push((0, Op::Create { user, key }, items));
        }
    }
    for order in 1..=orders + 1 {
        for op in [Op::Pay, Op::Cancel, Op::Info] {
            commands.push((0, op(Target::Id(order)), Vec::new()));
        }
    }
    for sku in 1..=3 {
        commands.push((0, Op::Stock(sku), Vec::new()));
    }
    // Time steps, alone and with a call.
    commands.push((1, Op::Tick, Vec::new()));
    commands.push((TIMEOUT + 1, Op::Tick, Vec::new()));
    for op in [Op::Pay, Op::Cancel, Op::Info] {
        commands.push((1, op(Target::Id(1)), Vec::new()));
    }
    commands.push((1, Op::Stock(1), Vec::new()));
    commands.push((1, Op::Create { user: 1, key: none }, vec![(1, 2)]));
    let rules: Vec<Op> = match scope {
        Scope::FixedRules => Vec::new(),
        Scope::ChangingRules => RULES
            .map(|(timeout, window)| Op::Rules { timeout, window, limits: Limits::default() })
            .into(),
        Scope::Forgetting => {
            LIMITS.map(|limits| Op::Rules { timeout: TIMEOUT, window: WINDOW, limits }).into()
        }
    };
    for op in rules {
        let gaps = if scope == Scope::Forgetting { 0..1 } else { 0..2 };
        commands.extend(gaps.map(|gap| (gap, op, Vec::new())));
    }
    commands
}

/// What is explored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExploreOptions {
    /// Maximum number of orders.
    pub(crate) orders: usize,
    /// What may happen.
    pub(crate) scope: Scope,
    /// Number of threads.
    pub(crate) jobs: usize,
    /// Maximum number of commands of a program; `None` for no limit.
    pub(crate) steps: Option<u32>,
    /// Stop after this time, when all programs of the present length have been tried.
    pub(crate) time: Option<Duration>,
    /// Injected faults.
    pub(crate) injected: InjectedFaults,
}

/// Explores all states.
#[must_use]
pub(crate) fn explore(options: &ExploreOptions) -> Exploration {
    let began = Stopwatch::start();
    let world = World {
        stock: vec![(1, 3, 1), (2, 1, 0)],
        payment_timeout: TIMEOUT,
        idempotency_window: WINDOW,
        max_lines: 3,
        limits: match options.scope {
            Scope::FixedRules | Scope::ChangingRules => Limits::default(),
            Scope::Forgetting => LIMITS[0],
        },
        sizes: ContainerSizes::Tiny,
    };
    let orders = i64::try_from(options.orders).expect("there are a few orders");
    let mut search = Search {
        known: BTreeSet::new(),
        visited: vec![Visited { from: 0, command: usize::MAX, depth: 0, keys: [None; 2] }],
        orders: options.orders,
        scope: options.scope,
        commands: Arc::new(commands(orders, options.scope)),
        world,
        injected: options.injected,
        checked: 0,
    };
    let mut first = 0;
    // Level by level: all states that the same number of commands leads to.
    while first < search.visited.len() {
        let depth = search.visited[first].depth;
        let in_time = options.time.is_none_or(|time| began.elapsed() < time);
        let deeper = options.steps.is_none_or(|steps| depth < usize_of(steps)) && in_time;
        let level = first..search.visited.len();
        first = level.end;
        let expanded = runner::in_order(level.len(), options.jobs, |place| {
            search.expand(level.start + place, deeper)
        });
        if let Err(failed) = search.take(level.start, expanded) {
            return search.exploration(false, Some(failed));
        }
        if !deeper {
            return search.exploration(false, None);
        }
    }
    search.exploration(true, None)
}

fn usize_of(steps: u32) -> usize {
    usize::try_from(steps).unwrap_or(usize::MAX)
}

struct Search {
    /// Maximum number of orders.
    orders: usize,
    scope: Scope,
    known: BTreeSet<Behavior>,
    visited: Vec<Visited>,
    commands: Arc<Vec<Command>>,
    world: World,
    injected: InjectedFaults,
    checked: u64,
}

/// A plan that fails, and its failure.
type FailedPlan = (Plan, Box<Failure>);

/// The results of every command in one state.
struct Expanded {
    /// The comparison of the state itself, before any command.
    audited: Result<(), FailedPlan>,
    /// The new states, by the commands that lead to them.
    next: Vec<(usize, Behavior, Keys)>,
    /// Number of commands that were checked.
    checked: u64,
    /// The first command that failed.
    failed: Option<FailedPlan>,
}

impl Search {
    fn exploration(self, closed: bool, failed: Option<FailedPlan>) -> Exploration {
        Exploration {
            states: self.known.len(),
            commands: self.checked,
            depth: self.visited.last().map_or(0, |visited| visited.depth),
            closed,
            failed,
        }
    }

    /// Adds the results of a level, whose first state is `first`. A failure of a state itself comes
    /// before all failures of commands, because its plan is shorter.
    fn take(&mut self, first: usize, expanded: Vec<Expanded>) -> Result<(), FailedPlan> {
        let mut results = Vec::with_capacity(expanded.len());
        for Expanded { audited, next, checked, failed } in expanded {
            audited?;
            results.push((next, checked, failed));
        }
        for (from, (next, checked, failed)) in (first..).zip(results) {
            self.checked += checked;
            if let Some(failed) = failed {
                return Err(failed);
            }
            let depth = self.visited[from].depth + 1;
            for (command, behavior, keys) in next {
                if self.known.insert(behavior) {
                    self.visited.push(Visited { from, command, depth, keys });
                }
            }
        }
        Ok(())
    }

    /// Compares a whole state, and tries every command in it if `deeper`.
    fn expand(&self, state: usize, deeper: bool) -> Expanded {
        let (mut steps, keys) = (self.retrace(state), self.visited[state].keys);
        let tried = Arc::new(AtomicUsize::new(usize::MAX));
        let _watched = self.watched(&steps, Arc::clone(&tried));
        let here = self.replay(&steps);
        let failed = |steps: &[Step], failure| (self.plan(steps), failure);
        let audited = catch_panic(&mut here.clone(), |here| here.audit(Compared::OrdersInState));
        let audited = audited.map_err(|failure| failed(&steps, failure));
        let mut expanded = Expanded { audited, next: Vec::new(), checked: 0, failed: None };
        let mut checker = here.clone();
        let commands = if deeper { self.commands.len() } else { 0 };
        for command in 0..commands {
            let orders = checker.orders();
            let (gap, op, _) = self.commands[command];
            if matches!(op, Op::Create { .. }) && orders >= self.orders {
                continue;
            }
            tried.store(command, Ordering::Relaxed);
            steps.push(self.step(&steps, command));
            let step = steps.last().expect("it was just pushed");
            let before = checker.subject.state.events();
            expanded.checked += 1;
            if let Err(failure) = catch_panic(&mut checker, |checker| checker.step(step)) {
                expanded.failed = Some(failed(&steps, failure));
                return expanded;
            }
            let window = here.subject.state.rules().idempotency_window.as_nanos();
            let keys = keys_after(keys, op, orders, &checker, (window, step.at));
            let changed = checker.subject.state.events() != before || gap > 0;
            if changed {
                let forgets = self.scope == Scope::Forgetting;
                let behavior = behavior(&checker, keys, step.at, forgets);
                if !self.known.contains(&behavior) {
                    expanded.next.push((command, behavior, keys));
                }
                checker.clone_from(&here);
            }
            steps.pop();
        }
        expanded
    }

    /// The watchdog's description of a state: the steps that lead to it, and the command that is
    /// tried.
    fn watched(&self, steps: &[Step], tried: Arc<AtomicUsize>) -> Watched {
        let (path, commands) = (self.plan(steps), Arc::clone(&self.commands));
        let flags = self.injected.flag();
        progress::check(move |number| {
            let mut plan = path.clone();
            if let Some(command) = commands.get(tried.load(Ordering::Relaxed)) {
                plan.steps.push(step_after(&plan.steps, command));
            }
            screen::hung("exhaustive", &plan, number, &flags)
        })
    }

    /// Finds the steps that lead to a state.
    fn retrace(&self, state: usize) -> Vec<Step> {
        let mut path = Vec::new();
        let mut at = state;
        while self.visited[at].command != usize::MAX {
            path.push(self.visited[at].command);
            at = self.visited[at].from;
        }
        let mut steps = Vec::new();
        for &command in path.iter().rev() {
            steps.push(self.step(&steps, command));
        }
        steps
    }

    /// The command as the next step after these.
    fn step(&self, steps: &[Step], command: usize) -> Step {
        step_after(steps, &self.commands[command])
    }

    fn replay(&self, steps: &[Step]) -> Checker<Tiny> {
        let mut checker = Checker::<Tiny>::open(&self.world, 0, self.injected);
        for step in steps {
            checker.step(step).expect("it was checked before");
        }
        checker
    }

    fn plan(&self, steps: &[Step]) -> Plan {
        Plan { world: self.world.clone(), start: 0, steps: steps.to_vec() }
    }
}

fn step_after(steps: &[Step], (gap, op, items): &Command) -> Step {
    let at = steps.last().map_or(0, |step| step.at) + gap;
    let number = u32::try_from(steps.len() + 1).expect("paths are short");
    Step { number, at, client: 0, op: *op, items: items.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutation::planted_bugs::Bug;

    fn options(injected: InjectedFaults) -> ExploreOptions {
        ExploreOptions {
            orders: 2,
            scope: Scope::FixedRules,
            jobs: 1,
            steps: None,
            time: None,
            injected,
        }
    }

    #[test]
    fn a_tiny_world_is_explored_completely() {
        let exploration = explore(&options(InjectedFaults::default()));
        assert!(exploration.failed.is_none() && exploration.closed);
        assert_eq!((exploration.states, exploration.depth), (1_155, 7));
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let bug = InjectedFaults::with_bug(Bug::PayAfterCancel);
        for injected in [InjectedFaults::default(), bug] {
            let one = explore(&options(injected));
            let three = explore(&ExploreOptions { jobs: 3, ..options(injected) });
            assert_eq!(format!("{one:?}"), format!("{three:?}"));
        }
    }

    #[test]
    fn steps_limit_the_length_of_programs() {
        let short = ExploreOptions { steps: Some(2), ..options(InjectedFaults::default()) };
        let exploration = explore(&short);
        assert_eq!((exploration.depth, exploration.closed), (2, false));
        let bug = InjectedFaults::with_bug(Bug::PayAfterCancel);
        assert!(explore(&ExploreOptions { injected: bug, ..short }).failed.is_none());
        let enough = ExploreOptions { injected: bug, steps: Some(3), ..short };
        assert!(explore(&enough).failed.is_some());
    }

    #[test]
    fn a_tiny_world_with_changing_rules_closes() {
        let fixed = options(InjectedFaults::default());
        let exploration = explore(&ExploreOptions { scope: Scope::ChangingRules, ..fixed });
        assert!(exploration.failed.is_none(), "{:?}", exploration.failed);
        assert!(exploration.closed);
        assert_eq!((exploration.states, exploration.depth), (4_646, 8));
    }

    #[test]
    fn a_tiny_world_that_forgets_orders_closes() {
        let fixed = options(InjectedFaults::default());
        let exploration = explore(&ExploreOptions { scope: Scope::Forgetting, ..fixed });
        assert!(exploration.failed.is_none(), "{:?}", exploration.failed);
        assert!(exploration.closed);
        assert_eq!((exploration.states, exploration.depth), (6_500, 12));
    }

    #[test]
    fn a_counterexample_has_the_fewest_commands() {
        let exploration = explore(&options(InjectedFaults::with_bug(Bug::PayAfterCancel)));
        let (plan, failure) = exploration.failed.unwrap();
        let calls: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
        assert_eq!(
            calls,
            ["1 @0s c0 create user=1 1x1", "2 @0s c0 cancel id=1", "3 @0s c0 pay id=1"]
        );
        assert_eq!(failure.number, 3);
    }
}
