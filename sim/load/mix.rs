//! The mix of operations with their weights: `create=1,info=2,pay=1,stock=6`.

use std::str::FromStr;

use super::random::SplitMix64;

/// A method of the gRPC service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallKind {
    Create,
    Info,
    Pay,
    Cancel,
    Stock,
}

impl CallKind {
    /// In the order of the report.
    pub(crate) const ALL: [Self; 5] =
        [Self::Create, Self::Info, Self::Pay, Self::Cancel, Self::Stock];

    pub(crate) fn index(self) -> usize {
        match self {
            Self::Create => 0,
            Self::Info => 1,
            Self::Pay => 2,
            Self::Cancel => 3,
            Self::Stock => 4,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Info => "info",
            Self::Pay => "pay",
            Self::Cancel => "cancel",
            Self::Stock => "stock",
        }
    }

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Create => "/loms.LOMS/OrderCreate",
            Self::Info => "/loms.LOMS/OrderInfo",
            Self::Pay => "/loms.LOMS/OrderPay",
            Self::Cancel => "/loms.LOMS/OrderCancel",
            Self::Stock => "/loms.LOMS/StocksInfo",
        }
    }
}

/// What a worker does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// One call.
    Single(CallKind),
    /// Create, info and pay of one order, one after another.
    Lifecycle,
}

/// Operations with their weights. At least one weight is above 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mix {
    /// Each operation with the sum of the weights up to and including its own.
    sums: Vec<(u32, Operation)>,
    total: u32,
}

impl Mix {
    pub(crate) fn choose(&self, random: &mut SplitMix64) -> Operation {
        let at = random.below(self.total);
        let first = self.sums.iter().find(|(sum, _)| at < *sum);
        first.expect("the last sum is the total").1
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut sums: Vec<(u32, Operation)> = Vec::new();
        let mut total: u32 = 0;
        for part in text.split(',') {
            let (name, weight) =
                part.split_once('=').ok_or("use NAME=WEIGHT, such as create=1,stock=6")?;
            let operation = match name {
                "life" => Operation::Lifecycle,
                _ => CallKind::ALL
                    .into_iter()
                    .find(|kind| kind.name() == name)
                    .map(Operation::Single)
                    .ok_or_else(|| {
                        format!(
                            "unknown operation {name}; use create, info, pay, cancel, stock or life"
                        )
                    })?,
            };
            if sums.iter().any(|(_, earlier)| *earlier == operation) {
                return Err(format!("{name} is listed twice"));
            }
            let weight: u32 = weight
                .parse()
                .map_err(|_invalid| format!("the weight of {name} must be a whole number"))?;
            total = total.checked_add(weight).ok_or("the sum of the weights must be below 2³²")?;
            sums.push((total, operation));
        }
        if total == 0 {
            return Err("at least one weight must be above 0".to_owned());
        }
        Ok(Self { sums, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_as_frequent_as_their_weights() {
        let mix: Mix = "create=1,info=0,stock=3".parse().unwrap();
        let mut random = SplitMix64::new(1, 0);
        let operations: Vec<Operation> = (0..4_000).map(|_| mix.choose(&mut random)).collect();
        let count = |operation| operations.iter().filter(|chosen| **chosen == operation).count();
        assert_eq!(count(Operation::Single(CallKind::Info)), 0);
        let creates = count(Operation::Single(CallKind::Create));
        assert!((900..1_100).contains(&creates), "{creates}");
        assert_eq!(creates + count(Operation::Single(CallKind::Stock)), 4_000);
    }

    #[test]
    fn invalid_mix_is_refused() {
        for (text, problem) in [
            ("create", "use NAME=WEIGHT, such as create=1,stock=6"),
            ("buy=1", "unknown operation buy; use create, info, pay, cancel, stock or life"),
            ("pay=x", "the weight of pay must be a whole number"),
            ("pay=1,pay=2", "pay is listed twice"),
            ("pay=0,stock=0", "at least one weight must be above 0"),
            ("pay=4294967295,stock=1", "the sum of the weights must be below 2³²"),
        ] {
            assert_eq!(text.parse::<Mix>(), Err(problem.to_owned()));
        }
    }
}
