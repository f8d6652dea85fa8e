//! Metrics: what each one is ([`table`]), and how their values are written for Prometheus (`Readings`).
//!
//! ```text
//! table: name, kind, labels, meaning, what to alert on --> docs/METRICS.md
//!    |
//!    +--> Readings (the values of one scrape) --> OpenMetrics text --> Prometheus text
//! ```

mod alerts;
mod calls;
mod histogram;
mod markdown;
pub(crate) mod process;
mod readings;
mod rows;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use calls::CallMetrics;
pub(crate) use histogram::{Distribution, Histogram};
pub use markdown::markdown;
pub(crate) use readings::{Exposition, Readings, Value};
pub(crate) use table::name_of;
pub use table::{Kind, Metric, table};
