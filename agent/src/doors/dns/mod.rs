//! The DNS door: services, members and addresses by name, over UDP and TCP. It changes nothing.
//!
//! ```text
//!  bytes --> message --> names --> zone --> search --> answer --> bytes
//!                          |                 ^
//!                          |                 +-- queries::ordered, directory
//!                          +-- names of others --> forwarding
//! ```
//!
//! The catalog is in memory, so a query over UDP is answered before the next one is read. What waits is bounded: connections,
//! questions to other servers, and questions that take a look at all instances.

mod aliases;
mod answer;
mod counters;
mod directory;
mod forwarding;
mod instances;
mod message;
mod names;
mod naming;
mod outgoing;
mod records;
mod sample;
mod search;
pub(crate) mod server;
mod taking;
mod tcp;
#[cfg(test)]
mod tests;
mod texts;
mod udp;
mod zone;

pub(crate) use counters::DnsCounters;
pub use sample::DnsSample;
pub(crate) use server::{DnsDoor, DnsError};
