//! The commands that call a server: `loms stock`, `create`, `info`, `pay`, `cancel` and `health`.
//! They print answers to stdout, as text or as JSON, and errors to stderr, one line each.

mod health;

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use loms::client::{
    Client, ClientError, Credentials, Item, Options, Order, OrderPlaced, OrderStatus, Shortage,
};
use serde_json::{Value, json};
use tonic_health::pb::health_check_response::ServingStatus;

/// The end of `loms --help`. Scripts depend on the field names.
pub(crate) const LONG_HELP: &str = r#"With --json, each answer is one object on one line of stdout:
  stock        {"sku", "count"}, for each SKU
  create       {"orderID", "status", "shortages", "idempotencyKey"}
  info         {"orderID", "status", "user", "items", "createdAt", "updatedAt", "reason",
                "shortages"}
  pay, cancel  {"orderID", "status"}
  health       {"status"}
where items is [{"sku", "count"}] and shortages is [{"sku", "requested", "available"}]. This is
the JSON form of the Protobuf contract, with every field: 64-bit numbers are strings, times are
RFC 3339.

Exit codes:
  0  success; health: the server is SERVING
  1  the server refused the call or is unreachable, or the configuration or the stock file is
     invalid: a line on stderr says why. Also a create that fails for lack of stock: the order and
     its shortages are on stdout. `stock` with several SKUs shows those that the server knows
  2  wrong arguments"#;

/// How to call the server, and how to print the answer.
#[derive(Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Calling")]
pub(crate) struct CallFlags {
    /// Print answers as JSON, one object per line
    #[arg(long)]
    pub(crate) json: bool,
    /// Address of the server [default: loms.address of the configuration, http://localhost:50051]
    #[arg(long, value_name = "URL")]
    pub(crate) address: Option<String>,
    /// Authorities of the server, PEM, for an https address [default: none]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<String>,
    /// Certificate to show to the server, PEM [default: none]
    #[arg(long, value_name = "FILE")]
    pub(crate) cert: Option<String>,
    /// Private key of the certificate, PEM [default: none]
    #[arg(long, value_name = "FILE")]
    pub(crate) cert_key: Option<String>,
    /// File with the token to send to the server [default: none]
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<String>,
    /// Time limit of a call, including its retries [default: 5s; health --wait: 1m]
    #[arg(long, value_name = "DURATION", value_parser = positive_duration)]
    pub(crate) timeout: Option<Duration>,
}

impl CallFlags {
    /// These flags, overridden by the flags after the command.
    pub(crate) fn overridden_by(self, after: &Self) -> Self {
        Self {
            json: self.json || after.json,
            address: after.address.clone().or(self.address),
            ca: after.ca.clone().or(self.ca),
            cert: after.cert.clone().or(self.cert),
            cert_key: after.cert_key.clone().or(self.cert_key),
            token_file: after.token_file.clone().or(self.token_file),
            timeout: after.timeout.or(self.timeout),
        }
    }

    /// The keys that these flags override, with the new values.
    pub(crate) fn overrides(&self) -> Vec<(&'static str, String)> {
        let flags = [
            ("loms.address", &self.address),
            ("loms.ca", &self.ca),
            ("loms.cert", &self.cert),
            ("loms.cert_key", &self.cert_key),
            ("loms.token_file", &self.token_file),
        ];
        flags.into_iter().filter_map(|(key, text)| Some((key, text.clone()?))).collect()
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Show the available units of SKUs
    Stock {
        /// One or more SKUs
        #[arg(required = true, value_name = "SKU", value_parser = parse_sku)]
        skus: Vec<u32>,
        #[command(flatten)]
        flags: CallFlags,
    },
    /// Place an order
    Create {
        /// The user who orders
        #[arg(long, allow_negative_numbers = true, value_parser = parse_id)]
        user: i64,
        /// Idempotency key: creates with the same key place one order [default: random]
        #[arg(long)]
        key: Option<String>,
        /// Lines, such as 1002:2. Lines of the same SKU are added up
        #[arg(required = true, value_name = "SKU:COUNT", value_parser = parse_item)]
        items: Vec<Item>,
        #[command(flatten)]
        flags: CallFlags,
    },
    /// Show an order
    Info(OrderArgs),
    /// Mark an order as paid
    Pay(OrderArgs),
    /// Cancel an order
    Cancel(OrderArgs),
    /// Ask whether the server is serving: exit code 0, or 1 if not
    Health {
        /// Wait until the server is serving
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        flags: CallFlags,
    },
}

/// The arguments of a command for one order.
#[derive(Debug, Args)]
pub(crate) struct OrderArgs {
    /// The id of the order
    #[arg(allow_negative_numbers = true, value_parser = parse_id)]
    id: i64,
    #[command(flatten)]
    flags: CallFlags,
}

impl ClientCommand {
    /// The flags after the command.
    pub(crate) fn flags(&self) -> &CallFlags {
        match self {
            Self::Stock { flags, .. } | Self::Create { flags, .. } | Self::Health { flags, .. } => {
                flags
            }
            Self::Info(order) | Self::Pay(order) | Self::Cancel(order) => &order.flags,
        }
    }
}

fn parse_item(text: &str) -> Result<Item, String> {
    let (sku, count) = text.split_once(':').ok_or("use SKU:COUNT, such as 1002:2")?;
    let count = count
        .parse()
        .map_err(|_invalid| format!("COUNT must be a whole number from 0 to {}", u32::MAX))?;
    Ok(Item { sku: parse_sku(sku)?, count })
}

/// The server refuses 0 with its own message.
fn parse_sku(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_invalid| format!("SKU must be a whole number from 0 to {}", u32::MAX))
}

/// The server refuses 0 and negative ids with its own message.
fn parse_id(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_invalid| format!("must be a whole number up to {}", i64::MAX))
}

/// A duration above 0.
fn positive_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; use a duration such as 500ms or 5s"))?;
    if duration.is_zero() { Err("must be above 0".to_owned()) } else { Ok(duration) }
}

/// What to do about an unreachable server.
const ADDRESS_ADVICE: &str = "; start a server there with `loms`, or set --address or LOMS_ADDRESS";

/// Runs the command against the server at this address.
pub(crate) fn run(
    command: ClientCommand,
    flags: &CallFlags,
    address: &str,
    credentials: &Credentials,
) -> ExitCode {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            print_error(&format!("cannot start the tokio runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(call(command, flags, address, credentials)) {
        Ok(code) => code,
        Err(CommandError::Output(error)) => {
            print_error(&format!("cannot write the answer: {error}"));
            ExitCode::FAILURE
        }
        Err(CommandError::Call { error, advice }) => {
            let (prefix, more_advice) = match error {
                ClientError::Unreachable { .. } => (format!("{address}: "), ADDRESS_ADVICE),
                ClientError::DeadlineExceeded { .. } => {
                    (format!("{address}: "), "; --timeout sets a longer limit")
                }
                ClientError::Refused(_) | ClientError::Address { .. } => (String::new(), ""),
            };
            print_error(&format!("{prefix}{error}{advice}{more_advice}"));
            ExitCode::FAILURE
        }
    }
}

/// Why a command failed.
enum CommandError {
    Call { error: ClientError, advice: String },
    Output(io::Error),
}

impl From<ClientError> for CommandError {
    fn from(error: ClientError) -> Self {
        Self::Call { error, advice: String::new() }
    }
}

async fn call(
    command: ClientCommand,
    flags: &CallFlags,
    address: &str,
    credentials: &Credentials,
) -> Result<ExitCode, CommandError> {
    let mut options = Options::default();
    options.deadline = flags.timeout.unwrap_or(options.deadline);
    let client = Client::lazy_with(address, options, credentials)?;
    match command {
        ClientCommand::Stock { skus, .. } => stock(&client, &skus, flags.json).await,
        ClientCommand::Create { user, key, items, .. } => {
            create(&client, user, key, &items, flags.json).await
        }
        ClientCommand::Info(OrderArgs { id, .. }) => {
            let order = client.order(id).await?;
            let order = if flags.json { order_json(id, &order) } else { order_text(id, &order) };
            show(&order)
        }
        ClientCommand::Pay(OrderArgs { id, .. }) => {
            client.pay(id).await?;
            show(&status(id, &OrderStatus::Paid, flags.json))
        }
        ClientCommand::Cancel(OrderArgs { id, .. }) => {
            client.cancel(id).await?;
            show(&status(id, &OrderStatus::Cancelled, flags.json))
        }
        ClientCommand::Health { wait, .. } => {
            let status = health::status(address, credentials, wait, flags.timeout).await?;
            let name = status.as_str_name();
            let json = json!({ "status": name });
            show(&if flags.json { line(&json) } else { format!("{name}\n") })?;
            let is_serving = status == ServingStatus::Serving;
            Ok(if is_serving { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// Continues after a SKU that the server refuses, but not after any other error.
async fn stock(client: &Client, skus: &[u32], json: bool) -> Result<ExitCode, CommandError> {
    let mut code = ExitCode::SUCCESS;
    let width = skus.iter().map(|sku| sku.to_string().len()).max().unwrap_or_default();
    for sku in skus {
        match client.stock(*sku).await {
            Ok(available) if json => {
                show(&line(&json!({ "sku": sku, "count": available.to_string() })))?;
            }
            Ok(available) => {
                show(&format!("{sku:<width$}  {available} available\n"))?;
            }
            Err(refused @ ClientError::Refused(_)) => {
                print_error(&refused.to_string());
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
) -> Result<ExitCode, CommandError> {
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
            let advice = format!("; the order may exist, so retry with --key {key}");
            return Err(CommandError::Call { error, advice });
        }
    };
    show(&if json { placed_json(&placed, &key) } else { placed_text(&placed) })?;
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
        "orderID": placed.order_id.to_string(),
        "status": placed.status.to_string(),
        "shortages": shortages_json(&placed.shortages),
        "idempotencyKey": key,
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
        "orderID": id.to_string(),
        "status": order.status.to_string(),
        "user": order.user.to_string(),
        "items": items.collect::<Vec<Value>>(),
        "createdAt": order.created_at.and_then(rfc3339),
        "updatedAt": order.updated_at.and_then(rfc3339),
        "reason": order.reason.as_ref().map_or_else(String::new, ToString::to_string),
        "shortages": shortages_json(&order.shortages),
    }))
}

fn status(id: i64, status: &OrderStatus, json: bool) -> String {
    if json {
        line(&json!({ "orderID": id.to_string(), "status": status.to_string() }))
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
        let (requested, available) = (requested.to_string(), available.to_string());
        json!({ "sku": sku, "requested": requested, "available": available })
    };
    shortages.iter().map(object).collect()
}

/// A table of numbers, aligned to the right.
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

/// The time in UTC; `None` outside the years 1970 to 9999.
fn rfc3339(time: SystemTime) -> Option<String> {
    let mut text = String::new();
    write!(text, "{}", humantime::format_rfc3339(time)).ok()?;
    Some(text)
}

fn show(text: &str) -> Result<ExitCode, CommandError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        // The reader closed the pipe, as `head` does. The call itself succeeded.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(CommandError::Output(error)),
    }
}

/// Prints one line to stderr. A closed stderr is no reason to fail.
pub(crate) fn print_error(problem: &str) {
    let _ = writeln!(io::stderr(), "loms: {problem}");
}
