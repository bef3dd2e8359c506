//! Faults that tests of the simulator inject into a run. A normal run has none.

use crate::mutation::planted_bugs::Bug;
use crate::plan::Kind;

/// The injected faults of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InjectedFaults {
    /// A bug in the model. Any difference must be detected, so it represents the same bug in the
    /// state machine.
    pub(crate) bug: Option<Bug>,
    /// A fault in the simulator itself.
    pub(crate) simulator_fault: Option<SimulatorFault>,
    /// The model answers every call of this kind wrongly; the checker must detect it.
    pub(crate) wrong_answers: Option<Kind>,
}

impl InjectedFaults {
    /// With a bug in the model.
    #[must_use]
    pub(crate) fn with_bug(bug: Bug) -> Self {
        Self { bug: Some(bug), ..Self::default() }
    }

    /// The command-line option that plants the same bug again.
    #[must_use]
    pub(crate) fn flag(self) -> String {
        self.bug.map_or_else(String::new, |bug| format!(" --bug {}", bug.name()))
    }

    /// Whether the run has this fault.
    #[must_use]
    pub(crate) fn has(self, simulator_fault: SimulatorFault) -> bool {
        self.simulator_fault == Some(simulator_fault)
    }
}

/// Faults that the simulator itself could have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SimulatorFault {
    /// The checker ignores the answers of OrderInfo.
    SkipsInfo,
    /// The shrinker accepts any failure.
    ShrinksToAnother,
    /// All draws ignore their purpose.
    DrawsIgnorePurpose,
    /// The drain does not finish all orders.
    IncompleteDrain,
    /// The network of the service layer delivers all requests in the order in which they were sent.
    NoReordering,
}

impl SimulatorFault {
    /// Every fault.
    pub(crate) const ALL: [Self; 5] = [
        Self::SkipsInfo,
        Self::ShrinksToAnother,
        Self::DrawsIgnorePurpose,
        Self::IncompleteDrain,
        Self::NoReordering,
    ];

    /// The name on pages.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::SkipsInfo => "the checker skips info",
            Self::ShrinksToAnother => "the shrinker accepts other failures",
            Self::DrawsIgnorePurpose => "draws ignore their purpose",
            Self::IncompleteDrain => "the drain is incomplete",
            Self::NoReordering => "the network never reorders",
        }
    }
}
