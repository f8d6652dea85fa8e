//! Nodes of a sealed cluster: what they send, and what they make of hostile bytes.

use std::net::SocketAddr;
use std::time::Duration;

use hobnob_keys::seal::{Counter, DatagramKeys, Sealed};
use hobnob_membership::record::Health;
use hobnob_membership::testing::sealed::{SealedCluster, node_id};
use hobnob_membership::testing::{Link, Network, health, identity, instance, node};
use hobnob_membership::wire::{DatagramBuilder, Envelope, Message, Ping};
use hobnob_membership::{ClusterId, Config, Event, Input, Node, NodeId, Output, Time};

const PING: u8 = 0x42;
const PONG: u8 = 0x52;
const DIGEST: u8 = 0x62;
const SEALED: u8 = 0x02;

/// Nodes that hold the first generation, and have joined.
fn joined(count: usize) -> Network {
    let cluster = SealedCluster::default();
    let nodes = (0..count).map(|n| cluster.node(n)).collect();
    let mut net = Network::new(nodes, Link::default(), Time::ZERO);
    for n in 1..count {
        net.handle(n, Input::Join(vec![identity(0).addr]));
    }
    net.run_for(Duration::from_secs(5));
    assert!(net.nodes.iter().all(|node| node.active_members() == count), "not joined");
    net
}

/// The number of datagrams of each form among those that the network carried since the `from`th.
fn forms(net: &Network, from: usize) -> [usize; 4] {
    let of = |form| net.datagrams[from..].iter().filter(|bytes| bytes[0] == form).count();
    [PING, PONG, DIGEST, SEALED].map(of)
}

fn hand(node: &mut Node, from: SocketAddr, bytes: &[u8], now: Time) -> Vec<Output> {
    node.handle(Input::Datagram { from, bytes }, now);
    std::iter::from_fn(|| node.poll_output()).collect()
}

#[test]
fn at_rest_a_cluster_speaks_in_short_forms_and_a_change_is_sealed() {
    let mut net = joined(3);
    net.run_for(Duration::from_secs(5));
    let from = net.datagrams.len();
    net.run_for(Duration::from_secs(20));
    let [pings, pongs, digests, sealed] = forms(&net, from);
    assert!(pings > 0 && pongs == pings && digests > 0, "{pings} {pongs} {digests}");
    assert!(sealed * 10 < pings + pongs + digests, "{sealed} sealed at rest");
    let lengths = |form| net.datagrams[from..].iter().filter(move |b| b[0] == form).map(Vec::len);
    assert!(lengths(PING).all(|len| len == 25) && lengths(PONG).all(|len| len == 19));
    assert!(lengths(DIGEST).all(|len| len == 33));
    let from = net.datagrams.len();
    net.write(1, instance("secret-name"));
    net.run_for(Duration::from_secs(1));
    assert!(net.is_converged() && forms(&net, from)[3] > 0);
    let shows = |bytes: &Vec<u8>| bytes.windows(6).any(|window| window == b"secret");
    assert!(!net.datagrams.iter().any(shows), "a name in clear");
    for node in &net.nodes {
        let counters = node.counters();
        assert_eq!(counters.datagrams_forged + counters.datagrams_malformed, 0);
        assert_eq!(counters.datagrams_replayed + counters.messages_in_anothers_name, 0);
    }
}

/// The capture of an outsider: every datagram that the network carried from node 1 to node 0.
fn captured(net: &Network) -> Vec<Vec<u8>> {
    let mut captured: Vec<Vec<u8>> = net
        .arrivals
        .iter()
        .filter(|(_, to, _)| *to == 0)
        .filter_map(|(_, _, arrival)| match arrival {
            hobnob_membership::testing::Arrival::Datagram(_, bytes) => Some(bytes.clone()),
            _ => None,
        })
        .collect();
    captured.sort();
    captured.dedup();
    captured
}

/// The state that an outsider must not change.
fn state(node: &Node) -> (usize, u64, u64, u64) {
    let counters = node.counters();
    let answered = counters.pings_answered + counters.pulls_answered + counters.welcomes_sent;
    (node.active_members(), node.catalog().digest(), answered, counters.rumors_received)
}

#[test]
fn nothing_that_was_changed_cut_or_made_elsewhere_is_answered_or_counts() {
    let mut net = joined(2);
    net.write(1, health("x", Health::Passing));
    net.run_for(Duration::from_secs(10));
    let captured = captured(&net);
    let one_of_each: Vec<&Vec<u8>> = [PING, PONG, DIGEST, SEALED]
        .iter()
        .filter_map(|form| captured.iter().rfind(|bytes| bytes[0] == *form))
        .collect();
    assert_eq!(one_of_each.len(), 4);
    let (from, now) = (SocketAddr::from(([192, 0, 2, 1], 9)), net.now);
    let node = &mut net.nodes[0];
    let before = state(node);
    let mut handed = 0_u64;
    let mut count = |node: &mut Node, bytes: &[u8]| {
        let outputs = hand(node, from, bytes, now);
        let answers = outputs.iter().filter(|output| !matches!(output, Output::Event(_)));
        assert_eq!(answers.count(), 0, "an answer to {bytes:?}");
        handed += 1;
    };
    for bytes in &one_of_each {
        for bit in 0..8 * bytes.len() {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            count(node, &flipped);
        }
        (0..bytes.len()).for_each(|len| count(node, &bytes[..len]));
        count(node, &[&bytes[..], &[0]].concat());
    }
    assert_eq!(state(node), before);
    let dropped = node.counters();
    let by_reason = [
        dropped.datagrams_in_clear,
        dropped.datagrams_malformed,
        dropped.datagrams_other_version,
        dropped.datagrams_of_unknown_generation,
        dropped.datagrams_forged,
        dropped.datagrams_replayed,
        dropped.datagrams_of_unknown_sender,
    ];
    assert_eq!(by_reason.iter().sum::<u64>(), handed, "{by_reason:?}");
    assert!(by_reason.iter().all(|reason| *reason > 0), "{by_reason:?}");
}

#[test]
fn what_was_recorded_counts_no_second_time() {
    let mut net = joined(2);
    net.write(1, health("x", Health::Passing));
    net.run_for(Duration::from_secs(10));
    let (from, now, captured) = (identity(1).addr, net.now, captured(&net));
    let node = &mut net.nodes[0];
    let before = (node.active_members(), node.catalog().digest());
    let mut of_form = [0, 0];
    for bytes in &captured {
        let refused = |node: &Node| {
            let counters = node.counters();
            // A pong is bound to its ping by its tag instead.
            [counters.datagrams_replayed, counters.pongs_unexpected]
        };
        let mut expected = refused(node);
        expected[usize::from(bytes[0] == PONG)] += 1;
        let outputs = hand(node, from, bytes, now);
        assert!(outputs.is_empty(), "{outputs:?}");
        assert_eq!(refused(node), expected, "{bytes:?}");
        of_form[usize::from(bytes[0] == PING)] += 1;
    }
    assert!(of_form.iter().all(|count| *count > 0), "{of_form:?}");
    assert_eq!((node.active_members(), node.catalog().digest()), before);
}

#[test]
fn datagrams_of_another_cluster_another_generation_or_for_another_member_do_not_count() {
    let mut net = joined(3);
    net.run_for(Duration::from_secs(10));
    let (now, from) = (net.now, SocketAddr::from(([192, 0, 2, 1], 9)));
    let ping_of = |net: &Network, to: usize| {
        net.arrivals.iter().rev().find_map(|(_, at, arrival)| match arrival {
            hobnob_membership::testing::Arrival::Datagram(_, bytes)
                if *at == to && bytes[0] == PING =>
            {
                Some(bytes.clone())
            }
            _ => None,
        })
    };
    let for_another = ping_of(&net, 2).expect("node 2 is pinged");
    // The same nodes, in another cluster whose generation has the same number and the same secret.
    let other = SealedCluster::founded(2);
    let nodes = (0..3).map(|n| other.node(n)).collect();
    let mut elsewhere = Network::new(nodes, Link::default(), Time::ZERO);
    elsewhere.handle(1, Input::Join(vec![identity(0).addr]));
    elsewhere.run_for(Duration::from_secs(5));
    let foreign = ping_of(&elsewhere, 0).expect("node 0 is pinged");
    // The same cluster after a rotation of which node 0 knows nothing.
    let cluster = SealedCluster::default();
    let rotated = |number, secret, n| {
        let sealing = cluster.sealing(n).with_generation(cluster.generation(number, secret), true);
        let config = Config { sealing: Some(Box::new(sealing)), ..cluster.config(n) };
        Node::new(config, Time::ZERO).expect("legal records")
    };
    let hello_of = |mut node: Node| {
        node.handle(Input::Join(vec![identity(0).addr]), Time::ZERO);
        node.handle(Input::Deadline, Time::ZERO);
        std::iter::from_fn(|| node.poll_output())
            .find_map(|output| match output {
                Output::Datagram { bytes, .. } => Some(bytes),
                _ => None,
            })
            .expect("a hello")
    };
    let node = &mut net.nodes[0];
    for bytes in [&for_another, &foreign, &hello_of(rotated(257, 7, 5))] {
        // The counter of a ping is looked at before its MAC.
        let dropped = |node: &Node| {
            let counters = node.counters();
            counters.datagrams_forged + counters.datagrams_replayed
        };
        let before = dropped(node);
        assert!(hand(node, from, bytes, now).is_empty());
        assert_eq!(dropped(node), before + 1, "{bytes:?}");
    }
    let unknown = node.counters().datagrams_of_unknown_generation;
    assert!(hand(node, from, &hello_of(rotated(2, 7, 5)), now).is_empty());
    assert_eq!(node.counters().datagrams_of_unknown_generation, unknown + 1);
    // With the right generation it is answered.
    assert!(!hand(node, from, &hello_of(rotated(1, 7, 5)), now).is_empty());
}

#[test]
fn a_clear_cluster_and_a_sealed_one_stay_apart_and_each_tells_it_once() {
    let cluster = SealedCluster::default();
    let nodes = vec![cluster.node(0), node(1)];
    let mut net = Network::new(nodes, Link::default(), Time::ZERO);
    net.handle(0, Input::Join(vec![identity(1).addr]));
    net.handle(1, Input::Join(vec![identity(0).addr]));
    net.run_for(Duration::from_secs(60));
    for (here, there, is_sealed) in [(0, 1, false), (1, 0, true)] {
        assert_eq!(net.nodes[here].active_members(), 1, "{here}");
        let told = Event::OtherSealing { address: identity(there).addr, is_sealed };
        assert_eq!(net.events[here].iter().filter(|event| **event == told).count(), 1, "{here}");
    }
    assert!(net.nodes[0].counters().datagrams_in_clear > 0);
    assert!(net.nodes[1].counters().datagrams_sealed > 0);
}

#[test]
fn a_node_without_a_generation_says_nothing_and_counts_it() {
    let cluster = SealedCluster::default();
    let config = Config { sealing: Some(Box::new(cluster.sealing(0))), ..cluster.config(0) };
    let node = Node::new(config, Time::ZERO).expect("legal records");
    assert_eq!(node.identity().node_id, node_id(0));
    let mut net = Network::new(vec![node, cluster.node(1)], Link::default(), Time::ZERO);
    net.handle(0, Input::Join(vec![identity(9).addr]));
    net.run_for(Duration::from_secs(2));
    assert!(net.datagrams.is_empty());
    assert!(net.nodes[0].counters().datagrams_without_keys > 0);
}

#[test]
fn a_message_in_the_name_of_another_than_the_member_that_sealed_it_does_not_count() {
    let cluster = SealedCluster::default();
    let (keys, now) = (DatagramKeys::of(&cluster.generation(1, 7)), Time::ZERO);
    let mut node = cluster.node(0);
    let mut counter = Counter::of_epoch(5_000);
    let mut sealed = |sender: NodeId, messages: &[Message]| {
        let mut clear = DatagramBuilder::new(Envelope::clear(ClusterId::default()));
        messages.iter().for_each(|message| clear.push(message).expect("room"));
        counter = counter.next();
        let sender = hobnob_keys::NodeId(sender.0);
        let (mut datagram, clear) = (Vec::new(), clear.finish());
        let messages = &clear[7..];
        Sealed { sender, counter, messages }.seal(&keys, &mut datagram).expect("not empty");
        datagram
    };
    let from = identity(1).addr;
    let ping = |n| Message::Ping(Ping { sender: node_id(n), nonce: [1; 4] });
    let pongs = |outputs: &[Output]| {
        let is_pong = |o: &&Output| matches!(o, Output::Datagram { bytes, .. } if bytes[0] == PONG);
        outputs.iter().filter(is_pong).count()
    };
    let outputs = hand(&mut node, from, &sealed(node_id(1), &[ping(2)]), now);
    assert!(outputs.is_empty(), "{outputs:?}");
    assert_eq!(node.counters().messages_in_anothers_name, 1);
    // The other messages of the datagram count.
    let outputs = hand(&mut node, from, &sealed(node_id(1), &[ping(2), ping(1)]), now);
    assert_eq!(pongs(&outputs), 1, "{outputs:?}");
    assert_eq!(node.counters().messages_in_anothers_name, 2);
}

#[test]
fn a_ping_in_the_clear_gets_no_answer() {
    let mut node = SealedCluster::default().node(0);
    let mut datagram = DatagramBuilder::new(Envelope::clear(ClusterId::default()));
    datagram.push(&Message::Ping(Ping { sender: NodeId(5), nonce: [1; 4] })).expect("room");
    assert!(hand(&mut node, identity(5).addr, &datagram.finish(), Time::ZERO).is_empty());
    assert_eq!(node.counters().datagrams_in_clear, 1);
}
