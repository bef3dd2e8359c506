//! Changes of one field of a reply. A layer that compares this field finds each of them.

use tonic::Code;

use super::{ErrorStatus, OrderReply, Received, Reply};
use crate::model::contract::Shortage;

macro_rules! corruptions {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A field that is changed in every reply that has it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Corruption { $($(#[$doc])* $name,)* }

        impl Corruption {
            /// Every field.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

corruptions! {
    /// The command index is one too high.
    Index,
    /// The command index is missing.
    NoIndex,
    /// The code.
    Code,
    /// The last character of the message is missing.
    Message,
    /// The domain of the ErrorInfo.
    Domain,
    /// The reason of the ErrorInfo.
    Reason,
    /// The ErrorInfo has no facts.
    Facts,
    /// The ErrorInfo has one more fact.
    OneMoreFact,
    /// The field of the BadRequest.
    Field,
    /// The description of the BadRequest.
    Description,
    /// The delay of the RetryInfo during a backlog.
    RetryDelay,
    /// One more detail.
    OneMoreDetail,
    /// The code or the message among the details.
    RepeatedStatus,
    /// The OrderCreateResponse among the details has one shortage less.
    CreatedInDetails,
    /// The order of a create.
    Order,
    /// The status of a create.
    CreateStatus,
    /// The units that a shortage of a create had available.
    CreateShortage,
    /// The status of an order.
    Status,
    /// The user of an order.
    User,
    /// The last line of an order.
    Line,
    /// When an order was created.
    CreatedAt,
    /// When an order was updated.
    UpdatedAt,
    /// The reason of an order.
    OrderReason,
    /// The last shortage of an order.
    Shortage,
    /// The available units of a SKU.
    Units,
}

impl Corruption {
    /// Changes the field, if the reply has it.
    pub(crate) fn apply(self, received: &mut Received) {
        let Received { index, reply } = received;
        match (self, reply) {
            (Self::Index, _) => *index = index.map(|index| index + 1),
            (Self::NoIndex, _) => *index = None,
            (_, Reply::Refused(status)) => self.apply_to_status(status),
            (_, Reply::Order(order)) => self.apply_to_order(order),
            (Self::Order, Reply::Created { order, .. }) => *order += 1,
            (Self::CreateStatus, Reply::Created { status, .. }) => status.push(' '),
            (Self::CreateShortage, Reply::Created { shortages, .. }) => {
                one_available_more(shortages);
            }
            (Self::Units, Reply::Stock(units)) => *units ^= 1,
            _ => {}
        }
    }

    fn apply_to_status(self, status: &mut ErrorStatus) {
        let ErrorStatus { code, message, info, violations, details, created, .. } = status;
        let (info, violation) = (info.as_mut(), violations.first_mut());
        match (self, info, violation) {
            (Self::Code, _, _) => *code = Code::Unknown,
            (Self::Message, _, _) => drop(message.pop()),
            (Self::Domain, Some(info), _) => info.domain.push('.'),
            (Self::Reason, Some(info), _) => info.reason.make_ascii_lowercase(),
            (Self::Facts, Some(info), _) => info.facts.clear(),
            (Self::OneMoreFact, Some(info), _) => {
                info.facts.insert("more".to_owned(), String::new());
            }
            (Self::Field, _, Some((field, _))) => field.push('s'),
            (Self::Description, _, Some((_, description))) => drop(description.pop()),
            (Self::RetryDelay, Some(info), _) if info.reason == "CATCHING_UP" => {
                status.retry_after = status.retry_after.map(|delay| delay + 1);
            }
            (Self::OneMoreDetail, _, _) => details.other += 1,
            (Self::RepeatedStatus, _, _) => status.repeats_status = false,
            (Self::CreatedInDetails, _, _) => {
                if let Some(Reply::Created { shortages, .. }) = created {
                    shortages.pop();
                }
            }
            _ => {}
        }
    }

    fn apply_to_order(self, order: &mut OrderReply) {
        let OrderReply { status, user, items, created_at, updated_at, reason, shortages } = order;
        match (self, created_at, updated_at) {
            (Self::Status, ..) => status.push(' '),
            (Self::User, ..) => *user ^= 1,
            (Self::Line, ..) => drop(items.pop()),
            (Self::CreatedAt, Some(at), _) | (Self::UpdatedAt, _, Some(at)) => *at ^= 1,
            (Self::OrderReason, ..) => reason.push(' '),
            (Self::Shortage, ..) => one_available_more(shortages),
            _ => {}
        }
    }
}

fn one_available_more(shortages: &mut [Shortage]) {
    if let Some(last) = shortages.last_mut() {
        last.available += 1;
    }
}
