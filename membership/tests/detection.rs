//! The members that are declared down, the nodes that do so, and how a member refutes that.

use std::time::Duration;

use hobnob_membership::detector::{Cause, Verdict};
use hobnob_membership::record::Health;
use hobnob_membership::testing::{Network, health, identity, node_as, node_of};
use hobnob_membership::view::MemberStatus;
use hobnob_membership::wire::{
    DatagramBuilder, Envelope, MemberUpdates, Message, Update, decode_datagram,
};
use hobnob_membership::{
    ClusterId, Epoch, Event, Identity, Input, Node, NodeId, Output, TcpProbeId,
};

fn sealed(message: &Message) -> Vec<u8> {
    let mut datagram = DatagramBuilder::new(Envelope::clear(ClusterId::default()));
    datagram.push(message).expect("it fits");
    datagram.finish()
}

/// Whether an output tells a member that its peer holds it down.
fn calls_down(output: &Output, member: &Identity) -> bool {
    let Output::Datagram { to, bytes } = output else { return false };
    let mut messages =
        decode_datagram(bytes, &Envelope::clear(ClusterId::default())).expect("ours");
    let about_it =
        |update: &Update| matches!(update, Update::Down(verdict) if verdict.node == member.node_id);
    *to == member.addr
        && messages.any(|message| matches!(message, Ok(Message::MemberUpdates(told)) if told.updates.iter().any(about_it)))
}

fn status(net: &Network, of: usize, as_seen_by: usize) -> Option<MemberStatus> {
    let id = identity(of).node_id;
    let members = net.nodes[as_seen_by].members();
    members.iter().find(|member| member.identity.node_id == id).map(|member| member.status)
}

#[test]
fn a_verdict_names_its_accuser_and_the_referees_that_agreed() {
    let mut net = Network::joined(7);
    // Node 6 stops answering its old cluster.
    net.nodes[6] = node_of(ClusterId::named("other"), 6);
    let dead = identity(6).node_id;
    net.run_for(Duration::from_secs(1));
    let watchers: Vec<usize> =
        (0..6).filter(|n| net.nodes[*n].last_answer(dead).is_some()).collect();
    let ages = |net: &Network| -> Vec<_> {
        watchers.iter().map(|n| net.nodes[*n].last_alive(dead, net.now)).collect()
    };
    let before = ages(&net);
    net.run_for(Duration::from_secs(4));
    assert_eq!(ages(&net), before, "a verdict must not make the last sign of life later");
    let living: Vec<NodeId> = (0..6).map(|n| identity(n).node_id).collect();
    for n in 0..6 {
        assert_eq!(status(&net, 6, n), Some(MemberStatus::Down), "{n}");
        let belief = net.nodes[n].belief(dead).expect("why it is down");
        let verdict = &belief.verdict;
        assert_eq!((verdict.node, verdict.epoch), (dead, identity(6).epoch));
        assert_eq!(verdict.cause, Cause::Silence);
        assert!(living.contains(&verdict.accuser) && living.contains(&belief.told_by));
        assert!(verdict.referees.len() >= 2, "three of five: {verdict:?}");
        assert!(!verdict.referees.contains(&verdict.accuser));
    }
    let passed: u64 = (0..6).map(|n| net.nodes[n].counters().verdicts_passed).sum();
    assert!((1..=5).contains(&passed), "{passed} verdicts");
}

#[test]
fn a_living_member_refutes_a_force_leave_and_nobody_else_is_affected() {
    let mut net = Network::joined(5);
    let victim = identity(3).node_id;
    let now = net.now;
    assert!(net.nodes[0].declare_down(victim, now));
    assert!(!net.nodes[0].declare_down(NodeId(9), now), "an unknown node");
    let belief = net.nodes[0].belief(victim).expect("it is down");
    assert_eq!(belief.verdict.cause, Cause::ForceLeft);
    assert_eq!(belief.verdict.accuser, identity(0).node_id);
    net.flush(0);
    net.run_for(Duration::from_secs(2));
    for n in 0..5 {
        assert_eq!(net.nodes[n].active_members(), 5, "{n}");
        assert_eq!(net.nodes[n].belief(victim), None);
        assert_eq!(status(&net, 3, n), Some(MemberStatus::Alive));
    }
    let raised = identity(3).epoch.next();
    assert_eq!(net.nodes[3].identity().epoch, raised);
    assert!(net.events[3].contains(&Event::EpochRaised(raised)));
    let told = |event: &&Event| matches!(event, Event::DeclaredDown(verdict) if verdict.cause == Cause::ForceLeft);
    assert_eq!(net.events[3].iter().filter(told).count(), 1);
    for n in [0, 1, 2, 4] {
        assert_eq!(net.nodes[n].identity().epoch, identity(n).epoch, "{n}");
    }
}

#[test]
fn updates_from_a_member_that_is_held_down_are_answered_with_the_verdict() {
    let mut net = Network::joined(4);
    let (lost, third) = (identity(3), identity(2));
    let now = net.now;
    assert!(net.nodes[0].declare_down(lost.node_id, now));
    while net.nodes[0].poll_output().is_some() {}
    let mut answers_to = |update: Update| -> usize {
        let updates = MemberUpdates {
            sender: lost.node_id,
            updates: vec![update],
            datacenter: hobnob_membership::DatacenterId::UNKNOWN,
        };
        let bytes = sealed(&Message::MemberUpdates(updates));
        let outputs = net.handle(0, Input::Datagram { from: lost.addr, bytes: &bytes });
        outputs.iter().filter(|output| calls_down(output, &lost)).count()
    };
    assert_eq!(
        answers_to(Update::Alive(third)),
        1,
        "the member does not know that it is held down"
    );
    let later = Identity { epoch: lost.epoch.next(), ..lost };
    assert_eq!(answers_to(Update::Alive(later)), 0, "its own update brings the member back");
}

#[test]
fn a_verdict_too_soon_after_a_renewal_is_refuted_when_it_is_told_again() {
    let mut net = Network::joined(3);
    let (own, sender) = (identity(0), identity(1));
    let refuted_as = |net: &mut Network, epoch: Epoch| {
        let (node, accuser) = (own.node_id, sender.node_id);
        let verdict = Verdict {
            node,
            epoch,
            cause: Cause::Silence,
            accuser,
            referees: Vec::new(),
            exited: false,
        };
        let updates = vec![Update::Down(verdict)];
        let told = MemberUpdates {
            sender: sender.node_id,
            updates,
            datacenter: hobnob_membership::DatacenterId::UNKNOWN,
        };
        let bytes = sealed(&Message::MemberUpdates(told));
        let outputs = net.handle(0, Input::Datagram { from: sender.addr, bytes: &bytes });
        let answers =
            |output: &&Output| matches!(output, Output::Datagram { to, .. } if *to == sender.addr);
        (net.nodes[0].identity().epoch, outputs.iter().filter(answers).count())
    };
    let (second, third) = (own.epoch.next(), own.epoch.next().next());
    assert_eq!(refuted_as(&mut net, own.epoch), (second, 1));
    assert_eq!(refuted_as(&mut net, second), (second, 0), "too soon after the renewal");
    assert_eq!(net.nodes[0].counters().refutations_put_off, 1);
    assert_eq!(
        refuted_as(&mut net, own.epoch),
        (second, 1),
        "the present epoch refutes it already"
    );
    net.run_for(Duration::from_secs(1));
    assert_eq!(refuted_as(&mut net, second), (third, 1));
}

#[test]
fn one_of_two_nodes_declares_the_other_down_without_a_referee() {
    let mut net = Network::joined(2);
    net.nodes[1] = node_of(ClusterId::named("other"), 1);
    net.run_for(Duration::from_secs(5));
    assert!(!net.nodes[0].is_connected(), "the node is isolated");
    assert_eq!(net.nodes[0].active_members(), 1);
}

#[test]
fn a_stalled_node_is_not_isolated_before_it_hears_real_silence() {
    let mut net = Network::joined(3);
    let awake_again = net.now + Duration::from_secs(20);
    let mut events = Vec::new();
    let mut wake = |node: &mut Node, now| {
        node.handle(Input::Deadline, now);
        events.extend(std::iter::from_fn(|| node.poll_output()).filter(|output| {
            use Event::{EpochRaised, Isolated, Stalled};
            matches!(output, Output::Event(Isolated | EpochRaised(_) | Stalled(_)))
        }));
        events.len()
    };
    let sleeper = &mut net.nodes[1];
    assert_eq!(wake(sleeper, awake_again), 1, "the stall alone is reported");
    assert_eq!(sleeper.active_members(), 3);
    let isolated_after = sleeper.protocol().isolated_after;
    while let Some(due) = sleeper.next_deadline()
        && sleeper.is_connected()
    {
        wake(sleeper, due);
        assert!(due < awake_again + isolated_after * 2, "the node is never isolated");
    }
    assert!(!sleeper.is_connected(), "silence after the stall isolates");
    let slept = |time: &Duration| (15..=20).contains(&time.as_secs());
    assert!(matches!(&events[0], Output::Event(Event::Stalled(time)) if slept(time)));
}

#[test]
fn last_alive_is_the_time_of_the_last_sign_of_life() {
    let mut net = Network::joined(4);
    net.run_for(Duration::from_secs(2));
    let silent = identity(3).node_id;
    let since = net.now;
    net.nodes[3] = node_of(ClusterId::named("other"), 3);
    net.run_for(Duration::from_millis(1_500));
    for n in 0..3 {
        let now = net.now;
        let alive = net.nodes[n].last_alive(silent, now);
        assert!(
            now.since(alive) >= Duration::from_millis(1_490),
            "{n}: it was silent, other members were not"
        );
        let fresh = now.since(net.nodes[n].last_alive(identity((n + 1) % 3).node_id, now));
        assert!(fresh < Duration::from_secs(1), "{n}: {fresh:?}");
    }
    net.run_for(Duration::from_secs(5));
    for n in 0..3 {
        assert_eq!(status(&net, 3, n), Some(MemberStatus::Down));
        let alive = net.nodes[n].last_alive(silent, net.now);
        assert!(alive <= since + Duration::from_millis(10), "{n}: it counts from the verdict");
    }
}

#[test]
fn a_member_that_was_force_left_keeps_its_name_and_all_nodes_know_why() {
    let mut net = Network::joined(4);
    let dead = identity(3).node_id;
    net.nodes[3] = node_of(ClusterId::named("other"), 3);
    net.run_for(Duration::from_secs(5));
    let now = net.now;
    net.nodes[1].handle(Input::ForceLeave { node: dead, order: None }, now);
    net.flush(1);
    net.run_for(Duration::from_secs(2));
    for n in 0..3 {
        let node = &net.nodes[n];
        let member = node.members().into_iter().find(|member| member.identity.node_id == dead);
        assert!(member.is_some_and(|member| member.node.is_some()), "{n}: the name is lost");
        assert!(node.catalog().origin(dead).is_none(), "{n}: its records are still there");
        let told_by = node.force_left(dead).expect("it was force-left").told_by;
        assert!(n != 1 || told_by == identity(1).node_id);
        assert!(net.events[n].contains(&Event::ForceLeft { node: dead, told_by }), "{n}");
    }
    assert_eq!(net.nodes[0].force_left(identity(1).node_id), None);
}

#[test]
fn a_member_that_was_force_left_and_returns_is_soon_alive_again() {
    let mut net = Network::joined(4);
    let away = identity(3).node_id;
    let stands_still = std::mem::replace(&mut net.nodes[3], node_of(ClusterId::named("other"), 3));
    net.run_for(Duration::from_secs(5));
    let now = net.now;
    net.nodes[1].handle(Input::ForceLeave { node: away, order: None }, now);
    net.flush(1);
    net.run_for(Duration::from_secs(2));
    net.nodes[3] = stands_still;
    net.run_for(Duration::from_secs(2));
    for n in 0..3 {
        assert_eq!(status(&net, 3, n), Some(MemberStatus::Alive), "{n}");
        assert!(net.nodes[n].catalog().origin(away).is_some_and(|o| o.node().is_some()), "{n}");
    }
    assert!(net.nodes[3].identity().epoch > identity(3).epoch, "it knows of its origin tombstone");
}

/// Stalls a node: the node answers no member any more, but its host completes TCP handshakes.
fn stall(net: &mut Network, n: usize) {
    net.nodes[n] = node_of(ClusterId::named("other"), n);
    net.listening.insert(n);
}

/// After this time of silence a node that is gone is down, and a stalled node is not.
const TIME_FOR_THE_DEAD: Duration = Duration::from_millis(3_900);

fn answered(net: &Network) -> u64 {
    net.nodes.iter().map(|node| node.counters().tcp_probes_answered).sum()
}

#[test]
fn a_stalled_member_is_down_after_five_seconds_and_not_before() {
    let mut net = Network::joined(7);
    stall(&mut net, 6);
    net.run_for(TIME_FOR_THE_DEAD);
    let id = identity(6).node_id;
    for n in 0..6 {
        assert_ne!(status(&net, 6, n), Some(MemberStatus::Down), "{n}");
    }
    assert!((0..6).any(|n| net.nodes[n].is_stalled(id)), "no TCP probe was answered");
    let until = (0..6).filter_map(|n| net.nodes[n].suspect_until(id)).max();
    assert!(until.is_some_and(|until| until > net.now), "the suspicion timeout is over: {until:?}");
    net.run_for(Duration::from_secs(2));
    for n in 0..6 {
        assert_eq!(status(&net, 6, n), Some(MemberStatus::Down), "{n}");
        assert!(!net.nodes[n].is_stalled(id), "{n}");
        assert_eq!(net.nodes[n].suspect_until(id), None, "{n}");
    }
}

#[test]
fn a_new_member_at_the_address_of_a_dead_one_does_not_answer_for_it() {
    let mut net = Network::joined(7);
    let after = Identity { node_id: NodeId(0x999), epoch: Epoch(2_000), ..identity(6) };
    stall(&mut net, 6);
    net.nodes[6] = node_as(ClusterId::default(), after, 6);
    net.handle(6, Input::Join(vec![identity(0).addr]));
    net.run_for(TIME_FOR_THE_DEAD);
    for n in 0..6 {
        let status = status(&net, 6, n);
        assert!(matches!(status, Some(MemberStatus::Down | MemberStatus::Replaced)), "{n}");
        assert!(net.nodes[n].members().iter().any(|member| member.identity == after), "{n}");
    }
    assert!(net.tcp_probes.is_empty(), "the dead one would seem stalled");
}

#[test]
fn a_member_that_only_streams_reach_stays_alive_and_its_owner_is_told() {
    let mut net = Network::joined(7);
    net.blocked.insert(6);
    net.run_for(Duration::from_secs(20));
    let told = |net: &Network, n: usize| net.events[n].contains(&Event::DatagramsBlocked);
    let id = identity(6).node_id;
    for n in 0..6 {
        assert_eq!(status(&net, 6, n), Some(MemberStatus::Alive), "{n}");
        assert!(
            !told(&net, n) && !net.nodes[n].are_datagrams_blocked(),
            "{n}: other members answer by datagram"
        );
    }
    assert!((0..6).any(|n| net.nodes[n].is_heard_by_stream_alone(id, net.now)));
    assert!(told(&net, 6) && net.nodes[6].are_datagrams_blocked());
    for n in [0, 6] {
        net.write(n, health("web", Health::Passing));
    }
    net.run_for(Duration::from_secs(2));
    assert!(net.is_converged(), "sessions carry changes too rarely");
    net.blocked.clear();
    net.run_for(Duration::from_secs(5));
    assert!(net.events[6].contains(&Event::DatagramsPass));
    assert!(!net.nodes[6].are_datagrams_blocked());
}

#[test]
fn a_member_that_only_others_hear_is_alive_and_its_monitor_knows_that_its_own_link_is_broken() {
    let mut net = Network::joined(7);
    let id = identity(6).node_id;
    let watches = |net: &Network, n: usize| net.nodes[n].last_answer(id).is_some();
    net.run_for(Duration::from_secs(2));
    let monitor = (0..6).find(|n| watches(&net, *n)).expect("a monitor");
    let unanswered = |net: &Network, n: usize| net.nodes[n].unanswered_for(id, net.now);
    net.cut.insert((monitor, 6));
    net.run_for(Duration::from_secs(20));
    for n in 0..6 {
        let seen = status(&net, 6, n);
        assert!(matches!(seen, Some(MemberStatus::Alive | MemberStatus::Suspect)), "{n}: {seen:?}");
        assert_eq!(unanswered(&net, n).is_some(), n == monitor, "{n}");
        let listed: Vec<_> = net.nodes[n].unanswered(net.now).collect();
        assert_eq!(listed, if n == monitor { vec![id] } else { vec![] }, "{n}");
    }
    let silence = unanswered(&net, monitor).expect("no answer");
    let cut_for = 19..=20;
    assert!(cut_for.contains(&silence.as_secs()), "{silence:?}");
    net.cut.clear();
    net.run_for(Duration::from_secs(3));
    assert_eq!(unanswered(&net, monitor), None);
}

#[test]
fn a_verdict_makes_a_member_no_younger_for_a_monitor_whose_link_was_broken() {
    let mut net = Network::joined(7);
    let id = identity(6).node_id;
    net.run_for(Duration::from_secs(2));
    let monitor = (0..6).find(|n| net.nodes[*n].last_answer(id).is_some()).expect("a monitor");
    net.cut.insert((monitor, 6));
    net.run_for(Duration::from_secs(20));
    let alive = |net: &Network| net.nodes[monitor].last_alive(id, net.now);
    let before = alive(&net);
    assert!(net.now.since(before) > Duration::from_secs(15), "it has not answered since");
    net.nodes[6] = node_of(ClusterId::named("other"), 6);
    net.run_for(TIME_FOR_THE_DEAD);
    assert_eq!(status(&net, 6, monitor), Some(MemberStatus::Down));
    assert_eq!(alive(&net), before);
}

#[test]
fn tcp_probes_without_an_answer_change_nothing() {
    let mut net = Network::joined(7);
    net.nodes[6] = node_of(ClusterId::named("other"), 6);
    net.run_for(TIME_FOR_THE_DEAD);
    assert!(!net.tcp_probes.is_empty());
    assert_eq!(answered(&net), 0);
    for n in 0..6 {
        assert_eq!(status(&net, 6, n), Some(MemberStatus::Down), "{n}");
    }
}

#[test]
fn an_answer_to_an_earlier_tcp_probe_counts_for_no_later_indirect_probe() {
    let mut net = Network::joined(3);
    let sleeper = std::mem::replace(&mut net.nodes[2], node_of(ClusterId::named("other"), 2));
    net.run_for(Duration::from_secs(2));
    let earlier = net.tcp_probes.clone();
    assert!(!earlier.is_empty());
    net.nodes[2] = sleeper;
    net.run_for(Duration::from_secs(2));
    net.nodes[2] = node_of(ClusterId::named("other"), 2);
    net.run_for(Duration::from_secs(2));
    assert!(net.tcp_probes.len() > earlier.len(), "there is another indirect probe");
    let tell = |net: &mut Network, tcp_probes: &[TcpProbeId]| {
        for (n, tcp_probe) in
            tcp_probes.iter().flat_map(|tcp_probe| [(0, *tcp_probe), (1, *tcp_probe)])
        {
            net.handle(n, Input::TcpProbeAnswered { tcp_probe });
        }
    };
    tell(&mut net, &earlier);
    assert_eq!(answered(&net), 0);
    let later = net.tcp_probes[earlier.len()..].to_vec();
    tell(&mut net, &later);
    assert!(answered(&net) > 0, "an answer in time counts");
}

#[test]
fn an_answer_to_a_tcp_probe_of_an_earlier_epoch_counts_for_no_later_one() {
    let mut net = Network::joined(3);
    net.nodes[2] = node_of(ClusterId::named("other"), 2);
    net.run_for(Duration::from_secs(2));
    let tcp_probes = net.tcp_probes.clone();
    assert!(!tcp_probes.is_empty());
    for n in [0, 1] {
        let later = Identity { epoch: identity(2).epoch.next(), ..identity(2) };
        let member_updates = MemberUpdates {
            sender: later.node_id,
            updates: vec![Update::Alive(later)],
            datacenter: hobnob_membership::DatacenterId::UNKNOWN,
        };
        let bytes = sealed(&Message::MemberUpdates(member_updates));
        net.handle(n, Input::Datagram { from: later.addr, bytes: &bytes });
        for tcp_probe in &tcp_probes {
            net.handle(n, Input::TcpProbeAnswered { tcp_probe: *tcp_probe });
        }
    }
    assert_eq!(answered(&net), 0);
}

#[test]
fn a_node_that_is_called_in_time_has_no_stalls() {
    let mut net = Network::joined(5);
    net.run_for(Duration::from_secs(120));
    for (n, node) in net.nodes.iter().enumerate() {
        assert_eq!(node.counters().stalls, 0, "{n}");
        assert_eq!(node.counters().tcp_probes_sent, 0, "{n}: no member was silent");
    }
}

#[test]
fn a_node_that_only_hears_verdicts_on_itself_is_isolated() {
    let mut net = Network::joined(3);
    let own = *net.nodes[0].identity();
    let sender = identity(1).node_id;
    let verdict = Verdict {
        node: own.node_id,
        epoch: own.epoch,
        cause: Cause::Silence,
        accuser: sender,
        referees: Vec::new(),
        exited: false,
    };
    let member_updates = MemberUpdates {
        sender,
        updates: vec![Update::Down(verdict)],
        datacenter: hobnob_membership::DatacenterId::UNKNOWN,
    };
    let bytes = sealed(&Message::MemberUpdates(member_updates));
    let (start, node) = (net.now, &mut net.nodes[0]);
    let mut isolated = None;
    let mut word_at = start;
    while isolated.is_none() && word_at < start + Duration::from_secs(30) {
        let due = node.next_deadline().unwrap_or(word_at).min(word_at);
        if due == word_at {
            word_at = word_at + Duration::from_millis(500);
            node.handle(Input::Datagram { from: identity(1).addr, bytes: &bytes }, due);
        } else {
            node.handle(Input::Deadline, due);
        }
        while let Some(output) = node.poll_output() {
            if matches!(output, Output::Event(Event::Isolated)) {
                isolated = Some(due.since(start));
            }
        }
    }
    let after = isolated.expect("isolated");
    assert!(after <= Duration::from_secs(6), "{after:?}");
}
