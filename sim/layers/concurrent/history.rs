//! The history: the calls and replies of all clients.

use crate::layers::wire::Received;
use crate::model::contract::Call;
use crate::plan::{CreatedOrders, KeyText, Op, Step};
use crate::report::screen;

/// A call and its reply.
#[derive(Clone, Debug)]
pub(crate) struct CallRecord {
    /// The call and its client.
    pub(crate) step: Step,
    /// The order of the call; 0 if it is not about an order.
    pub(crate) order: i64,
    /// Logical time of the request: if one call returned before another was sent, its `returned` is
    /// lower than the other's `invoked`.
    pub(crate) invoked: u64,
    /// Logical time of the reply; `u64::MAX` if there was none: then the call may have had an
    /// effect or not.
    pub(crate) returned: u64,
    /// The reply.
    pub(crate) received: Received,
}

impl CallRecord {
    /// The call.
    #[must_use]
    pub(crate) fn call<'a>(&'a self, buffer: &'a mut KeyText) -> Call<'a> {
        self.call_about(self.order, buffer)
    }

    /// The same call on another order.
    #[must_use]
    pub(crate) fn call_about<'a>(&'a self, order: i64, buffer: &'a mut KeyText) -> Call<'a> {
        match self.step.op {
            Op::Info(_) => Call::Info(order),
            Op::Pay(_) => Call::Pay(order),
            Op::Cancel(_) => Call::Cancel(order),
            Op::Create { .. } | Op::Stock(_) | Op::Tick | Op::Rules { .. } => {
                self.step.call(&CreatedOrders::default(), buffer)
            }
        }
    }

    /// One line: client, call, times and reply.
    #[must_use]
    pub(crate) fn line(&self) -> String {
        let (step, order) = (&self.step, self.order);
        let call = match step.op {
            Op::Info(_) | Op::Pay(_) | Op::Cancel(_) => {
                format!("{} order {order}", step.op.kind().name())
            }
            Op::Create { .. } | Op::Stock(_) | Op::Tick | Op::Rules { .. } => {
                let text = step.to_string();
                text.splitn(4, ' ').last().unwrap_or_default().to_owned()
            }
        };
        let place = self.received.index.map_or_else(String::new, |index| format!("#{index} "));
        let span = match self.returned {
            u64::MAX => format!("[{}..", self.invoked),
            returned => format!("[{}..{returned}]", self.invoked),
        };
        let reply = screen::short(&self.received.reply.to_string());
        format!("{place}client {} {span} {call}: {reply}", step.client)
    }
}
