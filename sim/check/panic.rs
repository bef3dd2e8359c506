//! When the machine stops the process: a panic is caught, and told as a failure like any other.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};

thread_local! {
    /// Whether this thread is in a run, and so in a place where panics are caught.
    static RUNNING: Cell<bool> = const { Cell::new(false) };
    /// The line of the source at which this thread panicked last.
    static LINE: Cell<u32> = const { Cell::new(0) };
}

/// A panic that was caught.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CaughtPanic {
    /// What it said.
    pub(crate) message: String,
    /// The line at which it was raised: what it said may hold figures, which shrink.
    pub(crate) line: u32,
}

/// From now on a panic within a run says nothing by itself: it is told with all the rest.
pub(crate) fn install_hook() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        LINE.set(info.location().map_or(0, |place| place.line()));
        if !RUNNING.get() {
            tell(info);
        }
    }));
}

/// Runs, and catches a panic.
///
/// # Errors
/// The panic.
pub(crate) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, CaughtPanic> {
    RUNNING.set(true);
    LINE.set(0);
    // Of what is left half done nothing is used but for what the failure tells.
    let result = panic::catch_unwind(AssertUnwindSafe(run));
    RUNNING.set(false);
    result.map_err(|panic| CaughtPanic { message: words(&*panic), line: LINE.get() })
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it stopped without a word").to_owned()
}
