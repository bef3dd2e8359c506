//! The fault schedule: network and server faults as data. Each fault belongs to one attempt of one
//! step of a plan.
//!
//! ```text
//! net deadline=10ns attempts=3 expiry_step=2
//! fault 3.0 request-lost            step 3, first attempt: the request never arrives
//! fault 3.1 reply-lost              step 3, second attempt: the server acts, the reply is lost
//! fault 4.0 duplicate 7ns           the request arrives again 7 ns later
//! fault 5.0 request-delayed 10ns    likewise `body-delayed` and `reply-delayed`
//! fault 6.0 disconnect 3ns          the client disconnects 3 ns after the request arrived
//! fault 7.0 restart                 before the step the server restarts and loses its state
//! fault 8.0 clock-back 600s         before the step the clock jumps; likewise `clock-forward`
//! ```

use std::fmt::{self, Display};
use std::num::NonZeroUsize;

use super::server::SHIPPED_EXPIRY_STEP;
use crate::plan::Plan;
use crate::plan::rng::{Domain, Draws, Purpose};
use crate::plan::text::Nanos;

/// A fault of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NetworkFault {
    /// The request is lost.
    RequestLost,
    /// The reply is lost, after the server has executed the command.
    ReplyLost,
    /// The request arrives a second time, after this delay.
    Duplicate(u64),
    /// The request is delayed.
    RequestDelayed(u64),
    /// The body of the request is delayed.
    BodyDelayed(u64),
    /// The reply is delayed.
    ReplyDelayed(u64),
    /// The client disconnects this long after the request arrived, before its body has arrived.
    Disconnect(u64),
    /// The server restarts before the step.
    Restart,
    /// The server's clock jumps forward before the step.
    ClockForward(u64),
    /// The server's clock jumps back before the step.
    ClockBack(u64),
}

impl NetworkFault {
    /// Number of kinds.
    pub(crate) const KINDS: usize = 10;
    /// The names in plans and on pages.
    pub(crate) const NAMES: [&'static str; Self::KINDS] = [
        "request-lost",
        "reply-lost",
        "duplicate",
        "request-delayed",
        "body-delayed",
        "reply-delayed",
        "disconnect",
        "restart",
        "clock-forward",
        "clock-back",
    ];

    /// Its kind: an index into [`NetworkFault::NAMES`].
    #[must_use]
    pub(crate) const fn kind(self) -> usize {
        match self {
            Self::RequestLost => 0,
            Self::ReplyLost => 1,
            Self::Duplicate(_) => 2,
            Self::RequestDelayed(_) => 3,
            Self::BodyDelayed(_) => 4,
            Self::ReplyDelayed(_) => 5,
            Self::Disconnect(_) => 6,
            Self::Restart => 7,
            Self::ClockForward(_) => 8,
            Self::ClockBack(_) => 9,
        }
    }

    const fn of(kind: usize, span: u64) -> Self {
        match kind {
            0 => Self::RequestLost,
            1 => Self::ReplyLost,
            2 => Self::Duplicate(span),
            3 => Self::RequestDelayed(span),
            4 => Self::BodyDelayed(span),
            5 => Self::ReplyDelayed(span),
            6 => Self::Disconnect(span),
            7 => Self::Restart,
            8 => Self::ClockForward(span),
            _ => Self::ClockBack(span),
        }
    }

    /// Its time, if it has one, in nanoseconds.
    pub(super) const fn span(self) -> Option<u64> {
        match self {
            Self::RequestLost | Self::ReplyLost | Self::Restart => None,
            Self::Duplicate(span)
            | Self::RequestDelayed(span)
            | Self::BodyDelayed(span)
            | Self::ReplyDelayed(span)
            | Self::Disconnect(span)
            | Self::ClockForward(span)
            | Self::ClockBack(span) => Some(span),
        }
    }
}

/// A fault and where it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ScheduledFault {
    /// The step's number.
    pub(crate) step: u32,
    /// The attempt, from 0.
    pub(crate) attempt: u8,
    /// The fault.
    pub(crate) fault: NetworkFault,
}

/// The fault schedule of a run, and the retry settings of its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FaultSchedule {
    /// Timeout of an attempt, in nanoseconds.
    pub(crate) deadline: u64,
    /// Maximum number of attempts.
    pub(crate) attempts: u8,
    /// How many orders the server expires at once. If more are due, it has a backlog.
    pub(crate) expiry_step: NonZeroUsize,
    /// The faults, by step and attempt.
    pub(crate) faults: Vec<ScheduledFault>,
}

impl FaultSchedule {
    /// The schedule of a seed for a plan: some kinds are frequent, some never happen.
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
        // Frequent restarts would leave no time for anything else.
        odds[NetworkFault::Restart.kind()] = odds[NetworkFault::Restart.kind()].min(1);
        let spans = [0, 1, 3, deadline / 2, deadline - 1, deadline, deadline + 1, 600_000_000_000];
        let mut faults = Vec::new();
        for step in &plan.steps {
            draws.turn_to(u64::from(step.number));
            for attempt in 0..attempts {
                // One draw has too few bits for ten kinds.
                let mut draw = |half| draws.draw(Purpose::of_world(2 * u16::from(attempt) + half));
                let mut choices = [draw(0), draw(1)];
                for (kind, &odds) in odds.iter().enumerate() {
                    let draw = &mut choices[kind % 2];
                    // A restart or a clock jump belongs to the step, not to each attempt.
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

    /// The faults of an attempt.
    pub(crate) fn faults_of(&self, step: u32, attempt: u8) -> impl Iterator<Item = NetworkFault> {
        let from =
            self.faults.partition_point(|fault| (fault.step, fault.attempt) < (step, attempt));
        self.faults[from..]
            .iter()
            .take_while(move |fault| (fault.step, fault.attempt) == (step, attempt))
            .map(|fault| fault.fault)
    }

    /// Parses the lines that [`Display`] writes. Also returns the other lines, which are the plan.
    ///
    /// # Errors
    /// The first invalid line.
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
            let unreadable = || format!("unreadable: {line}");
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
