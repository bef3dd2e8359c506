//! Plans with a backlog of the size that the shipped server cannot expire at once: 10,000 orders
//! and more, all due after a jump of the clock.

use super::fault_schedule::{FaultSchedule, NetworkFault, ScheduledFault};
use super::server::SHIPPED_EXPIRY_STEP;
use crate::model::contract::Limits;
use crate::model::{ContainerSizes, World};
use crate::plan::rng::{Domain, Draws, Purpose};
use crate::plan::{Key, Op, Plan, Step, Target};

/// The fewest orders of a backlog.
const ORDERS: u64 = 10_000;
/// Calls after the jump of the clock: during the backlog and after it.
const CALLS: u64 = 200;

const SECOND: u64 = 1_000_000_000;
const MILLISECOND: u64 = 1_000_000;

/// The plan of a seed: orders that are not paid before the clock jumps past all their deadlines,
/// and then calls of all kinds, at most 20 µs apart.
#[must_use]
pub(crate) fn of(seed: u64) -> (Plan, FaultSchedule) {
    let mut draws = Draws::new(seed, Domain::Network);
    let orders = ORDERS + draws.draw(Purpose::of_world(0)).below(3_000);
    let world = World {
        stock: vec![(1, 1 << 40, 0), (2, 20_000, 0)],
        payment_timeout: 600 * SECOND,
        idempotency_window: 86_400 * SECOND,
        limits: Limits::default(),
        max_lines: 10,
        sizes: ContainerSizes::Shipped,
    };
    let mut plan = Plan { world, start: 1_767_225_600 * SECOND, steps: Vec::new() };
    let mut faults = Vec::new();
    let mut at = 0;
    for number in 1..=orders + CALLS {
        draws.turn_to(number);
        let is_late = number > orders;
        at += if is_late { draws.draw(Purpose::GAP).below(20_000) } else { 1_000 };
        let newest = i64::try_from(orders.min(number)).expect("a few thousand");
        let order =
            newest - i64::try_from(draws.draw(Purpose::TARGET).below(50)).expect("below 50");
        let kind = if is_late { draws.draw(Purpose::KIND).below(5) } else { 0 };
        let create = Op::Create { user: 1, key: Key::NONE };
        let target = Target::Id(order.max(1));
        let op = [create, Op::Info(target), Op::Pay(target), Op::Cancel(target), Op::Stock(2)]
            [usize::try_from(kind).expect("below 5")];
        let mut step = Step { op, at, ..Step::default() };
        step.number = u32::try_from(number).expect("a few thousand");
        step.client = u8::try_from(number % 8).expect("below 8");
        if kind == 0 {
            step.items = vec![(1, 1), (2, 1)];
        }
        if number == orders + 1 {
            let fault = NetworkFault::ClockForward(700 * SECOND);
            faults.push(ScheduledFault { step: step.number, attempt: 0, fault });
        }
        plan.steps.push(step);
    }
    let deadline = draws.draw(Purpose::of_world(1)).pick(&[MILLISECOND, 5 * SECOND]);
    (plan, FaultSchedule { deadline, attempts: 5, expiry_step: SHIPPED_EXPIRY_STEP, faults })
}
