//! The table of `hobnob info`.

use hobnob_api::names::printable;
use hobnob_api::{Duplicate, Info, Maintenance, OwnVoter, Sealed, VoterStanding};

use super::age;
use super::table::{Column, Style, cell, or_dash, render};

/// The table of `hobnob info`, with the counters that are not 0, or with all.
pub(crate) fn info(info: &Info, all_counters: bool, style: Style) -> String {
    let heard = match info.last_contact_ago_ms {
        Some(ms) => format!("{} ago", age(ms)),
        None => "nobody yet".to_owned(),
    };
    let rows = [
        ("name", name(info)),
        ("cluster", info.cluster.clone()),
        ("node id", info.node_id.to_string()),
        ("epoch", info.epoch.to_string()),
        ("version", info.version.clone()),
        ("datacenter", info.datacenter.clone()),
        ("zone", or_dash(&info.zone).to_owned()),
        ("gossip", address(&info.gossip_address, info.gossip_bound.as_deref())),
        ("sync", address(&info.sync_address, info.sync_bound.as_deref())),
        ("pid", info.pid.to_string()),
        ("uptime", age(info.uptime_ms)),
        ("maintenance", maintenance(info)),
        ("config", config(&info.file_problems)),
        ("isolated", if info.isolated { "yes" } else { "no" }.to_owned()),
        ("lost at once", mass_losses(info)),
        ("broken links", or_dash(&info.broken_links.join(", ")).to_owned()),
        ("last heard", heard),
        ("convergence", convergence(info)),
        ("duplicate", duplicate(info.duplicate.as_ref())),
        ("UDP", udp(info.udp_blocked).to_owned()),
        ("TCP probes", tcp_probes(info.takes_tcp_probes).to_owned()),
        ("active members", info.active_members.to_string()),
        ("instances", info.instances.to_string()),
        ("catalog digest", info.catalog_digest.clone()),
    ];
    let voter = info.voter.as_ref().map(|voter| ("voter", self::voter(voter)));
    let sealed = sealed(info.sealed.as_ref());
    let counters = info.counters.iter().filter(|(_, count)| all_counters || **count > 0);
    let counters = counters.map(|(name, count)| (name.as_str(), count.to_string()));
    let rows = rows.into_iter().chain(voter).chain(sealed).chain(counters);
    render::<Column>(&[], rows.map(|(name, value)| vec![cell(name), cell(value)]), style)
}

/// What it is among the voters, in a few words.
fn voter(voter: &OwnVoter) -> String {
    match (voter.standing, &voter.problem) {
        (VoterStanding::Votes, _) => format!("votes, {} registers", voter.registers),
        (standing, None) => format!("does not vote yet: {}", standing.name()),
        (_, Some(problem)) => format!("DOES NOT VOTE: {}", printable(problem)),
    }
}

/// The name of the agent, and the other agents that have it.
fn name(info: &Info) -> String {
    let others = info.name_conflicts.iter();
    let others: Vec<_> =
        others.map(|other| format!("{} at {}", other.node_id, other.gossip_address)).collect();
    if others.is_empty() {
        return info.name.clone();
    }
    format!("{}, SHARED with {}: give each a --name of its own", info.name, others.join(", "))
}

/// Another agent under the same node id, in a few words.
fn duplicate(duplicate: Option<&Duplicate>) -> String {
    let Some(Duplicate { gossip_address: address, silent, proven_ago_ms, .. }) = duplicate else {
        return "no".to_owned();
    };
    let heard = age(*proven_ago_ms);
    if *silent {
        format!(
            "YES: {address}, heard {heard} ago. This agent gave way and is silent; if its data directory is the copy, stop it, remove node.json and registrations.log there, and start it again"
        )
    } else {
        format!(
            "YES: {address}, heard {heard} ago. That agent gave way and is silent: stop it, remove node.json and registrations.log from its data directory, and start it again"
        )
    }
}

fn udp(blocked: bool) -> &'static str {
    if blocked {
        "BLOCKED: the members that this agent watches answer by QUIC alone, and news arrives a second or two later. Open UDP between the ports of --bind"
    } else {
        "no sign of being blocked"
    }
}

fn tcp_probes(taken: bool) -> &'static str {
    if taken {
        "accepted by TCP on the gossip port"
    } else {
        "NOT accepted: the gossip port is not free for TCP, so other agents may take this agent for crashed when it stands still, and notice an exit seconds later. Free that port for TCP, or choose another with --bind"
    }
}

/// An advertised address, with the bound one where they differ.
fn address(advertised: &str, bound: Option<&str>) -> String {
    match bound {
        Some(bound) => format!("{advertised}, bound to {bound}"),
        None => advertised.to_owned(),
    }
}

/// What operators have taken out of service.
fn maintenance(info: &Info) -> String {
    let out = info.out_of_service.join(", ");
    match (&info.maintenance, out.is_empty()) {
        (Some(Maintenance { reason, since }), _) => {
            let reason = if reason.is_empty() { "no reason given" } else { reason };
            format!("YES, with all instances since {since}: {reason}")
        }
        (None, true) => "no".to_owned(),
        (None, false) => format!("no, but for these instances, which are in it or drained: {out}"),
    }
}

/// What was wrong with the files when they were read last.
fn config(problems: &[String]) -> String {
    match problems {
        [] => "in order".to_owned(),
        [first] => format!("BROKEN, and what they define is as it was before: {first}"),
        [first, rest @ ..] => {
            format!(
                "BROKEN, and what they define is as it was before: {first}, and {} more problems",
                rest.len()
            )
        }
    }
}

/// The mass losses that are not over.
fn mass_losses(info: &Info) -> String {
    let losses: Vec<_> = info.mass_losses.iter().map(super::mass_loss).collect();
    or_dash(&losses.join("; ")).to_owned()
}

/// The place of an agent in a sealed cluster.
fn sealed(sealed: Option<&Sealed>) -> Vec<(&'static str, String)> {
    let Some(Sealed { key, token, generation, revoked, refusal }) = sealed else {
        return vec![("sealed", "no".to_owned())];
    };
    let is = match (revoked, generation, refusal) {
        (true, ..) => "yes, and this agent is REVOKED: it takes no part any more".to_owned(),
        (false, Some(_), None) => "yes".to_owned(),
        (false, None, None) => "yes, and no member has let this agent in yet".to_owned(),
        (false, _, Some(reason)) => {
            format!("yes, and a member does not let this agent in: {}", printable(reason))
        }
    };
    let generation = generation.map_or_else(|| "none".to_owned(), |number| number.to_string());
    vec![("sealed", is), ("key", key.clone()), ("token", token.clone()), ("generation", generation)]
}

/// How old changes of other members were when they came, on average since the start.
fn convergence(info: &Info) -> String {
    let counter = |name: &str| info.counters.get(name).copied().unwrap_or(0);
    let (changes, ms) = (counter("convergence"), counter("convergence_ms"));
    match (changes, ms.checked_div(changes)) {
        (_, None) => "no change of another member yet".to_owned(),
        (_, Some(0)) => format!("below 1ms, the mean of {changes} changes"),
        (_, Some(mean)) => format!("{}, the mean of {changes} changes", age(mean)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use hobnob_api::{Namesake, NodeId};

    use super::*;

    const PLAIN: Style = Style::PLAIN;

    pub(in crate::output) fn info() -> Info {
        Info {
            api: 1,
            revision: 1,
            name: "a1".to_owned(),
            cluster: "default".to_owned(),
            node_id: NodeId(0xab),
            epoch: 7,
            version: "0.1.0".to_owned(),
            datacenter: "dc1".to_owned(),
            zone: String::new(),
            gossip_address: "127.0.0.1:7946".to_owned(),
            sync_address: "127.0.0.1:7947".to_owned(),
            gossip_bound: None,
            sync_bound: None,
            pid: 1,
            uptime_ms: 61_000,
            isolated: true,
            last_contact_ago_ms: None,
            duplicate: None,
            name_conflicts: Vec::new(),
            takes_tcp_probes: true,
            udp_blocked: false,
            mass_losses: Vec::new(),
            broken_links: Vec::new(),
            active_members: 1,
            instances: 0,
            catalog_digest: "0".to_owned(),
            counters: BTreeMap::from([
                ("datagrams_received".to_owned(), 3),
                ("datagrams_refused".to_owned(), 0),
            ]),
            protocol: BTreeMap::from([("probe_period".to_owned(), "1s".to_owned())]),
            maintenance: None,
            out_of_service: Vec::new(),
            file_problems: Vec::new(),
            voter: None,
            sealed: None,
        }
    }

    #[test]
    fn info_lists_the_agent_and_its_counters() {
        let text = super::info(&info(), false, PLAIN);
        for line in
            ["uptime              1m 1s", "last heard          nobody yet", "datagrams_received  3"]
        {
            assert!(text.lines().any(|shown| shown == line), "{line}: {text}");
        }
        assert!(!text.contains("datagrams_refused"), "it is 0: {text}");
        assert!(text.contains("convergence         no change of another member yet"), "{text}");
        let counted = |changes, ms| {
            let counters = [("convergence", changes), ("convergence_ms", ms)];
            let counters = counters.map(|(name, count)| (name.to_owned(), count));
            super::info(&Info { counters: counters.into(), ..info() }, false, PLAIN)
        };
        assert!(counted(4, 3).contains("below 1ms, the mean of 4 changes"));
        assert!(counted(4, 600).contains("150ms, the mean of 4 changes"));
        assert!(super::info(&info(), true, PLAIN).contains("datagrams_refused"));
        let since = "2026-01-01T00:00:00Z".to_owned();
        let maintenance = Some(Maintenance { reason: "disk".to_owned(), since });
        let file_problems = ["web.toml:2: bad", "x.toml: bad"].map(str::to_owned).to_vec();
        let troubled = Info { maintenance, file_problems, ..info() };
        let text = super::info(&troubled, false, PLAIN);
        assert!(
            text.contains("YES, with all instances since 2026-01-01T00:00:00Z: disk"),
            "{text}"
        );
        assert!(text.contains("before: web.toml:2: bad, and 1 more problems"), "{text}");
        let out_of_service = vec!["web-1".to_owned()];
        let text = super::info(&Info { out_of_service, ..info() }, false, PLAIN);
        assert!(text.contains("in it or drained: web-1"), "{text}");
        let namesake =
            Namesake { node_id: NodeId(0xac), gossip_address: "10.0.0.2:7946".to_owned() };
        let shared = Info { name_conflicts: vec![namesake], ..info() };
        let text = super::info(&shared, false, PLAIN);
        assert!(
            text.contains("a1, SHARED with 00000000000000ac at 10.0.0.2:7946: give each"),
            "{text}"
        );
    }
}
