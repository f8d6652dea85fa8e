//! Benchmarks of the protocol in virtual time: against its goals, and beside plain foca.

mod calls;
pub mod compare;
pub mod console;
pub mod datacenters;
pub mod dns;
pub mod goals;
pub mod http;
pub mod proxy;
pub mod registry;
pub mod rolling;
mod row;
pub mod sealed;
pub mod soak;
pub mod socket;
pub mod strong;

pub use row::{Goal, Row};

use hobnob_membership::record::{Balancing, ServiceRecord, Tags, Value};

/// The service that measured agents register, as large as most are. Changes change its port.
fn service(port: u16) -> Value {
    let record = ServiceRecord {
        service: "bench".into(),
        namespace: "default".into(),
        address: "10.0.0.1".into(),
        port,
        tags: Tags::default(),
        meta: [("version", "1.2.3")].into(),
        weight: 1,
        checked: false,
        balancing: Balancing::default(),
        scope: Default::default(),
        upkeep: Default::default(),
    };
    Value::Service(record.into())
}
