//! The wire format, byte by byte.

mod datagrams;
mod fixtures;
mod frames;
mod future;
mod golden;
mod later;
mod limits;
mod memory;
mod records;
