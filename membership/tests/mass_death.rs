//! Most of a cluster vanishes at once, and nobody is left to ask.

use std::time::Duration;

use hobnob_membership::detector::{Cause, Verdict};
use hobnob_membership::testing::{Network, identity, node_of};
use hobnob_membership::view::MemberStatus;
use hobnob_membership::wire::{
    Ages, DatagramBuilder, Envelope, MemberUpdates, Message, Update, decode_datagram,
};
use hobnob_membership::{ClusterId, Event, Input, Node, NodeId};

fn sealed(message: &Message) -> Vec<u8> {
    let mut datagram = DatagramBuilder::new(Envelope::clear(ClusterId::default()));
    datagram.push(message).expect("it fits");
    datagram.finish()
}

fn status(net: &Network, of: usize, as_seen_by: usize) -> Option<MemberStatus> {
    let id = identity(of).node_id;
    let members = net.nodes[as_seen_by].members();
    members.iter().find(|member| member.identity.node_id == id).map(|member| member.status)
}

/// A node stops answering its cluster. Returns it as it was.
fn vanish(net: &mut Network, n: usize) -> Node {
    std::mem::replace(&mut net.nodes[n], node_of(ClusterId::named("other"), n))
}

/// How often somebody was told that a member is down, since the first `skipped` datagrams.
fn times_called_down(net: &Network, skipped: usize, node: NodeId) -> usize {
    let about_it =
        |update: &Update| matches!(update, Update::Down(verdict) if verdict.node == node);
    let messages = net.datagrams[skipped..].iter().flat_map(|bytes| {
        decode_datagram(bytes, &Envelope::clear(ClusterId::default())).into_iter().flatten()
    });
    let told = messages.filter_map(|message| match message {
        Ok(Message::MemberUpdates(told)) => Some(told.updates),
        _ => None,
    });
    told.flatten().filter(about_it).count()
}

#[test]
fn the_last_two_of_forty_know_within_eight_seconds_that_the_others_are_gone() {
    let mut net = Network::joined(40);
    for n in 2..40 {
        vanish(&mut net, n);
    }
    net.run_for(Duration::from_secs(8));
    for n in [0, 1] {
        let down = (2..40).filter(|of| status(&net, *of, n) == Some(MemberStatus::Down)).count();
        assert_eq!(down, 38, "{n}");
        assert_eq!(status(&net, 1 - n, n), Some(MemberStatus::Alive), "{n}: the other one lives");
        assert!(net.nodes[n].is_connected());
    }
    net.run_for(Duration::from_secs(3));
    for n in [0, 1] {
        let told: Vec<_> = net.events[n]
            .iter()
            .filter_map(|event| match event {
                Event::LostTogether { nodes, of, .. } => Some((nodes.len(), *of)),
                _ => None,
            })
            .collect();
        assert_eq!(told, [(38, 40)], "{n}");
    }
}

#[test]
fn a_verdict_without_a_witness_is_told_to_nobody_and_ends_with_a_sign_of_life() {
    let mut net = Network::joined(4);
    vanish(&mut net, 3);
    net.run_for(Duration::from_secs(5));
    assert_eq!(status(&net, 3, 0), Some(MemberStatus::Down));
    let sent_before = net.datagrams.len();
    let mut away = [1, 2].map(|n| Some(vanish(&mut net, n)));
    // A member that is held down is heard all the time, so that the node is not isolated.
    let rumor = sealed(&Message::Rumors(identity(3).node_id, Vec::new(), Ages::default()));
    let doubts =
        |net: &Network| [1, 2].into_iter().find(|n| status(net, *n, 0) == Some(MemberStatus::Down));
    let since = net.now;
    while doubts(&net).is_none() {
        assert!(net.now < since + Duration::from_secs(8), "no verdict");
        net.handle(0, Input::Datagram { from: identity(3).addr, bytes: &rumor });
        net.run_for(Duration::from_millis(10));
    }
    assert!(net.now >= since + Duration::from_millis(3_900), "too soon to be sure");
    let doubted = doubts(&net).expect("a verdict");
    let id = identity(doubted).node_id;
    assert!(net.nodes[0].is_connected(), "the other one may still answer");
    assert_eq!(net.nodes[0].belief(id).map(|belief| belief.verdict.referees.len()), Some(0));
    net.run_for(Duration::from_millis(300));
    assert_eq!(times_called_down(&net, sent_before, id), 0);
    net.nodes[doubted] = away[doubted - 1].take().expect("it was there");
    net.run_for(Duration::from_secs(2));
    assert_eq!(status(&net, doubted, 0), Some(MemberStatus::Alive));
    assert_eq!(net.nodes[0].belief(id), None);
    assert_eq!(net.nodes[doubted].identity().epoch, identity(doubted).epoch, "nothing to refute");
    assert_eq!(times_called_down(&net, sent_before, id), 0);
}

#[test]
fn a_peers_verdict_without_a_witness_is_not_believed() {
    let mut net = Network::joined(12);
    // The node does not watch the member, so that it would believe a verdict with witnesses.
    let unwatched = |n: &usize| net.nodes[0].last_answer(identity(*n).node_id).is_none();
    let of = (2..12).find(unwatched).expect("five of eleven are watched");
    let (accuser, living) = (identity(1), identity(of));
    let verdict = Verdict {
        node: living.node_id,
        epoch: living.epoch,
        cause: Cause::Silence,
        accuser: accuser.node_id,
        referees: Vec::new(),
        exited: false,
    };
    let updates = vec![Update::Down(verdict)];
    let told = MemberUpdates {
        sender: accuser.node_id,
        updates,
        datacenter: hobnob_membership::DatacenterId::UNKNOWN,
    };
    let bytes = sealed(&Message::MemberUpdates(told));
    net.handle(0, Input::Datagram { from: accuser.addr, bytes: &bytes });
    net.run_for(Duration::from_secs(2));
    let downs = net.events[0].iter().filter(|event| {
        matches!(event, Event::Member(change) if change.member.status == MemberStatus::Down)
    });
    assert_eq!(downs.count(), 0);
    assert_eq!(net.nodes[of].identity().epoch, living.epoch);
}

#[test]
fn a_third_of_forty_that_die_at_once_are_down_for_all_after_two_seconds() {
    let mut net = Network::joined(40);
    // All of them are prompt now. Those that pinged them while all joined, and do not watch them, do not know that.
    net.run_for(Duration::from_secs(30));
    let (dead, left): (Vec<usize>, Vec<usize>) = (0..40).partition(|n| n % 3 == 2);
    for n in &dead {
        vanish(&mut net, *n);
    }
    // A suspicion timeout of 1.95 s from the last sign of life, and the time of three votes.
    net.run_for(Duration::from_millis(2_100));
    for n in left {
        let is_down = |of: &usize| status(&net, *of, n) == Some(MemberStatus::Down);
        let alive: Vec<usize> = dead.iter().copied().filter(|of| !is_down(of)).collect();
        assert_eq!(alive, [], "{n}");
    }
}

/// What a node told of losses and returns.
fn groups(net: &Network, n: usize) -> Vec<(usize, usize)> {
    let group = |event: &Event| match event {
        Event::LostTogether { nodes, of, .. } => Some((nodes.len(), *of)),
        Event::BackTogether { loss, .. } => Some((loss.back, loss.missing.len())),
        _ => None,
    };
    net.events[n].iter().filter_map(group).collect()
}

#[test]
fn a_cut_in_two_halves_is_one_event_for_both_until_it_heals() {
    let mut net = Network::joined(4);
    net.run_for(Duration::from_secs(5));
    let across = [(0, 2), (0, 3), (1, 2), (1, 3)];
    net.cut.extend(across.into_iter().flat_map(|(a, b)| [(a, b), (b, a)]));
    net.run_for(Duration::from_secs(10));
    for n in 0..4 {
        assert_eq!(groups(&net, n), [(2, 4)], "{n}");
        let [loss] = net.nodes[n].mass_losses() else { panic!("{n}") };
        assert_eq!((loss.lost, loss.of, loss.missing.len()), (2, 4, 2));
        let far = identity((n + 2) % 4).node_id;
        assert_eq!(net.nodes[n].mass_loss_of(far), Some(loss));
        assert_eq!(net.nodes[n].mass_loss_of(identity(n ^ 1).node_id), None);
        assert_eq!(net.nodes[n].broken_links().count(), 0, "{n}: nobody hears those over there");
    }
    net.cut.clear();
    net.run_for(Duration::from_secs(10));
    for n in 0..4 {
        assert_eq!(groups(&net, n), [(2, 4), (2, 0)], "{n}");
        assert!(net.nodes[n].mass_losses().is_empty());
        let counters = net.nodes[n].counters();
        assert_eq!((counters.mass_losses, counters.mass_losses_ended), (1, 1), "{n}");
    }
}

#[test]
fn an_isolated_node_knows_of_its_mass_loss_and_of_its_end() {
    let mut net = Network::joined(4);
    net.run_for(Duration::from_secs(5));
    net.cut.extend([1, 2, 3].into_iter().flat_map(|n| [(0, n), (n, 0)]));
    net.run_for(Duration::from_secs(15));
    assert!(!net.nodes[0].is_connected());
    assert_eq!(groups(&net, 0), [], "it tells that it is isolated");
    let [loss] = net.nodes[0].mass_losses() else { panic!("{:?}", net.nodes[0].mass_losses()) };
    assert_eq!((loss.lost, loss.of), (3, 4));
    net.cut.clear();
    net.run_for(Duration::from_secs(10));
    assert_eq!(groups(&net, 0), [(3, 0)]);
    assert!(net.nodes[0].mass_losses().is_empty());
}
