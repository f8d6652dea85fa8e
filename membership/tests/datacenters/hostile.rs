//! Words that nobody has a right to, and more of them than there is room for.

use std::time::Duration;

use hobnob_membership::limits::{MAX_DATACENTERS, MAX_MEMBERS_OF_DATACENTER, MAX_REMOTE_MEMBERS};
use hobnob_membership::testing::{Network, identity};
use hobnob_membership::wire::{
    Beat, DatagramBuilder, Envelope, HomeVerdict, MemberUpdates, Message, Reach, RemoteMember,
    Update,
};
use hobnob_membership::{ClusterId, DatacenterId, Epoch, Gateway, Identity, Input, NodeId};

const SECOND: Duration = Duration::from_secs(1);

fn datagram(message: &Message) -> Vec<u8> {
    let mut datagram = DatagramBuilder::new(Envelope::clear(ClusterId::default()));
    datagram.push(message).expect("it fits");
    datagram.finish()
}

fn member(node: u64, datacenter: &str, verdict: HomeVerdict) -> RemoteMember {
    let identity = Identity { node_id: NodeId(node), epoch: Epoch(2_000), ..identity(60) };
    let (gateway, accuser) = (Gateway::Yes, None);
    RemoteMember { identity, datacenter: datacenter.into(), gateway, verdict, accuser }
}

fn beat(network: &mut Network, to: usize, sender: usize, updates: Vec<RemoteMember>) {
    let beat = Beat {
        sender: network.id(sender),
        datacenter: network.nodes[sender].own_datacenter(),
        number: 0,
        echo: None,
        asks: false,
        updates,
        summary: None,
    };
    let bytes = datagram(&Message::Beat(beat));
    network.handle(to, Input::Datagram { from: identity(sender).addr, bytes: &bytes });
}

#[test]
fn others_have_no_say_on_our_own_members_nor_on_those_of_a_third_datacenter() {
    let mut network = Network::of_datacenters(&[3, 3, 3]);
    assert!(network.is_whole());
    let epoch = Epoch(900_000);
    let of = |n: usize, datacenter: &str| RemoteMember {
        identity: Identity { epoch, ..identity(n) },
        ..member(0, datacenter, HomeVerdict::Down)
    };
    beat(&mut network, 0, 3, vec![of(1, "eu"), of(0, "eu"), of(6, "ap")]);
    network.run_for(5 * SECOND);
    assert!(network.is_whole());
    assert!(network.nodes[0].counters().remote_verdicts_ignored >= 2);
}

#[test]
fn a_verdict_on_a_life_that_nobody_saw_is_baseless() {
    let mut network = Network::of_datacenters(&[3, 3]);
    beat(&mut network, 0, 3, vec![member(99, "us", HomeVerdict::Down)]);
    assert_eq!(network.nodes[0].counters().remote_verdicts_baseless, 1);
    assert!(network.nodes[0].member(NodeId(99)).is_none());
}

#[test]
fn a_member_that_begins_at_the_address_of_another_one_has_replaced_it() {
    let mut network = Network::of_datacenters(&[3, 3]);
    let older = *network.nodes[4].identity();
    let fresh = |epoch: Epoch| RemoteMember {
        identity: Identity { node_id: NodeId(99), epoch, ..older },
        ..member(99, "us", HomeVerdict::Alive)
    };
    beat(&mut network, 0, 3, vec![fresh(Epoch(older.epoch.0 - 1))]);
    assert_eq!(network.seen_alive(0, 1), 4, "it began before");
    beat(&mut network, 0, 3, vec![fresh(older.epoch.next())]);
    assert!(network.nodes[0].home_verdict(older.node_id).is_some());
    assert_eq!(network.seen_alive(0, 1), 3);
}

#[test]
fn a_living_member_refutes_what_one_of_its_datacenter_told_elsewhere() {
    let mut network = Network::of_datacenters(&[4, 3, 2]);
    let of = |n: usize, network: &Network| RemoteMember {
        identity: *network.nodes[n].identity(),
        ..member(0, "eu", HomeVerdict::Down)
    };
    // One of the first datacenter holds two others down, and the rest of it does not.
    let gateways = network.nodes[0].datacenters(network.now)[0].gateways.clone();
    let accused: Vec<RemoteMember> = (0..4).map(|n| of(n, &network)).collect();
    let is_gateway = |it: &&RemoteMember| gateways.iter().any(|g| g.node_id == it.identity.node_id);
    let (by, rest): (Vec<_>, Vec<_>) = accused.iter().partition(is_gateway);
    let sender = (0..4).find(|n| network.id(*n) == by[0].identity.node_id).expect("a gateway");
    let accused = vec![rest[0].clone(), by[1].clone()];
    beat(&mut network, 4, sender, accused.clone());
    beat(&mut network, 7, sender, accused.clone());
    network.run_for(SECOND);
    for n in 4..9 {
        assert_eq!(network.seen_alive(n, 0), 2, "at {n}");
    }
    network.run_for(10 * SECOND);
    assert!(network.is_whole());
    for accused in accused {
        let n = (0..4).find(|n| network.id(*n) == accused.identity.node_id).expect("a node");
        assert_eq!(network.nodes[n].identity().epoch, accused.identity.epoch.next());
    }
}

fn told_by_a_mate(network: &mut Network, updates: &[Update]) {
    let datacenter = DatacenterId::named("eu");
    for updates in updates.chunks(8) {
        let updates =
            MemberUpdates { sender: network.id(1), updates: updates.to_vec(), datacenter };
        let bytes = datagram(&Message::MemberUpdates(updates));
        network.nodes[0]
            .handle(Input::Datagram { from: identity(1).addr, bytes: &bytes }, network.now);
        while network.nodes[0].poll_output().is_some() {}
    }
}

#[test]
fn the_table_has_room_for_so_many_datacenters() {
    let mut network = Network::apart(&[3]);
    let updates = (0..200).map(|n| member(1_000 + n, &format!("dc{n}"), HomeVerdict::Alive));
    told_by_a_mate(&mut network, &updates.map(Update::Remote).collect::<Vec<_>>());
    assert_eq!(network.nodes[0].datacenters(network.now).len(), MAX_DATACENTERS);
    let refused = network.nodes[0].counters().remote_members_refused;
    assert_eq!(refused, 200 - (MAX_DATACENTERS as u64 - 1));
}

#[test]
fn the_table_has_room_for_so_many_members() {
    let mut network = Network::apart(&[3]);
    for datacenter in ["us", "ap", "sa"] {
        let from = 100_000 * (1 + u64::from(datacenter.as_bytes()[0]));
        let updates = (0..MAX_MEMBERS_OF_DATACENTER as u64 + 8)
            .map(|n| Update::Remote(member(from + n, datacenter, HomeVerdict::Alive)));
        told_by_a_mate(&mut network, &updates.collect::<Vec<_>>());
    }
    let load = network.nodes[0].load();
    assert!(load.remote_members <= MAX_REMOTE_MEMBERS, "{}", load.remote_members);
    let all = network.nodes[0].datacenters(network.now);
    assert!(all.iter().all(|it| it.alive <= MAX_MEMBERS_OF_DATACENTER));
    assert!(network.nodes[0].counters().remote_members_refused > 16);
}

#[test]
fn a_stranger_changes_no_table_and_no_reach() {
    let mut network = Network::of_datacenters(&[3, 3]);
    let reach = Reach {
        observer: DatacenterId::named("eu"),
        target: DatacenterId::named("us"),
        changes: 1,
    };
    for (sender, datacenter) in [(NodeId(7), "eu"), (network.id(3), "us")] {
        let updates = vec![
            Update::Reach(reach),
            Update::Remote(member(99, "us", HomeVerdict::Alive)),
            Update::Alive(Identity { node_id: NodeId(7), ..identity(70) }),
        ];
        let datacenter = DatacenterId::named(datacenter);
        let updates = MemberUpdates { sender, updates, datacenter };
        let bytes = datagram(&Message::MemberUpdates(updates));
        network.handle(0, Input::Datagram { from: identity(3).addr, bytes: &bytes });
    }
    assert!(network.nodes[0].datacenters(network.now)[1].out_of_reach_since.is_none());
    assert!(network.nodes[0].member(NodeId(99)).is_none());
    assert!(network.nodes[0].counters().pool_messages_of_others > 0);
}
