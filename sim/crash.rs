//! What is said when the machine stops the process: which seed was being played. A build that
//! unwinds reports it as a failure, shrunk and all; one that aborts still says how to get there.

use std::any::Any;
use std::cell::Cell;
use std::panic;

thread_local! {
    static SEED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// This thread is playing this seed now.
pub(crate) fn playing(seed: u64) {
    SEED.set(Some(seed));
}

/// From now on a panic says the seed, in one line on stderr.
pub(crate) fn announce() {
    panic::set_hook(Box::new(|info| {
        let unwinds = cfg!(panic = "unwind");
        match SEED.get() {
            // It is caught, and told with all the rest.
            Some(_) if unwinds => {}
            Some(seed) => eprintln!("sim: {info}\nsim: it was seed {seed}: sim --seed {seed}"),
            None => eprintln!("sim: {info}"),
        }
    }));
}

/// What a panic said.
pub(crate) fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it stopped without a word").to_owned()
}
