//! A circuit opens while a target fails, lets one probe through after a while, and closes when the probe succeeds.
//!
//! `cargo run -p hobnob-balancer --example circuit_breaker`

use hobnob_balancer::{Balancer, BreakerConfig, Config, Outcome, Strategy, Target};
use std::time::Duration;

fn main() {
    let breaker = BreakerConfig { failure_threshold: 3, ..BreakerConfig::default() };
    let balancer = Balancer::new(Config { breaker: Some(breaker), ..Config::default() });
    let target = |id: &str| Target { id: id.into(), weight: 1, item: id.to_owned() };
    balancer.update(vec![target("good"), target("bad")]);
    let mut picker = balancer.picker();

    // The caller owns the clock. Here it is the loop counter; in a program it is `start.elapsed()`.
    for second in 0..20 {
        balancer.advance(Duration::from_secs(second));
        let broken = second < 12;
        let mut picks = String::new();
        for _ in 0..8 {
            let Some(pick) = picker.pick(Strategy::RoundRobin, None) else { continue };
            let failed = broken && pick.item() == "bad";
            picks.push_str(match (failed, pick.is_probe()) {
                (true, true) => " probe-failed",
                (true, false) => " bad-failed",
                (false, true) => " probe-ok",
                (false, false) if pick.item() == "bad" => " bad",
                (false, false) => " good",
            });
            let outcome = if failed { Outcome::Failure } else { Outcome::Success };
            pick.complete(outcome, Duration::from_millis(5));
        }
        let circuit = balancer.snapshot().get("bad").map(|instance| instance.circuit());
        println!("{second:2} s{picks}  {circuit:?}");
    }
}
