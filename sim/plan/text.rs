//! Plans as text, for readers, for `sim/regressions/` and for `sim replay`:
//!
//! ```text
//! plan v1
//! world timeout=600s window=86400s max_lines=1000 start=0s sizes=tiny   ← of the containers
//! stock 1=2 2=10/3                           ← total, and reserved at the start
//! # a comment                                 # and another
//! 3 @0s c0 create user=1 1x1 2x4 key=k7      ← number, time, client, call
//! 9 @599999999999ns c1 pay order#3           ← the order created by step 3
//! 12 @600s c0 cancel id=-5
//! 13 @600s c0 rules timeout=30s window=0s    ← the operator changes the rules
//! 14 @601s c0 rules timeout=30s window=0s keep=60s max_bytes=9000   ← and other limits
//! ```
//!
//! Every plan that was once valid stays valid: if the format changes, it becomes `plan v2`, and v1
//! can still be read.

use std::fmt::{self, Display};

use crate::model::contract::Limits;
use crate::model::{ContainerSizes, World};
use crate::plan::{Fill, Key, KeyText, Op, Plan, Step, Target};

/// The first line of every plan.
const HEADER: &str = "plan v1";

/// Why a text is not a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParseError {
    /// The line number, from 1.
    pub(crate) line: usize,
    /// A description.
    pub(crate) why: String,
}

impl Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

/// A time or a duration: in whole seconds if possible, else in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nanos(pub(crate) u64);

const SECOND: u64 = 1_000_000_000;

impl Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            nanos if nanos.is_multiple_of(SECOND) => write!(f, "{}s", nanos / SECOND),
            nanos => write!(f, "{nanos}ns"),
        }
    }
}

impl Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        writeln!(f, "{}", WorldLine(self))?;
        writeln!(f, "{}", StockLine(&self.world))?;
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

/// The `world` line of a plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WorldLine<'a>(pub(crate) &'a Plan);

impl Display for WorldLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let World { payment_timeout, idempotency_window, max_lines, .. } = self.0.world;
        let (timeout, window) = (Nanos(payment_timeout), Nanos(idempotency_window));
        let start = Nanos(self.0.start);
        write!(f, "world timeout={timeout} window={window} max_lines={max_lines} start={start}")?;
        write!(f, "{}", LimitWords(self.0.world.limits))?;
        match self.0.world.sizes {
            ContainerSizes::Shipped => Ok(()),
            ContainerSizes::Tiny => write!(f, " sizes=tiny"),
        }
    }
}

/// The limits that are set, each after a space.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LimitWords(pub(crate) Limits);

impl Display for LimitWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Limits { keep, keep_failed, retry_failed, max_bytes, open_orders } = self.0;
        for (name, nanos) in [("keep", keep), ("keep_failed", keep_failed)] {
            if nanos > 0 {
                write!(f, " {name}={}", Nanos(nanos))?;
            }
        }
        if retry_failed {
            write!(f, " retry_failed=true")?;
        }
        for (name, number) in [("max_bytes", max_bytes), ("open_orders", open_orders.into())] {
            if number > 0 {
                write!(f, " {name}={number}")?;
            }
        }
        Ok(())
    }
}

/// Reads one of these words. Returns whether it is one.
fn read_limit(limits: &mut Limits, name: &str, value: &str) -> Result<bool, String> {
    match name {
        "keep" => limits.keep = nanos(value)?,
        "keep_failed" => limits.keep_failed = nanos(value)?,
        "retry_failed" => limits.retry_failed = number(value)?,
        "max_bytes" => limits.max_bytes = number(value)?,
        "open_orders" => limits.open_orders = number(value)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// The `stock` line of a plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StockLine<'a>(pub(crate) &'a World);

impl Display for StockLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stock")?;
        self.0.stock.iter().try_for_each(|&(sku, total, reserved)| match reserved {
            0 => write!(f, " {sku}={total}"),
            reserved => write!(f, " {sku}={total}/{reserved}"),
        })
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} @{} c{} {}",
            self.number,
            Nanos(self.at),
            self.client,
            self.op.kind().name()
        )?;
        match self.op {
            Op::Create { user, key } => {
                write!(f, " user={user}")?;
                for (sku, count) in &self.items {
                    write!(f, " {sku}x{count}")?;
                }
                match key {
                    Key::NONE => Ok(()),
                    Key { name, length: 0, fill: Fill::DOTS } => write!(f, " key=k{name}"),
                    Key { name, length, fill: Fill::DOTS } => write!(f, " key=k{name}:{length}"),
                    Key { name, length, fill } => {
                        write!(f, " key=k{name}:{length}:{}", fill.name())
                    }
                }
            }
            Op::Info(target) | Op::Pay(target) | Op::Cancel(target) => match target {
                Target::CreatedBy(number) => write!(f, " order#{number}"),
                Target::Id(order) => write!(f, " id={order}"),
            },
            Op::Stock(sku) => write!(f, " {sku}"),
            Op::Tick => Ok(()),
            Op::Rules { timeout, window, limits } => {
                let (timeout, window) = (Nanos(timeout), Nanos(window));
                write!(f, " timeout={timeout} window={window}{}", LimitWords(limits))
            }
        }
    }
}

impl Plan {
    /// Parses a plan.
    ///
    /// # Errors
    /// The first invalid line, and why.
    pub(crate) fn parse(text: &str) -> Result<Self, ParseError> {
        let mut lines = text
            .lines()
            .zip(1..)
            .map(|(line, number)| (without_comment(line), number))
            .filter(|(line, _)| !line.is_empty());
        let mut plan = Self::empty();
        type Part = fn(&mut Plan, &str) -> Result<(), String>;
        let head: [(&str, Part); 3] =
            [(HEADER, read_header), ("a world line", read_world), ("a stock line", read_stock)];
        for (expected, read) in head {
            let (line, number) = lines.next().ok_or_else(|| ParseError {
                line: text.lines().count() + 1,
                why: format!("{expected} is missing"),
            })?;
            read(&mut plan, line).map_err(|why| ParseError { line: number, why })?;
        }
        for (line, number) in lines {
            read_step(&mut plan, line).map_err(|why| ParseError { line: number, why })?;
        }
        Ok(plan)
    }
}

/// A line without its comment, which starts with a `#` at the start of a word.
fn without_comment(line: &str) -> &str {
    let line = line.split_once(" #").map_or(line, |(line, _)| line).trim();
    if line.starts_with('#') { "" } else { line }
}

fn read_header(_: &mut Plan, line: &str) -> Result<(), String> {
    if line == HEADER { Ok(()) } else { Err(format!("expected {HEADER:?}, found {line:?}")) }
}

fn read_world(plan: &mut Plan, line: &str) -> Result<(), String> {
    for word in after(line, "world")?.split_whitespace() {
        let (name, value) = pair(word, '=')?;
        match name {
            "timeout" => plan.world.payment_timeout = nanos(value)?,
            "window" => plan.world.idempotency_window = nanos(value)?,
            "max_lines" => plan.world.max_lines = u32::from(number::<u16>(value)?),
            "start" => plan.start = nanos(value)?,
            "sizes" if value == "tiny" => plan.world.sizes = ContainerSizes::Tiny,
            "sizes" => return Err(format!("sizes can only be \"tiny\", not {value:?}")),
            _ if read_limit(&mut plan.world.limits, name, value)? => {}
            _ => return Err(format!("unknown setting {name:?}")),
        }
    }
    Ok(())
}

fn read_stock(plan: &mut Plan, line: &str) -> Result<(), String> {
    for word in after(line, "stock")?.split_whitespace() {
        let (sku, units) = pair(word, '=')?;
        let (total, reserved) = units.split_once('/').unwrap_or((units, "0"));
        let (sku, total, reserved) = (number(sku)?, number(total)?, number(reserved)?);
        if sku == 0 || plan.world.stock.iter().any(|&(other, ..)| other >= sku) {
            return Err(format!("SKUs must increase, but {sku} does not"));
        }
        plan.world.stock.push((sku, total, reserved));
    }
    Ok(())
}

fn read_step(plan: &mut Plan, line: &str) -> Result<(), String> {
    let mut words = line.split_whitespace();
    let mut word = |what: &str| words.next().ok_or_else(|| format!("{what} is missing"));
    let step_number = number(word("the step's number")?)?;
    let at = nanos(after(word("the time")?, "@")?)?;
    let client = number(after(word("the client")?, "c")?)?;
    if let Some(last) = plan.steps.last()
        && (last.number >= step_number || last.at > at)
    {
        return Err("numbers must increase, and times must not decrease".to_owned());
    }
    if plan.start.checked_add(at).is_none() {
        return Err(format!("{} is past the end of time", Nanos(at)));
    }
    let mut step = Step { number: step_number, at, client, ..Step::default() };
    step.op = match word("the call")? {
        "create" => {
            let user = number(after(word("the user")?, "user=")?)?;
            let mut key = Key::NONE;
            for word in words.by_ref() {
                if let Some(name) = word.strip_prefix("key=") {
                    key = read_key(name)?;
                } else {
                    let (sku, count) = pair(word, 'x')?;
                    step.items.push((number(sku)?, number(count)?));
                }
            }
            Op::Create { user, key }
        }
        "info" => Op::Info(target(word("the order")?)?),
        "pay" => Op::Pay(target(word("the order")?)?),
        "cancel" => Op::Cancel(target(word("the order")?)?),
        "stock" => Op::Stock(number(word("the SKU")?)?),
        "tick" => Op::Tick,
        "rules" => {
            let timeout = nanos(after(word("the timeout")?, "timeout=")?)?;
            let window = nanos(after(word("the window")?, "window=")?)?;
            let mut limits = Limits::default();
            for word in words.by_ref() {
                let (name, value) = pair(word, '=')?;
                if !read_limit(&mut limits, name, value)? {
                    return Err(format!("unknown setting {name:?}"));
                }
            }
            Op::Rules { timeout, window, limits }
        }
        other => return Err(format!("unknown call {other:?}")),
    };
    match words.next() {
        Some(more) => Err(format!("unexpected text: {more:?}")),
        None => {
            plan.steps.push(step);
            Ok(())
        }
    }
}

fn target(word: &str) -> Result<Target, String> {
    match word.strip_prefix("order#") {
        Some(step) => Ok(Target::CreatedBy(number(step)?)),
        None => Ok(Target::Id(number(after(word, "id=")?)?)),
    }
}

fn read_key(word: &str) -> Result<Key, String> {
    let (name, rest) = word.split_once(':').unwrap_or((word, "0"));
    let (length, fill) = rest.split_once(':').unwrap_or((rest, Fill::DOTS.name()));
    let known = Fill::named(fill).ok_or_else(|| format!("unknown fill of a key: {fill:?}"))?;
    match (number(after(name, "k")?)?, number(length)?) {
        (0, _) => Err("a key's name is above 0".to_owned()),
        (_, length) if usize::from(length) > KeyText::LENGTH => {
            Err(format!("a key has at most {} bytes", KeyText::LENGTH))
        }
        (name, length) => Ok(Key { name, length, fill: known }),
    }
}

fn after<'a>(text: &'a str, start: &str) -> Result<&'a str, String> {
    text.strip_prefix(start).ok_or_else(|| format!("expected {start:?}, found {text:?}"))
}

fn pair(word: &str, between: char) -> Result<(&str, &str), String> {
    word.split_once(between).ok_or_else(|| format!("{word:?} needs a {between:?}"))
}

fn number<N: std::str::FromStr>(word: &str) -> Result<N, String> {
    word.parse().map_err(|_| format!("{word:?} is not a valid number"))
}

fn nanos(word: &str) -> Result<u64, String> {
    let (digits, unit) = match word.strip_suffix("ns") {
        Some(digits) => (digits, 1),
        None => (word.strip_suffix('s').ok_or_else(|| format!("{word:?} has no unit"))?, SECOND),
    };
    number::<u64>(digits)?
        .checked_mul(unit)
        .ok_or_else(|| format!("{word} is past the end of time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every form of v1. This text never changes: it must stay readable.
    const EVERYTHING: &str = "\
plan v1
world timeout=600s window=5ns max_lines=1000 start=1767225600s
stock 1=2 2=18446744073709551615/3 4294967295=0
1 @0s c0 create user=1 1x1 2x4294967295 1x1
3 @0s c7 create user=-9223372036854775808
4 @1ns c0 create user=2 0x0 key=k7
5 @1ns c0 create user=2 1x1 key=k7:256
9 @599999999999ns c1 pay order#3
10 @600s c0 cancel id=-5
11 @600s c0 info id=9223372036854775807
12 @601s c0 stock 4294967295
13 @601s c0 tick
14 @601s c0 rules timeout=0s window=86400s
";

    #[test]
    fn a_plan_is_text_and_back() {
        let plan = Plan::parse(EVERYTHING).unwrap();
        assert_eq!(plan.to_string(), EVERYTHING);
        assert_eq!(plan.steps.len(), 10);
    }

    #[test]
    fn a_world_with_tiny_containers_says_so() {
        let text = EVERYTHING.replace("start=1767225600s", "start=1767225600s sizes=tiny");
        assert_eq!(Plan::parse(&text).unwrap().world.sizes, ContainerSizes::Tiny);
        assert_eq!(Plan::parse(&text).unwrap().to_string(), text);
    }

    #[test]
    fn comments_and_empty_lines_are_skipped() {
        let text = format!("# a comment\n\n{}", EVERYTHING.replace('\n', "  # so\n\n# so\n"));
        assert_eq!(Plan::parse(&text).unwrap().to_string(), EVERYTHING);
    }

    #[test]
    fn an_invalid_plan_is_refused_with_its_line() {
        let head = "plan v1\nworld timeout=1s window=1s max_lines=1 start=0s\nstock 1=1\n";
        for (text, line, why) in [
            (String::new(), 1, "plan v1 is missing"),
            ("plan v9".to_owned(), 1, "expected \"plan v1\", found \"plan v9\""),
            (head.replace("=1\n", "=1 1=2\n"), 3, "SKUs must increase, but 1 does not"),
            (head.replace("timeout", "time"), 2, "unknown setting \"time\""),
            (head.replace("start=0s", "sizes=big"), 2, "sizes can only be \"tiny\", not \"big\""),
            (format!("{head}1 @0 c0 tick"), 4, "\"0\" has no unit"),
            (format!("{head}1 @0s c0 fly"), 4, "unknown call \"fly\""),
            (format!("{head}1 @0s c0 tick on"), 4, "unexpected text: \"on\""),
            (
                format!("{head}2 @0s c0 tick\n1 @0s c0 tick"),
                5,
                "numbers must increase, and times must not decrease",
            ),
            (format!("{head}1 @0s c0 stock -1"), 4, "\"-1\" is not a valid number"),
            (format!("{head}1 @0s c0 pay 3"), 4, "expected \"id=\", found \"3\""),
        ] {
            let refused = Plan::parse(&text).unwrap_err();
            assert_eq!(refused, ParseError { line, why: why.to_owned() });
        }
    }

    #[test]
    fn a_key_gets_leading_dots_up_to_its_length() {
        let mut buffer = KeyText::default();
        assert_eq!(Key::NONE.write(&mut buffer), "");
        assert_eq!(Key::named(4_294_967_295).write(&mut buffer), "k4294967295");
        let dots = Key::named(12);
        assert_eq!(Key { length: 5, ..dots }.write(&mut buffer), "..k12");
        assert_eq!(Key { length: 256, ..dots }.write(&mut buffer).len(), 256);
    }

    #[test]
    fn a_key_of_other_characters_is_text_and_back() {
        let line = "1 @0s c0 create user=1 1x1 key=k7:255:combining\n";
        let text =
            format!("plan v1\nworld timeout=0s window=0s max_lines=1 start=0s\nstock\n{line}");
        assert_eq!(Plan::parse(&text).unwrap().to_string(), text);
        let unknown = Plan::parse(&text.replace("combining", "runes")).unwrap_err();
        assert_eq!(unknown.why, "unknown fill of a key: \"runes\"");
    }
}
