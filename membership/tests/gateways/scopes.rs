//! Instances that stay in their own datacenter.

use std::time::Duration;

use hobnob_membership::Time;
use hobnob_membership::catalog::Version;
use hobnob_membership::record::{Health, InstanceScope, Key, RawValue, ServiceRecord, Value};
use hobnob_membership::registering::{InitialHealth, deregister, register};
use hobnob_membership::testing::{Network, config, node_in, web};
use hobnob_membership::{Gateway, Input};

use crate::scene::{MS, all, know, known, three_by_five, time_until, total};

const SECOND: Duration = Duration::from_secs(1);
/// The nodes of the first datacenter, and those of the two others.
const HOME: std::ops::Range<usize> = 0..5;
const ELSEWHERE: std::ops::Range<usize> = 5..15;

/// Makes a node register an instance with a scope.
fn registered(net: &mut Network, n: usize, id: &str, scope: InstanceScope) {
    let service = ServiceRecord { scope, checked: true, ..web() };
    net.write(n, register(&id.into(), service, InitialHealth::Found(Health::Passing)));
}

/// Waits until all nodes know all that one has written, and nothing moves any more.
fn settle(net: &mut Network, n: usize) {
    let (nodes, origin) = (all(net), net.id(n));
    let version = known(net, n, origin);
    time_until(net, 10 * SECOND, |net| know(net, &nodes, (origin, version)));
    net.run_for(SECOND);
    let digest = net.nodes[n].catalog().digest();
    assert!(net.nodes.iter().all(|node| node.catalog().digest() == digest));
}

fn shows(net: &Network, n: usize, id: &str) -> bool {
    net.nodes[n].instances().any(|instance| instance.id == id)
}

/// Checks which nodes show an instance.
fn assert_shown(net: &Network, id: &str, at_home: bool, elsewhere: bool) {
    for n in all(net) {
        let expected = if HOME.contains(&n) { at_home } else { elsewhere };
        assert_eq!(shows(net, n, id), expected, "{id} at node {n}");
    }
}

/// The definition of an instance as a node holds it.
fn held(net: &Network, n: usize, of: usize, id: &str) -> Option<(Version, RawValue)> {
    let replica = net.nodes[n].catalog().origin(net.id(of))?.current()?;
    let slot = replica.slot(&Key::Service(id.into()))?;
    Some((slot.version(), slot.raw()?.clone()))
}

#[test]
fn an_instance_of_scope_datacenter_is_withheld_from_others_and_nobody_asks_for_it() {
    let mut net = three_by_five();
    registered(&mut net, 1, "home", InstanceScope::Datacenter);
    registered(&mut net, 2, "global", InstanceScope::Global);
    settle(&mut net, 1);
    assert_shown(&net, "home", true, false);
    assert_shown(&net, "global", true, true);
    let (version, full) = held(&net, 1, 1, "home").expect("its own");
    assert!(matches!(full.content(), Some(Value::Service(_))));
    for n in ELSEWHERE {
        assert_eq!(held(&net, n, 1, "home"), Some((version, RawValue::withheld())), "{n}");
    }
    for node in &net.nodes {
        assert_eq!(node.catalog().unknown_records(), 0);
    }
    assert!(total(&net, "records_withheld") > 0);
    let asked = ["pulls_sent", "sessions_opened", "far_sessions_opened"];
    let asked = |net: &Network| asked.map(|name| total(net, name));
    net.run_for(SECOND);
    let before = asked(&net);
    net.run_for(2 * SECOND);
    assert_eq!(asked(&net)[2], before[2], "nothing is missing anywhere");
    assert_eq!(total(&net, "withheld_refused"), 0);
}

#[test]
fn a_scope_changes_both_ways_and_a_withheld_instance_is_deleted_everywhere() {
    let mut net = three_by_five();
    for (scope, elsewhere) in [
        (InstanceScope::Global, true),
        (InstanceScope::Datacenter, false),
        (InstanceScope::Global, true),
        (InstanceScope::Datacenter, false),
    ] {
        registered(&mut net, 3, "web", scope);
        settle(&mut net, 3);
        assert_shown(&net, "web", true, elsewhere);
        let is_healthy = |n: usize| {
            let status = hobnob_membership::view::InstanceStatus::Healthy;
            net.nodes[n].instances().all(|instance| instance.status == status)
        };
        assert!(all(&net).into_iter().all(is_healthy), "{scope:?}");
    }
    net.write(3, deregister(&"web".into()));
    settle(&mut net, 3);
    assert_shown(&net, "web", false, false);
    assert!(all(&net).into_iter().all(|n| held(&net, n, 3, "web").is_none()));
}

#[test]
fn repair_after_a_cut_withholds_and_takes_nothing_back() {
    let mut net = three_by_five();
    registered(&mut net, 0, "was-home", InstanceScope::Datacenter);
    registered(&mut net, 0, "was-global", InstanceScope::Global);
    settle(&mut net, 0);
    net.cut_off(0);
    net.run_for(8 * SECOND);
    for round in 0..40 {
        for n in HOME {
            registered(&mut net, n, &format!("home-{round}"), InstanceScope::Datacenter);
            registered(&mut net, n, &format!("global-{round}"), InstanceScope::Global);
        }
        for n in ELSEWHERE {
            registered(&mut net, n, &format!("theirs-{round}"), InstanceScope::Datacenter);
        }
        net.run_for(MS * 50);
    }
    registered(&mut net, 0, "was-home", InstanceScope::Global);
    registered(&mut net, 0, "was-global", InstanceScope::Datacenter);
    net.run_for(SECOND);
    let sessions = total(&net, "far_sessions_opened");
    net.cut.clear();
    net.run_for(5 * SECOND);
    settle(&mut net, 0);
    assert!(total(&net, "far_sessions_opened") > sessions);
    for round in 0..40 {
        assert_shown(&net, &format!("home-{round}"), true, false);
        assert_shown(&net, &format!("global-{round}"), true, true);
        for n in all(&net) {
            let of_its_own =
                net.nodes[n].instances().filter(|it| it.id == format!("theirs-{round}"));
            assert_eq!(of_its_own.count(), if n < 5 { 0 } else { 5 }, "node {n}");
        }
    }
    assert_shown(&net, "was-home", true, true);
    assert_shown(&net, "was-global", true, false);
    for n in HOME {
        let (_, held) = held(&net, n, 0, "was-global").expect("known");
        assert!(!held.is_withheld(), "node {n}");
    }
}

#[test]
fn a_node_that_returns_to_its_datacenter_gets_the_records_themselves() {
    let mut net = three_by_five();
    registered(&mut net, 1, "home", InstanceScope::Datacenter);
    registered(&mut net, 6, "theirs", InstanceScope::Datacenter);
    settle(&mut net, 1);
    // A new life of the first node finds another datacenter before it finds its own.
    let mut fresh = config(0);
    fresh.identity.epoch.0 += 1_000_000;
    fresh.node.datacenter = hobnob_membership::testing::NAMES[0].into();
    net.nodes[0] = hobnob_membership::Node::new(fresh, net.now).expect("legal records");
    net.flush(0);
    let (far, near) = (net.nodes[5].identity().addr, net.nodes[1].identity().addr);
    net.handle(0, Input::JoinWan(vec![far]));
    net.run_for(MS * 1_500);
    net.handle(0, Input::Join(vec![near]));
    net.run_for(5 * SECOND);
    assert!(shows(&net, 0, "home"));
    assert!(!shows(&net, 0, "theirs"));
    let (_, record) = held(&net, 0, 1, "home").expect("known");
    assert!(!record.is_withheld());
}

#[test]
fn two_datacenters_of_one_node_keep_theirs() {
    let nodes = vec![node_in(0, "eu", Gateway::Yes), node_in(1, "us", Gateway::Yes)];
    let mut net = Network::new(nodes, hobnob_membership::testing::Link::default(), Time::ZERO);
    net.groups = vec![0, 1];
    let addr = net.nodes[0].identity().addr;
    net.handle(1, Input::JoinWan(vec![addr]));
    net.run_for(5 * SECOND);
    registered(&mut net, 0, "home", InstanceScope::Datacenter);
    registered(&mut net, 0, "global", InstanceScope::Global);
    net.run_for(5 * SECOND);
    assert!(shows(&net, 0, "home") && shows(&net, 1, "global"));
    assert!(!shows(&net, 1, "home"));
    assert_eq!(net.nodes[0].catalog().digest(), net.nodes[1].catalog().digest());
}
