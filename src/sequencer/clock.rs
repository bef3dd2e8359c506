//! Clocks: where the machine's time comes from.

use std::time::SystemTime;

use tokio::time::Instant;

use crate::state_machine::Timestamp;

/// A source of timestamps. If it goes backwards, the machine's time does not: it moves on by a
/// nanosecond for each command.
pub type Clock = Box<dyn Fn() -> Timestamp + Send + Sync>;

/// The clock of the real world: the time of day at this call, plus the monotonic time since then,
/// so that setting the machine's clock moves no deadline. Under tokio's paused clock it stands
/// still and advances with that clock.
#[must_use]
pub fn wall_clock() -> Clock {
    #[expect(clippy::disallowed_methods, reason = "the only clock of the service")]
    let (day, start) = (SystemTime::now(), Instant::now());
    let since_1970 = day.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Box::new(move || {
        let nanos = since_1970.saturating_add(start.elapsed()).as_nanos();
        Timestamp::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    })
}
