//! The HTTP door: `/metrics`, `/healthz` and `/readyz`, for those who watch over agents. It changes nothing.
//!
//! A connection has one request and ten seconds. The door asks the driver at most once a second, whatever is asked of it.

mod counters;
mod host;
mod routes;
pub(crate) mod server;
#[cfg(test)]
mod tests;

pub(crate) use counters::HttpCounters;
pub(crate) use server::{HttpDoor, HttpError};
