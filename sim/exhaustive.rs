//! The exhaustive layer: in a tiny world, everything that can be done, in every order, until
//! nothing new comes of it.
//!
//! The world has two SKUs and room for [`ORDERS`] orders, a payment timeout of two moments and a
//! key window of three. From each state every command is tried: creates that fit, that fail and
//! that never can, with and without a key; payment and cancellation of every order and of one that
//! is not there; and one moment passing. The judge compares after each, and once more looks at
//! every order and shelf.
//!
//! States that behave alike count as one ([`Essence`]): what is told of an order that has ended
//! does not matter any more, nor does the time on the clock, only what is left of it. Breadth
//! first, so that what is found takes the fewest commands.

use std::collections::BTreeSet;

use loms::state_machine::{Cause, OrderStatus};

use crate::failure::Failure;
use crate::judge::{Judge, Verdict};
use crate::model::World;
use crate::plan::{Key, Op, Plan, Step, Target};
use crate::rig::Rig;

/// Orders that there is room for.
const ORDERS: usize = 4;
/// Moments, in nanoseconds, that an order may await payment.
const TIMEOUT: u64 = 2;
/// Moments that a key is remembered.
const WINDOW: u64 = 3;

/// What came of it.
#[derive(Debug)]
pub(crate) struct Closure {
    /// States that behave differently.
    pub(crate) states: usize,
    /// Commands that were judged on the way.
    pub(crate) commands: u64,
    /// The most commands that it takes to reach a state.
    pub(crate) depth: usize,
    /// The first failure, with the plan that leads to it.
    pub(crate) failed: Option<(Plan, Box<Failure>)>,
}

/// All that decides what a state will answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Essence {
    orders: Vec<Fate>,
    shelves: Vec<(u64, u64)>,
    /// What the key stands for: the order, and the moments for which it still does.
    key: Option<(u8, u8)>,
    /// The lines of the order that the key stands for, if it does.
    keyed: Vec<(u32, u32)>,
}

/// What decides how an order will answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Awaiting { left: u8, lines: Vec<(u32, u32)> },
    Failed,
    Paid,
    Cancelled,
    Expired,
}

/// A state that was reached: by which command from which state.
#[derive(Clone, Copy, Debug)]
struct Reached {
    from: usize,
    command: usize,
    depth: usize,
    /// The step and the moment at which the key was last given a meaning.
    key: Option<(u8, u64)>,
}

/// What may be done in any state: creates first, then what is about an order, then time.
fn commands() -> Vec<(Op, Vec<(u32, u32)>)> {
    let none = Key::NONE;
    let key = Key { name: 1, length: 0 };
    let mut commands = Vec::new();
    for (items, keys) in [
        (vec![(1, 1)], &[none, key][..]),
        (vec![(2, 1), (1, 1)], &[none, key]),
        (vec![(1, 1), (1, 1), (2, 1)], &[none]),
        (vec![(2, 2)], &[none, key]),
        (vec![(1, 1), (3, 1)], &[none]),
    ] {
        for &key in keys {
            commands.push((Op::Create { user: 1, key }, items.clone()));
        }
    }
    for order in 1..=5 {
        commands.push((Op::Pay(Target::Id(order)), Vec::new()));
        commands.push((Op::Cancel(Target::Id(order)), Vec::new()));
        commands.push((Op::Info(Target::Id(order)), Vec::new()));
    }
    for sku in 1..=3 {
        commands.push((Op::Stock(sku), Vec::new()));
    }
    commands.push((Op::Tick, Vec::new()));
    commands
}

/// Tries everything.
#[must_use]
pub(crate) fn explore(rig: Rig) -> Closure {
    let world = World {
        stock: vec![(1, 3, 1), (2, 1, 0)],
        payment_timeout: TIMEOUT,
        idempotency_window: WINDOW,
        max_lines: 3,
    };
    let commands = commands();
    let mut search = Search {
        known: BTreeSet::new(),
        reached: vec![Reached { from: 0, command: usize::MAX, depth: 0, key: None }],
        steps: Vec::new(),
        commands,
        world,
        rig,
        judged: 0,
    };
    let mut next = 0;
    while next < search.reached.len() {
        if let Err(failed) = search.expand(next) {
            return search.closure(Some(*failed));
        }
        next += 1;
    }
    search.closure(None)
}

struct Search {
    known: BTreeSet<Essence>,
    reached: Vec<Reached>,
    /// The steps that lead to the state at hand.
    steps: Vec<Step>,
    commands: Vec<(Op, Vec<(u32, u32)>)>,
    world: World,
    rig: Rig,
    judged: u64,
}

impl Search {
    fn closure(self, failed: Option<(Plan, Box<Failure>)>) -> Closure {
        Closure {
            states: self.known.len(),
            commands: self.judged,
            depth: self.reached.last().map_or(0, |reached| reached.depth),
            failed,
        }
    }

    /// Tries every command in a state.
    fn expand(&mut self, state: usize) -> Result<(), Box<(Plan, Box<Failure>)>> {
        let key = self.retrace(state);
        let depth = self.reached[state].depth;
        let mut judge = self.replay();
        for command in 0..self.commands.len() {
            let orders = judge.machine.state.orders().count();
            let makes = matches!(self.commands[command].0, Op::Create { .. });
            if makes && orders >= ORDERS {
                continue;
            }
            self.steps.push(self.step(command));
            let before = judge.machine.state.transitions();
            let verdict = self.take(&mut judge);
            verdict.map_err(|failure| Box::new((self.plan(), failure)))?;
            let now = self.steps.last().map_or(0, |step| step.at);
            let key = self.key_after(key, command, orders, &judge, now);
            let passes = self.commands[command].0 == Op::Tick;
            let moved = judge.machine.state.transitions() != before;
            if (moved || passes) && self.known.insert(essence(&judge, key, now)) {
                self.reached.push(Reached { from: state, command, depth: depth + 1, key });
            }
            self.steps.pop();
            if moved || passes {
                judge = self.replay();
            }
        }
        Ok(())
    }

    /// What the key stands for after a command.
    fn key_after(
        &self,
        key: Option<(u8, u64)>,
        command: usize,
        orders: usize,
        judge: &Judge,
        now: u64,
    ) -> Option<(u8, u64)> {
        let with_key = matches!(self.commands[command].0, Op::Create { key, .. } if key.name > 0);
        let made = judge.machine.state.orders().count() > orders;
        if with_key && made {
            return Some((u8::try_from(orders + 1).expect("there are a few orders"), now));
        }
        key.filter(|&(_, since)| now < since + WINDOW)
    }

    /// Finds the steps that lead to a state.
    fn retrace(&mut self, state: usize) -> Option<(u8, u64)> {
        let mut path = Vec::new();
        let mut at = state;
        while self.reached[at].command != usize::MAX {
            path.push(self.reached[at].command);
            at = self.reached[at].from;
        }
        self.steps.clear();
        for &command in path.iter().rev() {
            let step = self.step(command);
            self.steps.push(step);
        }
        self.reached[state].key
    }

    fn step(&self, command: usize) -> Step {
        let (op, items) = &self.commands[command];
        let at = self.steps.last().map_or(0, |step| step.at) + u64::from(*op == Op::Tick);
        let number = u32::try_from(self.steps.len() + 1).expect("paths are short");
        Step { number, at, client: 0, op: *op, items: items.clone() }
    }

    fn replay(&self) -> Judge {
        let mut judge = Judge::open(&self.world, 0, self.rig);
        for step in &self.steps {
            judge.step(step).expect("it was judged before");
        }
        judge
    }

    fn take(&mut self, judge: &mut Judge) -> Verdict {
        self.judged += 1;
        judge.step(self.steps.last().expect("a step was just pushed"))?;
        judge.audit()
    }

    fn plan(&self) -> Plan {
        Plan { world: self.world.clone(), start: 0, steps: self.steps.clone() }
    }
}

fn essence(judge: &Judge, key: Option<(u8, u64)>, now: u64) -> Essence {
    let state = &judge.machine.state;
    let small = |figure: u64| u8::try_from(figure).expect("a tiny world has tiny figures");
    let orders = state.orders().map(|order| match (order.status(), order.cause()) {
        (OrderStatus::New | OrderStatus::AwaitingPayment, _) => Fate::Awaiting {
            left: small(order.created().as_nanos() + TIMEOUT - now),
            lines: order.lines().map(|line| (line.sku.get(), line.count.get())).collect(),
        },
        (OrderStatus::Failed, _) => Fate::Failed,
        (OrderStatus::Paid, _) => Fate::Paid,
        (OrderStatus::Cancelled, Cause::PaymentTimeout) => Fate::Expired,
        (OrderStatus::Cancelled, _) => Fate::Cancelled,
    });
    let keyed = key.and_then(|(order, _)| judge.machine.order(i64::from(order)));
    Essence {
        orders: orders.collect(),
        shelves: state.stock().map(|shelf| (shelf.total, shelf.reserved)).collect(),
        key: key.map(|(order, since)| (order, small(since + WINDOW - now))),
        keyed: keyed.map_or_else(Vec::new, |info| info.items),
    }
}
