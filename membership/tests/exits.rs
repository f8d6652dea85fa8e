//! Noticing that the process of a member exited: what convicts, and what must not.

use std::time::Duration;

use hobnob_membership::detector::{Cause, Verdict};
use hobnob_membership::testing::{Link, Network, identity, node};
use hobnob_membership::view::MemberStatus;
use hobnob_membership::wire::{DatagramBuilder, Envelope, MemberUpdates, Message, Update};
use hobnob_membership::{ClusterId, Event, HoldEnd, Input, Node, Time};

const MS: fn(u64) -> Duration = Duration::from_millis;
/// The node whose process is the subject of the test.
const SUSPECT: usize = 3;
/// Long enough to join, and for connections to be made.
const SETTLE: Duration = Duration::from_secs(6);

/// Nodes that hold connections to each other.
fn settled(count: usize) -> Network {
    let mut network = Network::new((0..count).map(node).collect(), Link::default(), Time::ZERO);
    network.listening = (0..count).collect();
    for n in 1..count {
        network.handle(n, Input::Join(vec![identity(0).addr]));
    }
    network.run_for(SETTLE);
    let monitors = (count - 1).min(5);
    assert_eq!(network.held.len(), count * monitors, "each node is held by its monitors");
    network
}

/// Ends the process of a node: it answers nothing any more, and its host refuses connections.
fn kill(network: &mut Network, n: usize) {
    network.blocked.insert(n);
    network.listening.remove(&n);
    network.refusing.insert(n);
    network.end_connections(n, HoldEnd::Closed);
}

fn holds_down(node: &Node, n: usize) -> bool {
    let id = identity(n).node_id;
    let status = node.members().into_iter().find(|member| member.identity.node_id == id);
    status.is_some_and(|member| member.status == MemberStatus::Down)
}

/// The nodes that hold another down.
fn sure(network: &Network, n: usize) -> Vec<usize> {
    let nodes = network.nodes.iter().enumerate();
    nodes.filter(|(other, node)| *other != n && holds_down(node, n)).map(|(n, _)| n).collect()
}

fn convicted(network: &Network) -> u64 {
    network.nodes.iter().map(|node| node.counters().exits_convicted).sum()
}

fn acquitted(network: &Network) -> u64 {
    network.nodes.iter().map(|node| node.counters().exits_acquitted).sum()
}

#[test]
fn all_know_of_a_killed_process_within_a_tenth_of_a_second() {
    let mut network = settled(12);
    kill(&mut network, SUSPECT);
    network.run_for(MS(45));
    assert_eq!(sure(&network, SUSPECT), [], "nobody is sure before all pings are missed");
    network.run_for(MS(55));
    assert_eq!(sure(&network, SUSPECT).len(), 11);
    let belief = network.nodes[0].belief(identity(SUSPECT).node_id).expect("down");
    assert!(belief.verdict.exited);
    assert!(belief.verdict.referees.len() >= 2, "{:?}", belief.verdict);
    network.run_for(Duration::from_secs(5));
    assert_eq!(network.nodes[0].load().exit_cases, 0);
}

#[test]
fn of_two_nodes_one_believes_for_itself_that_the_other_exited() {
    let mut network = settled(2);
    network.blocked.insert(1);
    network.listening.remove(&1);
    network.refusing.insert(1);
    network.end_connections(1, HoldEnd::Closed);
    network.run_for(MS(100));
    assert!(holds_down(&network.nodes[0], 1));
    assert_eq!(network.nodes[0].counters().verdicts_without_witness, 1);
    network.blocked.remove(&1);
    network.listening.insert(1);
    network.refusing.remove(&1);
    network.run_for(Duration::from_secs(3));
    assert!(!holds_down(&network.nodes[0], 1), "it ends with a sign of life");
}

#[test]
fn a_process_that_answers_is_acquitted_though_its_connections_closed() {
    let mut network = settled(12);
    network.end_connections(SUSPECT, HoldEnd::Closed);
    network.run_for(Duration::from_secs(3));
    assert_eq!((sure(&network, SUSPECT).len(), convicted(&network)), (0, 0));
    assert!(acquitted(&network) >= 5);
    assert_eq!(network.held.len(), 60, "the connections are made again");
}

#[test]
fn a_new_connection_that_stays_open_acquits_a_process_whose_datagrams_are_lost() {
    let mut network = settled(12);
    network.blocked.insert(SUSPECT);
    network.end_connections(SUSPECT, HoldEnd::Closed);
    network.run_for(Duration::from_secs(1));
    assert_eq!((sure(&network, SUSPECT).len(), convicted(&network)), (0, 0));
    assert!(acquitted(&network) >= 5);
}

#[test]
fn a_process_that_listens_again_in_time_is_never_hidden_though_it_answers_no_ping_yet() {
    let mut network = settled(12);
    kill(&mut network, SUSPECT);
    network.run_for(MS(38));
    network.refusing.remove(&SUSPECT);
    network.listening.insert(SUSPECT);
    network.run_for(Duration::from_secs(1));
    assert_eq!((sure(&network, SUSPECT).len(), convicted(&network)), (0, 0));
    assert!(acquitted(&network) >= 5);
}

/// Something nearer than the member, such as a proxy, closes and refuses its connections.
#[test]
fn a_process_far_away_has_the_time_to_answer() {
    let mut network = settled(12);
    network.far.insert(SUSPECT, MS(60));
    network.run_for(Duration::from_secs(40));
    network.listening.remove(&SUSPECT);
    network.refusing.insert(SUSPECT);
    network.end_connections(SUSPECT, HoldEnd::Closed);
    network.run_for(Duration::from_secs(3));
    assert_eq!((sure(&network, SUSPECT).len(), convicted(&network)), (0, 0));
    assert!(acquitted(&network) >= 5);
    network.listening.insert(SUSPECT);
    network.refusing.remove(&SUSPECT);
    network.run_for(Duration::from_secs(10));
    kill(&mut network, SUSPECT);
    network.run_for(MS(245));
    assert_eq!(sure(&network, SUSPECT), [], "an answer may be on its way");
    network.run_for(MS(55));
    assert_eq!(sure(&network, SUSPECT).len(), 11);
}

#[test]
fn resets_and_silence_convict_nobody() {
    let mut network = settled(12);
    network.cut = (0..12).map(|n| (n.min(SUSPECT), n.max(SUSPECT))).collect();
    network.listening.remove(&SUSPECT);
    network.end_connections(SUSPECT, HoldEnd::Reset);
    network.run_for(MS(1_500));
    assert_eq!((sure(&network, SUSPECT).len(), convicted(&network)), (0, 0));
    network.run_for(Duration::from_secs(9));
    assert_eq!(sure(&network, SUSPECT).len(), 11, "the ordinary detection goes on");
    let belief = network.nodes[0].belief(identity(SUSPECT).node_id).expect("down");
    assert!(!belief.verdict.exited);
}

#[test]
fn closed_connections_and_silence_convict_later() {
    let mut network = settled(12);
    network.blocked.insert(SUSPECT);
    network.listening.remove(&SUSPECT);
    network.end_connections(SUSPECT, HoldEnd::Closed);
    network.run_for(MS(190));
    assert_eq!(sure(&network, SUSPECT), []);
    network.run_for(MS(100));
    assert_eq!(sure(&network, SUSPECT).len(), 11);
}

#[test]
fn a_goodbye_is_no_hint() {
    let mut network = settled(12);
    network.blocked.insert(SUSPECT);
    network.listening.remove(&SUSPECT);
    network.refusing.insert(SUSPECT);
    network.end_connections(SUSPECT, HoldEnd::Goodbye);
    network.run_for(MS(1_500));
    assert_eq!((sure(&network, SUSPECT).len(), convicted(&network)), (0, 0));
}

#[test]
fn a_node_with_evidence_of_its_own_believes_a_verdict_at_once_and_others_check_it() {
    for has_evidence in [true, false] {
        let mut network = settled(12);
        let (key, _) = network.held.iter().find(|(_, to)| **to == SUSPECT).expect("held");
        let (monitor, hold) = *key;
        if has_evidence {
            network.handle(monitor, Input::HoldEnded { hold, end: HoldEnd::Closed });
        }
        let mut others = (0..12).filter(|n| ![monitor, SUSPECT].contains(n)).map(identity);
        let [teller, referee] = [others.next(), others.next()].map(|node| node.expect("a node"));
        let suspect = *network.nodes[SUSPECT].identity();
        let verdict = Verdict {
            node: suspect.node_id,
            epoch: suspect.epoch,
            cause: Cause::Silence,
            accuser: teller.node_id,
            referees: vec![referee.node_id],
            exited: true,
        };
        let updates = vec![Update::Down(verdict)];
        let mut datagram = DatagramBuilder::new(Envelope::clear(ClusterId::default()));
        let told = MemberUpdates {
            sender: teller.node_id,
            updates,
            datacenter: hobnob_membership::DatacenterId::UNKNOWN,
        };
        datagram.push(&Message::MemberUpdates(told)).expect("fits");
        let bytes = datagram.finish();
        network.handle(monitor, Input::Datagram { from: teller.addr, bytes: &bytes });
        assert_eq!(holds_down(&network.nodes[monitor], SUSPECT), has_evidence);
        network.run_for(Duration::from_secs(2));
        assert_eq!(sure(&network, SUSPECT), [], "it refuted");
    }
}

#[test]
fn one_refusal_is_not_enough() {
    let mut network = settled(12);
    // One monitor sees all that a dead process shows. The others still hear the member.
    let (key, _) = network.held.iter().find(|(_, to)| **to == SUSPECT).expect("held");
    let (monitor, hold) = *key;
    network.held.remove(&(monitor, hold));
    network.cut.insert((monitor.min(SUSPECT), monitor.max(SUSPECT)));
    network.refusing.insert(SUSPECT);
    network.handle(monitor, Input::HoldEnded { hold, end: HoldEnd::Closed });
    network.run_for(Duration::from_secs(1));
    assert_eq!((sure(&network, SUSPECT).len(), convicted(&network)), (0, 0));
}

#[test]
fn six_processes_of_thirty_that_are_killed_together_are_known_at_once() {
    let mut network = settled(30);
    let dead = 12..18;
    dead.clone().for_each(|n| kill(&mut network, n));
    network.run_for(MS(500));
    let known = dead.clone().map(|n| {
        let living = sure(&network, n).into_iter().filter(|other| !dead.contains(other));
        living.count()
    });
    assert_eq!(known.collect::<Vec<_>>(), [24; 6]);
}

/// The nodes that hold connections to another.
fn monitors(network: &Network, n: usize) -> Vec<usize> {
    let holding = network.held.iter().filter(|(_, to)| **to == n);
    holding.map(|((monitor, _), _)| *monitor).collect()
}

#[test]
fn a_process_that_is_killed_with_most_of_its_monitors_is_known_within_half_a_second() {
    for killed_with_it in 0..5 {
        let mut network = settled(30);
        let monitors = monitors(&network, SUSPECT);
        let dead: Vec<usize> =
            monitors[..killed_with_it].iter().copied().chain([SUSPECT]).collect();
        dead.iter().for_each(|n| kill(&mut network, *n));
        network.run_for(MS(300));
        for n in &dead {
            let living = sure(&network, *n).into_iter().filter(|other| !dead.contains(other));
            assert_eq!(living.count(), 30 - dead.len(), "{n} of {dead:?}");
        }
    }
}

#[test]
fn one_closed_connection_and_refusals_convict_only_by_a_fin_and_later() {
    for (end, is_enough) in [(HoldEnd::Closed, true), (HoldEnd::Reset, false)] {
        let mut network = settled(12);
        let monitor = monitors(&network, SUSPECT)[0];
        network.held.retain(|(holder, _), to| *to != SUSPECT || *holder == monitor);
        network.blocked.insert(SUSPECT);
        network.listening.remove(&SUSPECT);
        network.refusing.insert(SUSPECT);
        network.end_connections(SUSPECT, end);
        network.run_for(MS(190));
        assert_eq!(sure(&network, SUSPECT), [], "{end:?}: the others may have closed ones, too");
        network.run_for(MS(110));
        let sure = sure(&network, SUSPECT).len();
        assert_eq!(sure, if is_enough { 11 } else { 0 }, "{end:?}");
    }
}

#[test]
fn a_member_whose_process_exited_twice_is_not_disputed() {
    let mut network = settled(12);
    for _ in 0..3 {
        kill(&mut network, SUSPECT);
        network.run_for(MS(100));
        assert_eq!(sure(&network, SUSPECT).len(), 11);
        network.refusing.remove(&SUSPECT);
        network.blocked.remove(&SUSPECT);
        network.listening.insert(SUSPECT);
        network.run_for(Duration::from_secs(2));
        assert_eq!(sure(&network, SUSPECT), [], "it refuted, and is believed at once");
        network.run_for(Duration::from_secs(3));
    }
}

#[test]
fn a_loss_of_many_tells_how_many_of_their_processes_exited() {
    let mut network = settled(12);
    for n in [3, 4, 5] {
        kill(&mut network, n);
    }
    network.run_for(Duration::from_secs(8));
    let told = network.events[0].iter().find_map(|event| match event {
        Event::LostTogether { nodes, exited, .. } => Some((nodes.len(), *exited)),
        _ => None,
    });
    assert_eq!(told, Some((3, 3)));
}
