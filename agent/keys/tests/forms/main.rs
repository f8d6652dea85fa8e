//! The forms of keys, tokens, certificates and datagrams: their bytes, and their laws.

#![expect(clippy::unwrap_used, reason = "what cannot be set up has failed its test")]

mod bits;
mod datagrams;
mod fixtures;
mod globs;
mod golden;
mod members;
mod memory;
mod operators;
mod successions;
mod suites;
mod tokens;
