//! The join list: whether this agent would find its cluster again.

use std::net::SocketAddr;
use std::time::Duration;

use hobnob_api::MemberStatus;
use hobnob_api::address::GossipAddress;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::Said;
use super::agent::named;
use super::finding::Findings;

/// The longest wait for all names of the list.
const LOOKUP_WITHIN: Duration = Duration::from_secs(2);

/// Looks at the addresses that the agent joins at.
pub(super) async fn look(findings: &mut Findings, said: &Said) {
    if said.settings.is_none() {
        return;
    }
    let others: Vec<SocketAddr> = said
        .members
        .iter()
        .filter(|member| member.status == MemberStatus::Alive)
        .filter(|member| member.node_id != said.info.node_id)
        .filter_map(|member| member.gossip_address.parse().ok())
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
    let own = said.info.gossip_address.parse::<SocketAddr>().ok();
    let found = futures_util::future::join_all(listed.iter().map(|one| lead(one))).await;
    let mut unresolved = Vec::new();
    let (mut late, mut leads) = (0, Vec::new());
    for (one, lead) in listed.iter().zip(found) {
        match lead {
            Lead::To(addresses) => leads.push(addresses),
            Lead::Late => late += 1,
            Lead::Nowhere(reason) => unresolved.push(format!("{one} ({reason})")),
        }
    }
    let reach = Reach::of(&leads, own, &others);
    if late > 0 {
        findings.warn(
            "join",
            format!("{late} of {} listed names did not resolve within 2 s", listed.len()),
            "look at the name servers of this host: the agent needs them at each start",
        );
    }
    if !unresolved.is_empty() {
        let unresolved: Vec<&str> = unresolved.iter().map(String::as_str).collect();
        findings.warn(
            "join",
            format!(
                "{} of {} listed names do not resolve: {}",
                unresolved.len(),
                listed.len(),
                named(&unresolved)
            ),
            "correct --join, or the name servers of this host: the agent needs them at each start",
        );
    }
    let late = late + unresolved.len();
    let told = format!(
        "{} of {} listed addresses lead to other living members",
        reach.living,
        listed.len()
    );
    match (reach.elsewhere + late, reach.living) {
        (0, _) => findings.warn("join", "the join list names this agent alone", two),
        // A name may lead to an address that members do not show.
        (_, 0) if !others.is_empty() => findings.warn("join", told, two),
        (1, _) if reach.members < 2 => findings.warn(
            "join",
            format!("{told}: a start with an empty data directory needs that host"),
            two,
        ),
        _ => findings.ok("join", told),
    }
}

/// Where the list leads. One name may lead to this agent and to others, as one that all members share does.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// How many of the list lead to another address than that of this agent.
    pub(super) elsewhere: usize,
    /// How many of them lead to other living members.
    pub(super) living: usize,
    /// How many other living members they lead to.
    pub(super) members: usize,
}

impl Reach {
    /// `leads` has the addresses of each of the list, `others` those of the other living members.
    pub(super) fn of(
        leads: &[Vec<SocketAddr>],
        own: Option<SocketAddr>,
        others: &[SocketAddr],
    ) -> Self {
        let elsewhere = leads.iter().filter(|found| found.iter().any(|one| Some(*one) != own));
        let living = leads.iter().filter(|found| found.iter().any(|one| others.contains(one)));
        let members = others.iter().filter(|one| leads.iter().flatten().any(|found| found == *one));
        Self { elsewhere: elsewhere.count(), living: living.count(), members: members.count() }
    }
}

/// Where one of the list leads.
enum Lead {
    /// To these addresses.
    To(Vec<SocketAddr>),
    /// Its name is not looked up in time.
    Late,
    /// Its name does not resolve, for this reason.
    Nowhere(String),
}

async fn lead(listed: &str) -> Lead {
    let address = match listed.parse::<GossipAddress>() {
        Ok(address) => address,
        Err(error) => return Lead::Nowhere(error.to_string()),
    };
    if let Some(address) = address.socket_addr() {
        return Lead::To(vec![address]);
    }
    match timeout(LOOKUP_WITHIN, lookup_host(address.to_string())).await {
        Ok(Ok(found)) => Lead::To(found.collect()),
        Ok(Err(error)) => Lead::Nowhere(error.to_string()),
        Err(_) => Lead::Late,
    }
}
