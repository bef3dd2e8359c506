//! The faults of one request, and what they must do to it. A run logs when each request is sent,
//! arrives and is answered; at its end every fault must have had its effect.

use super::fault_schedule::NetworkFault;

/// The kinds of faults: indexes into [`NetworkFault::NAMES`].
pub(super) const REQUEST_LOST: usize = NetworkFault::RequestLost.kind();
pub(super) const REPLY_LOST: usize = NetworkFault::ReplyLost.kind();
pub(super) const DUPLICATE: usize = NetworkFault::Duplicate(0).kind();
pub(super) const REQUEST_DELAYED: usize = NetworkFault::RequestDelayed(0).kind();
pub(super) const BODY_DELAYED: usize = NetworkFault::BodyDelayed(0).kind();
pub(super) const REPLY_DELAYED: usize = NetworkFault::ReplyDelayed(0).kind();
pub(super) const DISCONNECT: usize = NetworkFault::Disconnect(0).kind();
pub(super) const RESTART: usize = NetworkFault::Restart.kind();
pub(super) const CLOCK_FORWARD: usize = NetworkFault::ClockForward(0).kind();
pub(super) const CLOCK_BACK: usize = NetworkFault::ClockBack(0).kind();

/// The faults of one attempt by kind, each with its span, which is 0 for a fault without one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AttemptFaults([Option<u64>; NetworkFault::KINDS]);

impl AttemptFaults {
    pub(super) fn of(faults: impl Iterator<Item = NetworkFault>) -> Self {
        let mut all = Self::default();
        for fault in faults {
            all.0[fault.kind()] = Some(fault.span().unwrap_or(0));
        }
        all
    }

    /// The span of the fault of this kind, if there is one.
    pub(super) const fn span(&self, kind: usize) -> Option<u64> {
        self.0[kind]
    }

    const fn has(&self, kind: usize) -> bool {
        self.0[kind].is_some()
    }

    fn delay(&self, kind: usize) -> u64 {
        self.0[kind].unwrap_or(0)
    }
}

/// The error of the server's clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ClockError {
    ahead: u64,
    behind: u64,
}

impl ClockError {
    /// The clock jumps forward and back by these spans.
    pub(super) fn jump(&mut self, forward: Option<u64>, back: Option<u64>) {
        self.ahead = self.ahead.saturating_add(forward.unwrap_or(0));
        self.behind = self.behind.saturating_add(back.unwrap_or(0));
    }

    /// What the clock shows at this time.
    pub(super) const fn clock(self, now: u64) -> u64 {
        now.saturating_add(self.ahead).saturating_sub(self.behind)
    }
}

/// The virtual times of what happened to a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RequestLog {
    pub(super) sent: u64,
    /// Its headers arrive.
    pub(super) arrived: Option<u64>,
    /// Its whole body has arrived.
    pub(super) finished: Option<u64>,
    /// The server answers.
    pub(super) answered: Option<u64>,
    /// The reply arrives, whether or not the client still waits for it.
    pub(super) replied: Option<u64>,
}

impl RequestLog {
    /// What did not happen as these faults demand: actual and expected. For a duplicate by the
    /// network the faults are those of the original.
    pub(super) fn difference(
        &self,
        faults: &AttemptFaults,
        duplicate: bool,
    ) -> Option<(String, String)> {
        let own = |kind| !duplicate && faults.has(kind);
        let own_delay = |kind| if duplicate { 0 } else { faults.delay(kind) };
        let late = faults.delay(REQUEST_DELAYED);
        let again = if duplicate { faults.delay(DUPLICATE) } else { 0 };
        let sent = self.sent.saturating_add(late.saturating_add(again));
        let arrived = (!own(REQUEST_LOST)).then_some(sent);
        let slow = |at: u64| at.saturating_add(own_delay(BODY_DELAYED));
        let finished = arrived.filter(|_| !own(DISCONNECT)).map(slow);
        let answered = self.answered.filter(|_| finished.is_some());
        let back = |at: u64| at.saturating_add(faults.delay(REPLY_DELAYED));
        let replied = answered.filter(|_| !duplicate && !faults.has(REPLY_LOST)).map(back);
        let expected = Self { sent: self.sent, arrived, finished, answered, replied };
        let same = (self.arrived, self.finished) == (arrived, finished)
            && (self.answered, self.replied) == (answered, replied);
        (!same).then(|| (format!("{self:?}"), format!("{expected:?}")))
    }
}
