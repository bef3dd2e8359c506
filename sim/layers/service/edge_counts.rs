//! Counts of the answers that only some settings or some requests give. A run of many seeds must
//! have all of them.

use std::fmt::Write as _;

use loms::grpc::service::{FailedCreate, ServiceOptions};

use crate::layers::wire::expected::MOST_SHORTAGES;
use crate::model::contract::{Answer, Call, Status};

/// Maximum length of a key in bytes.
const KEY_BYTES: usize = 255;

/// The counts of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EdgeCounts([u64; Self::NAMES.len()]);

impl EdgeCounts {
    const NAMES: [&'static str; 11] = [
        "failed create ok",
        "failed create refused",
        "refused, over 150 short",
        "info, over 150 short",
        "most lines",
        "over 150 lines reserved",
        "a line too many",
        "key of 255 bytes",
        "longer key",
        "key not ASCII",
        "largest user",
    ];

    /// Counts an answer.
    pub(super) fn note(&mut self, call: Call<'_>, answer: &Answer, options: ServiceOptions) {
        let mut has = [false; Self::NAMES.len()];
        if let (Call::Info(_), Answer::Order(order)) = (call, answer) {
            has[3] = order.shortages.len() > MOST_SHORTAGES;
        }
        if let Call::Create { user, items, key } = call {
            let most = usize::from(options.max_lines);
            if let Answer::Created { status, shortages, .. } = answer {
                let failed = *status == Status::Failed;
                let refused = failed && options.failed_create == FailedCreate::FailedPrecondition;
                has[0] = failed && !refused;
                has[1] = refused;
                has[2] = refused && shortages.len() > MOST_SHORTAGES;
                has[4] = items.len() == most;
                has[5] = !failed && items.len() > MOST_SHORTAGES;
                has[7] = key.len() == KEY_BYTES;
                has[9] = !key.is_ascii();
                has[10] = user == i64::MAX;
            } else {
                has[6] = items.len() == most + 1;
                has[8] = key.len() == KEY_BYTES + 1;
            }
        }
        self.0.iter_mut().zip(has).for_each(|(count, has)| *count += u64::from(has));
    }

    pub(super) fn add(&mut self, next: &Self) {
        self.0.iter_mut().zip(next.0).for_each(|(sum, more)| *sum += more);
    }

    /// All counts with their names.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Self::NAMES.into_iter().zip(self.0)
    }

    /// Writes the counts that are not 0.
    pub(super) fn write(&self, text: &mut String) {
        let some: Vec<String> = self
            .all()
            .filter(|&(_, count)| count > 0)
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        for row in some.chunks(5) {
            let _ = writeln!(text, "  {}", row.join(", "));
        }
    }
}
