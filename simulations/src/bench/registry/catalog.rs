//! Agents whose catalog holds a number of instances. The first of them has registered none.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::RegistryBenchError;
use crate::bench::calls::Calls;
use crate::processes::{Fleet, ProcessError};

/// Instances of each service.
pub(super) const INSTANCES_PER_SERVICE: usize = 10;
/// The largest number of instances that one agent registers.
const PER_AGENT: usize = 25_000;
/// Registrations that are on their way at once.
const PIPELINED: usize = 100;
/// The catalog must have spread within this time.
const SPREAD_TIMEOUT: Duration = Duration::from_secs(300);
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(100);
/// The time until the first agent counts as at rest.
const SETTLE: Duration = Duration::from_secs(5);

/// The name of a service.
pub(super) fn service(number: usize) -> String {
    format!("service-{number}")
}

/// Starts agents beside the only one of a fleet, and returns when that one knows all instances.
pub(in crate::bench) fn fill(
    fleet: &mut Fleet,
    instances: usize,
    told: &mut impl FnMut(&str),
) -> Result<(), RegistryBenchError> {
    let mut first = fleet.connect(0)?;
    let address = first.info()?.gossip_address;
    let mut registered = 0;
    while registered < instances {
        let until = instances.min(registered + PER_AGENT);
        fleet.start(Some(&address))?;
        let agent = fleet.len() - 1;
        drop(fleet.connect(agent)?);
        let mut calls = Calls::connect(&fleet.socket(agent))?;
        let numbers: Vec<usize> = (registered..until).collect();
        for numbers in numbers.chunks(PIPELINED) {
            let requests: Vec<_> = numbers.iter().map(|number| register(*number)).collect();
            calls.pipelined(&requests, "\"registered\"")?;
        }
        registered = until;
        told(&format!("{registered} of {instances} instances are registered"));
    }
    let since = Instant::now();
    loop {
        let known = first.info()?.instances();
        if known == instances {
            break;
        }
        if since.elapsed() > SPREAD_TIMEOUT {
            let what = format!("more than {known} of {instances} instances");
            return Err(ProcessError::Incomplete { agent: 0, what }.into());
        }
        told(&format!("{known} of {instances} instances are known"));
        thread::sleep(LOOK);
    }
    thread::sleep(SETTLE);
    Ok(())
}

/// An instance with the tags and metadata that most have. Ten that follow each other are of one service.
fn register(number: usize) -> serde_json::Value {
    let name = service(number / INSTANCES_PER_SERVICE);
    json!({ "register": {
        "service": name,
        "id": format!("{name}-{}", number % INSTANCES_PER_SERVICE),
        "address": format!("10.{}.{}.{}", number >> 16, number >> 8 & 255, number & 255),
        "port": 8_080,
        "tags": ["http", "v1"],
        "meta": { "version": "1.2.3" },
    } })
}
