//! Programs as text: calls separated by semicolons or line ends, with an optional `@T` that moves
//! time and the expected answer after `=>`. `contract.rs` has the rules of the contract, `bugs.rs`
//! a program for each planted bug, `laws.rs` long random programs.

mod bugs;
mod contract;
mod laws;

use super::{Bug, ContainerSizes, Model, World};
use crate::model::contract::{Answer, Call, Limits, OrderInfo, Shortage, Status};

/// Runs the program and compares every answer with the expected one.
#[track_caller]
fn story(text: &str) {
    let (world, calls) = parse(text);
    let mut model = Model::new(&world, None);
    let answers = run(&mut model, &calls);
    let expected: Vec<_> = calls.iter().map(|call| call.answer.clone()).collect();
    let paired = |answers: &[String]| {
        let lines = calls.iter().zip(answers);
        lines.map(|(call, answer)| format!("{} => {answer}\n", call.text)).collect::<String>()
    };
    assert_eq!(paired(&answers), paired(&expected));
}

/// A line of a program.
struct Line {
    text: String,
    answer: String,
}

/// The world and the calls of a program; its first line may be `world 1=10/2 timeout=100 …`.
fn parse(text: &str) -> (World, Vec<Line>) {
    let mut world = World {
        stock: vec![(1, 10, 2), (2, 5, 0)],
        payment_timeout: 100,
        idempotency_window: 1000,
        max_lines: 4,
        limits: Limits::default(),
        sizes: ContainerSizes::Shipped,
    };
    let mut lines = Vec::new();
    for line in text.split(['\n', ';']).map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(words) = line.strip_prefix("world ") {
            read_world(&mut world, words);
            continue;
        }
        let (text, answer) = line.split_once("=>").unwrap_or((line, ""));
        lines.push(Line { text: text.trim().to_owned(), answer: answer.trim().to_owned() });
    }
    (world, lines)
}

fn read_world(world: &mut World, words: &str) {
    world.stock.clear();
    for word in words.split_whitespace() {
        let (name, value) = word.split_once('=').unwrap();
        match name {
            "timeout" => world.payment_timeout = value.parse().unwrap(),
            "window" => world.idempotency_window = value.parse().unwrap(),
            "max" => world.max_lines = value.parse().unwrap(),
            limit if read_limit(&mut world.limits, limit, value) => {}
            sku => {
                let (total, base) = value.split_once('/').unwrap();
                world.stock.push((
                    sku.parse().unwrap(),
                    total.parse().unwrap(),
                    base.parse().unwrap(),
                ));
            }
        }
    }
}

/// Reads a limit. Returns whether the name is one.
fn read_limit(limits: &mut Limits, name: &str, value: &str) -> bool {
    match name {
        "keep" => limits.keep = value.parse().unwrap(),
        "keep_failed" => limits.keep_failed = value.parse().unwrap(),
        "retry_failed" => limits.retry_failed = value.parse().unwrap(),
        "max_bytes" => limits.max_bytes = value.parse().unwrap(),
        "open_orders" => limits.open_orders = value.parse().unwrap(),
        _ => return false,
    }
    true
}

fn run(model: &mut Model, lines: &[Line]) -> Vec<String> {
    let mut at = 0;
    lines.iter().map(|line| text(&call(model, &mut at, &line.text))).collect()
}

fn call(model: &mut Model, at: &mut u64, text: &str) -> Answer {
    let mut words = text.split_whitespace().peekable();
    if let Some(time) = words.peek().unwrap().strip_prefix('@') {
        *at = time.parse().unwrap();
        words.next();
    }
    let name = words.next().unwrap();
    let newest = model.orders();
    let mut number = || match words.next().unwrap() {
        "newest" => newest.to_string(),
        word => word.to_owned(),
    };
    match name {
        "create" => {
            let user = number().parse().unwrap();
            let (mut items, mut key) = (Vec::new(), String::new());
            for word in words {
                if let Some(word) = word.strip_prefix("key=") {
                    word.clone_into(&mut key);
                } else if let Some(bytes) = word.strip_prefix("key*") {
                    key = "k".repeat(bytes.parse().unwrap());
                } else {
                    let (sku, count) = word.split_once(':').unwrap();
                    items.push((sku.parse().unwrap(), count.parse().unwrap()));
                }
            }
            model.answer(*at, Call::Create { user, items: &items, key: &key })
        }
        "info" => model.answer(*at, Call::Info(number().parse().unwrap())),
        "pay" => model.answer(*at, Call::Pay(number().parse().unwrap())),
        "cancel" => model.answer(*at, Call::Cancel(number().parse().unwrap())),
        "stock" => model.answer(*at, Call::Stock(number().parse().unwrap())),
        "tick" => model.answer(*at, Call::Tick),
        "rules" => {
            let (timeout, window) = (number().parse().unwrap(), number().parse().unwrap());
            let mut limits = Limits::default();
            for (name, value) in words.map(|word| word.split_once('=').unwrap()) {
                assert!(read_limit(&mut limits, name, value), "no limit {name:?}");
            }
            model.answer(*at, Call::ChangeRules { timeout, window, limits })
        }
        name => panic!("no call {name:?}"),
    }
}

fn text(answer: &Answer) -> String {
    match answer {
        Answer::Created { order, status, shortages } => {
            format!("order {order} {}{}", status_text(*status), shortages_text(shortages))
        }
        Answer::Order(order) => order_text(order),
        Answer::Done => "ok".to_owned(),
        Answer::Stock(count) => count.to_string(),
        Answer::Refused(refusal) => format!("refused: {refusal:?}"),
    }
}

fn order_text(order: &OrderInfo) -> String {
    let items: Vec<_> = order.items.iter().map(|(sku, count)| format!("{sku}:{count}")).collect();
    format!(
        "{} {:?}, user {}, {}, created @{}, set @{}{}",
        status_text(order.status),
        order.reason,
        order.user,
        items.join(" "),
        order.created_at,
        order.updated_at,
        shortages_text(&order.shortages),
    )
}

fn status_text(status: Status) -> &'static str {
    match status {
        Status::AwaitingPayment => "awaiting",
        Status::Failed => "failed",
        Status::Paid => "paid",
        Status::Cancelled => "cancelled",
    }
}

fn shortages_text(shortages: &[Shortage]) -> String {
    let short = |of: &Shortage| format!(", short {}: {} of {}", of.sku, of.requested, of.available);
    shortages.iter().map(short).collect()
}
