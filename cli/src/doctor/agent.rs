//! What the agent says of itself: members, names, seal, ports.

use hobnob_api::names::printable;
use hobnob_api::{Duplicate, MemberStatus, VoterStanding};

use super::Said;
use super::finding::Findings;
use crate::output;

/// The most names that one finding has.
const MAX_NAMED: usize = 5;

/// Looks at what the agent says of itself.
pub(super) fn look(findings: &mut Findings, said: &Said) {
    let info = &said.info;
    let up = output::age(info.uptime_ms);
    findings.ok(
        "agent",
        format!("{} answers: version {}, pid {}, up {up}", info.name, info.version, info.pid),
    );
    upkeep(findings, said);
    files(findings, said);
    voter(findings, said);
    members(findings, said);
    names(findings, said);
    seal(findings, said);
    let tcp = &info.gossip_bound.as_ref().unwrap_or(&info.gossip_address);
    if info.takes_tcp_probes {
        let sync = info.sync_bound.as_ref().unwrap_or(&info.sync_address);
        findings.ok("ports", format!("gossip at {tcp} by UDP and TCP, sync at {sync} by QUIC"));
    } else {
        findings.warn(
            "ports",
            format!(
                "the gossip port of {tcp} is not free for TCP: others notice an exit seconds later"
            ),
            "free that port for TCP, or choose another with --bind",
        );
    }
}

/// Whether operators have taken it, or some of its instances, out of service.
fn upkeep(findings: &mut Findings, said: &Said) {
    if let Some(maintenance) = &said.info.maintenance {
        findings.warn(
            "maintenance",
            output::agent_maintenance(&said.info.name, maintenance),
            "`hobnob maintenance off` ends it",
        );
    }
    let out: Vec<&str> = said.info.out_of_service.iter().map(String::as_str).collect();
    if !out.is_empty() {
        findings.warn(
            "maintenance",
            format!("in maintenance or drained, and not offered: {}", named(&out)),
            "`hobnob services --local` says why; `hobnob maintenance off ID` or `hobnob drain ID --stop` ends it",
        );
    }
}

/// Whether its files were in order when it read them last.
fn files(findings: &mut Findings, said: &Said) {
    let problems: Vec<&str> = said.info.file_problems.iter().map(String::as_str).collect();
    if let Some(first) = problems.first() {
        let more = problems.len() - 1;
        let more = if more == 0 { String::new() } else { format!(", and {more} more problems") };
        findings.fail(
            "config",
            format!("{first}{more}: what the files define is as it was before"),
            "`hobnob validate` lists the problems; `hobnob reload` reads the files again",
        );
    }
}

/// Whether it votes, if it is a voter.
fn voter(findings: &mut Findings, said: &Said) {
    let Some(voter) = &said.info.voter else { return };
    match (voter.standing, &voter.problem) {
        (VoterStanding::Votes, _) => findings.ok("voter", "this agent votes".to_owned()),
        (_, Some(problem)) => findings.fail(
            "voter",
            format!("this agent does not vote: {}", printable(problem)),
            "mend its disk, and start it again; `hobnob voters` lists the others",
        ),
        (_, None) => findings.warn(
            "voter",
            "this agent is a voter and does not vote yet: it reads what the other voters keep".to_owned(),
            "it votes when majorities of the others answer; `hobnob voters` lists them, and `hobnob voters vouch` is for when too few are left",
        ),
    }
}

fn members(findings: &mut Findings, said: &Said) {
    let with = |wanted: MemberStatus| -> Vec<&str> {
        let members = said.members.iter().filter(|member| member.status == wanted);
        members.map(|member| member.name.as_str()).collect()
    };
    let (alive, down, unreachable) =
        (with(MemberStatus::Alive), with(MemberStatus::Down), with(MemberStatus::Unreachable));
    let (known, alive) = (said.members.len(), alive.len());
    if said.info.isolated {
        findings.fail(
            "members",
            format!("this agent hears none of its {} other members", known.saturating_sub(1)),
            "look at the network of this host; `hobnob join ADDRESS` asks one of them at once",
        );
    } else if !down.is_empty() {
        findings.warn(
            "members",
            format!("{alive} of {known} alive; down: {}", named(&down)),
            "`hobnob explain NAME` says why; `hobnob force-leave NAME` drops one that does not come back",
        );
    } else if !unreachable.is_empty() {
        findings.warn(
            "members",
            format!(
                "{alive} of {known} alive; in datacenters out of reach: {}",
                named(&unreachable)
            ),
            "`hobnob datacenters` says which datacenters, and since when",
        );
    } else {
        findings.ok("members", format!("{alive} of {known} alive"));
    }
    let silent = said.members.iter().filter(|member| member.link_silent_ms.is_some());
    let silent: Vec<&str> = silent.map(|member| member.name.as_str()).collect();
    if !silent.is_empty() {
        findings.fail(
            "links",
            format!("no answer to this agent, though others hear it: {}", named(&silent)),
            "look at the network between these two hosts: a firewall, a route, or a cable",
        );
    }
}

/// Whether names and node ids are used once.
fn names(findings: &mut Findings, said: &Said) {
    if let Some(Duplicate { gossip_address, silent, .. }) = &said.info.duplicate {
        let who = if *silent { "this agent is silent" } else { "the other one is silent" };
        findings.fail(
            "names",
            format!("another agent runs under the node id of this one, at {gossip_address}: {who}"),
            "stop the one whose data directory is a copy, remove node.json and registrations.log there, and start it",
        );
    }
    let mut twice: Vec<&str> = said
        .members
        .iter()
        .filter(|member| member.name_conflict)
        .map(|member| member.name.as_str())
        .collect();
    twice.sort_unstable();
    twice.dedup();
    if !twice.is_empty() {
        findings.warn(
            "names",
            format!("used by several living members: {}", named(&twice)),
            "give each agent a --name of its own",
        );
    } else if said.info.duplicate.is_none() {
        findings.ok("names", "each living member has a name and a node id of its own");
    }
}

fn seal(findings: &mut Findings, said: &Said) {
    let Some(sealed) = &said.info.sealed else {
        let is_local = said.info.gossip_address.starts_with("127.")
            || said.info.gossip_address.starts_with("[::1]");
        return if is_local {
            findings.ok("seal", "not sealed, and on loopback alone");
        } else {
            findings.warn(
                "seal",
                "not sealed: everybody who reaches the gossip port can take part",
                "`hobnob init` founds a sealed cluster; see SECURITY.md",
            );
        };
    };
    if sealed.revoked {
        findings.fail(
            "seal",
            "an operator revoked this node",
            "ask for a new token, and start the agent with an empty data directory",
        );
    } else if let Some(refusal) = &sealed.refusal {
        findings.fail(
            "seal",
            format!("no member lets this agent in: {refusal}"),
            "ask an operator for a token that is valid now: `hobnob token create`",
        );
    } else if let Some(generation) = sealed.generation {
        findings.ok(
            "seal",
            format!("sealed, generation {generation}, key {}, token {}", sealed.key, sealed.token),
        );
    } else {
        findings.fail(
            "seal",
            "this agent holds no secret of the cluster yet: no member has let it in",
            "look at --join, and at the log of the members that it names",
        );
    }
}

/// The first of these names, and the number of the others.
pub(super) fn named(names: &[&str]) -> String {
    let more = names.len().saturating_sub(MAX_NAMED);
    let shown = names.iter().take(MAX_NAMED).copied().collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}
