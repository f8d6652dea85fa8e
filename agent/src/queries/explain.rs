//! Why this agent believes what it believes: facts of the node, in words for people.

use std::time::Duration;

use hobnob_membership::catalog::Origin;
use hobnob_membership::detector::{Belief, Cause, Verdict};
use hobnob_membership::record::{Health, Key};
use hobnob_membership::view::{Instance, Member, MemberStatus};
use hobnob_membership::{ForceLeft, Node, NodeId, Route, Sign, Time};

use crate::doors::unix::handler::{member, millis};
use hobnob_api::{HeardFrom, MemberExplained, RecordsExplained, VerdictExplained};

/// What the driver knows of one instance.
pub(crate) struct InstanceView {
    pub(crate) instance: std::sync::Arc<Instance>,
    pub(crate) version: u64,
    pub(crate) health_version: Option<u64>,
    pub(crate) origin: MemberExplained,
}

/// The members with this name or node id.
pub(crate) fn members(node: &Node, subject: &str, now: Time) -> Vec<MemberExplained> {
    let named = named(node, subject);
    named.iter().map(|member| explain(node, member, now)).collect()
}

/// The members that go by this name or node id.
pub(crate) fn named(node: &Node, subject: &str) -> Vec<Member> {
    let goes_by = |member: &Member| {
        let name = member.node.as_ref().is_some_and(|record| *record.name == *subject);
        name || member.identity.node_id.to_string() == subject
    };
    node.members().into_iter().filter(goes_by).collect()
}

/// The instances with this id.
pub(crate) fn instances(node: &Node, id: &str, now: Time) -> Vec<InstanceView> {
    let known = node.members();
    let found = node.instances().filter(|instance| *instance.id == *id);
    let explained = found.filter_map(|instance| {
        let origin = known.iter().find(|member| member.identity.node_id == instance.origin)?;
        let version = |key| version_of(node, instance.origin, &key);
        Some(InstanceView {
            instance: instance.clone(),
            version: version(Key::Service(instance.id.clone())).unwrap_or(0),
            health_version: version(Key::Health(instance.id.clone())),
            origin: explain(node, origin, now),
        })
    });
    explained.collect()
}

fn version_of(node: &Node, origin: NodeId, key: &Key) -> Option<u64> {
    let replica = node.catalog().origin(origin)?.current()?;
    let slot = replica.slots().find(|slot| slot.key() == key)?;
    slot.value().map(|_| slot.version())
}

fn explain(node: &Node, about: &Member, now: Time) -> MemberExplained {
    let id = about.identity.node_id;
    let is_self = id == node.identity().node_id;
    let provenance = node.provenance(id);
    let heard = provenance.heard.map(|heard| HeardFrom {
        ago_ms: millis(now.since(heard.at)),
        from: name_of(node, id),
        by: sign(heard.by).to_owned(),
    });
    let news = provenance.news.filter(|_| !is_self).map(|news| HeardFrom {
        ago_ms: millis(now.since(news.at)),
        from: name_of(node, news.from),
        by: route(news.by).to_owned(),
    });
    let replica = node.catalog().origin(id).and_then(|origin| origin.current());
    let records = replica.map(|replica| RecordsExplained {
        epoch: replica.epoch().0,
        version: replica.known_to(),
        behind: !replica.is_settled() || node.lacks(id),
        instances: node.instances().filter(|instance| instance.origin == id).count(),
        news,
    });
    let down_since = node.down_since(id);
    let force_left = node.force_left(id).map(|force_left| declared(node, force_left, now));
    let verdict = force_left.or_else(|| node.belief(id).map(|belief| verdict(node, belief, now)));
    MemberExplained {
        member: member(about),
        is_self,
        reason: if is_self { own_reason(node, now) } else { reason(node, about, now) },
        down_ms: down_since.map(|since| millis(now.since(since))),
        verdict,
        heard,
        records,
    }
}

fn own_reason(node: &Node, now: Time) -> String {
    let silence = silence(node, now).map(|silence| format!(": {silence}"));
    format!("it is this agent{}", silence.unwrap_or_default())
}

/// Why nobody hears this agent, if it says nothing.
pub(crate) fn silence(node: &Node, now: Time) -> Option<String> {
    let other = node.duplicate(now).filter(|other| other.we_are_silent)?;
    Some(format!(
        "another agent runs under its node id, at {}, and this one gave way and is silent. If the data directory of this \
         agent is the copy, stop it, remove node.json and registrations.log there, and start it again; else stop the other, \
         and a minute later this one speaks again",
        other.address
    ))
}

/// Why a member has its status, in one sentence.
pub(crate) fn reason(node: &Node, about: &Member, now: Time) -> String {
    let id = about.identity.node_id;
    match about.status {
        MemberStatus::Alive if node.is_heard_by_stream_alone(id, now) => {
            "it is an active member, and this agent hears it by QUIC alone: UDP does not pass between them".to_owned()
        }
        MemberStatus::Alive if node.provenance(id).heard.is_some() => {
            "it is an active member, and this agent hears it".to_owned()
        }
        MemberStatus::Alive => {
            "others hold it alive; this agent has not heard it itself".to_owned()
        }
        MemberStatus::Suspect if node.is_stalled(id) => format!(
            "it does not answer, but its host completes TCP handshakes for it: its process stands still; {}",
            called_down_in(time_left(node, id, now))
        ),
        MemberStatus::Suspect => {
            let when = called_down_in(time_left(node, id, now));
            format!("it did not answer somebody's probe; {when}")
        }
        MemberStatus::Left => {
            let epoch = node.catalog().origin(id).and_then(Origin::left);
            let epoch = epoch.map_or(String::new(), |epoch| format!(", in epoch {epoch}"));
            format!("it said that it leaves{epoch}")
        }
        MemberStatus::Down if node.force_left(id).is_some() => {
            "an operator declared it gone for good".to_owned()
        }
        MemberStatus::Down if !node.is_connected() => {
            "this agent hears nobody: it may be the one that is cut off".to_owned()
        }
        MemberStatus::Down => {
            let belief = node.belief(id);
            belief.map_or_else(hearsay, |belief| sentence(node, &belief.verdict))
        }
    }
}

/// How long a suspect has until it is called down.
fn time_left(node: &Node, suspect: NodeId, now: Time) -> Duration {
    node.suspect_until(suspect).map_or(Duration::ZERO, |until| until.since(now))
}

fn called_down_in(left: Duration) -> String {
    let tenths = left.as_millis().saturating_add(50) / 100;
    if tenths == 0 {
        return "those who watch it agree on that now".to_owned();
    }
    format!("it is called down in {}.{} s unless somebody hears it", tenths / 10, tenths % 10)
}

/// Who declared it gone is not told beyond the agent where that was done: the nearest that is known stands for it.
fn declared(node: &Node, force_left: &ForceLeft, now: Time) -> VerdictExplained {
    let told_by = name_of(node, force_left.told_by);
    VerdictExplained {
        cause: "declared".to_owned(),
        by: told_by.clone(),
        agreed: Vec::new(),
        told_by,
        ago_ms: millis(now.since(force_left.at)),
    }
}

fn hearsay() -> String {
    "others hold it down, and who found that is not known here".to_owned()
}

fn verdict(node: &Node, belief: &Belief, now: Time) -> VerdictExplained {
    let Belief { verdict, told_by, since } = belief;
    VerdictExplained {
        cause: verdict.cause.to_string(),
        by: name_of(node, verdict.accuser),
        agreed: verdict.referees.iter().map(|referee| name_of(node, *referee)).collect(),
        told_by: name_of(node, *told_by),
        ago_ms: millis(now.since(*since)),
    }
}

fn sentence(node: &Node, verdict: &Verdict) -> String {
    let by = speaker(node, verdict.accuser);
    match verdict.cause {
        Cause::Silence if verdict.referees.is_empty() => {
            format!("{by} found that it answers nobody")
        }
        Cause::Silence => {
            let agreed = verdict.referees.iter().map(|referee| speaker(node, *referee));
            let agreed = agreed.collect::<Vec<_>>().join(", ");
            format!("{by} found that it answers nobody, and {agreed} agreed")
        }
        Cause::Left => "it said that it leaves".to_owned(),
        Cause::Declared => format!("an operator declared it gone, at {by}"),
        Cause::Isolation => "this agent hears nobody: it may be the one that is cut off".to_owned(),
        Cause::Hearsay => hearsay(),
    }
}

/// A node as a sentence names it.
fn speaker(node: &Node, id: NodeId) -> String {
    if id == node.identity().node_id {
        return "this agent".to_owned();
    }
    format!("`{}`", name_of(node, id))
}

/// The name of a node, else its id.
pub(crate) fn name_of(node: &Node, id: NodeId) -> String {
    let record = node.description(id);
    record.map_or_else(|| id.to_string(), |record| record.name.to_string())
}

fn sign(sign: Sign) -> &'static str {
    match sign {
        Sign::Swim => "swim",
        Sign::Ping => "ping",
        Sign::Vote => "vote",
        Sign::Members => "members",
        Sign::Rumor => "rumor",
        Sign::Digest => "digest",
        Sign::Pull => "pull",
        Sign::Session => "session",
    }
}

fn route(route: Route) -> &'static str {
    match route {
        Route::Rumor => "rumor",
        Route::Pull => "pull",
        Route::Session => "session",
    }
}

/// The word for a health.
pub(crate) fn health_word(health: Health) -> &'static str {
    match health {
        Health::Passing => "passing",
        Health::Failing => "failing",
        Health::Unknown => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_called_down_in_no_time() {
        for (left_ms, says) in [
            (0, "those who watch it agree on that now"),
            (49, "those who watch it agree on that now"),
            (50, "it is called down in 0.1 s unless somebody hears it"),
            (3_149, "it is called down in 3.1 s unless somebody hears it"),
            (12_951, "it is called down in 13.0 s unless somebody hears it"),
        ] {
            assert_eq!(called_down_in(Duration::from_millis(left_ms)), says, "{left_ms} ms");
        }
    }
}
