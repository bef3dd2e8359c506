//! The commands that call a LOMS: `loms stock`, `create`, `info`, `pay` and `cancel`. Answers go
//! to stdout, as text or as JSON, and complaints to stderr, one line each.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use loms::client::{Client, ClientError, Item, Options, Order, OrderPlaced, OrderStatus, Shortage};
use serde_json::{Value, json};

use crate::complain;

/// What `loms --help` tells at its end; the field names are a promise to scripts.
pub(crate) const LONG_HELP: &str = r#"With --json each answer is one object on one line of stdout:
  stock        {"sku", "available"}, for each SKU
  create       {"order_id", "status", "shortages", "key"}
  info         {"order_id", "status", "user", "items", "created_at", "updated_at", "reason",
                "shortages"}
  pay, cancel  {"order_id", "status"}
where items are [{"sku", "count"}] and shortages [{"sku", "requested", "available"}]; status is
as on the wire, times are RFC 3339, reason is null for an order that needs none.

Exit codes:
  0  done
  1  refused, failed or not reachable, or a setting or the stock file is no good, whether it stands
     in a file, a variable or a flag: a line on stderr says why. Also a create whose order ends up
     failed: the order and its shortages are on stdout, whether the server answers with it or is
     set to refuse it. Of several SKUs, those that are answered are shown
  2  the command line makes no sense"#;

/// How to call, and how to show the answer.
#[derive(Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Calling")]
pub(crate) struct CallFlags {
    /// Show answers as JSON, one object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Where LOMS is [default: loms.address of the configuration, http://localhost:50051]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) address: Option<String>,
    /// How long a call may take with its retries [default: 5s]
    #[arg(long, global = true, value_name = "DURATION", value_parser = positive)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Show how many units can still be promised
    Stock {
        /// Stock keeping units
        #[arg(required = true, value_name = "SKU")]
        skus: Vec<u32>,
    },
    /// Place an order
    Create {
        /// The buyer
        #[arg(long, allow_negative_numbers = true)]
        user: i64,
        /// Makes it safe to send again: the same key places no second order [default: random]
        #[arg(long)]
        key: Option<String>,
        /// Lines, such as 1002:2; several lines of one SKU are added up
        #[arg(required = true, value_name = "SKU:COUNT", value_parser = parse_item)]
        items: Vec<Item>,
    },
    /// Show an order
    Info {
        /// The order
        #[arg(allow_negative_numbers = true)]
        id: i64,
    },
    /// Mark an order as paid
    Pay {
        /// The order
        #[arg(allow_negative_numbers = true)]
        id: i64,
    },
    /// Cancel an order
    Cancel {
        /// The order
        #[arg(allow_negative_numbers = true)]
        id: i64,
    },
}

fn parse_item(text: &str) -> Result<Item, String> {
    let (sku, count) = text.split_once(':').ok_or("write SKU:COUNT, such as 1002:2")?;
    let number = |what: &str, text: &str| {
        let range = format!("{what} is a number from 0 to {}", u32::MAX);
        text.parse().map_err(|_invalid| range)
    };
    Ok(Item { sku: number("SKU", sku)?, count: number("COUNT", count)? })
}

/// What to do about a LOMS that cannot be reached.
const WHERE_IT_IS: &str =
    "; start one there with `loms`, or say with --address or LOMS_ADDRESS where it is";

/// A time that calls may take.
fn positive(text: &str) -> Result<Duration, String> {
    let span = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if span.is_zero() { Err("it has to be above 0".to_owned()) } else { Ok(span) }
}

/// Calls the LOMS at this address.
pub(crate) fn run(command: ClientCommand, flags: &CallFlags, address: &str) -> ExitCode {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("the system gives no event queue: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(call(command, flags, address)) {
        Ok(code) => code,
        Err(Stop::Output(error)) => {
            complain(&format!("cannot write the answer: {error}"));
            ExitCode::FAILURE
        }
        Err(Stop::Call { error, advice }) => {
            let (at, mend) = match error {
                ClientError::Unreachable { .. } => (format!("{address}: "), WHERE_IT_IS),
                ClientError::DeadlineExceeded { .. } => {
                    (format!("{address}: "), "; --timeout gives it longer")
                }
                ClientError::Refused(_) | ClientError::Address { .. } => (String::new(), ""),
            };
            complain(&format!("{at}{error}{advice}{mend}"));
            ExitCode::FAILURE
        }
    }
}

/// Why a command goes no further.
enum Stop {
    Call { error: ClientError, advice: String },
    Output(io::Error),
}

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Self {
        Self::Call { error, advice: String::new() }
    }
}

async fn call(command: ClientCommand, flags: &CallFlags, address: &str) -> Result<ExitCode, Stop> {
    let mut options = Options::default();
    options.deadline = flags.timeout.unwrap_or(options.deadline);
    let client = Client::lazy(address, options)?;
    match command {
        ClientCommand::Stock { skus } => stock(&client, &skus, flags.json).await,
        ClientCommand::Create { user, key, items } => {
            create(&client, user, key, &items, flags.json).await
        }
        ClientCommand::Info { id } => {
            let order = client.order(id).await?;
            let order = if flags.json { order_json(id, &order) } else { order_text(id, &order) };
            show(&order)
        }
        ClientCommand::Pay { id } => {
            client.pay(id).await?;
            show(&status(id, &OrderStatus::Paid, flags.json))
        }
        ClientCommand::Cancel { id } => {
            client.cancel(id).await?;
            show(&status(id, &OrderStatus::Cancelled, flags.json))
        }
    }
}

/// A SKU that is refused does not hide the others; a server that cannot be reached does.
async fn stock(client: &Client, skus: &[u32], json: bool) -> Result<ExitCode, Stop> {
    let mut code = ExitCode::SUCCESS;
    let width = skus.iter().map(|sku| sku.to_string().len()).max().unwrap_or_default();
    for sku in skus {
        match client.stock(*sku).await {
            Ok(available) if json => {
                show(&line(&json!({ "sku": sku, "available": available })))?;
            }
            Ok(available) => {
                show(&format!("{sku:<width$}  {available} available\n"))?;
            }
            Err(refused @ ClientError::Refused(_)) => {
                complain(&refused.to_string());
                code = ExitCode::FAILURE;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(code)
}

async fn create(
    client: &Client,
    user: i64,
    key: Option<String>,
    items: &[Item],
    json: bool,
) -> Result<ExitCode, Stop> {
    let key = match key {
        Some(key) if !key.is_empty() => key,
        Some(_) | None => loms::client::idempotency_key(),
    };
    let placed = match client.create(user, items, Some(&key)).await {
        Ok(placed) => placed,
        Err(ClientError::Refused(mut refusal)) => match refusal.placed.take() {
            Some(placed) => placed,
            None => return Err(ClientError::Refused(refusal).into()),
        },
        Err(error) => {
            let advice = format!("; the order may be there, so ask again with --key {key}");
            return Err(Stop::Call { error, advice });
        }
    };
    let shown = if json { placed_json(&placed, &key) } else { placed_text(&placed) };
    show(&shown)?;
    Ok(match placed.status {
        OrderStatus::Failed => ExitCode::FAILURE,
        OrderStatus::New
        | OrderStatus::AwaitingPayment
        | OrderStatus::Paid
        | OrderStatus::Cancelled
        | OrderStatus::Unknown(_) => ExitCode::SUCCESS,
    })
}

fn placed_text(placed: &OrderPlaced) -> String {
    status(placed.order_id, &placed.status, false) + &shortages_table(&placed.shortages)
}

fn placed_json(placed: &OrderPlaced, key: &str) -> String {
    line(&json!({
        "order_id": placed.order_id,
        "status": placed.status.to_string(),
        "shortages": shortages_json(&placed.shortages),
        "key": key,
    }))
}

fn order_text(id: i64, order: &Order) -> String {
    let mut text = format!("order {id}: {}", order.status);
    if let Some(reason) = &order.reason {
        text += &format!(" ({reason})");
    }
    text += &format!("\n  user     {}\n", order.user);
    for (what, time) in [("created", order.created_at), ("updated", order.updated_at)] {
        if let Some(time) = time.and_then(rfc3339) {
            text += &format!("  {what}  {time}\n");
        }
    }
    let items = order.items.iter().map(|item| [u64::from(item.sku), u64::from(item.count)]);
    text + &table(["SKU", "COUNT"], items) + &shortages_table(&order.shortages)
}

fn order_json(id: i64, order: &Order) -> String {
    let items = order.items.iter().map(|item| json!({ "sku": item.sku, "count": item.count }));
    line(&json!({
        "order_id": id,
        "status": order.status.to_string(),
        "user": order.user,
        "items": items.collect::<Vec<Value>>(),
        "created_at": order.created_at.and_then(rfc3339),
        "updated_at": order.updated_at.and_then(rfc3339),
        "reason": order.reason.as_ref().map(ToString::to_string),
        "shortages": shortages_json(&order.shortages),
    }))
}

fn status(id: i64, status: &OrderStatus, json: bool) -> String {
    if json {
        line(&json!({ "order_id": id, "status": status.to_string() }))
    } else {
        format!("order {id}: {status}\n")
    }
}

fn shortages_table(shortages: &[Shortage]) -> String {
    if shortages.is_empty() {
        return String::new();
    }
    let row = |short: &Shortage| [u64::from(short.sku), short.requested, short.available];
    table(["SHORT SKU", "REQUESTED", "AVAILABLE"], shortages.iter().map(row))
}

fn shortages_json(shortages: &[Shortage]) -> Value {
    let object = |short: &Shortage| {
        let Shortage { sku, requested, available } = short;
        json!({ "sku": sku, "requested": requested, "available": available })
    };
    shortages.iter().map(object).collect()
}

/// Numbers under their headings, aligned to the right.
fn table<const N: usize>(headings: [&str; N], rows: impl Iterator<Item = [u64; N]>) -> String {
    let mut lines = vec![headings.map(ToOwned::to_owned)];
    lines.extend(rows.map(|row| row.map(|number| number.to_string())));
    let widths: [usize; N] =
        std::array::from_fn(|at| lines.iter().map(|line| line[at].len()).max().unwrap_or_default());
    let mut text = String::new();
    for line in lines {
        for (cell, width) in line.iter().zip(widths) {
            text += &format!("  {cell:>width$}");
        }
        text.push('\n');
    }
    text
}

fn line(object: &Value) -> String {
    format!("{object}\n")
}

/// The moment in UTC; `None` outside the years 1970 to 9999.
fn rfc3339(time: SystemTime) -> Option<String> {
    let mut text = String::new();
    write!(text, "{}", humantime::format_rfc3339(time)).ok()?;
    Some(text)
}

fn show(text: &str) -> Result<ExitCode, Stop> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        // Whoever read the answers has seen enough, as `head` does; the call was made all the
        // same, and the exit code tells of that.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Stop::Output(error)),
    }
}
