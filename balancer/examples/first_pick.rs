//! Balances over a set of addresses, reports how calls went, and changes the set.
//!
//! `cargo run -p hobnob-balancer --example first_pick`

use hobnob_balancer::{Balancer, Config, Outcome, Strategy, Target};
use std::time::Duration;

fn main() {
    let balancer = Balancer::new(Config::default());
    balancer.update(vec![
        Target { id: "a".into(), weight: 1, item: "10.0.0.1:80" },
        Target { id: "b".into(), weight: 1, item: "10.0.0.2:80" },
        Target { id: "c".into(), weight: 2, item: "10.0.0.3:80" },
    ]);

    // One picker for each thread or connection.
    let mut picker = balancer.picker();
    for _ in 0..4 {
        if let Some(pick) = picker.pick(Strategy::Weighted, None) {
            println!("weighted: {}", pick.item());
            pick.complete(Outcome::Success, Duration::from_millis(2));
        }
    }

    // A user always lands on the same target, on every host.
    for user in ["ann", "bob", "ann"] {
        if let Some(pick) = picker.pick(Strategy::ConsistentHash, Some(user.as_bytes())) {
            println!("{user}: {}", pick.item());
        }
    }

    // Pickers see a change of the set with their next pick.
    balancer.update(vec![Target { id: "b".into(), weight: 1, item: "10.0.0.2:80" }]);
    let pick = picker.pick(Strategy::RoundRobin, None).map(|pick| *pick.item());
    println!("after the update: {pick:?}");
}
