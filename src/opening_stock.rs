//! The stock file: what is in the building when the service opens.
//!
//! A JSON array of `{"sku": …, "total_count": …, "reserved": …}`, all three whole numbers and all
//! three required. An empty array is a shop with nothing to sell. Start at [`load`]; [`embedded`]
//! is the stock that the binary carries.
//!
//! Whatever is wrong is refused, in one line that says where; nothing is mended by guessing.

use std::fmt;
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};

use crate::state_machine::{OpeningStock, OpeningStockError, Sku, StockRecord};

/// Why a stock file is refused. Its display is one line: where, what, and what would be right.
#[derive(Debug)]
pub struct StockFileError {
    /// The file, as the caller named it.
    pub origin: String,
    /// What is wrong with it.
    pub problem: StockFileProblem,
}

/// What is wrong with a stock file.
#[derive(Debug)]
pub enum StockFileProblem {
    /// It is missing, or cannot be read.
    Unreadable(io::Error),
    /// Text, up to a byte on this line that is not UTF-8.
    NotUtf8 {
        /// From 1.
        line: usize,
    },
    /// It is not JSON, or not an array of records as they should be.
    Malformed {
        /// From 1: where reading stopped.
        line: usize,
        /// From 1, in bytes.
        column: usize,
        /// What stands there, and what should; it names the SKU where that is known.
        reason: String,
    },
}

impl fmt::Display for StockFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = one_line(&self.origin);
        match &self.problem {
            StockFileProblem::Unreadable(error) => write!(
                f,
                "{origin}: the stock file cannot be read: {}; mend the path or the permissions",
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

/// The stock that the file holds.
///
/// # Errors
/// See [`StockFileProblem`]; the first thing wrong is told.
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

/// The stock that `data/stock-data.json` held when the binary was built.
///
/// # Panics
/// Never: a test reads it.
#[must_use]
pub fn embedded() -> OpeningStock {
    parse(include_str!("../data/stock-data.json"), "data/stock-data.json")
        .expect("a test reads the very text that is embedded")
}

/// The stock that the text of a stock file holds. `origin` is what errors call the file.
///
/// # Errors
/// [`StockFileProblem::Malformed`]; the first thing wrong is told.
pub fn parse(text: &str, origin: &str) -> Result<OpeningStock, StockFileError> {
    let records = read(text, origin, None)?;
    OpeningStock::new(records).map_err(|error| {
        let (OpeningStockError::DuplicateSku(sku)
        | OpeningStockError::OverReserved(StockRecord { sku, .. })) = error;
        // Only the whole list shows that a SKU stands in it twice. To name the place as well,
        // the text is read again up to there.
        read(text, origin, Some(sku)).expect_err("each record alone was found to be good")
    })
}

/// The records of the text; with `once`, refused where that SKU comes a second time.
fn read(text: &str, origin: &str, once: Option<Sku>) -> Result<Vec<StockRecord>, StockFileError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let records = Records { once }.deserialize(&mut json);
    records.and_then(|records| json.end().map(|()| records)).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let said = error.to_string();
        // The place is told in front, as compilers do.
        let place = format!(" at line {line} column {column}");
        let reason = said.strip_suffix(&place).unwrap_or(&said);
        let reason =
            if error.is_data() { reason.to_owned() } else { format!("not JSON: {reason}") };
        StockFileError {
            origin: origin.to_owned(),
            // serde_json gives the column of what it has read, 0 where that is nothing.
            problem: StockFileProblem::Malformed { line, column: column.max(1), reason },
        }
    })
}

/// The whole file.
struct Records {
    once: Option<Sku>,
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
        let mut met = false;
        while let Some(record) =
            array.next_element_seed(Record { refused: self.once.filter(|_| met) })?
        {
            met |= self.once == Some(record.sku);
            records.push(record);
        }
        Ok(records)
    }
}

/// What a record looks like, for whoever has to mend one.
const RECORD: &str = r#"{"sku": …, "total_count": …, "reserved": …}"#;

/// One record, good in itself.
struct Record {
    /// A SKU that has had its record.
    refused: Option<Sku>,
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
                return Err(Error::custom(format_args!("`{field}`{} stands there twice", Of(sku))));
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
        if record.reserved > record.total {
            return Err(Error::custom(format_args!(
                "{}; `reserved` can be at most `total_count`",
                OpeningStockError::OverReserved(record)
            )));
        }
        if self.refused == Some(record.sku) {
            return Err(Error::custom(format_args!(
                "{}; one record should hold all of it",
                OpeningStockError::DuplicateSku(record.sku)
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
    /// The record's SKU, if that came before.
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
        json.deserialize_u64(self)
    }
}

impl Visitor<'_> for Number {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = self.range().into_inner();
        write!(f, "`{}`{} to be a whole number, {least} to {most}", self.field, Of(self.sku))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        if self.range().contains(&number) {
            Ok(number)
        } else {
            Err(E::invalid_value(Unexpected::Unsigned(number), &self))
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
        Err(E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<u64, E> {
        Err(E::invalid_value(Unexpected::Float(number), &self))
    }
}

/// Whose field it is, where that is known.
struct Of(Option<u64>);

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |sku| write!(f, " of SKU {sku}"))
    }
}

/// Without what would break a line or colour a terminal.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}
