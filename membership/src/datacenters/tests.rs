//! Tests of the table and its rules.

use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::Wan;
use super::facts::Fact;
use super::merging::Author;
use super::seen::Datacenters;
use super::table::{Entry, Merged, Table};
use crate::base::cluster::ClusterId;
use crate::base::datacenter::{DatacenterId, Gateway};
use crate::base::identity::{Epoch, Identity, NodeId};
use crate::base::io::Output;
use crate::base::protocol::Protocol;
use crate::base::time::Time;
use crate::wire::{Envelope, HomeVerdict, RemoteMember, Update};

const SECOND: Duration = Duration::from_secs(1);
const MS: fn(u64) -> Time = Time::from_millis;

fn identity(node: u64, epoch: u64) -> Identity {
    let addr = ([10, 0, 1, node as u8], 7_946).into();
    Identity { node_id: NodeId(node), epoch: Epoch(epoch), addr, sync_port: 7_947 }
}

fn member(node: u64, epoch: u64, verdict: HomeVerdict) -> RemoteMember {
    let (datacenter, gateway) = ("us".into(), Gateway::Yes);
    RemoteMember { identity: identity(node, epoch), datacenter, gateway, verdict, accuser: None }
}

fn alive(node: u64) -> RemoteMember {
    member(node, 1, HomeVerdict::Alive)
}

fn down(node: u64) -> RemoteMember {
    member(node, 1, HomeVerdict::Down)
}

fn us() -> DatacenterId {
    DatacenterId::named("us")
}

fn of_us(members: std::ops::Range<u64>) -> Table {
    let mut table = Table::new(&"eu".into());
    for node in members {
        assert_eq!(table.merge(&alive(node), Time::ZERO), Merged::News);
    }
    table
}

fn take(table: &mut Table, member: &RemoteMember, at: Time) {
    let _ = table.merge(member, at);
}

#[test]
fn the_greater_entry_holds_in_whatever_order_they_come() {
    let lives =
        [alive(1), down(1), member(1, 2, HomeVerdict::Alive), member(1, 3, HomeVerdict::Left)];
    let orders = [[0, 1, 2, 3], [0, 3, 2, 1], [0, 2, 1, 3], [2, 0, 1, 3], [2, 3, 0, 1]];
    for order in orders {
        let mut table = Table::new(&"eu".into());
        order.iter().for_each(|n| take(&mut table, &lives[*n], Time::ZERO));
        let entry = table.get(NodeId(1)).expect("known");
        assert_eq!((entry.identity.epoch, entry.verdict), (Epoch(3), HomeVerdict::Left));
        assert_eq!(table.merge(&lives[0], Time::ZERO), Merged::Known);
        assert_eq!((table.hash(), table.others().count()), (0, 0), "nobody lives there");
    }
}

#[test]
fn the_hash_depends_on_the_living_alone() {
    let straight = of_us(1..5);
    let mut winding = of_us(1..9);
    (5..9).for_each(|node| take(&mut winding, &down(node), Time::ZERO));
    assert_eq!(winding.hash(), straight.hash());
    take(&mut winding, &member(1, 2, HomeVerdict::Alive), Time::ZERO);
    assert_ne!(winding.hash(), straight.hash());
}

#[test]
fn nobody_else_has_a_say_on_our_own_members() {
    let mut table = of_us(1..3);
    let ours = RemoteMember { datacenter: "eu".into(), ..down(9) };
    assert_eq!(table.merge(&ours, Time::ZERO), Merged::Own);
}

#[test]
fn a_verdict_needs_a_life_that_was_seen_and_an_accuser_of_the_same_home() {
    let mut table = of_us(1..3);
    assert_eq!(table.merge(&down(7), Time::ZERO), Merged::Baseless);
    let elsewhere = RemoteMember { datacenter: "ap".into(), ..alive(8) };
    take(&mut table, &elsewhere, Time::ZERO);
    let accused = |by| RemoteMember { accuser: Some(NodeId(by)), ..down(1) };
    assert_eq!(table.merge(&accused(8), Time::ZERO), Merged::Baseless);
    assert_eq!(table.merge(&accused(2), Time::ZERO), Merged::News);
    let moved_dead = RemoteMember { datacenter: "ap".into(), ..member(2, 9, HomeVerdict::Down) };
    assert_eq!(table.merge(&moved_dead, Time::ZERO), Merged::Baseless);
}

#[test]
fn a_part_that_is_lost_at_once_is_believed_two_seconds_later() {
    let mut table = of_us(1..21);
    let believed = |table: &Table, node| table.believed(table.get(NodeId(node)).expect("known"));
    for node in 1..7 {
        take(&mut table, &down(node), MS(10 * node));
    }
    let shown: Vec<bool> = (1..7).map(|node| believed(&table, node) == HomeVerdict::Down).collect();
    assert_eq!(shown, [true, true, false, false, false, false]);
    assert_eq!(table.next_held(), Some(MS(2_030)));
    // One of them refutes.
    take(&mut table, &member(4, 2, HomeVerdict::Alive), MS(500));
    assert_eq!(table.believe_held(MS(2_029)), []);
    assert_eq!(table.believe_held(MS(2_060)), [NodeId(3), NodeId(5), NodeId(6)]);
    assert_eq!(believed(&table, 4), HomeVerdict::Alive);
    assert_eq!(table.next_held(), None);
}

#[test]
fn losses_one_by_one_are_believed_at_once() {
    let mut table = of_us(1..41);
    for node in 1..21 {
        take(&mut table, &down(node), MS(1_100 * node));
        assert_eq!(table.next_held(), None, "{node}");
    }
}

#[test]
fn candidates_are_the_same_for_all_and_those_that_may_only_if_needed_come_last() {
    let mut table = Table::new(&"eu".into());
    for node in 1..9 {
        let gateway = match node {
            1 | 2 => Gateway::Never,
            3 | 4 => Gateway::OnlyIfNeeded,
            _ => Gateway::Yes,
        };
        take(&mut table, &RemoteMember { gateway, ..alive(node) }, Time::ZERO);
    }
    let order: Vec<u64> =
        (0..9).map_while(|rank| table.candidate(us(), rank)).map(|it| it.node_id.0).collect();
    assert_eq!(order.len(), 6);
    assert!(order[..4].iter().all(|node| *node > 4) && order[4..].iter().all(|node| *node > 2));
    assert_eq!(table.eligible(us(), 3), 4);
    assert_eq!(table.rank(NodeId(order[2]), 3), Some(2));
    assert_eq!(table.rank(NodeId(order[3]), 3), None);
    take(&mut table, &down(order[0]), Time::ZERO);
    take(&mut table, &down(order[1]), Time::ZERO);
    assert_eq!(table.candidate(us(), 0).map(|it| it.node_id.0), Some(order[2]));
    assert_eq!(table.eligible(us(), 3), 4, "two of them only because they are needed");
}

/// A table of members that come, go, move and become willing or not, and what it must be equal to.
#[test]
fn candidates_and_counts_are_right_while_members_come_and_go() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let mut table = Table::new(&"eu".into());
    for epoch in 1..2_000 {
        let gateway = [Gateway::Yes, Gateway::OnlyIfNeeded, Gateway::Never][rng.random_range(0..3)];
        let verdict =
            [HomeVerdict::Alive, HomeVerdict::Alive, HomeVerdict::Down, HomeVerdict::Left]
                [rng.random_range(0..4)];
        let node = rng.random_range(1..40);
        let datacenter = ["us", "ap"][rng.random_range(0..2)].into();
        let told = RemoteMember { datacenter, gateway, ..member(node, epoch, verdict) };
        match rng.random_range(0..4) {
            0 => {
                let (identity, home) = (told.identity, DatacenterId::named("eu"));
                let entry = Entry { identity, home, gateway, verdict };
                table.set_own(NodeId(node), Some(entry), None, MS(epoch));
            }
            1 => drop(table.set_own(NodeId(node), None, None, MS(epoch))),
            _ => take(&mut table, &told, MS(epoch)),
        }
        assert_eq!(table.remote_len(), table.iter_remote().count());
        let mut anew = Table::new(&"eu".into());
        for entry in table.iter_remote().filter(|entry| entry.is_alive()) {
            take(&mut anew, &table.told(entry), Time::ZERO);
        }
        assert_eq!(table.hash(), anew.hash());
        for home in ["us", "ap"].map(DatacenterId::named) {
            let all = |table: &Table| {
                (0..40).map_while(|rank| table.candidate(home, rank)).collect::<Vec<_>>()
            };
            let candidates = all(&table);
            assert_eq!(candidates, all(&anew), "the order does not depend on the past");
            let may = |entry: &&Entry| entry.is_alive() && entry.gateway != Gateway::Never;
            assert_eq!(candidates.len(), table.members_of(home).filter(may).count());
            for (rank, candidate) in candidates.iter().enumerate() {
                assert_eq!(table.rank(candidate.node_id, 40), Some(rank));
            }
        }
    }
}

#[test]
fn a_later_life_elsewhere_replaces_that_of_our_own_and_the_other_way_round() {
    let mut table = Table::new(&"eu".into());
    let own = |epoch| Entry {
        identity: identity(1, epoch),
        home: DatacenterId::named("eu"),
        gateway: Gateway::Yes,
        verdict: HomeVerdict::Alive,
    };
    assert!(table.set_own(NodeId(1), Some(own(1)), None, Time::ZERO));
    assert_eq!(table.merge(&member(1, 2, HomeVerdict::Alive), Time::ZERO), Merged::News);
    assert!(table.remote(NodeId(1)).is_some());
    assert!(!table.set_own(NodeId(1), Some(own(1)), None, Time::ZERO));
    assert!(!table.set_own(NodeId(1), None, None, Time::ZERO), "it is not ours to forget");
    assert!(table.set_own(NodeId(1), Some(own(3)), None, Time::ZERO));
    assert!(table.remote(NodeId(1)).is_none());
    assert_eq!(table.home(us()).map(|home| (home.living, home.down)), Some((0, 0)));
}

#[test]
fn members_that_went_down_a_day_ago_are_forgotten_and_their_datacenter_with_the_last() {
    let mut table = of_us(1..3);
    take(&mut table, &down(1), Time::ZERO);
    take(&mut table, &member(2, 1, HomeVerdict::Left), Time::ZERO + SECOND);
    assert_eq!(table.forget_old(Time::ZERO + (25 * 3_600 - 1) * SECOND), []);
    assert_eq!(table.forget_old(Time::ZERO + 25 * 3_600 * SECOND), [NodeId(1)]);
    assert!(table.home(us()).is_some());
    assert_eq!(table.forget_old(Time::ZERO + 26 * 3_600 * SECOND), [NodeId(2)]);
    assert!(table.home(us()).is_none());
}

fn wan() -> Wan {
    let envelope = Envelope::clear(ClusterId::default());
    let mut wan =
        Wan::new(envelope, identity(100, 1), &"eu".into(), &Protocol::default(), 7, Time::ZERO);
    let own = Entry {
        identity: identity(100, 1),
        home: wan.own(),
        gateway: Gateway::Yes,
        verdict: HomeVerdict::Alive,
    };
    wan.set_own(NodeId(100), Some(own), None, Time::ZERO);
    wan.settle(Time::ZERO);
    wan
}

fn told(wan: &mut Wan) -> Vec<Update> {
    let outputs = std::iter::from_fn(|| wan.poll_output());
    outputs
        .filter_map(|output| match output {
            Output::Event(Fact::Tell(update)) => Some(update),
            _ => None,
        })
        .collect()
}

#[test]
fn a_member_that_two_gateways_do_not_list_or_one_for_long_is_taken_for_down() {
    let mut wan = wan();
    wan.merge(&[alive(1), alive(2), alive(3)], Author::Other(us()), Time::ZERO);
    drop(told(&mut wan));
    let listed = |node: NodeId| node != NodeId(3);
    wan.review_unlisted(us(), NodeId(1), listed, Time::ZERO);
    wan.review_unlisted(us(), NodeId(1), listed, Time::ZERO);
    assert_eq!(told(&mut wan), [], "one gateway may not know it yet");
    wan.review_unlisted(us(), NodeId(2), |_| true, Time::ZERO);
    wan.review_unlisted(us(), NodeId(2), listed, Time::ZERO);
    assert_eq!(told(&mut wan), [], "somebody listed it meanwhile");
    wan.review_unlisted(us(), NodeId(1), listed, MS(4_900));
    assert_eq!(told(&mut wan), [], "both may have heard of one verdict, which the member refutes");
    wan.review_unlisted(us(), NodeId(1), listed, MS(5_000));
    assert_eq!(told(&mut wan), [Update::Remote(down(3))]);

    let listed = |node: NodeId| node != NodeId(2);
    wan.review_unlisted(us(), NodeId(1), listed, MS(10_000));
    wan.review_unlisted(us(), NodeId(1), listed, MS(19_900));
    assert_eq!(told(&mut wan), []);
    wan.review_unlisted(us(), NodeId(1), listed, MS(20_000));
    assert_eq!(told(&mut wan), [Update::Remote(down(2))], "the others may be gone");

    wan.review_unlisted(us(), NodeId(2), |_| false, MS(30_000));
    wan.review_unlisted(us(), NodeId(3), |_| false, MS(60_000));
    assert_eq!(told(&mut wan), [], "the first time was long ago");
}

#[test]
fn news_are_passed_on_once_and_a_datacenter_is_believed_about_itself_alone() {
    let mut wan = wan();
    wan.merge(&[alive(1)], Author::Pool, Time::ZERO);
    wan.merge(&[alive(1)], Author::Other(us()), Time::ZERO);
    assert_eq!(told(&mut wan), [Update::Remote(alive(1))]);
    let ap = DatacenterId::named("ap");
    wan.merge(&[down(1), member(1, 9, HomeVerdict::Alive)], Author::Other(ap), Time::ZERO);
    assert_eq!(told(&mut wan), [], "it is no member of ap");
    wan.merge(&[alive(2)], Author::Other(ap), Time::ZERO);
    assert_eq!(told(&mut wan), [Update::Remote(alive(2))], "that it is there, ap may tell");
    assert_eq!(wan.counters().remote_verdicts_ignored, 0);
    wan.merge(&[RemoteMember { datacenter: "eu".into(), ..alive(100) }], Author::Pool, Time::ZERO);
    assert_eq!(wan.counters().remote_verdicts_ignored, 1);
}

#[test]
fn only_a_gateway_that_should_have_heard_a_datacenter_calls_it_silent() {
    let mut wan = wan();
    wan.merge(&[alive(1)], Author::Pool, Time::ZERO);
    wan.settle(Time::ZERO);
    wan.heard(us(), Time::ZERO);
    assert!(!wan.is_silent_here(us(), MS(1_749)));
    assert!(wan.is_silent_here(us(), MS(1_750)));
    wan.heard(us(), MS(2_500));
    assert!(!wan.is_silent_here(us(), MS(4_000)));
    let not = Entry {
        identity: identity(100, 1),
        home: wan.own(),
        gateway: Gateway::Never,
        verdict: HomeVerdict::Alive,
    };
    wan.set_own(NodeId(100), Some(not), None, MS(5_000));
    wan.settle(MS(5_000));
    assert!(!wan.is_silent_here(us(), MS(60_000)), "nobody tells it");
}
