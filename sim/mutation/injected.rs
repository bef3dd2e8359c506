//! Faults that tests of the simulator inject into a run. A normal run has none.

use crate::check::compared::Compared;
use crate::layers::service::NetworkFault;
use crate::layers::wire::corruption::Corruption;
use crate::mutation::planted_bugs::Bug;
use crate::plan::Kind;
use crate::progress;

/// The step of [`SimulatorFault::EndlessStep`].
pub(crate) const ENDLESS_STEP: u32 = 40;

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
    /// What this comparison compares is changed, and only there. The run must fail with it, which
    /// shows that the comparison is made and finds a difference.
    pub(crate) altered: Option<Compared>,
    /// A field of every reply of the service layer is changed; the checker must detect it.
    pub(crate) corruption: Option<Corruption>,
}

impl InjectedFaults {
    /// With a bug in the model.
    #[must_use]
    pub(crate) fn with_bug(bug: Bug) -> Self {
        Self { bug: Some(bug), ..Self::default() }
    }

    /// With a changed value in this comparison.
    #[must_use]
    pub(crate) fn altering(compared: Compared) -> Self {
        Self { altered: Some(compared), ..Self::default() }
    }

    /// The value that a comparison gets: changed, if the run has that fault.
    #[inline]
    pub(crate) fn alter<T>(&self, at: Compared, value: T, change: impl FnOnce(T) -> T) -> T {
        if self.altered == Some(at) { change(value) } else { value }
    }

    /// The command-line option that plants the same bug again.
    #[must_use]
    pub(crate) fn flag(self) -> String {
        self.bug.map_or_else(String::new, |bug| format!(" --bug {}", bug.name()))
    }

    /// With [`SimulatorFault::EndlessStep`], does not return until the watchdog gives up.
    pub(crate) fn hang_at(self, number: u32) {
        if number == ENDLESS_STEP && self.has(SimulatorFault::EndlessStep) {
            while !progress::is_ended() {
                std::hint::spin_loop();
            }
        }
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
    /// A step never ends.
    EndlessStep,
    /// The drain does not finish all orders.
    IncompleteDrain,
    /// The network of the service layer delivers all requests in the order in which they were sent.
    NoReordering,
    /// The network fault of this kind is counted, but does nothing.
    NoEffect(usize),
    /// The service layer compares answers without their texts and details.
    SkipsDetails,
    /// The service layer ignores the command index.
    SkipsIndex,
    /// The service layer accepts any refusal with the reason CATCHING_UP.
    AcceptsAnyCatchingUp,
    /// All seeds of the service layer have the default settings and no requests at the limits.
    DefaultEdge,
}

impl SimulatorFault {
    /// Every fault.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        [
            Self::SkipsInfo,
            Self::ShrinksToAnother,
            Self::DrawsIgnorePurpose,
            Self::EndlessStep,
            Self::IncompleteDrain,
            Self::NoReordering,
            Self::SkipsDetails,
            Self::SkipsIndex,
            Self::AcceptsAnyCatchingUp,
            Self::DefaultEdge,
        ]
        .into_iter()
        .chain((0..NetworkFault::KINDS).map(Self::NoEffect))
    }

    /// The name on pages.
    #[must_use]
    pub(crate) fn name(self) -> String {
        let name = match self {
            Self::SkipsInfo => "the checker skips info",
            Self::ShrinksToAnother => "the shrinker accepts other failures",
            Self::DrawsIgnorePurpose => "draws ignore their purpose",
            Self::EndlessStep => "a step never ends",
            Self::IncompleteDrain => "the drain is incomplete",
            Self::NoReordering => "the network never reorders",
            Self::NoEffect(kind) => return format!("{} does nothing", NetworkFault::NAMES[kind]),
            Self::SkipsDetails => "the service layer skips texts and details",
            Self::SkipsIndex => "the service layer skips the command index",
            Self::AcceptsAnyCatchingUp => "the service layer accepts any CATCHING_UP",
            Self::DefaultEdge => "the service layer has only default settings",
        };
        name.to_owned()
    }
}
