//! The join list: whether this agent would find its cluster again.

use std::net::{SocketAddr, ToSocketAddrs};

use hobnob_api::MemberStatus;

use super::Said;
use super::finding::Findings;

/// The port of an address that names none.
const DEFAULT_PORT: u16 = 7946;

/// Looks at the addresses that the agent joins at.
pub(super) fn look(findings: &mut Findings, said: &Said) {
    if said.settings.is_none() {
        return;
    }
    let others: Vec<&str> = said
        .members
        .iter()
        .filter(|member| member.status == MemberStatus::Alive)
        .filter(|member| member.node_id != said.info.node_id)
        .map(|member| member.gossip_address.as_str())
        .collect();
    let listed = said.setting("join").unwrap_or_default();
    let listed: Vec<&str> =
        listed.split(',').map(str::trim).filter(|one| !one.is_empty()).collect();
    let two = "name two or more members of other hosts with --join";
    if listed.is_empty() {
        let told = "the join list is empty";
        return if others.is_empty() {
            findings.warn("join", format!("{told}, and no other member is known"), two);
        } else {
            findings.warn(
                "join",
                format!(
                    "{told}: others join here, and this agent finds them by what it remembers alone"
                ),
                two,
            );
        };
    }
    let own = said.info.gossip_address.as_str();
    let names: Vec<&&str> = listed.iter().filter(|one| !leads_to(one, &[own])).collect();
    let living = names.iter().filter(|one| leads_to(one, &others)).count();
    let told =
        format!("{living} of {} listed addresses lead to other living members", listed.len());
    match (names.len(), living) {
        (0, _) => findings.warn("join", "the join list names this agent alone", two),
        // A name may lead to an address that members do not show.
        (_, 0) if !others.is_empty() => findings.warn("join", told, two),
        (1, _) => findings.warn("join", format!("{told}: that host must be up at each start"), two),
        _ => findings.ok("join", told),
    }
}

/// Whether an address of the list is one of these addresses. A name is looked up.
fn leads_to(listed: &str, addresses: &[&str]) -> bool {
    let with_port = match listed.parse::<SocketAddr>() {
        Ok(address) => return addresses.contains(&&*address.to_string()),
        Err(_) if listed.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) => {
            listed.to_owned()
        }
        Err(_) => format!("{listed}:{DEFAULT_PORT}"),
    };
    let found = with_port.to_socket_addrs();
    found.is_ok_and(|mut found| found.any(|one| addresses.contains(&&*one.to_string())))
}
