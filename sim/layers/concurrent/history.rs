//! What happened, as the clients saw it.

use crate::layers::wire::Received;
use crate::model::contract::Call;
use crate::plan::{CreatedOrders, KeyText, Op, Step};

/// A call and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct CallRecord {
    /// The call, with who made it.
    pub(crate) step: Step,
    /// The order that it is about; 0 for a call that is about none.
    pub(crate) order: i64,
    /// When it was made, by a clock that counts such moments: a call that returned before another
    /// was made has the smaller number here.
    pub(crate) invoked: u64,
    /// When it returned; `u64::MAX` where it never did, and may have been done or not.
    pub(crate) returned: u64,
    /// What came back.
    pub(crate) received: Received,
}

impl CallRecord {
    /// The call.
    #[must_use]
    pub(crate) fn call<'a>(&'a self, room: &'a mut KeyText) -> Call<'a> {
        self.call_about(self.order, room)
    }

    /// The call about another order.
    #[must_use]
    pub(crate) fn call_about<'a>(&'a self, order: i64, room: &'a mut KeyText) -> Call<'a> {
        match self.step.op {
            Op::Info(_) => Call::Info(order),
            Op::Pay(_) => Call::Pay(order),
            Op::Cancel(_) => Call::Cancel(order),
            Op::Create { .. } | Op::Stock(_) | Op::Tick | Op::Rules { .. } => {
                self.step.call(&CreatedOrders::default(), room)
            }
        }
    }

    /// One line: who, what, when and what came back.
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
        format!("{place}client {} {span} {call}: {}", step.client, self.received.reply)
    }
}
