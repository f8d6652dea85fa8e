//! The wire format, byte by byte.

#[path = "../common/mod.rs"]
mod common;
mod datagrams;
mod fixtures;
mod frames;
mod future;
mod golden;
mod later;
mod limits;
mod memory;
mod records;
