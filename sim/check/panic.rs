//! Panics of the subject: they are caught and reported as failures.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};

thread_local! {
    /// Whether this thread is in a run, where panics are caught.
    static RUNNING: Cell<bool> = const { Cell::new(false) };
    /// The source line of the last panic of this thread.
    static LINE: Cell<u32> = const { Cell::new(0) };
}

/// A caught panic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CaughtPanic {
    /// The panic message.
    pub(crate) message: String,
    /// The source line. It identifies the panic; the message may contain numbers that change while
    /// a plan shrinks.
    pub(crate) line: u32,
}

/// Installs a panic hook that prints nothing for panics in a run: they are reported as failures.
pub(crate) fn install_hook() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        LINE.set(info.location().map_or(0, |place| place.line()));
        if !RUNNING.get() {
            print(info);
        }
    }));
}

/// Runs and catches a panic.
///
/// # Errors
/// The panic.
pub(crate) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, CaughtPanic> {
    RUNNING.set(true);
    LINE.set(0);
    // After a panic the state is used only to report the failure.
    let result = panic::catch_unwind(AssertUnwindSafe(run));
    RUNNING.set(false);
    result.map_err(|panic| CaughtPanic { message: message_of(&*panic), line: LINE.get() })
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("panic without a message").to_owned()
}
