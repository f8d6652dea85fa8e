//! The real protocol in virtual time: joining, spreading, repairing, detecting.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hobnob_membership::record::{Health, Key, ServiceRecord, Tags, Value};
use hobnob_membership::view::{InstanceStatus, MemberStatus};
use hobnob_simulations::World;
use hobnob_simulations::network::{Conditions, Network, Partition};
use hobnob_simulations::world::{Storage, WriteOutcome};

const SECOND: Duration = Duration::from_secs(1);

fn service(name: &str, port: u16) -> Value {
    let record = ServiceRecord {
        service: name.into(),
        namespace: "default".into(),
        address: "10.0.0.1".into(),
        port,
        tags: Tags::default(),
        meta: [("large", "x".repeat(200))].into(),
        weight: 1,
        checked: true,
        balancing: hobnob_membership::record::Balancing::default(),
        scope: Default::default(),
        upkeep: Default::default(),
    };
    Value::Service(record.into())
}

fn instance(id: &str) -> Vec<(Key, Value)> {
    vec![
        (Key::Service(id.into()), service("web", 80)),
        (Key::Health(id.into()), Value::Health(Health::Passing)),
    ]
}

fn write(world: &mut World, node: usize, records: Vec<(Key, Option<Value>)>) {
    assert_eq!(world.write(node, records), WriteOutcome::Acknowledged);
}

fn register(world: &mut World, node: usize, id: &str) {
    let records = instance(id).into_iter().map(|(key, value)| (key, Some(value)));
    write(world, node, records.collect());
}

fn start_all(seed: u64, nodes: usize, conditions: Conditions) -> World {
    let mut world = World::new(seed, Network::new(nodes, conditions));
    world.seeds = vec![0];
    for number in 0..nodes {
        world.add("dc1", "");
        world.start(number);
    }
    world
}

fn all_see_members(world: &World, count: usize) -> bool {
    world.running().all(|(_, node)| node.active_members() == count)
}

fn all_see_instances(world: &World, count: usize) -> bool {
    world.running().all(|(_, node)| {
        node.instances().filter(|instance| instance.status == InstanceStatus::Healthy).count()
            == count
    })
}

fn all_equal(world: &World) -> bool {
    let digests: BTreeSet<u64> = world.running().map(|(_, node)| node.catalog().digest()).collect();
    digests.len() == 1
}

fn cluster(seed: u64, nodes: usize, conditions: Conditions) -> World {
    let mut world = start_all(seed, nodes, conditions);
    let joined =
        world.run_until(10 * SECOND, |world| all_see_members(world, nodes) && all_equal(world));
    assert!(joined.is_some(), "{nodes} nodes did not join");
    world
}

#[test]
fn twenty_nodes_join_through_one_seed_at_once() {
    let mut world = start_all(1, 20, Conditions::default());
    let took = world.run_until(5 * SECOND, |world| all_see_members(world, 20));
    assert!(took.is_some(), "not within 5 s");
}

#[test]
fn a_record_reaches_every_node_and_so_does_its_end() {
    let mut world = cluster(2, 20, Conditions::default());
    register(&mut world, 7, "web-1");
    let took = world.run_until(SECOND, |world| all_see_instances(world, 1)).expect("spread");
    assert!(took < Duration::from_millis(100), "{took:?}");
    let gone = vec![(Key::Service("web-1".into()), None), (Key::Health("web-1".into()), None)];
    write(&mut world, 7, gone);
    let took = world.run_until(SECOND, |world| all_see_instances(world, 0)).expect("withdrawn");
    assert!(took < Duration::from_millis(100), "{took:?}");
}

#[test]
fn nothing_is_lost_when_a_quarter_of_the_datagrams_is() {
    let mut world = cluster(3, 20, Conditions::default());
    world.network().set_all(Conditions { loss: 0.25, ..Conditions::default() });
    for number in 0..20 {
        for id in 0..10 {
            register(&mut world, number, &format!("web-{id}"));
            world.run_for(Duration::from_millis(2));
        }
    }
    let took = world.run_until(10 * SECOND, all_equal);
    assert!(took.is_some(), "not equal within 10 s");
    assert!(all_see_instances(&world, 200));
}

#[test]
fn a_record_larger_than_a_datagram_travels_by_stream() {
    let mut world = cluster(4, 5, Conditions::default());
    let Value::Service(mut record) = service("web", 80) else { unreachable!() };
    let large = Arc::make_mut(&mut record);
    large.meta = (0..7).map(|n| (format!("key-{n}"), "y".repeat(500))).collect();
    large.checked = false;
    write(&mut world, 1, vec![(Key::Service("large".into()), Some(Value::Service(record)))]);
    let took = world.run_until(5 * SECOND, |world| all_see_instances(world, 1));
    assert!(took.is_some(), "not within 5 s");
}

#[test]
fn a_crash_hides_instances_and_a_restart_brings_them_back() {
    let mut world = cluster(5, 5, Conditions::default());
    register(&mut world, 3, "web-1");
    world.run_until(SECOND, |world| all_see_instances(world, 1)).expect("spread");
    world.crash(3, Storage::Kept);
    let noticed = world.run_until(10 * SECOND, |world| {
        world.running().all(|(_, node)| {
            node.members().iter().any(|member| {
                member.identity.node_id == world.host(3).id && member.status == MemberStatus::Down
            })
        })
    });
    assert!(noticed.is_some(), "the crash went unnoticed");
    assert!(all_see_instances(&world, 0));
    world.start(3);
    let back = world
        .run_until(5 * SECOND, |world| all_see_members(world, 5) && all_see_instances(world, 1));
    assert!(back.is_some(), "not back within 5 s");
}

#[test]
fn a_quick_restart_shows_no_gap() {
    let mut world = cluster(6, 5, Conditions::default());
    register(&mut world, 3, "web-1");
    world.run_until(SECOND, |world| all_see_instances(world, 1)).expect("spread");
    world.crash(3, Storage::Kept);
    world.start(3);
    let others = |world: &World| {
        world.running().filter(|(number, _)| *number != 3).all(|(_, node)| {
            node.instances().any(|instance| instance.status == InstanceStatus::Healthy)
        })
    };
    let blinked = world.run_until(10 * SECOND, |world| !others(world));
    assert_eq!(blinked, None, "the instance was gone for a moment");
    assert!(all_see_members(&world, 5) && all_equal(&world));
}

#[test]
fn a_member_that_leaves_has_left_and_is_not_down() {
    let mut world = cluster(7, 10, Conditions::default());
    register(&mut world, 4, "web-1");
    world.run_until(SECOND, |world| all_see_instances(world, 1)).expect("spread");
    world.leave(4);
    let told = world.run_until(SECOND, |world| {
        world.running().filter(|(number, _)| *number != 4).all(|(_, node)| {
            node.instances().len() == 0
                && node.members().iter().any(|member| {
                    member.identity.node_id == world.host(4).id
                        && member.status == MemberStatus::Left
                })
        })
    });
    assert!(told.is_some(), "not all know within 1 s");
    world.run_for(SECOND);
    world.crash(4, Storage::Kept);
    world.run_for(10 * SECOND);
    for (_, node) in world.running() {
        let status = node
            .members()
            .iter()
            .find(|m| m.identity.node_id == world.host(4).id)
            .map(|m| m.status);
        assert_eq!(status, Some(MemberStatus::Left));
    }
}

#[test]
fn two_halves_become_one_again() {
    let mut world = cluster(8, 10, Conditions::default());
    let halves: (Vec<usize>, Vec<usize>) = (0..10).partition(|number| *number < 5);
    let partition = Partition::full(&halves.0, &halves.1);
    partition.begin(world.network());
    world.run_for(20 * SECOND);
    assert!(all_see_members(&world, 5));
    register(&mut world, 1, "left");
    register(&mut world, 8, "right");
    world.run_for(SECOND);
    partition.end(world.network());
    let healed = world
        .run_until(60 * SECOND, |world| all_see_members(world, 10) && all_see_instances(world, 2));
    assert!(healed.is_some(), "not one within 60 s");
}

#[test]
fn a_lone_node_finds_its_way_back() {
    let mut world = cluster(9, 5, Conditions::default());
    let partition = Partition::isolate(&[2], &[0, 1, 2, 3, 4]);
    partition.begin(world.network());
    world.run_for(20 * SECOND);
    assert!(world.node(2).is_some_and(|node| !node.is_connected()));
    partition.end(world.network());
    let healed = world.run_until(20 * SECOND, |world| all_see_members(world, 5));
    assert!(healed.is_some(), "not back within 20 s");
}

#[test]
fn a_member_that_leaves_in_a_hurry_has_left_and_is_not_down() {
    for seed in 40..60 {
        let mut world = cluster(seed, 3, Conditions::default());
        // The leave record has to wait for these rumors; SWIM's own message does not.
        register(&mut world, 1, "web-1");
        world.leave(1);
        world.run_for(SECOND);
        for (number, node) in world.running().filter(|(number, _)| *number != 1) {
            let members = node.members();
            let left = members.iter().find(|member| member.identity.node_id == world.host(1).id);
            assert_eq!(
                left.map(|member| member.status),
                Some(MemberStatus::Left),
                "{seed} {number}"
            );
        }
    }
}

#[test]
fn a_return_after_a_leave_shows_no_unknown_instance() {
    for seed in 20..30 {
        let mut world = cluster(seed, 5, Conditions::default());
        register(&mut world, 3, "web-1");
        world.run_until(SECOND, |world| all_see_instances(world, 1)).expect("spread");
        world.leave(3);
        world.run_for(2 * SECOND);
        world.crash(3, Storage::Kept);
        world.start(3);
        let doubted = |world: &World| {
            world.running().any(|(_, node)| {
                node.instances().any(|instance| instance.status == InstanceStatus::Unknown)
            })
        };
        assert_eq!(world.run_until(5 * SECOND, doubted), None, "seed {seed}");
        assert!(all_see_instances(&world, 1), "seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut world = cluster(seed, 8, Conditions { loss: 0.1, ..Conditions::default() });
        register(&mut world, 2, "web-1");
        world.run_for(5 * SECOND);
        world.trace_hash()
    };
    assert_eq!(run(10), run(10));
    assert_ne!(run(10), run(11));
}
