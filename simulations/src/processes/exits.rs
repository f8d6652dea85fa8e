//! Agents that are killed: one after the other, some at once, and some that are started again at once.

use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};

use super::fleet::Fleet;
use super::report::{Noticed, RestartReport, millis, percentile};
use super::watch::{SeenStatus, Watches, standing};
use super::{ANSWER_TIMEOUT, ProcessError};

/// The pause after a killed agent is back. An agent takes as long to hold connections to those that it watches.
const BETWEEN_KILLS: Duration = Duration::from_secs(2);
/// A further pause is a random part of this, so that kills fall on any moment.
const FURTHER: Duration = Duration::from_millis(200);
/// A restart whose port answers again within this time is never noticed.
const QUICK: Duration = Duration::from_millis(30);
/// The time after a restart in which agents may still notice it.
const NOTICED_WITHIN: Duration = Duration::from_secs(1);
/// The interval at which the port of a restarted agent is tried.
const RETRY: Duration = Duration::from_millis(1);

/// Agents that join at the first one, which is spared.
pub(super) struct Exits<'a> {
    pub(super) fleet: &'a mut Fleet,
    pub(super) watches: &'a mut Watches,
    /// The address of each.
    pub(super) addresses: &'a [String],
    /// Is told what is under way.
    pub(super) progress: &'a mut dyn FnMut(&str),
}

impl Exits<'_> {
    /// Kills this many agents, one after the other, and starts each again.
    pub(super) fn kill_each(&mut self, kills: usize) -> Result<Noticed, ProcessError> {
        let (mut rng, mut noticed) = (Xoshiro256PlusPlus::seed_from_u64(3), Noticed::default());
        for number in 0..kills {
            (self.progress)(&format!("kill {} of {kills}", number + 1));
            self.kill(&[self.victim(number)], &mut noticed)?;
            thread::sleep(BETWEEN_KILLS + FURTHER.mul_f64(rng.random_range(0.0..1.0)));
        }
        Ok(noticed)
    }

    /// Kills this many agents at once, and starts them again; all of that some times.
    pub(super) fn kill_bursts(
        &mut self,
        victims: usize,
        bursts: usize,
    ) -> Result<Noticed, ProcessError> {
        let (mut rng, mut noticed) = (Xoshiro256PlusPlus::seed_from_u64(4), Noticed::default());
        for number in 0..bursts {
            (self.progress)(&format!("{victims} kills at once, {} of {bursts}", number + 1));
            let victims = (1..self.addresses.len()).sample(&mut rng, victims);
            self.kill(&victims, &mut noticed)?;
            thread::sleep(BETWEEN_KILLS);
        }
        Ok(noticed)
    }

    /// Kills this many agents, one after the other, and starts each again at once.
    pub(super) fn restart_each(&mut self, restarts: usize) -> Result<RestartReport, ProcessError> {
        let mut report = RestartReport { made: restarts, ..RestartReport::default() };
        let mut dead = Vec::new();
        for number in 0..restarts {
            (self.progress)(&format!("restart {} of {restarts}", number + 1));
            let victim = self.victim(number);
            self.watches.catch_up();
            let began = Instant::now();
            self.fleet.kill(victim);
            self.fleet.restart(victim, &self.addresses[victim], &self.addresses[0])?;
            answers(victim, &self.addresses[victim])?;
            let took = began.elapsed();
            let mut hidden_by = self.watches.hidden_by(&standing(victim), NOTICED_WITHIN);
            hidden_by.remove(&victim);
            if took <= QUICK {
                report.quick += 1;
                report.quick_hidden_by += hidden_by.len();
            } else {
                report.slow_hidden_by += hidden_by.len();
            }
            dead.push(took);
            self.watches.add(self.fleet, victim)?;
        }
        report.dead_p50_ms = percentile(&dead, 0.5);
        report.dead_min_ms = dead.iter().min().copied().map_or(f64::INFINITY, millis);
        Ok(report)
    }

    /// All but the first, in turn.
    fn victim(&self, number: usize) -> usize {
        1 + number % (self.addresses.len() - 1)
    }

    fn kill(&mut self, victims: &[usize], noticed: &mut Noticed) -> Result<(), ProcessError> {
        let everybody = 0..self.addresses.len();
        let ids: Vec<String> = victims.iter().copied().map(standing).collect();
        self.watches.catch_up();
        let began = Instant::now();
        self.fleet.kill_at_once(victims);
        let others = everybody.clone().filter(|agent| !victims.contains(agent));
        if let Ok(last) = self.watches.all_say(others, &ids, SeenStatus::Unknown) {
            noticed.killed.push(last.saturating_duration_since(began));
        }
        let began = Instant::now();
        for victim in victims {
            self.fleet.restart(*victim, &self.addresses[*victim], &self.addresses[0])?;
        }
        for victim in victims {
            self.watches.add(self.fleet, *victim)?;
        }
        if let Ok(last) = self.watches.all_say(everybody, &ids, SeenStatus::Healthy) {
            noticed.back.push(last.saturating_duration_since(began));
        }
        Ok(())
    }
}

/// Waits until somebody takes connections at the address of an agent.
fn answers(agent: usize, address: &str) -> Result<(), ProcessError> {
    let unexpected = |_| ProcessError::Answer { agent, answer: address.to_owned() };
    let address: SocketAddr = address.parse().map_err(unexpected)?;
    let began = Instant::now();
    while began.elapsed() < ANSWER_TIMEOUT {
        // A connection to a free port may get that port as its own, and connect to itself.
        if let Ok(stream) = TcpStream::connect(address)
            && stream.local_addr().is_ok_and(|own| own != address)
        {
            return Ok(());
        }
        thread::sleep(RETRY);
    }
    Err(ProcessError::Silent { agent })
}
