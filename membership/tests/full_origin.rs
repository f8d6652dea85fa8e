//! An agent with as many registrations as it may have.

use std::time::Duration;

use hobnob_membership::catalog::WriteError;
use hobnob_membership::limits::{MAX_OWN_RECORDS, MAX_REGISTRATIONS};
use hobnob_membership::record::{Health, Key, ServiceRecord, Text, Value};
use hobnob_membership::registering::{self, InitialHealth, RecordChanges};
use hobnob_membership::testing::{Link, Network, identity, node};
use hobnob_membership::{Input, Node, Time};

fn id(number: usize) -> Text {
    format!("i{number:05}").as_str().into()
}

fn register(number: usize) -> RecordChanges {
    let service = ServiceRecord {
        service: "web".into(),
        namespace: "default".into(),
        address: "10.0.0.1".into(),
        port: 80,
        tags: Default::default(),
        meta: Default::default(),
        weight: 1,
        checked: true,
        balancing: Default::default(),
        scope: Default::default(),
        upkeep: Default::default(),
    };
    registering::register(&id(number), service, InitialHealth::Unknown)
}

fn full() -> Node {
    let mut node = node(0);
    let records = (0..MAX_REGISTRATIONS).flat_map(register).collect();
    node.write(records, Time::ZERO).expect("room");
    node
}

#[test]
fn every_registration_keeps_room_for_its_health_and_the_node_for_its_record() {
    let mut node = full();
    let further = register(MAX_REGISTRATIONS);
    assert_eq!(node.check_write(&further), Err(WriteError::Full));
    assert_eq!(node.write(further.clone(), Time::ZERO), Err(WriteError::Full));
    assert_eq!(node.counters().writes_refused, 1);
    assert_eq!(node.write(register(7), Time::ZERO), Ok(()), "the same again");
    let healths = (0..MAX_REGISTRATIONS)
        .flat_map(|number| registering::set_health(&id(number), Health::Passing));
    assert_eq!(node.write(healths.collect(), Time::ZERO), Ok(()));
    let own = node.identity().node_id;
    let held = |node: &Node| node.catalog().origin(own).and_then(|o| Some(o.current()?.len()));
    assert_eq!(held(&node), Some(MAX_OWN_RECORDS));

    // One takes the place of another in one step, and in two.
    let swap = [registering::deregister(&id(0)), further].concat();
    assert_eq!(node.write(swap, Time::ZERO), Ok(()));
    assert_eq!(node.write(registering::deregister(&id(1)), Time::ZERO), Ok(()));
    assert_eq!(node.write(register(0), Time::ZERO), Ok(()));
    assert_eq!(node.write(register(1), Time::ZERO), Err(WriteError::Full));

    node.handle(Input::Leave, Time::ZERO);
    assert_eq!(node.catalog().left(own), Some(node.identity().epoch), "it can say so");
}

/// A health without a definition takes room that is reserved for others. It is refused when there is none left.
#[test]
fn nothing_passes_the_limit_of_records() {
    let mut node = full();
    let healths = (0..=MAX_REGISTRATIONS)
        .flat_map(|number| registering::set_health(&id(number), Health::Passing));
    assert_eq!(node.write(healths.collect(), Time::ZERO), Err(WriteError::Full));
    let own = node.identity().node_id;
    let replica = node.catalog().origin(own).and_then(|origin| origin.current()).expect("own");
    assert_eq!(replica.len(), MAX_REGISTRATIONS + 1, "none of it was written");
}

#[test]
fn a_peer_that_joins_receives_all_of_them() {
    let mut full = full();
    let healths = (0..MAX_REGISTRATIONS)
        .flat_map(|number| registering::set_health(&id(number), Health::Failing));
    full.write(healths.collect(), Time::ZERO).expect("room");
    let mut net = Network::new(vec![full, node(1)], Link::default(), Time::ZERO);
    net.handle(1, Input::Join(vec![identity(0).addr]));
    let end = Time::ZERO + Duration::from_secs(60);
    while !net.is_converged() && net.step(end) {}
    assert!(net.is_converged());
    let last = |key: Key| {
        let origin = net.nodes[1].catalog().origin(identity(0).node_id);
        origin.and_then(|origin| origin.current()?.get(&key).cloned())
    };
    let health = last(Key::Health(id(MAX_REGISTRATIONS - 1)));
    assert_eq!(health, Some(Value::Health(Health::Failing)));
    assert_eq!(net.nodes[1].instances().count(), MAX_REGISTRATIONS);
}
