//! The DNS door: services, members and addresses by name, over UDP and TCP. It changes nothing.
//!
//! ```text
//!  bytes --> message --> names --> zone --> answer --> bytes
//!                          |        ^
//!                          |        +-- queries::ordered, directory
//!                          +-- names of others --> forwarding
//! ```
//!
//! The catalog is in memory, so a query over UDP is answered before the next one is read. What waits for the network is bounded:
//! connections, and questions to other servers.

mod answer;
mod counters;
mod directory;
mod forwarding;
mod instances;
mod message;
mod names;
pub(crate) mod server;
mod taking;
mod tcp;
#[cfg(test)]
mod tests;
mod texts;
mod udp;
mod zone;

pub(crate) use counters::DnsCounters;
pub(crate) use server::{DnsDoor, DnsError};
