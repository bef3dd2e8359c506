//! What goes wrong on the way, as data: each fault belongs to one attempt of one step of a plan.
//!
//! ```text
//! net deadline=10ns attempts=3 expiry_step=2
//! fault 3.0 drop                the request of step 3's first attempt never arrives
//! fault 3.1 lose                … of its second the reply is lost, after the server acted
//! fault 4.0 twice 7ns           it arrives again 7 ns later
//! fault 5.0 late 10ns           it arrives late; likewise `slow`: its body trickles in,
//!                               and `back`: the reply is late
//! fault 6.0 gone 3ns            the caller is gone in mid-call, 3 ns after it arrived
//! fault 7.0 restart             the server forgets everything, just before
//! fault 8.0 behind 600s         the server's clock jumps back, just before; likewise `ahead`
//! ```

use std::fmt::{self, Display};
use std::num::NonZeroUsize;

use super::server::SHIPPED_EXPIRY_STEP;
use crate::plan::Plan;
use crate::plan::rng::{Domain, Draws, Purpose};
use crate::plan::text::Nanos;

/// What may go wrong with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NetworkFault {
    /// The request never arrives.
    Drop,
    /// The reply is lost, after the server acted.
    Lose,
    /// The request arrives a second time, so much later.
    Twice(u64),
    /// The request arrives so much later.
    Late(u64),
    /// The request's body trickles in for so long.
    Slow(u64),
    /// The reply arrives so much later.
    Back(u64),
    /// The caller is gone so long after the request arrived, with its body still to come.
    Gone(u64),
    /// The server is started anew just before.
    Restart,
    /// The server's clock jumps ahead just before.
    Ahead(u64),
    /// The server's clock jumps back just before.
    Behind(u64),
}

impl NetworkFault {
    /// How many kinds there are.
    pub(crate) const KINDS: usize = 10;
    /// The kinds, as pages spell them.
    pub(crate) const NAMES: [&'static str; Self::KINDS] =
        ["drop", "lose", "twice", "late", "slow", "back", "gone", "restart", "ahead", "behind"];

    /// Its kind: a place in [`NetworkFault::NAMES`].
    #[must_use]
    pub(crate) const fn kind(self) -> usize {
        match self {
            Self::Drop => 0,
            Self::Lose => 1,
            Self::Twice(_) => 2,
            Self::Late(_) => 3,
            Self::Slow(_) => 4,
            Self::Back(_) => 5,
            Self::Gone(_) => 6,
            Self::Restart => 7,
            Self::Ahead(_) => 8,
            Self::Behind(_) => 9,
        }
    }

    const fn of(kind: usize, span: u64) -> Self {
        match kind {
            0 => Self::Drop,
            1 => Self::Lose,
            2 => Self::Twice(span),
            3 => Self::Late(span),
            4 => Self::Slow(span),
            5 => Self::Back(span),
            6 => Self::Gone(span),
            7 => Self::Restart,
            8 => Self::Ahead(span),
            _ => Self::Behind(span),
        }
    }

    const fn span(self) -> Option<u64> {
        match self {
            Self::Drop | Self::Lose | Self::Restart => None,
            Self::Twice(span)
            | Self::Late(span)
            | Self::Slow(span)
            | Self::Back(span)
            | Self::Gone(span)
            | Self::Ahead(span)
            | Self::Behind(span) => Some(span),
        }
    }
}

/// One fault: what goes wrong with which attempt (from 0) of which step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ScheduledFault {
    /// The step's number.
    pub(crate) step: u32,
    /// The attempt.
    pub(crate) attempt: u8,
    /// What happens.
    pub(crate) fault: NetworkFault,
}

/// The network of a run, and its clients' patience.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FaultSchedule {
    /// Nanoseconds until a client gives an attempt up.
    pub(crate) deadline: u64,
    /// Attempts that a client makes.
    pub(crate) attempts: u8,
    /// How many orders the server expires at once. If more are due, it has a backlog.
    pub(crate) expiry_step: NonZeroUsize,
    /// What goes wrong.
    pub(crate) faults: Vec<ScheduledFault>,
}

impl FaultSchedule {
    /// The schedule of a seed over a plan: some kinds of trouble often, some never.
    #[must_use]
    pub(crate) fn of(seed: u64, plan: &Plan) -> Self {
        let mut draws = Draws::new(seed, Domain::Network);
        let mut draw = |place| draws.draw(Purpose::of_world(place));
        let deadline = draw(0).pick(&[1, 10, 100, 10_000, 5_000_000_000]);
        let attempts = draw(1).pick(&[1, 2, 3, 5]);
        let mut often = draw(2);
        let expiry_step = draw(3).pick(&[1, 1, 2, 3, 8, 4_096]);
        let expiry_step = NonZeroUsize::new(expiry_step).expect("above 0");
        let mut odds = [0; NetworkFault::KINDS].map(|_: u64| often.pick(&[0, 0, 2, 8]));
        // A server that is always starting anew never gets anywhere.
        odds[NetworkFault::Restart.kind()] = odds[NetworkFault::Restart.kind()].min(1);
        let spans = [0, 1, 3, deadline / 2, deadline - 1, deadline, deadline + 1, 600_000_000_000];
        let mut faults = Vec::new();
        for step in &plan.steps {
            draws.turn_to(u64::from(step.number));
            for attempt in 0..attempts {
                // Ten kinds would be too much for one die.
                let mut draw = |half| draws.draw(Purpose::of_world(2 * u16::from(attempt) + half));
                let mut dice = [draw(0), draw(1)];
                for (kind, &odds) in odds.iter().enumerate() {
                    let draw = &mut dice[kind % 2];
                    // A restart or a jump belongs to the step and not to each attempt.
                    if draw.chance(odds, 32)
                        && (attempt == 0 || kind < NetworkFault::Restart.kind())
                    {
                        let fault = NetworkFault::of(kind, draw.pick(&spans));
                        faults.push(ScheduledFault { step: step.number, attempt, fault });
                    }
                }
            }
        }
        Self { deadline, attempts, expiry_step, faults }
    }

    /// What goes wrong with an attempt. The faults stand in order of step and attempt.
    pub(crate) fn over(&self, step: u32, attempt: u8) -> impl Iterator<Item = NetworkFault> {
        let from =
            self.faults.partition_point(|fault| (fault.step, fault.attempt) < (step, attempt));
        self.faults[from..]
            .iter()
            .take_while(move |fault| (fault.step, fault.attempt) == (step, attempt))
            .map(|fault| fault.fault)
    }

    /// Reads the lines that [`Display`] writes, and gives what lines are left to be a plan.
    ///
    /// # Errors
    /// The line that is none of these.
    pub(crate) fn parse(text: &str) -> Result<(Self, String), String> {
        let mut schedule = Self {
            deadline: 5_000_000_000,
            attempts: 1,
            expiry_step: SHIPPED_EXPIRY_STEP,
            faults: Vec::new(),
        };
        let mut rest = String::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let unreadable = || format!("not to be read: {line}");
            match words.as_slice() {
                ["net", deadline, attempts, expiry_step] => {
                    let deadline = deadline.strip_prefix("deadline=").and_then(span);
                    let attempts = attempts.strip_prefix("attempts=");
                    schedule.deadline = deadline.ok_or_else(unreadable)?;
                    schedule.attempts =
                        attempts.and_then(|count| count.parse().ok()).ok_or_else(unreadable)?;
                    let expiry_step = expiry_step.strip_prefix("expiry_step=");
                    schedule.expiry_step =
                        expiry_step.and_then(|step| step.parse().ok()).ok_or_else(unreadable)?;
                }
                ["fault", place, name, ..] => {
                    let (step, attempt) = place.split_once('.').ok_or_else(unreadable)?;
                    let kind = NetworkFault::NAMES.iter().position(|known| known == name);
                    let kind = kind.ok_or_else(unreadable)?;
                    let long = words.get(3).map_or(Some(0), |&long| span(long));
                    schedule.faults.push(ScheduledFault {
                        step: step.parse().map_err(|_| unreadable())?,
                        attempt: attempt.parse().map_err(|_| unreadable())?,
                        fault: NetworkFault::of(kind, long.ok_or_else(unreadable)?),
                    });
                }
                _ => {
                    rest.push_str(line);
                    rest.push('\n');
                }
            }
        }
        schedule.faults.sort_unstable();
        Ok((schedule, rest))
    }
}

fn span(text: &str) -> Option<u64> {
    match text.strip_suffix("ns") {
        Some(nanos) => nanos.parse().ok(),
        None => text.strip_suffix('s')?.parse::<u64>().ok()?.checked_mul(1_000_000_000),
    }
}

impl Display for FaultSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deadline, attempts, expiry_step, faults } = self;
        let deadline = Nanos(*deadline);
        writeln!(f, "net deadline={deadline} attempts={attempts} expiry_step={expiry_step}")?;
        for ScheduledFault { step, attempt, fault } in faults {
            write!(f, "fault {step}.{attempt} {}", NetworkFault::NAMES[fault.kind()])?;
            match fault.span() {
                Some(span) => writeln!(f, " {}", Nanos(span))?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}
