//! Clocks: the source of the time of each command.

use std::time::SystemTime;

use tokio::time::Instant;

use crate::state_machine::Timestamp;

/// A source of timestamps. If it goes backwards, the time of the state does not: it advances by one
/// nanosecond per command.
pub type Clock = Box<dyn Fn() -> Timestamp + Send + Sync>;

/// The wall clock at this call, plus the monotonic time since then. So a change of the system clock
/// does not move deadlines. In tests it follows tokio's paused clock.
#[must_use]
pub fn wall_clock() -> Clock {
    #[expect(clippy::disallowed_methods, reason = "the only clock of the service")]
    let (wall, start) = (SystemTime::now(), Instant::now());
    let since_1970 = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Box::new(move || {
        let nanos = since_1970.saturating_add(start.elapsed()).as_nanos();
        Timestamp::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    })
}
