//! The settings of the service and the requests at its limits, by the seed. A changed plan is a
//! plan like any other: its text holds everything.

use std::fmt::{self, Display};

use loms::grpc::service::{FailedCreate, ServiceOptions};

use crate::model::World;
use crate::model::contract::Limits;
use crate::plan::generator::plan_of;
use crate::plan::rng::{Domain, Draws, Purpose, Weights};
use crate::plan::workload::{Units, Workload};
use crate::plan::{Fill, Key, Kind, Op, Plan, Step, Target};

const SECOND: u64 = 1_000_000_000;
/// Settings of an operator that the workloads of the swarm do not have. 0 means never, or not at
/// all; the longest is 584 years.
const TIMEOUTS: [u64; 4] = [0, SECOND, 30 * 86_400 * SECOND, u64::MAX];
const WINDOWS: [u64; 4] = [0, 1, SECOND, u64::MAX];
const MAX_LINES: [u32; 5] = [1, 2, 3, 5, 1_000];

const USERS: [i64; 6] = [1, i64::MAX, i64::MAX - 1, 0, -1, i64::MIN];
const ORDERS: [i64; 7] = [1, i64::MAX, 1 << 32, (1 << 32) - 1, 0, -1, i64::MIN];
const SKUS: [u32; 4] = [0, 1, u32::MAX, 1 << 16];
const KEY_LENGTHS: [u16; 7] = [0, 40, 64, 254, 255, 255, 256];

/// One seed in this many also has a plan of creates with hundreds of lines.
const WIDE_SAMPLE: u64 = 16;
/// The place of these seeds among as many.
const WIDE_FIRST: u64 = 3;
/// Maximum number of steps of a plan with hundreds of lines.
const WIDE_LENGTH: u32 = 16;
/// More lines than the details of a refusal hold, on either side of that limit, and as many as the
/// shipped server accepts.
const WIDE_LINES: [u16; 6] = [150, 151, 300, 999, 1_000, 1_000];

/// The setting of the service that is not part of a plan's world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edge {
    /// How a failed create is answered.
    pub(crate) failed_create: FailedCreate,
}

impl Edge {
    /// The settings of a seed.
    #[must_use]
    pub(super) fn of(seed: u64) -> Self {
        Self::refusing(Draws::new(seed, Domain::Edge).draw(Purpose::STYLE).chance(1, 2))
    }

    const fn refusing(refuses: bool) -> Self {
        let failed_create =
            if refuses { FailedCreate::FailedPrecondition } else { FailedCreate::Ok };
        Self { failed_create }
    }

    /// The options of a service in this world.
    #[must_use]
    pub(super) fn options(self, world: &World) -> ServiceOptions {
        let max_lines = u16::try_from(world.max_lines).unwrap_or(u16::MAX);
        ServiceOptions { max_lines, failed_create: self.failed_create }
    }

    /// Reads the line that [`Display`] writes. Also returns the other lines of the text.
    ///
    /// # Errors
    /// The line is invalid.
    pub(super) fn parse(text: &str) -> Result<(Self, String), String> {
        let (mut edge, mut rest) = (Self::default(), String::new());
        for line in text.lines() {
            match line.strip_prefix("edge failed_create=").map(str::trim_end) {
                Some("ok") => edge = Self::refusing(false),
                Some("failed_precondition") => edge = Self::refusing(true),
                Some(_) => return Err(format!("unreadable: {line}")),
                None => rest.extend([line, "\n"]),
            }
        }
        Ok((edge, rest))
    }
}

impl Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.failed_create {
            FailedCreate::Ok => "ok",
            FailedCreate::FailedPrecondition => "failed_precondition",
        };
        write!(f, "edge failed_create={name}")
    }
}

/// The plan of a seed: the swarm's, in half of the seeds with other settings, and with some values
/// at the limits of a request.
#[must_use]
pub(super) fn plan(seed: u64, workload: &Workload, length: u32) -> Plan {
    let mut draws = Draws::new(seed, Domain::Edge);
    let mut workload = workload.clone();
    let mut draw = draws.draw(Purpose::RULES);
    let World { payment_timeout, idempotency_window, max_lines, .. } = &mut workload.world;
    if draw.chance(1, 4) {
        *payment_timeout = draw.pick(&TIMEOUTS);
    }
    if draw.chance(1, 4) {
        *idempotency_window = draw.pick(&WINDOWS);
    }
    if draw.chance(1, 4) {
        *max_lines = draw.pick(&MAX_LINES);
        // Most creates must be valid.
        workload.lines = workload.lines.min(u64::from(*max_lines));
    }
    sharpened(plan_of(seed, &workload, false, length), draws)
}

/// A plan of creates with hundreds of lines, if this seed has one. Both settings and both kinds of
/// stock take turns, so that few seeds reach everything.
#[must_use]
pub(super) fn wide(seed: u64, workload: &Workload, length: u32) -> Option<(Plan, Edge)> {
    if seed % WIDE_SAMPLE != WIDE_FIRST {
        return None;
    }
    let turn = seed / WIDE_SAMPLE;
    let mut draws = Draws::new(seed, Domain::Edge);
    let mut draw = draws.draw(Purpose::LINES);
    let max_lines = draw.pick(&WIDE_LINES);
    // A few SKUs more than lines, and some lines of one SKU.
    let skus = u32::from(max_lines) + 40;
    let scarce = turn % 4 < 2;
    let record = |place: u32| {
        let few = u64::from(place % 3);
        (1 + 7 * place, if scarce { few } else { 1_000 + few }, 0)
    };
    let mut units = [0; Units::ALL.len()];
    units[Units::One as usize] = 3;
    units[Units::Few as usize] = 1;
    let kinds = Kind::ALL.map(|kind| match kind {
        Kind::Create => 6,
        Kind::Info => 4,
        Kind::Pay | Kind::Cancel | Kind::Stock => 1,
        Kind::Tick | Kind::Rules => 0,
    });
    let mut workload = workload.clone();
    workload.world.stock = (0..skus).map(record).collect();
    workload.world.max_lines = u32::from(max_lines);
    // Room for such orders.
    workload.world.limits = Limits::default();
    workload.lines = u64::from(max_lines);
    workload.units = Weights::new(units);
    workload.kinds = Weights::new(kinds);
    (workload.duplicates, workload.unknown, workload.hostile) = (draw.below(2), draw.below(2), 0);
    let plan = plan_of(seed, &workload, false, length.min(WIDE_LENGTH));
    Some((sharpened(plan, draws), Edge::refusing(turn.is_multiple_of(2))))
}

/// The plan with values at the limits of a request.
fn sharpened(mut plan: Plan, mut draws: Draws) -> Plan {
    let Plan { world, steps, .. } = &mut plan;
    for step in steps {
        draws.turn_to(u64::from(step.number));
        let mut draw = draws.draw(Purpose::TARGET);
        if let Op::Create { user, key } = &mut step.op {
            let mut draw = draws.draw(Purpose::USER);
            if draw.chance(1, 24) {
                *user = draw.pick(&USERS);
            }
            *key = other_key(*key, &mut draws, step.number);
            draws.turn_to(u64::from(step.number));
            other_lines(step, world, &mut draws);
        } else if draw.chance(1, 24) {
            step.op = if let Op::Stock(_) = step.op {
                Op::Stock(draw.pick(&SKUS))
            } else {
                step.op.about(Target::Id(draw.pick(&ORDERS)))
            };
        }
    }
    plan
}

/// The key with another length and other characters. Usually they depend on its name, so that a
/// repeated create has the same key.
fn other_key(key: Key, draws: &mut Draws, step: u32) -> Key {
    let mut draw = draws.draw(Purpose::KEY);
    let name = if key.name == 0 && draw.chance(1, 16) { 1 + step % 3 } else { key.name };
    let choice = draw.below(8);
    if choice > 0 {
        draws.turn_to(1 << 32 | u64::from(name));
    }
    let mut draw = draws.draw(Purpose::KEY);
    if name == 0 || draw.chance(1, 3) {
        return Key { name, ..key };
    }
    let fill = u8::try_from(draw.below(u64::from(Fill::COUNT))).expect("there are few fills");
    let fill = Fill::at(fill);
    let fill = if choice == 1 { fill.twin() } else { fill };
    Key { name, length: draw.pick(&KEY_LENGTHS), fill }
}

/// In some creates: as many lines as the service accepts, one more or one less; or one invalid
/// line.
fn other_lines(step: &mut Step, world: &World, draws: &mut Draws) {
    let mut draw = draws.draw(Purpose::LINES);
    let most = usize::try_from(world.max_lines).expect("a few lines");
    let usual = step.items.len().max(1) * 8;
    if draw.chance(1, 12) && (most <= usual || most < 16) {
        let lines = draw.pick(&[most, most, most + 1, most - 1]);
        let first = draw.place(world.stock.len().max(1));
        let sku = |line: usize| match world.stock.len() {
            0 => 1,
            skus => world.stock[(first + line) % skus].0,
        };
        step.items.extend((step.items.len()..lines).map(|line| (sku(line), 1)));
        step.items.truncate(lines);
    }
    let often = if step.items.len() > 100 { 6 } else { 24 };
    if !step.items.is_empty() && draw.chance(1, often) {
        let place = draw.place(step.items.len());
        let item = &mut step.items[place];
        match draw.below(4) {
            0 => item.0 = 0,
            1 => item.1 = 0,
            2 => *item = (0, 0),
            // Together with another line of this SKU it is more than a count can be.
            _ => item.1 = u32::MAX,
        }
    }
}
