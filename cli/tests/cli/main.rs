//! The binary from outside: what it prints, asks and exits with.

#![expect(clippy::unwrap_used, reason = "what cannot be set up or parsed has failed its test")]

mod commands;
mod configuration;
mod dev;
#[path = "../terminal/mod.rs"]
mod emulator;
mod history;
mod image;
mod keys;
mod model;
mod orders;
mod packaging;
mod support;
mod terminal;
mod usage;
mod vocabulary;
mod watching;
