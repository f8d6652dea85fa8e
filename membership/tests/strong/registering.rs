//! Strong registrations: what the catalog of a node says of its instances, kept by voters.

use std::time::Duration;

use hobnob_membership::quorum::{Failure, Outcome, registered, service_key};
use hobnob_membership::record::ServiceRecord;
use hobnob_membership::testing::{large, web};

use crate::cluster::{Strong, WITHIN};

/// Five nodes. The first three are voters.
fn cluster() -> Strong {
    let mut strong = Strong::new(5, 5);
    assert!(matches!(strong.set_voters(4, &[0, 1, 2]), Outcome::Changed(_)));
    strong.run(Duration::from_secs(1));
    strong
}

#[test]
fn a_name_of_a_service_stands_for_one_service() {
    assert_eq!(service_key("default", "web"), "web");
    assert_ne!(service_key("blue", "web"), service_key("default", "web"));
    assert_ne!(service_key("a", "b-a"), service_key("a-b", "a"));
}

#[test]
fn a_registration_is_read_with_its_definition() {
    let mut strong = cluster();
    assert_eq!(strong.register_strongly(4, "a", "web"), Outcome::Written);
    let Outcome::Read(entries) = strong.read(3, "web") else { panic!("no answer") };
    let records: Vec<_> = entries.iter().map(registered).collect();
    assert_eq!(records, [Ok(Some(web()))]);
    assert_eq!(strong.deregister_strongly(4, "a"), Outcome::Written);
    assert_eq!(strong.ids(3, "web"), [""; 0]);
}

#[test]
fn an_instance_moves_to_another_service_and_back() {
    let mut strong = cluster();
    assert_eq!(strong.register_strongly(4, "a", "old"), Outcome::Written);
    assert_eq!(strong.register_strongly(4, "a", "new"), Outcome::Written);
    assert_eq!((strong.ids(3, "old"), strong.ids(3, "new")), (vec![], vec!["a".into()]));
    assert_eq!(strong.register_strongly(4, "a", "old"), Outcome::Written);
    assert_eq!((strong.ids(3, "old"), strong.ids(3, "new")), (vec!["a".into()], vec![]));
}

#[test]
fn several_instances_go_in_one_write_up_to_a_limit() {
    let mut strong = cluster();
    let ids: Vec<String> = (0..17).map(|n| format!("i{n:02}")).collect();
    ids.iter().for_each(|id| strong.register(4, id, "web"));
    let instances: Vec<_> = ids.iter().map(|id| (id.into(), None)).collect();
    let now = strong.net.now;
    let op = strong.net.nodes[4].register_strongly(&instances[..16], WITHIN, now);
    assert_eq!(strong.outcome(4, op), Outcome::Written);
    let refused = strong.net.nodes[4].register_strongly(&instances, WITHIN, now);
    assert!(matches!(refused, Err(Failure::Invalid(_))));
}

#[test]
fn the_largest_definition_has_room() {
    let mut strong = cluster();
    let record = ServiceRecord { service: "big".into(), ..large(7) };
    let (key, value) = hobnob_membership::registering::definition(&"a".into(), record);
    strong.net.write(4, vec![(key, Some(value))]);
    assert_eq!(strong.keep(4, "a", None), Outcome::Written);
    assert_eq!(strong.ids(3, "big"), ["a"]);
}

#[test]
fn a_new_life_of_an_origin_writes_anew_and_an_earlier_one_is_fenced() {
    let mut strong = cluster();
    assert_eq!(strong.register_strongly(4, "a", "web"), Outcome::Written);
    assert_eq!(strong.register_strongly(4, "b", "web"), Outcome::Written);
    strong.restart(4, &[("a", "web")]);
    strong.run(Duration::from_secs(10));
    assert_eq!(strong.keep(4, "a", None), Outcome::Written);
    assert_eq!(strong.register_strongly(4, "c", "web"), Outcome::Written);
    let read = strong.ids(3, "web");
    assert!(read.contains(&"a".into()) && read.contains(&"c".into()), "{read:?}");
    assert!(matches!(strong.write_long_ago(4, "d"), Outcome::Unknown(Failure::Fenced(_))));
}
