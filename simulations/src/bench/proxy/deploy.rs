//! All instances are deployed anew, by the recipe of the documentation, under calls through `hobnob proxy`. The agent that the
//! proxy follows is restarted meanwhile.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use hyper::StatusCode;

use super::ProxyBenchError;
use super::h2load::{Asked, Load};
use super::kind::ProxyKind;
use super::stage::{Stage, Upstreams};
use super::upstream::UpstreamSetting;
use crate::bench::rolling::{Hosts, RollingError, SERVICE, SETTLE, Serve};
use crate::bench::row::{Goal, Row};
use crate::processes::Fleet;

/// Agents, with a server each.
const HOSTS: usize = 6;
const RATE: u32 = 500;
/// The time for which calls are made: longer than a deploy takes.
const LASTS: Duration = Duration::from_secs(60);
const SETTING: UpstreamSetting =
    UpstreamSetting { count: 1, delay: Duration::from_millis(2), status: StatusCode::OK };

impl Serve for Upstreams {
    fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    fn stop(&mut self) -> Result<(), RollingError> {
        Ok(self.process.stop()?)
    }
}

pub(super) fn measure(
    stage: &Stage,
    rows: &mut Vec<Row>,
    told: &mut impl FnMut(&str),
) -> Result<(), ProxyBenchError> {
    told(&format!("{HOSTS} agents"));
    let program = stage.binaries.program.clone();
    let start = move |fleet: &Fleet| Ok(Upstreams::start(&program, fleet, SETTING)?);
    let mut hosts = Hosts::start(&stage.binaries.hobnob, HOSTS, Box::new(start))?;
    let proxy = stage.proxy(&hosts.fleet, ProxyKind::Hobnob, SERVICE, &[], &[])?;
    let asked = Asked { rate: RATE, lasts: LASTS, is_post: false };
    let load = Load::start(stage, &hosts.fleet, proxy.address, asked)?;
    let (asked, since) = (load.asked, Instant::now());
    for host in 0..HOSTS {
        told(&format!("rolling deploy: {} of {HOSTS}", host + 1));
        hosts.deploy(host)?;
        if host == HOSTS / 2 {
            told("the agent of the proxy is restarted");
            hosts.restart(0)?;
        }
        thread::sleep(SETTLE);
    }
    let took = since.elapsed();
    if took > LASTS {
        return Err(ProxyBenchError::LoadTooShort(LASTS));
    }
    let succeeded = load.end()?.iter().filter(|call| call.is_success()).count() as u64;
    let failed = asked.saturating_sub(succeeded);
    let what =
        format!("rolling deploy of {HOSTS} instances, the agent restarted meanwhile: failed");
    let note =
        format!("of {asked} calls, {RATE} a second; the deploy took {:.0} s", took.as_secs_f64());
    rows.push(Row::new(what, failed as f64, "").goal(Goal::AtMost(0.0)).note(&note));
    Ok(())
}
