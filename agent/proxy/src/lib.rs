//! The local proxy of Hobnob: what is sent to a local address goes to an instance of a service.
//!
//! A [`Proxy`] has a route for each service. It follows the service through the agent beside it, picks in process, and
//! goes on with the last known instances while the agent is away. Calls are made by
//! [`Discovery`](hobnob_api::discovery::Discovery), which tries them again and keeps the circuits.
//!
//! ```text
//! listener --> connection (HTTP/1.1 or HTTP/2) --> forward --> Discovery::call_with --> instance
//!          \-> tcp (PROXY protocol)            --> Discovery::connect --------------^
//! ```
//!
//! `docs/PROXY.md` has all settings with their defaults, and the meaning of each status.

#![forbid(unsafe_code)]

mod access_log;
mod admin;
mod body;
mod config;
mod connection;
mod counters;
mod forward;
mod headers;
mod idle;
mod listener;
mod metrics;
mod phase;
mod proxy;
mod proxy_protocol;
mod refusal;
mod route;
mod stream;
mod tcp;
mod tunnel;

pub use self::access_log::lost_lines;
pub use self::config::{
    Endpoint, EndpointError, HttpOptions, Limits, Mode, ProxyConfig, RouteConfig, TcpOptions,
};
pub use self::metrics::{METRICS, MetricRow};
pub use self::proxy::{Proxy, StartError};
pub use self::refusal::Code;
