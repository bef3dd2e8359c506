//! The contract as rules. Each has the shortest program that checks it: the last step decides, the
//! steps before prepare it.
//!
//! `A` and `B` are SKUs with many units, `S` has few units and `N` has no stock record; `xall`
//! means all available units, `xmore` one more.

use super::compare::Facet;

/// A rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// The rule as text.
    pub(crate) name: &'static str,
    /// The steps; the first has number 1.
    pub(crate) program: &'static str,
    /// The facets of the last answer that the rule is about.
    pub(crate) facets: &'static [Facet],
    /// If it is broken, its facets are ignored in later checks.
    pub(crate) is_general: bool,
}

const ANSWER: &[Facet] = &[Facet::Outcome, Facet::Why, Facet::Field];
const OK: &[Facet] = &[Facet::Outcome];
const UNITS: &[Facet] = &[Facet::Units, Facet::Outcome];
const STATUS: &[Facet] = &[Facet::Status, Facet::Outcome];
const ITEMS: &[Facet] = &[Facet::Items];
const ID: &[Facet] = &[Facet::Id, Facet::Outcome];

const fn rule(name: &'static str, facets: &'static [Facet], program: &'static str) -> Rule {
    Rule { name, program, facets, is_general: false }
}

const fn general(name: &'static str, facets: &'static [Facet], program: &'static str) -> Rule {
    Rule { name, program, facets, is_general: true }
}

/// Rules about all answers of a kind; each is reported once.
const GENERAL: [Rule; 7] = [
    general("a refusal has an ErrorInfo", &[Facet::Why], "stock N"),
    general("INVALID_ARGUMENT names the field", &[Facet::Field], "stock 0"),
    general("a create returns the status", &[Facet::CreateStatus], "create user=1 Ax1"),
    general("OrderInfo returns the user", &[Facet::User], "create user=1 Ax1;info order#1"),
    general("OrderInfo returns the lines", ITEMS, "create user=1 Ax2;info order#1"),
    general(
        "OrderInfo returns createdAt and updatedAt",
        &[Facet::Times],
        "create user=1 Ax1;info order#1",
    ),
    general("order ids increase by one", ID, "create user=1 Ax1;create user=1 Ax1"),
];

const CREATE: [Rule; 19] = [
    rule("a create is OK", OK, "create user=1 Ax1"),
    rule("a create that fits awaits payment", STATUS, "create user=1 Ax1;info order#1"),
    rule("a create reserves its units", UNITS, "stock A;create user=1 Ax2;stock A"),
    rule("a create reserves every line", UNITS, "stock B;create user=1 Ax1 Bx2;stock B"),
    rule("an exact fit is reserved", STATUS, "stock S;create user=1 Sxall;info order#2"),
    rule("a create that is short is OK", OK, "create user=1 Sxmore"),
    rule(
        "a create that is short returns status failed",
        &[Facet::CreateStatus],
        "create user=1 Sxmore",
    ),
    rule("a create that is short fails", STATUS, "create user=1 Sxmore;info order#1"),
    rule(
        "a failed create returns the shortages",
        &[Facet::CreateShortages],
        "create user=1 Sxmore",
    ),
    rule(
        "OrderInfo returns the shortages",
        &[Facet::Shortages],
        "create user=1 Sxmore;info order#1",
    ),
    rule(
        "a failed order has reason OUT_OF_STOCK",
        &[Facet::Reason],
        "create user=1 Sxmore;info order#1",
    ),
    rule("a failed create reserves nothing", UNITS, "stock A;create user=1 Ax1 Sxmore;stock A"),
    rule("an unknown SKU fails the order, not the call", OK, "create user=1 Nx1"),
    rule(
        "an order of an unknown SKU is stored as failed",
        STATUS,
        "create user=1 Nx1;info order#1",
    ),
    rule("a failed create takes an id", ID, "create user=1 Sxmore;create user=1 Ax1"),
    rule("lines are returned by ascending SKU", ITEMS, "create user=1 Bx1 Ax1;info order#1"),
    rule("duplicate lines are returned merged", ITEMS, "create user=1 Ax1 Ax2;info order#1"),
    rule("duplicate lines reserve their sum", UNITS, "stock A;create user=1 Ax1 Ax2;stock A"),
    rule(
        "duplicate lines are checked as their sum",
        STATUS,
        "create user=1 Sxall Sx1;info order#1",
    ),
];

const INVALID: [Rule; 14] = [
    rule("the user is checked before the items", ANSWER, "create user=0"),
    rule("a create of user 0 is INVALID_ARGUMENT", ANSWER, "create user=0 Ax1"),
    rule("a create of a user below 0 is INVALID_ARGUMENT", ANSWER, "create user=-1 Ax1"),
    rule("a create of no items is INVALID_ARGUMENT", ANSWER, "create user=1"),
    rule("a line of SKU 0 is INVALID_ARGUMENT", ANSWER, "create user=1 Ax1 0x1"),
    rule("a line of count 0 is INVALID_ARGUMENT", ANSWER, "create user=1 Ax1 Bx0"),
    rule("a sum over u32 is INVALID_ARGUMENT", ANSWER, "create user=1 Ax4294967295 Ax1"),
    rule("a key over 255 bytes is INVALID_ARGUMENT", ANSWER, "create user=1 Ax1 key=k1:256"),
    rule("1,001 lines are INVALID_ARGUMENT", ANSWER, "create user=1 Ax1*1001"),
    rule(
        "an invalid create uses no id",
        ID,
        "create user=1 Ax1;create user=0 Ax1;create user=1 Ax1",
    ),
    rule("OrderInfo of order 0 is INVALID_ARGUMENT", ANSWER, "info id=0"),
    rule("a pay of order 0 is INVALID_ARGUMENT", ANSWER, "pay id=0"),
    rule("a cancel of order 0 is INVALID_ARGUMENT", ANSWER, "cancel id=0"),
    rule("StocksInfo of SKU 0 is INVALID_ARGUMENT", ANSWER, "stock 0"),
];

const MISSING: [Rule; 4] = [
    rule("OrderInfo of an unknown order is NOT_FOUND", ANSWER, "info id=9223372036854775807"),
    rule("a pay of an unknown order is NOT_FOUND", ANSWER, "pay id=9223372036854775807"),
    rule("a cancel of an unknown order is NOT_FOUND", ANSWER, "cancel id=9223372036854775807"),
    rule("StocksInfo of an unknown SKU is NOT_FOUND", ANSWER, "stock N"),
];

const PAY: [Rule; 10] = [
    rule(
        "a pay sets updatedAt",
        &[Facet::Times],
        "create user=1 Ax1;create user=1 Ax1;info order#2;pay order#1;info order#1",
    ),
    rule("a pay of an awaiting order is OK", OK, "create user=1 Ax1;pay order#1"),
    rule("a pay makes the order paid", STATUS, "create user=1 Ax1;pay order#1;info order#1"),
    rule(
        "a pay does not change the available units",
        UNITS,
        "create user=1 Ax2;stock A;pay order#1;stock A",
    ),
    rule("a pay of a paid order is OK", OK, "create user=1 Ax1;pay order#1;pay order#1"),
    rule(
        "a pay of a paid order changes nothing",
        UNITS,
        "create user=1 Ax2;pay order#1;stock A;pay order#1;stock A",
    ),
    rule(
        "a pay of a failed order is FAILED_PRECONDITION",
        ANSWER,
        "create user=1 Sxmore;info order#1;pay order#1",
    ),
    rule(
        "a pay of a cancelled order is FAILED_PRECONDITION",
        ANSWER,
        "create user=1 Ax1;cancel order#1;info order#1;pay order#1",
    ),
    rule(
        "a refused pay leaves the order cancelled",
        STATUS,
        "create user=1 Ax1;cancel order#1;pay order#1;info order#1",
    ),
    rule(
        "a paid order has no reason",
        &[Facet::Reason],
        "create user=1 Ax1;pay order#1;info order#1",
    ),
];

const CANCEL: [Rule; 13] = [
    rule(
        "a cancel sets updatedAt",
        &[Facet::Times],
        "create user=1 Ax1;create user=1 Ax1;info order#2;cancel order#1;info order#1",
    ),
    rule("a cancel of an awaiting order is OK", OK, "create user=1 Ax1;cancel order#1"),
    rule(
        "a cancel makes the order cancelled",
        STATUS,
        "create user=1 Ax1;cancel order#1;info order#1",
    ),
    rule(
        "a cancel has reason CANCELLED_BY_CLIENT",
        &[Facet::Reason],
        "create user=1 Ax1;cancel order#1;info order#1",
    ),
    rule("a cancel releases its units", UNITS, "create user=1 Ax2;stock A;cancel order#1;stock A"),
    rule(
        "a cancel releases every line",
        UNITS,
        "create user=1 Ax1 Bx2;stock B;cancel order#1;stock B",
    ),
    rule(
        "a cancel of a cancelled order is OK",
        OK,
        "create user=1 Ax1;cancel order#1;cancel order#1",
    ),
    rule(
        "a cancel of a cancelled order releases nothing",
        UNITS,
        "create user=1 Ax2;create user=1 Ax2;cancel order#1;stock A;cancel order#1;stock A",
    ),
    rule(
        "a cancel of a paid order is FAILED_PRECONDITION",
        ANSWER,
        "create user=1 Ax1;pay order#1;info order#1;cancel order#1",
    ),
    rule(
        "a refused cancel leaves the order paid",
        STATUS,
        "create user=1 Ax1;pay order#1;cancel order#1;info order#1",
    ),
    rule(
        "a cancel of a failed order is FAILED_PRECONDITION",
        ANSWER,
        "create user=1 Sxmore;info order#1;cancel order#1",
    ),
    rule(
        "a refused cancel does not change the stock",
        UNITS,
        "create user=1 Ax2;create user=1 Ax1 Sxmore;stock A;cancel order#2;stock A",
    ),
    rule(
        "a refused cancel leaves the order failed",
        STATUS,
        "create user=1 Sxmore;cancel order#1;info order#1",
    ),
];

const KEYS: [Rule; 9] = [
    rule("a key of 255 bytes is OK", OK, "create user=1 Ax1 key=k1:255"),
    rule(
        "keys that differ in the last byte are different",
        ID,
        "create user=1 Ax1 key=k1:255;create user=1 Ax2 key=k2:255",
    ),
    rule(
        "a used key returns the first order",
        ID,
        "create user=1 Ax1 key=k1;create user=1 Ax1 key=k1",
    ),
    rule(
        "a used key reserves nothing more",
        UNITS,
        "create user=1 Ax2 key=k1;stock A;create user=1 Ax2 key=k1;stock A",
    ),
    rule(
        "a used key with merged lines is the same",
        ID,
        "create user=1 Ax3 Bx1 key=k1;create user=1 Bx1 Ax1 Ax2 key=k1",
    ),
    rule(
        "a used key of a failed create returns that order",
        ID,
        "create user=1 Sxmore key=k1;create user=1 Sxmore key=k1",
    ),
    rule(
        "a used key returns the first answer",
        &[Facet::CreateStatus],
        "create user=1 Ax1 key=k1;cancel order#1;create user=1 Ax1 key=k1",
    ),
    rule(
        "a used key with other lines is ALREADY_EXISTS",
        ANSWER,
        "create user=1 Ax1 key=k1;create user=1 Ax2 key=k1",
    ),
    rule(
        "keys of different users are independent",
        ID,
        "create user=1 Ax1 key=k1;create user=2 Ax1 key=k1",
    ),
];

/// Every rule: general ones first, and each after those it depends on.
pub(crate) fn all() -> impl Iterator<Item = Rule> {
    let special = CREATE.into_iter().chain(INVALID).chain(MISSING).chain(PAY);
    GENERAL.into_iter().chain(special).chain(CANCEL).chain(KEYS)
}
