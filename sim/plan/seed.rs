//! Chooses the style of a seed: a shop or an extreme workload.

use crate::plan::rng::{Domain, Draws, Purpose};
use crate::plan::workload::Workload;
use crate::plan::{extreme, shop};

impl Workload {
    /// The workload of a seed.
    #[must_use]
    pub(crate) fn of(seed: u64) -> Self {
        let mut draws = Draws::new(seed, Domain::World);
        if draws.draw(Purpose::STYLE).chance(1, 2) {
            shop::workload(&mut draws)
        } else {
            extreme::workload(&mut draws)
        }
    }
}
