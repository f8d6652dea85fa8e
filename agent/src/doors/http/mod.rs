//! The HTTP door: `/metrics`, `/healthz` and `/readyz` for those who watch over agents, the agent's own API below `/v1/hobnob`,
//! what clients of Consul ask below the rest of `/v1`, targets for Prometheus at `/v1/sd/prometheus`, and the console at `/ui`.
//! `docs/HTTP.md` describes it.
//!
//! Each route is a thin translation of what the unix sockets answer. Connections, heads, bodies, waits and answers have limits.
//! What is beyond them is refused and counted.

mod access;
mod answer;
mod connection;
mod console;
mod consul;
mod counters;
mod events;
mod host;
mod limits;
mod own;
mod parameters;
mod prometheus;
mod read_ahead;
mod routes;
pub(crate) mod server;
mod stream;
#[cfg(test)]
mod tests;
mod tls;

pub(crate) use access::Access;
pub(crate) use counters::HttpCounters;
pub use server::HttpError;
pub(crate) use server::{HttpDoor, Listening};
