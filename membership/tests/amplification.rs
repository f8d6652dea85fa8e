//! Datagrams to an address because of one datagram in the name of a member that never answered there. The source
//! of a datagram can be forged, and so can a member at any address, so the node must not be of use for a flood.

use std::time::Duration;

use hobnob_membership::catalog::{Delta, Entry, Head, Want};
use hobnob_membership::detector::{Cause, Verdict};
use hobnob_membership::record::{Health, Key, Value};
use hobnob_membership::testing::{Network, health, identity};
use hobnob_membership::wire::{
    Ages, Ask, Claim, Compare, Confirm, DatagramBuilder, Digest, Envelope, ExitVote, Hello, Life,
    Listing, LocalHealth, MemberUpdates, Message, Ping, Pong, Pull, Update, Vote, WireError,
    decode_datagram, pong_tag,
};
use hobnob_membership::{ClusterId, Epoch, Identity, Input, Node, NodeId, Output, Time};
use xxhash_rust::xxh3::xxh3_64;

/// Bytes sent for each byte received.
const MOST: usize = 2;
/// The time in which a node reacts to a datagram. All pulls of a gap are sent within it.
const REACTION: Duration = Duration::from_millis(300);
/// The members at the address of the victim that are down.
const DOWN: usize = 40;

/// The victim: a member that exists only in the forged messages.
fn victim() -> Identity {
    identity(900)
}

/// A former member at the address of the victim.
fn former(n: usize) -> Identity {
    Identity { addr: victim().addr, ..identity(910 + n) }
}

fn verdict(of: Identity) -> Verdict {
    let referees = (0..16).map(NodeId).collect();
    let accuser = identity(1).node_id;
    Verdict {
        node: of.node_id,
        epoch: of.epoch,
        cause: Cause::Silence,
        accuser,
        referees,
        exited: false,
    }
}

/// As many of the messages as fit one datagram.
fn datagram(messages: impl IntoIterator<Item = Message>) -> Vec<u8> {
    let mut datagram = DatagramBuilder::new(Envelope::clear(ClusterId::default()));
    for message in messages {
        match datagram.push(&message) {
            Ok(()) => {}
            Err(WireError::TooLarge { .. }) if !datagram.is_empty() => break,
            Err(error) => panic!("{error}"),
        }
    }
    datagram.finish()
}

/// A node of a cluster of five, with records and many members, that was told of the victim, and the time.
fn subject(victim_is_down: bool) -> (Node, Time) {
    let mut net = Network::joined(5);
    net.write(0, (0..200).flat_map(|n| health(&format!("{n:0100}"), Health::Passing)).collect());
    net.run_for(Duration::from_secs(3));
    let (mut node, now) = (net.nodes.swap_remove(0), net.now);
    let sender = identity(1).node_id;
    let others = (100..400).map(identity);
    let alive = others.chain([victim()]).chain((0..DOWN).map(former)).map(Update::Alive);
    let down = (0..DOWN).map(former).chain(victim_is_down.then(victim));
    let down = down.map(|identity| Update::Down(verdict(identity)));
    let updates: Vec<Update> = alive.chain(down).collect();
    for updates in updates.chunks(6) {
        let updates = MemberUpdates {
            sender,
            updates: updates.to_vec(),
            datacenter: hobnob_membership::DatacenterId::UNKNOWN,
        };
        let bytes = datagram([Message::MemberUpdates(updates)]);
        node.handle(Input::Datagram { from: identity(1).addr, bytes: &bytes }, now);
    }
    // What it was told is passed on before the measurement.
    let now = now + Duration::from_millis(100);
    bytes_to_victim(&mut node, now);
    (node, now)
}

/// Lets time pass until `end`. Returns the bytes of the datagrams to the victim.
fn bytes_to_victim(node: &mut Node, end: Time) -> usize {
    let mut sent = 0;
    loop {
        while let Some(output) = node.poll_output() {
            if let Output::Datagram { to, bytes } = output {
                sent += if to == victim().addr { bytes.len() } else { 0 };
            }
        }
        match node.next_deadline().filter(|due| *due <= end) {
            Some(due) => node.handle(Input::Deadline, due),
            None => return sent,
        }
    }
}

/// Bytes that the node sends to the victim after a datagram with the victim's address as its source, or after none.
fn sent_to_victim(victim_is_down: bool, bytes: Option<&[u8]>) -> usize {
    let (mut node, now) = subject(victim_is_down);
    if let Some(bytes) = bytes {
        node.handle(Input::Datagram { from: victim().addr, bytes }, now);
    }
    bytes_to_victim(&mut node, now + REACTION)
}

fn unknown_delta(n: u64) -> Delta {
    let value = Some(Value::Health(Health::Passing).into());
    let entry = Entry { version: 5, key: Key::Health("x".into()), value };
    let (origin, epoch) = (NodeId(70_000 + n), Epoch(1));
    Delta { origin, epoch, after: 4, to: 5, head: 9, gc_floor: 0, entries: vec![entry] }
}

/// One datagram of each kind, alone and repeated, in the name of the victim.
fn forged() -> Vec<(&'static str, Vec<u8>)> {
    let (sender, own, epoch) = (victim().node_id, identity(0), victim().epoch);
    let want = |n| Want { origin: identity(n).node_id, epoch: Epoch(0), after: 0, gc_floor: 0 };
    let head = |n| Head { origin: NodeId(60_000 + n), epoch: Epoch(9), known_to: 9 };
    let digest = |heads: u64| {
        let recent = (0..heads).map(head).collect();
        Message::Digest(Digest { sender, catalog: 1, recent })
    };
    let ping = |n: u8| Message::Ping(Ping { sender, nonce: [n; 4] });
    let ask = |suspect: Identity| Message::Ask(Ask { sender, suspect: suspect.node_id, epoch });
    let listing =
        |bucket, members| Message::Listing(Listing { sender, bucket, wanted: true, members });
    let about = |update: Update| {
        Message::MemberUpdates(MemberUpdates {
            sender,
            updates: vec![update],
            datacenter: hobnob_membership::DatacenterId::UNKNOWN,
        })
    };
    let down_with = |epoch| Verdict { referees: vec![], epoch, ..verdict(own) };
    let past = || about(Update::Down(down_with(Epoch(own.epoch.0 - 1))));
    let pull = |wants: Vec<Want>| Message::Pull(Pull { sender, wants });
    let hello = |identity| Hello {
        token: 7,
        identity,
        datacenter: hobnob_membership::DatacenterId::UNKNOWN,
        tables: [0; 4],
    };
    let tag = [9; 4];
    let local_health = LocalHealth::PROMPT;
    let life = Life { yielded: false, started: Epoch(1), key: 1, number: 1 };
    let claim = |identity| Claim { identity, life, silent: false, nonce: 1, echo: 0 };
    let own_at_victim = Identity { addr: victim().addr, epoch: Epoch(own.epoch.0 + 5), ..own };
    let vote = Vote {
        sender,
        suspect: identity(2).node_id,
        silence_ms: 9,
        probed_ms: 9,
        local_health: None,
        tcp_probe_answered: false,
    };
    let exit_vote = |suspect: Identity| {
        let Identity { node_id: suspect, epoch, .. } = suspect;
        let (alive, closed, by_fin, refused) = (false, true, true, true);
        Message::ExitVote(ExitVote { sender, suspect, epoch, alive, closed, by_fin, refused })
    };
    let confirm = |origin: Identity, version| {
        let Identity { node_id: origin, epoch, .. } = origin;
        Message::Confirm(Confirm { sender, origin, epoch, version })
    };
    let listed = (0..DOWN).map(|n| listing(bucket_of(former(n)), vec![former(n)]));
    vec![
        ("pull", datagram([pull(vec![want(0)])])),
        ("pulls", datagram([pull((0..5).map(want).collect()), pull(vec![want(0)])])),
        (
            "compare",
            datagram([Message::Compare(Compare {
                sender,
                buckets: vec![[7; 4]; 256],
                tables: [0; 4],
            })]),
        ),
        ("listing", datagram([listing(0, vec![])])),
        ("listings", datagram((0..=u8::MAX).map(|bucket| listing(bucket, vec![])))),
        ("listings of members that are down", datagram(listed)),
        ("digest", datagram([digest(0)])),
        ("digest with a head", datagram([digest(1)])),
        ("digest with heads", datagram([digest(60)])),
        ("rumor", datagram([Message::Rumors(sender, vec![unknown_delta(0)], Ages::default())])),
        (
            "rumors",
            datagram([Message::Rumors(
                sender,
                (0..30).map(unknown_delta).collect(),
                Ages::default(),
            )]),
        ),
        ("ping", datagram([ping(0)])),
        ("pings", datagram((0..90).map(ping))),
        ("pong", datagram([Message::Pong(Pong { tag, members: tag, local_health })])),
        ("ask about a member", datagram([ask(identity(2))])),
        ("ask about the sender", datagram([ask(victim())])),
        ("ask about a member that is down", datagram([ask(former(0))])),
        ("asks about members that are down", datagram((0..DOWN).map(former).map(ask))),
        ("vote", datagram([Message::Vote(vote)])),
        ("confirm", datagram([confirm(own, 1)])),
        ("confirms", datagram((0..60).map(|version| confirm(own, version)))),
        ("confirm of what nobody has", datagram([confirm(identity(2), 1 << 40)])),
        (
            "confirms of what nobody has",
            datagram((1 << 40..).take(30).map(|at| confirm(identity(2), at))),
        ),
        ("exit vote", datagram([exit_vote(identity(2))])),
        ("exit vote on the sender", datagram([exit_vote(victim())])),
        ("exit votes", datagram((100..160).map(identity).map(exit_vote))),
        ("verdict on the receiver", datagram([past()])),
        ("verdicts on the receiver", datagram((0..60).map(|_| past()))),
        ("fresh verdict on the receiver", datagram([about(Update::Down(down_with(own.epoch)))])),
        ("member update", datagram([about(Update::Alive(identity(3)))])),
        ("duplicate", datagram([about(Update::Alive(own_at_victim))])),
        ("hello", datagram([Message::Hello(hello(victim()))])),
        ("hello of a duplicate", datagram([Message::Hello(hello(own_at_victim))])),
        ("welcome", datagram([Message::Welcome(hello(victim()))])),
        ("referral", datagram([Message::Referral(hello(victim()))])),
        ("claim", datagram([Message::Claim(claim(own_at_victim))])),
    ]
}

/// The part of the ring on which a member is placed.
fn bucket_of(identity: Identity) -> u8 {
    xxh3_64(&identity.node_id.0.to_le_bytes()).to_be_bytes()[0]
}

#[test]
fn no_datagram_in_the_name_of_a_member_that_never_answered_is_answered_by_a_flood() {
    let mut floods = Vec::new();
    for victim_is_down in [false, true] {
        let without = sent_to_victim(victim_is_down, None);
        for (kind, bytes) in forged() {
            let sent = sent_to_victim(victim_is_down, Some(&bytes)).saturating_sub(without);
            if sent > MOST * bytes.len() {
                floods.push((kind, victim_is_down, bytes.len(), sent));
            }
        }
    }
    assert!(floods.is_empty(), "kind, victim is down, bytes received, sent: {floods:#?}");
}

/// Bytes of datagrams to the member that the node sends because of a pull, once the member has answered a ping or not.
fn sent_to_puller(answers: bool) -> usize {
    let (mut node, now) = subject(false);
    let want = Want { origin: identity(0).node_id, epoch: Epoch(0), after: 0, gc_floor: 0 };
    let pull = datagram([Message::Pull(Pull { sender: victim().node_id, wants: vec![want] })]);
    node.handle(Input::Datagram { from: victim().addr, bytes: &pull }, now);
    let mut pings = Vec::new();
    while let Some(output) = node.poll_output() {
        if let Output::Datagram { to, bytes } = output
            && to == victim().addr
        {
            let messages = decode_datagram(&bytes, &Envelope::clear(ClusterId::default()));
            pings.extend(messages.expect("a datagram").flatten());
        }
    }
    let [Message::Ping(ping)] = pings[..] else { panic!("{pings:?}") };
    if answers {
        let tag = pong_tag(victim().node_id, ping.nonce);
        let pong = Pong { tag, members: [0; 4], local_health: LocalHealth::PROMPT };
        let pong = datagram([Message::Pong(pong)]);
        node.handle(Input::Datagram { from: victim().addr, bytes: &pong }, now);
    }
    bytes_to_victim(&mut node, now + Duration::from_millis(20))
}

#[test]
fn a_pull_that_was_put_off_is_answered_once_the_member_has_answered_a_ping() {
    assert_eq!(sent_to_puller(false), 0);
    assert!(sent_to_puller(true) > 10_000);
}

#[test]
fn members_that_have_just_met_repair_each_other_within_a_round_trip_more() {
    // Each node watches five others. The addresses of the rest are not proven to it.
    let mut net = Network::joined(12);
    let put_off =
        |net: &Network| net.nodes.iter().map(|node| node.counters().questions_put_off).sum::<u64>();
    let before = put_off(&net);
    for round in 0..12 {
        // Everything that is sent at first is lost, so that digests and pulls have to bring it.
        let health = health(&format!("i{round}"), Health::Passing);
        net.nodes[round].write(health, net.now).expect("legal");
        while net.nodes[round].poll_output().is_some() {}
        net.run_for(Duration::from_millis(500));
        assert!(net.is_converged(), "round {round}");
    }
    assert!(put_off(&net) > before, "no pull was put off");
    assert_eq!(net.nodes.iter().map(|node| node.counters().questions_given_up).sum::<u64>(), 0);
}
