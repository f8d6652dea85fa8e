//! The node's beliefs as sentences for people, in the log and in `explain`.

use std::net::SocketAddr;
use std::time::Duration;

use hobnob_api::likely_cause;
use hobnob_membership::detector::{Cause, Verdict};
use hobnob_membership::view::{Member, MemberStatus};
use hobnob_membership::{End, MassLoss, Node, NodeId, Time};

/// The most nodes that a line of the log names.
const MAX_NAMED: usize = 8;

/// The reason why this agent is silent, with advice; `None` when it is not silent.
pub(crate) fn silence(node: &Node, now: Time) -> Option<String> {
    let other = node.duplicate(now).filter(|other| other.we_are_silent)?;
    let (files, with) = match node.public_key() {
        Some(_) => ("node.key, membership.json, node.json", " with a token"),
        None => ("node.json", ""),
    };
    Some(format!(
        "another agent runs under its node id, at {}, and this one gave way and is silent. If the data directory of this \
         agent is the copy, stop it, remove {files} and registrations.log there, and start it again{with}; else stop the other \
         agent, and this one joins again a minute later",
        other.address
    ))
}

/// The reason for the status of a member, in one sentence.
pub(crate) fn reason(node: &Node, about: &Member, now: Time) -> String {
    let id = about.identity.node_id;
    if about.status == MemberStatus::Alive {
        if let Some(silence) = node.link_broken_for(id, now) {
            return broken_link(silence);
        }
        if let Some(silence) = node.unanswered_for(id, now) {
            let seconds = silence.as_secs();
            return format!(
                "it is an active member; this agent's own pings to it have had no answer for {seconds} s"
            );
        }
    }
    match about.status {
        MemberStatus::Alive if node.is_heard_by_stream_alone(id, now) => {
            "it is an active member, and this agent hears it by QUIC alone: UDP does not pass between them".to_owned()
        }
        MemberStatus::Alive if node.provenance(id).heard.is_some() => {
            "it is an active member, and this agent hears it".to_owned()
        }
        MemberStatus::Alive => {
            "other members hold it alive; this agent has not heard it itself".to_owned()
        }
        MemberStatus::Suspect if node.is_stalled(id) => format!(
            "it does not answer, but its host completes TCP handshakes for it: its process stands still; {}",
            declared_down_in(time_left(node, id, now))
        ),
        MemberStatus::Suspect => {
            let when = declared_down_in(time_left(node, id, now));
            format!("it did not answer a probe; {when}")
        }
        MemberStatus::Unreachable
            if node.datacenter_of(id).is_some_and(|home| node.is_isolated(home)) =>
        {
            let name = node.datacenter_name_of(id).unwrap_or_default();
            format!(
                "its datacenter is isolated, which `hobnob datacenters rejoin {name}` ends; it was alive when that was last heard"
            )
        }
        MemberStatus::Unreachable => {
            "its datacenter is out of reach; it was alive when that was last heard".to_owned()
        }
        MemberStatus::Left => {
            let epoch = node.catalog().left(id);
            let epoch = epoch.map_or(String::new(), |epoch| format!(", in epoch {epoch}"));
            format!("it said that it leaves{epoch}")
        }
        MemberStatus::ForceLeft => "an operator forced it to leave".to_owned(),
        MemberStatus::Revoked => "an operator revoked it".to_owned(),
        MemberStatus::Replaced => match node.end_of(id) {
            Some(End::Replaced(by)) if by != node.identity().node_id => {
                format!("another node answers at its address: `{}`, {by}", name_of(node, by))
            }
            _ => "this agent runs at its address".to_owned(),
        },
        MemberStatus::Down if node.home_verdict(id).is_some() => {
            let by = node.home_verdict(id).and_then(|(_, accuser)| accuser);
            let by = by.map_or_else(String::new, |by| format!(": {} found it", speaker(node, by)));
            format!("its own datacenter holds it down{by}")
        }
        MemberStatus::Down => {
            let why = match node.belief(id).map(|belief| &belief.verdict) {
                Some(verdict) if node.is_connected() || verdict.exited => sentence(node, verdict),
                None if node.is_connected() => hearsay(),
                _ => "this agent hears nobody: it may be the one that is cut off".to_owned(),
            };
            match node.mass_loss_of(id) {
                Some(loss) => format!("{}; {why}", lost_with_others(loss, now)),
                None => why,
            }
        }
    }
}

/// A broken link, over which nothing came for so long.
pub(crate) fn broken_link(silence: Duration) -> String {
    let seconds = silence.as_secs();
    format!("link broken: no answer to this agent for {seconds} s; others hear it")
}

/// The mass loss of a member.
fn lost_with_others(loss: &MassLoss, now: Time) -> String {
    let others = match loss.lost - 1 {
        1 => "one other".to_owned(),
        others => format!("{others} others"),
    };
    let ago = now.since(loss.since).as_secs();
    format!("lost with {others} {ago} s ago: {}", likely_cause(loss.lost, loss.exited))
}

/// The time until a suspect is declared down.
fn time_left(node: &Node, suspect: NodeId, now: Time) -> Duration {
    node.suspect_until(suspect).map_or(Duration::ZERO, |until| until.since(now))
}

fn declared_down_in(left: Duration) -> String {
    let tenths = left.as_millis().saturating_add(50) / 100;
    if tenths == 0 {
        return "its monitors are agreeing on that now".to_owned();
    }
    format!("it is declared down in {}.{} s unless a member hears it", tenths / 10, tenths % 10)
}

fn hearsay() -> String {
    "other members hold it down; the verdict itself did not reach this agent".to_owned()
}

fn sentence(node: &Node, verdict: &Verdict) -> String {
    let by = speaker(node, verdict.accuser);
    match verdict.cause {
        Cause::Silence if verdict.exited => exited(1 + verdict.referees.len()),
        Cause::Silence if verdict.referees.is_empty() => {
            format!("{by} found that it does not answer")
        }
        Cause::Silence => {
            let agreed = verdict.referees.iter().map(|referee| speaker(node, *referee));
            let agreed = agreed.collect::<Vec<_>>().join(", ");
            format!("{by} found that it does not answer, and {agreed} agreed")
        }
        Cause::Left => "it said that it leaves".to_owned(),
        Cause::ForceLeft => format!("an operator forced it to leave, at {by}"),
        Cause::Hearsay => hearsay(),
    }
}

/// The sentence for a member whose process exited, as so many nodes found.
fn exited(nodes: usize) -> String {
    let nodes = if nodes == 1 { "one node".to_owned() } else { format!("{nodes} nodes") };
    format!("its process exited: {nodes} saw its connections close or new ones refused")
}

/// A node as a sentence names it.
fn speaker(node: &Node, id: NodeId) -> String {
    if id == node.identity().node_id {
        return "this agent".to_owned();
    }
    format!("`{}`", name_of(node, id))
}

/// The refusal to join an agent of another datacenter as one of the own.
pub(crate) fn of_other_datacenter(address: SocketAddr, name: &str, own: &str) -> String {
    format!(
        "the agent at {address} is of the datacenter `{name}`, and this one is of `{own}`: `hobnob join --wan {address}` is meant for that"
    )
}

/// The refusal to join an agent of the own datacenter as one of another. It is a member already, or the two stay apart.
pub(crate) fn of_own_datacenter(address: SocketAddr, own: &str, is_member: bool) -> String {
    if is_member {
        return format!(
            "the agent at {address} is of this datacenter, `{own}`, and a member already"
        );
    }
    format!(
        "the agent at {address} is of `{own}`, as this one is, and the two stay apart: `hobnob join {address}`, without --wan, joins it if both \
         are of one network; else give one of the two another --datacenter"
    )
}

/// The refusal to join an isolated datacenter.
pub(crate) fn of_isolated_datacenter(name: &str) -> String {
    format!("`{name}` is isolated: `hobnob datacenters rejoin {name}` ends that")
}

/// The name of a node, or its id when its record is not known.
pub(crate) fn name_of(node: &Node, id: NodeId) -> String {
    let record = node.description(id);
    record.map_or_else(|| id.to_string(), |record| record.name.to_string())
}

/// The names of nodes, the first of them where they are many.
pub(crate) fn names(node: &Node, ids: impl ExactSizeIterator<Item = NodeId>) -> String {
    let more = ids.len().saturating_sub(MAX_NAMED);
    let mut named: Vec<_> = ids.take(MAX_NAMED).map(|id| name_of(node, id)).collect();
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    named.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_that_saw_an_exit_are_counted() {
        let many = "its process exited: 3 nodes saw its connections close or new ones refused";
        assert_eq!(exited(3), many);
        assert!(exited(1).contains(": one node saw its connections close "));
    }

    #[test]
    fn nobody_is_declared_down_in_no_time() {
        for (left_ms, says) in [
            (0, "its monitors are agreeing on that now"),
            (49, "its monitors are agreeing on that now"),
            (50, "it is declared down in 0.1 s unless a member hears it"),
            (3_149, "it is declared down in 3.1 s unless a member hears it"),
            (12_951, "it is declared down in 13.0 s unless a member hears it"),
        ] {
            assert_eq!(declared_down_in(Duration::from_millis(left_ms)), says, "{left_ms} ms");
        }
    }
}
