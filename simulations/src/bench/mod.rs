//! What the protocol costs and how fast it is: against its goals, and with plain foca beside it.

pub mod compare;
pub mod goals;

use hobnob_membership::record::{Balancing, ServiceRecord, Tags, Value};

/// What an agent that is measured registers: as large as most services are, and what changes is the port.
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
    };
    Value::Service(record.into())
}
