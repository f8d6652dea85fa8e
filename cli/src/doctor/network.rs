//! The network: whether a few members answer this agent, and it them.

use std::collections::BTreeMap;
use std::time::Duration;

use hobnob_api::client::ClientError;
use hobnob_api::{Echo, Echoes, ErrorCode, Way};

use super::Said;
use super::agent::named;
use super::finding::{Findings, Status};
use crate::terminal::millis;

/// Looks at the echoes, and at the versions of all living members.
pub(super) fn look(findings: &mut Findings, said: &Said, echoes: Result<&Echoes, &ClientError>) {
    let echoes = match echoes {
        Ok(echoes) => echoes,
        Err(error) => {
            let told = format!("the agent told of no echo of a member: {error}");
            return findings.warn("udp", told, without_echoes(error));
        }
    };
    if echoes.members.is_empty() {
        findings.ok("udp", "there is no other living member to ask for an echo");
    } else {
        let ports = "open the ports of --bind and --sync-bind between these hosts";
        way(findings, "udp", &echoes.members, |echo| (echo.udp, echo.udp_us), ports);
        way(findings, "udp back", &echoes.members, |echo| (echo.udp_back, None), ports);
        way(findings, "quic", &echoes.members, |echo| (echo.quic, echo.quic_us), ports);
        way(findings, "quic back", &echoes.members, |echo| (echo.quic_back, None), ports);
    }
    if said.info.udp_blocked {
        findings.fail(
            "udp",
            "the members that this agent watches answer by QUIC alone: news comes a second or two later",
            "open UDP between the ports of --bind",
        );
    }
    versions(findings, &echoes.versions);
}

/// What to do when the agent told of no echo.
fn without_echoes(error: &ClientError) -> &'static str {
    match error {
        ClientError::Api(error) if error.code == ErrorCode::RequestMalformed => {
            "an agent that is older than this command cannot ask: compare `hobnob --version` and `hobnob info`"
        }
        _ => {
            "ask again, and fewer members with --members; `hobnob members` and `hobnob info` say what the agent hears"
        }
    }
}

/// One way of all members that were asked.
fn way(
    findings: &mut Findings,
    check: &'static str,
    members: &[Echo],
    of: impl Fn(&Echo) -> (Way, Option<u64>),
    advice: &str,
) {
    let with = |wanted: Way| -> Vec<&str> {
        let echoes = members.iter().filter(|echo| of(echo).0 == wanted);
        echoes.map(|echo| echo.name.as_str()).collect()
    };
    let (answered, silent, refused) = (with(Way::Answered), with(Way::Silent), with(Way::Refused));
    let asked = answered.len() + silent.len() + refused.len();
    if asked == 0 {
        return findings.ok(check, "not tried: the members are older, or of other datacenters");
    }
    let slowest = members.iter().filter_map(|echo| of(echo).1).max();
    let slowest = slowest
        .map(|micros| format!(", the slowest after {}", millis(Duration::from_micros(micros))));
    let answering = format!(
        "{} of {asked} answer{}{}",
        answered.len(),
        if check.ends_with("back") { " the way back" } else { "" },
        slowest.unwrap_or_default()
    );
    let mut told = vec![answering];
    if !silent.is_empty() {
        told.push(format!("silent: {}", named(&silent)));
    }
    if !refused.is_empty() {
        told.push(format!("refused, so nothing listens there: {}", named(&refused)));
    }
    let told = told.join("; ");
    match (answered.is_empty(), answered.len() == asked) {
        (_, true) => findings.ok(check, told),
        (true, false) => findings.fail(check, told, advice),
        (false, false) => findings.add(check, Status::Warn, told, advice),
    }
}

fn versions(findings: &mut Findings, versions: &BTreeMap<String, usize>) {
    let told = versions.iter().map(|(version, count)| format!("{version} on {count}"));
    let told = told.collect::<Vec<_>>().join(", ");
    match versions.len() {
        0 => {}
        1 => findings.ok("versions", told),
        _ => findings.warn(
            "versions",
            told,
            "fine during an upgrade; finish it: new features wait for the oldest member",
        ),
    }
}
