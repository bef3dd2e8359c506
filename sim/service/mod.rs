//! The service layer: the shipped tonic service and the generated client in one process, without
//! sockets, on a clock of the simulator's own.
//!
//! | part | what it does |
//! |---|---|
//! | `server` | the service under test, with a clock set by hand |
//! | `judge` | the model, taken along in the server's own order |
//! | `calm` | faults off: the answers of the swarm layer to the same plan |

mod calm;
mod judge;
mod server;

pub(crate) use self::calm::{Calm, play as play_calmly, retimed};
pub(crate) use self::server::{HandClock, Server, options};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::plan_of;
    use crate::rig::Rig;
    use crate::world::Habits;

    #[test]
    fn calm_seeds_answer_as_the_swarm_does() {
        for seed in 0..40 {
            let habits = Habits::of(seed);
            let plan = retimed(plan_of(seed, &habits, false, 100));
            if let Err(failure) = play_calmly(&plan, Rig::default()) {
                panic!("seed {seed}: {failure:#?}");
            }
        }
    }
}
