//! All tests of LOMS from outside: one binary, a module per matter.

mod expiry;
mod laws;
mod races;
mod script;
mod serving;
mod stories;
mod story;
mod tidy;
