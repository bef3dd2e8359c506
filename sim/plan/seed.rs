//! Chooses the style of a seed: a shop, an extreme workload or a large one.

use crate::model::ContainerSizes;
use crate::plan::rng::{Domain, Draws, Purpose};
use crate::plan::workload::Workload;
use crate::plan::{extreme, large, limits, shop};

impl Workload {
    /// The workload of a seed.
    #[must_use]
    pub(crate) fn of(seed: u64) -> Self {
        let mut draws = Draws::new(seed, Domain::World);
        if draws.draw(Purpose::LARGE).chance(1, 200) {
            return large::workload(&mut draws);
        }
        let mut workload = if draws.draw(Purpose::STYLE).chance(1, 2) {
            shop::workload(&mut draws)
        } else {
            extreme::workload(&mut draws)
        };
        workload.world.limits = limits::of_world(&mut draws, &workload.world, workload.style);
        if draws.draw(Purpose::SIZES).chance(1, 2) {
            workload.world.sizes = ContainerSizes::Tiny;
        }
        workload
    }
}
