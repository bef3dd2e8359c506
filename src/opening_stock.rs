//! Reads the stock file: the stock at the start of the service.
//!
//! The file is a JSON array of `{"sku": …, "total_count": …, "reserved": …}`. All three are whole
//! numbers and required. The array may be empty. Start at [`load`]; [`embedded`] is the stock that
//! is compiled into the binary.
//!
//! Every problem is an error of one line that names the place. Nothing is corrected by guessing.
//! [`log_warnings`] reports what is valid but probably not intended.

use std::fmt;
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use tracing::warn;

use crate::state_machine::{DuplicateSku, OpeningStock, Sku, StockRecord};

/// A problem of the stock file. Displayed as one line: where, what and what is expected.
#[derive(Debug)]
pub struct StockFileError {
    /// The file, as the caller gave it.
    pub origin: String,
    /// The problem.
    pub problem: StockFileProblem,
}

/// What is wrong with a stock file.
#[derive(Debug)]
pub enum StockFileProblem {
    /// It does not exist or cannot be read.
    Unreadable(io::Error),
    /// A byte on this line is not UTF-8.
    NotUtf8 {
        /// Starts at 1.
        line: usize,
    },
    /// It is not JSON, or not an array of correct records.
    Malformed {
        /// Where the reader stopped; starts at 1.
        line: usize,
        /// Starts at 1, in bytes.
        column: usize,
        /// What is there and what is expected, with the SKU if it is known.
        reason: String,
    },
}

impl fmt::Display for StockFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = one_line(&self.origin);
        match &self.problem {
            StockFileProblem::Unreadable(error) => write!(
                f,
                "{origin}: the stock file cannot be read: {}; check the path and the permissions",
                one_line(&error.to_string()),
            ),
            StockFileProblem::NotUtf8 { line } => {
                write!(f, "{origin}:{line}: not UTF-8; save the stock file as UTF-8")
            }
            StockFileProblem::Malformed { line, column, reason } => {
                write!(f, "{origin}:{line}:{column}: {}", one_line(reason))
            }
        }
    }
}

impl std::error::Error for StockFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            StockFileProblem::Unreadable(error) => Some(error),
            StockFileProblem::NotUtf8 { .. } | StockFileProblem::Malformed { .. } => None,
        }
    }
}

/// The stock in this file.
///
/// # Errors
/// The first [`StockFileProblem`].
pub fn load(path: &Path) -> Result<OpeningStock, StockFileError> {
    let origin = path.display().to_string();
    let refuse = |problem| StockFileError { origin: origin.clone(), problem };
    let bytes = fs::read(path).map_err(|error| refuse(StockFileProblem::Unreadable(error)))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let text = error.as_bytes().split_at(error.utf8_error().valid_up_to()).0;
        refuse(StockFileProblem::NotUtf8 { line: text.split(|byte| *byte == b'\n').count() })
    })?;
    parse(&text, &origin)
}

/// The stock of `data/stock-data.json` at the time of the build.
///
/// # Panics
/// Never: a test reads the same text.
#[must_use]
pub fn embedded() -> OpeningStock {
    parse(include_str!("../data/stock-data.json"), "data/stock-data.json")
        .expect("a test reads the same text")
}

/// The stock in the text of a stock file, which may begin with a byte order mark. Errors call the
/// file `origin`.
///
/// # Errors
/// [`StockFileProblem::Malformed`] for the first problem.
pub fn parse(text: &str, origin: &str) -> Result<OpeningStock, StockFileError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let records = read(text, origin, None)?;
    OpeningStock::new(records).map_err(|DuplicateSku(sku)| {
        // Only the whole list shows a duplicate SKU. The text is read again to find the place.
        read(text, origin, Some(sku)).expect_err("each record on its own is correct")
    })
}

/// The maximum number of records that one warning names.
const MOST_NAMED: usize = 10;

/// Logs a warning for a stock without records, and one for records with more reserved than there
/// is.
pub fn log_warnings(stock: &OpeningStock) {
    if stock.records().is_empty() {
        warn!("the stock file has no records: every create fails for lack of stock");
    }
    let over: Vec<_> =
        stock.records().iter().filter(|record| record.reserved > record.total).collect();
    if !over.is_empty() {
        let named = over.iter().take(MOST_NAMED);
        let named = named
            .map(|StockRecord { sku, total, reserved }| format!("{sku} ({reserved} of {total})"));
        let mut records = named.collect::<Vec<_>>().join(", ");
        if over.len() > MOST_NAMED {
            records.push_str(", …");
        }
        warn!(skus = over.len(), records, "more is reserved than there is: nothing is available");
    }
}

/// The records of the text; an error if the SKU `unique` appears for the second time.
fn read(text: &str, origin: &str, unique: Option<Sku>) -> Result<Vec<StockRecord>, StockFileError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let records = Records { unique }.deserialize(&mut json);
    records.and_then(|records| json.end().map(|()| records)).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let said = error.to_string();
        // The place is moved to the start of the message.
        let place = format!(" at line {line} column {column}");
        let reason = said.strip_suffix(&place).unwrap_or(&said);
        let reason =
            if error.is_data() { reason.to_owned() } else { format!("not JSON: {reason}") };
        StockFileError {
            origin: origin.to_owned(),
            // serde_json counts the bytes it has read, which can be 0.
            problem: StockFileProblem::Malformed { line, column: column.max(1), reason },
        }
    })
}

/// The whole file.
struct Records {
    unique: Option<Sku>,
}

impl<'de> DeserializeSeed<'de> for Records {
    type Value = Vec<StockRecord>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Records {
    type Value = Vec<StockRecord>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of {RECORD}")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut records = Vec::new();
        let mut seen = false;
        while let Some(record) =
            array.next_element_seed(Record { duplicate: self.unique.filter(|_| seen) })?
        {
            seen |= self.unique == Some(record.sku);
            records.push(record);
        }
        Ok(records)
    }
}

/// The form of a record, for errors.
const RECORD: &str = r#"{"sku": …, "total_count": …, "reserved": …}"#;

/// One record, checked on its own.
struct Record {
    /// A SKU that must not appear again.
    duplicate: Option<Sku>,
}

impl<'de> DeserializeSeed<'de> for Record {
    type Value = StockRecord;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Record {
    type Value = StockRecord;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a record {RECORD}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let (mut sku, mut total, mut reserved) = (None, None, None);
        while let Some(field) = object.next_key()? {
            let number = object.next_value_seed(Number { field, sku })?;
            let slot = match field {
                Field::Sku => &mut sku,
                Field::TotalCount => &mut total,
                Field::Reserved => &mut reserved,
            };
            if slot.replace(number).is_some() {
                return Err(Error::custom(format_args!("`{field}`{} appears twice", Of(sku))));
            }
        }
        let missing = |field| Error::custom(format_args!("`{field}`{} is missing", Of(sku)));
        let record = StockRecord {
            sku: sku
                .and_then(|number| Sku::new(u32::try_from(number).ok()?))
                .ok_or_else(|| missing(Field::Sku))?,
            total: total.ok_or_else(|| missing(Field::TotalCount))?,
            reserved: reserved.ok_or_else(|| missing(Field::Reserved))?,
        };
        if self.duplicate == Some(record.sku) {
            return Err(Error::custom(format_args!(
                "SKU {} appears twice; use one record per SKU",
                record.sku
            )));
        }
        Ok(record)
    }
}

#[derive(Clone, Copy, serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Sku,
    TotalCount,
    Reserved,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sku => "sku",
            Self::TotalCount => "total_count",
            Self::Reserved => "reserved",
        })
    }
}

/// The value of a field.
#[derive(Clone, Copy)]
struct Number {
    field: Field,
    /// The SKU of the record, if it came before.
    sku: Option<u64>,
}

impl Number {
    fn range(self) -> RangeInclusive<u64> {
        match self.field {
            Field::Sku => 1..=u64::from(u32::MAX),
            Field::TotalCount | Field::Reserved => 0..=u64::MAX,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Number {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<u64, D::Error> {
        let text = <&RawValue>::deserialize(json)?.get();
        whole(text).filter(|number| self.range().contains(number)).ok_or_else(|| {
            let mut shown: String = text.chars().take(LONGEST_SHOWN).collect();
            if shown.len() < text.len() {
                shown.push('…');
            }
            let (least, most) = self.range().into_inner();
            Error::custom(format_args!(
                "`{}`{} cannot be {shown}; expected a whole number, {least} to {most}",
                self.field,
                Of(self.sku)
            ))
        })
    }
}

/// The maximum number of characters that are shown of a bad value.
const LONGEST_SHOWN: usize = 80;

/// The whole number that this JSON value is, in any spelling, such as `150.0` or `1.5e2`. Exact:
/// no floating point. `None` for any other value, and beyond 64 bits.
fn whole(json: &str) -> Option<u64> {
    if let Ok(plain) = json.parse() {
        return Some(plain);
    }
    let (mantissa, exponent) = json.split_once(['e', 'E']).unwrap_or((json, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let (negative, whole) = whole.strip_prefix('-').map_or((false, whole), |rest| (true, rest));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    let zeros = i64::try_from(digits.len() - significant.len()).ok()?;
    let fraction = i64::try_from(fraction.len()).ok()?;
    let power = exponent.parse::<i64>().ok()?.checked_add(zeros)?.checked_sub(fraction)?;
    // Below 0, digits are left behind the point.
    let factor = 10_u64.checked_pow(u32::try_from(power).ok()?)?;
    significant.parse::<u64>().ok()?.checked_mul(factor).filter(|_| !negative)
}

/// The SKU of a field, if it is known.
struct Of(Option<u64>);

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |sku| write!(f, " of SKU {sku}"))
    }
}

/// Without control characters, which could break the line or change the terminal.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}
