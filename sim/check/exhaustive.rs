//! The exhaustive layer: every sequence of commands in a tiny world, until no new state appears.
//!
//! The world has two SKUs, at most [`ORDERS`] orders, a payment timeout of 2 ns and an idempotency
//! window of 3 ns. In each state every command is tried: creates that fit, that fail and that can
//! never fit, with and without a key; payment and cancellation of every order and of a missing one;
//! reads; and time steps, alone and with a call. The checker compares after each command, and
//! compares the whole state in every new state.
//!
//! States that behave the same count as one ([`Behavior`]): details of finished orders do not
//! matter any more, and of the time only what is left until the next deadlines. The search is
//! breadth first, so a counterexample has the fewest possible commands.

use std::collections::BTreeSet;

use loms::state_machine::{Cause, OrderStatus};

use crate::check::checker::Checker;
use crate::check::failure::Failure;
use crate::model::World;
use crate::mutation::injected::InjectedFaults;
use crate::plan::{Key, Op, Plan, Step, Target};

/// Maximum number of orders.
pub(crate) const ORDERS: usize = 4;
/// Payment timeout, in nanoseconds.
const TIMEOUT: u64 = 2;
/// Idempotency window, in nanoseconds.
const WINDOW: u64 = 3;

/// The result of an exploration.
#[derive(Debug)]
pub(crate) struct Exploration {
    /// Number of states.
    pub(crate) states: usize,
    /// Number of checked commands.
    pub(crate) commands: u64,
    /// The longest shortest path to a state, in commands.
    pub(crate) depth: usize,
    /// The first failure, with its plan.
    pub(crate) failed: Option<(Plan, Box<Failure>)>,
}

/// Everything that decides how a state answers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Behavior {
    orders: Vec<OrderBehavior>,
    stock: Vec<(u64, u64)>,
    /// The key of each user.
    keys: [Option<KeyBehavior>; 2],
}

/// Decides how a key is answered: its order, the lines of that order, and the nanoseconds left in
/// its window (0 at its end).
type KeyBehavior = (u8, Vec<(u32, u32)>, u8);

/// The order and the time of each user's key.
type Keys = [Option<(u8, u64)>; 2];

/// Decides how calls on an order are answered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum OrderBehavior {
    Awaiting { left: u8, lines: Vec<(u32, u32)> },
    Failed,
    Paid,
    Cancelled,
    Expired,
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
fn commands(orders: i64) -> Vec<Command> {
    let none = Key::NONE;
    let key = Key { name: 1, length: 0 };
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
        commands.push((0, Op::Create { user, key }, items));
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
    commands
}

/// Explores all states.
#[must_use]
pub(crate) fn explore(orders: usize, injected: InjectedFaults) -> Exploration {
    let world = World {
        stock: vec![(1, 3, 1), (2, 1, 0)],
        payment_timeout: TIMEOUT,
        idempotency_window: WINDOW,
        max_lines: 3,
    };
    let room = i64::try_from(orders).expect("a few");
    let commands = commands(room);
    let mut search = Search {
        known: BTreeSet::new(),
        visited: vec![Visited { from: 0, command: usize::MAX, depth: 0, keys: [None; 2] }],
        orders,
        steps: Vec::new(),
        commands,
        world,
        injected,
        checked: 0,
    };
    let mut next = 0;
    while next < search.visited.len() {
        if let Err(failed) = search.expand(next) {
            return search.exploration(Some(*failed));
        }
        next += 1;
    }
    search.exploration(None)
}

struct Search {
    /// Maximum number of orders.
    orders: usize,
    known: BTreeSet<Behavior>,
    visited: Vec<Visited>,
    /// The steps that lead to the current state.
    steps: Vec<Step>,
    commands: Vec<Command>,
    world: World,
    injected: InjectedFaults,
    checked: u64,
}

impl Search {
    fn exploration(self, failed: Option<(Plan, Box<Failure>)>) -> Exploration {
        Exploration {
            states: self.known.len(),
            commands: self.checked,
            depth: self.visited.last().map_or(0, |visited| visited.depth),
            failed,
        }
    }

    /// Tries every command in a state.
    fn expand(&mut self, state: usize) -> Result<(), Box<(Plan, Box<Failure>)>> {
        let keys = self.retrace(state);
        let depth = self.visited[state].depth;
        let here = self.replay();
        let mut checker = here.clone();
        for command in 0..self.commands.len() {
            let orders = checker.orders();
            let (gap, op, _) = self.commands[command];
            if matches!(op, Op::Create { .. }) && orders >= self.orders {
                continue;
            }
            self.steps.push(self.step(command));
            let before = checker.subject.state.transitions();
            self.checked += 1;
            let verdict = checker.step(self.steps.last().expect("it was just pushed"));
            verdict.map_err(|failure| Box::new((self.plan(), failure)))?;
            let now = self.steps.last().map_or(0, |step| step.at);
            let keys = keys_after(keys, op, orders, &checker, now);
            let changed = checker.subject.state.transitions() != before || gap > 0;
            if changed && self.known.insert(behavior(&checker, keys, now)) {
                checker.audit().map_err(|failure| Box::new((self.plan(), failure)))?;
                self.visited.push(Visited { from: state, command, depth: depth + 1, keys });
            }
            self.steps.pop();
            if changed {
                checker.clone_from(&here);
            }
        }
        Ok(())
    }

    /// Finds the steps that lead to a state.
    fn retrace(&mut self, state: usize) -> Keys {
        let mut path = Vec::new();
        let mut at = state;
        while self.visited[at].command != usize::MAX {
            path.push(self.visited[at].command);
            at = self.visited[at].from;
        }
        self.steps.clear();
        for &command in path.iter().rev() {
            let step = self.step(command);
            self.steps.push(step);
        }
        self.visited[state].keys
    }

    fn step(&self, command: usize) -> Step {
        let (gap, op, items) = &self.commands[command];
        let at = self.steps.last().map_or(0, |step| step.at) + gap;
        let number = u32::try_from(self.steps.len() + 1).expect("paths are short");
        Step { number, at, client: 0, op: *op, items: items.clone() }
    }

    fn replay(&self) -> Checker {
        let mut checker = Checker::open(&self.world, 0, self.injected);
        for step in &self.steps {
            checker.step(step).expect("it was checked before");
        }
        checker
    }

    fn plan(&self) -> Plan {
        Plan { world: self.world.clone(), start: 0, steps: self.steps.clone() }
    }
}

/// The keys of the users after a command.
fn keys_after(mut keys: Keys, op: Op, orders: usize, checker: &Checker, now: u64) -> Keys {
    // A key at the end of its window is kept for one more nanosecond: bugs hide at the boundary.
    keys = keys.map(|key| key.filter(|&(_, since)| now <= since + WINDOW));
    if let Op::Create { user, key } = op
        && key.name > 0
        && checker.orders() > orders
    {
        let place = usize::from(user == 2);
        keys[place] = Some((u8::try_from(orders + 1).expect("there are a few orders"), now));
    }
    keys
}

fn behavior(checker: &Checker, keys: Keys, now: u64) -> Behavior {
    let state = &checker.subject.state;
    let small = |figure: u64| u8::try_from(figure).expect("a tiny world has tiny figures");
    let orders = state.orders().map(|order| match (order.status(), order.cause()) {
        (OrderStatus::New | OrderStatus::AwaitingPayment, _) => OrderBehavior::Awaiting {
            left: small(order.created().as_nanos() + TIMEOUT - now),
            lines: order.lines().map(|line| (line.sku.get(), line.count.get())).collect(),
        },
        (OrderStatus::Failed, _) => OrderBehavior::Failed,
        (OrderStatus::Paid, _) => OrderBehavior::Paid,
        (OrderStatus::Cancelled, Cause::PaymentTimeout) => OrderBehavior::Expired,
        (OrderStatus::Cancelled, _) => OrderBehavior::Cancelled,
    });
    let key = |(order, since): (u8, u64)| {
        let info = checker.subject.order(i64::from(order)).expect("a key stands for an order");
        (order, info.items, small(since + WINDOW - now))
    };
    Behavior {
        orders: orders.collect(),
        stock: state.stock().map(|record| (record.total, record.reserved)).collect(),
        keys: keys.map(|given| given.map(key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutation::planted_bugs::Bug;

    #[test]
    fn a_tiny_world_is_explored_completely() {
        let exploration = explore(2, InjectedFaults::default());
        assert!(exploration.failed.is_none());
        assert_eq!((exploration.states, exploration.depth), (1_155, 7));
    }

    #[test]
    fn a_counterexample_has_the_fewest_commands() {
        let exploration = explore(2, InjectedFaults::with_bug(Bug::PayAfterCancel));
        let (plan, failure) = exploration.failed.unwrap();
        let calls: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
        assert_eq!(
            calls,
            ["1 @0s c0 create user=1 1x1", "2 @0s c0 cancel id=1", "3 @0s c0 pay id=1"]
        );
        assert_eq!(failure.number, 3);
    }
}
