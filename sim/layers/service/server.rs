//! The server under test: the real service and state machine, with a clock that the run sets.

use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use loms::grpc::proto::loms_client::LomsClient;
use loms::grpc::service::{LomsService, ServiceOptions};
use loms::sequencer::{Clock, Sequencer};
use loms::state_machine::Timestamp;

use super::edge::Edge;
use crate::check::subject::Subject;
use crate::layers::wire::{self, Received};
use crate::model::World;
use crate::model::contract::Call;

/// A clock that the run sets.
#[derive(Clone, Debug, Default)]
pub(crate) struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// Sets it, in nanoseconds since 1970.
    pub(crate) fn set(&self, now: u64) {
        self.0.store(now, Ordering::SeqCst);
    }

    /// The time it is set to.
    #[must_use]
    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// The same clock for a sequencer.
    #[must_use]
    pub(crate) fn clock(&self) -> Clock {
        let now = self.clone();
        Box::new(move || Timestamp::from_nanos(now.now()))
    }
}

/// How many orders the shipped server expires at once.
pub(crate) const SHIPPED_EXPIRY_STEP: NonZeroUsize = NonZeroUsize::new(4_096).expect("above 0");

/// A server and its parts.
#[derive(Debug)]
pub(crate) struct Server {
    /// Its clock.
    pub(crate) clock: ManualClock,
    /// Its sequencer with the state machine.
    pub(crate) sequencer: Arc<Sequencer>,
    /// Its service.
    pub(crate) loms: LomsService,
}

impl Server {
    /// A server with this world, these settings and no orders. It expires at most `expiry_step`
    /// orders at once.
    #[must_use]
    pub(crate) fn start(
        world: &World,
        edge: Edge,
        clock: ManualClock,
        expiry_step: NonZeroUsize,
    ) -> Self {
        let state = Subject::open(world).state;
        let sequencer = Sequencer::new(state, clock.clock()).with_expiry_step(expiry_step);
        let sequencer = Arc::new(sequencer);
        let service = LomsService::new(Arc::clone(&sequencer), edge.options(world));
        Self { clock, sequencer, loms: service }
    }

    /// Whether the server has woken its ticker since the last call of this function.
    pub(crate) fn ticker_is_woken(&self) -> bool {
        let needed = pin!(self.sequencer.tick_needed());
        needed.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    /// A client that calls the service directly.
    #[must_use]
    pub(crate) fn client(&self) -> LomsClient<LomsService> {
        LomsClient::new(self.loms.clone())
    }
}

/// The default options of a service in this world.
#[must_use]
pub(crate) fn options(world: &World) -> ServiceOptions {
    Edge::default().options(world)
}

/// Makes a call that completes without waiting: client and server share this thread.
///
/// # Panics
/// If it waits.
pub(crate) fn call_now(client: &mut LomsClient<LomsService>, call: Call<'_>) -> Received {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(wire::call(client, call)).poll(&mut context) {
        Poll::Ready(received) => received,
        Poll::Pending => panic!("the service waits, but nothing can wake it"),
    }
}
