//! The simulator. So far only the contract's words and the model that will judge by them.
#![cfg_attr(
    not(test),
    expect(dead_code, reason = "nothing but the tests drives the model yet")
)]

mod contract;
mod model;

fn main() {}
