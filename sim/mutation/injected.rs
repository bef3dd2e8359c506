//! What is deliberately wrong in a run: nothing, but when the simulator is tested itself.

use crate::mutation::planted_bugs::Bug;
use crate::plan::Kind;

/// A run's deliberate faults.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InjectedFaults {
    /// A bug planted in the model: as any difference must be seen, it stands for the same bug in
    /// the machine, whose code so carries no switches.
    pub(crate) bug: Option<Bug>,
    /// A fault of the simulator's own.
    pub(crate) simulator_fault: Option<SimulatorFault>,
    /// The model lies about every call of this kind: the checker must not let it pass.
    pub(crate) wrong_answers: Option<Kind>,
}

impl InjectedFaults {
    /// With a bug in the model.
    #[must_use]
    pub(crate) fn with_bug(bug: Bug) -> Self {
        Self { bug: Some(bug), ..Self::default() }
    }

    /// What a command line that plays the same again has at its end.
    #[must_use]
    pub(crate) fn flag(self) -> String {
        self.bug.map_or_else(String::new, |bug| format!(" --bug {}", bug.name()))
    }

    /// Whether this part of the simulator is at fault.
    #[must_use]
    pub(crate) fn has(self, simulator_fault: SimulatorFault) -> bool {
        self.simulator_fault == Some(simulator_fault)
    }
}

/// Faults that the simulator could have itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SimulatorFault {
    /// The checker does not look at what OrderInfo answers.
    SkipsInfo,
    /// The shrinker is content with any failure.
    ShrinksToAnother,
    /// The draws are blind to their purpose.
    DrawsIgnorePurpose,
    /// The drain leaves an order as it is.
    IncompleteDrain,
    /// The network of the service layer lets requests arrive as they were sent.
    NoReordering,
}

impl SimulatorFault {
    /// Every such fault.
    pub(crate) const ALL: [Self; 5] = [
        Self::SkipsInfo,
        Self::ShrinksToAnother,
        Self::DrawsIgnorePurpose,
        Self::IncompleteDrain,
        Self::NoReordering,
    ];

    /// As pages spell it.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::SkipsInfo => "the checker skips info",
            Self::ShrinksToAnother => "the shrinker swaps failures",
            Self::DrawsIgnorePurpose => "draws ignore their purpose",
            Self::IncompleteDrain => "the drain forgets an order",
            Self::NoReordering => "the network never reorders",
        }
    }
}
