//! Why a member or an instance has its status: facts of the node, in words for people.

use std::collections::BTreeSet;

use hobnob_api::{
    ApiError, ErrorCode, Explained, HeardFrom, InstanceExplained, MemberExplained,
    RecordsExplained, RegisteredBy, VerdictExplained, WatchedExplained,
};
use hobnob_membership::detector::{Belief, Cause};
use hobnob_membership::record::Key;
use hobnob_membership::view::MemberStatus;
use hobnob_membership::{ForceLeft, Node, NodeId, Route, Sign, Time};

use super::members;
use super::offer::{self, InstanceView};
use crate::clock::millis;
use crate::driver::DriverHandle;
use crate::driver::words::{name_of, reason, silence};
use crate::registrations::RegistrationsHandle;
use crate::services::Registry;
use crate::storage::StoredRegistrant;
use crate::translate::member;

/// At most this many instances of a service are named when an explanation is asked of the service.
const MAX_IDS_NAMED: usize = 5;

/// Explains every member and every instance with this name or id.
///
/// # Errors
/// There is none, or it is the name of a service.
pub(crate) async fn explain(
    registry: &Registry,
    driver: &DriverHandle,
    registrations: &RegistrationsHandle,
    subject: String,
) -> Result<Explained, ApiError> {
    let revision = registry.revision();
    let named = subject.clone();
    let known = move |node: &Node, now| {
        let own = node.identity().node_id;
        (own, members_named(node, &named, now), instances(node, &named, now))
    };
    let (own, members, views) = driver.inspect(known).await?;
    if members.is_empty() && views.is_empty() {
        return Err(unexplained(registry, &subject));
    }
    let mut instances = Vec::new();
    for view in views {
        let is_own = view.instance.origin == own;
        let mut checks = if is_own { driver.checks(subject.clone()).await? } else { Vec::new() };
        registrations.add_latest(&subject, &mut checks);
        let registrant = is_own.then(|| registrations.registrant(&subject)).flatten();
        let registered_by = registrant.map(|registrant| RegisteredBy {
            file: registrations.source(&subject).map(|file| file.to_string()),
            ..registered_by(registrant)
        });
        let explained = offer::explain(registry, view, checks);
        instances.push(InstanceExplained { registered_by, ..explained });
    }
    Ok(Explained { revision, isolated: registry.is_isolated(), members, instances })
}

fn registered_by(StoredRegistrant { uid, pid, at_ms, agent }: StoredRegistrant) -> RegisteredBy {
    RegisteredBy { uid, pid, at_ms, agent, file: None }
}

/// Why nothing can be explained by this name: nothing has it, or a service does.
fn unexplained(registry: &Registry, subject: &str) -> ApiError {
    let services = registry.services();
    let mut ids = BTreeSet::new();
    for (_, service) in services.iter().filter(|(key, _)| key.service == subject) {
        ids.extend(service.instances().values().map(|instance| instance.id.to_string()));
    }
    if ids.is_empty() {
        let message = format!("no member and no instance has the name or id `{subject}`");
        return ApiError::new(ErrorCode::SubjectNotFound, message);
    }
    let mut shown: Vec<String> =
        ids.iter().take(MAX_IDS_NAMED).map(|id| format!("`{id}`")).collect();
    if ids.len() > MAX_IDS_NAMED {
        shown.push(format!("and {} more", ids.len() - MAX_IDS_NAMED));
    }
    let message = format!("`{subject}` is a service, with the instances {}", shown.join(", "));
    ApiError::new(ErrorCode::SubjectIsService, message)
}

/// The members with this name or node id, also those of which only records are left.
fn members_named(node: &Node, subject: &str, now: Time) -> Vec<MemberExplained> {
    let has_name = |id: &NodeId| name_of(node, *id) == subject || id.to_string() == subject;
    let named = members::known_ids(node).into_iter().filter(has_name);
    named.map(|id| member_explained(node, id, now)).collect()
}

/// The instances with this id, also those that are hidden.
fn instances(node: &Node, id: &str, now: Time) -> Vec<InstanceView> {
    let known = node.instances().chain(node.hidden_instances());
    let found = known.filter(|instance| *instance.id == *id);
    let explained = found.map(|instance| {
        let version = |key| version_of(node, instance.origin, &key);
        InstanceView {
            instance: instance.clone(),
            hidden: node.hidden_because(instance),
            is_unanswered: node.unanswered_for(instance.origin, now).is_some(),
            version: version(Key::Service(instance.id.clone())).unwrap_or(0),
            health_version: version(Key::Health(instance.id.clone())),
            origin: member_explained(node, instance.origin, now),
        }
    });
    explained.collect()
}

fn version_of(node: &Node, origin: NodeId, key: &Key) -> Option<u64> {
    let replica = node.catalog().origin(origin)?.current()?;
    let slot = replica.slots().find(|slot| slot.key() == key)?;
    slot.value().map(|_| slot.version())
}

fn member_explained(node: &Node, id: NodeId, now: Time) -> MemberExplained {
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
        hidden: node.hidden_instances().filter(|instance| instance.origin == id).count(),
        news,
    });
    let (member, reason) = match &node.member(id) {
        Some(about) if is_self => (member(node, about, now), own_reason(node, now)),
        Some(about) => (member(node, about, now), reason(node, about, now)),
        None => (members::of_records(node, id, now), reason_of_records(node, id)),
    };
    let force_left = node.force_left(id).map(|force_left| forced_to_leave(node, force_left, now));
    let verdict = force_left.or_else(|| node.belief(id).map(|belief| verdict(node, belief, now)));
    MemberExplained {
        down_ago_ms: member.down_ago_ms,
        member,
        is_self,
        reason,
        verdict,
        heard,
        watched: node.is_watched(id).then(|| watched(node, id, now)),
        records,
    }
}

fn watched(node: &Node, id: NodeId, now: Time) -> WatchedExplained {
    let held_since = node.held_since(id);
    WatchedExplained { held_ms: held_since.map(|since| millis(now.since(since))) }
}

/// The reason for the status of a node of which only records are left.
fn reason_of_records(node: &Node, id: NodeId) -> String {
    let gone = match members::status_of_records(node, id) {
        MemberStatus::Left => "it left",
        _ => "it was down",
    };
    format!("{gone} before this agent started: only its records are left")
}

fn own_reason(node: &Node, now: Time) -> String {
    let silence = silence(node, now).map(|silence| format!(": {silence}"));
    format!("it is this agent{}", silence.unwrap_or_default())
}

/// The verdict of a force-leave. Its origin tombstone does not name the agent that was asked, so `by` is the node that
/// told this agent.
fn forced_to_leave(node: &Node, force_left: &ForceLeft, now: Time) -> VerdictExplained {
    let told_by = name_of(node, force_left.told_by);
    VerdictExplained {
        cause: Cause::ForceLeft.to_string(),
        by: told_by.clone(),
        agreed: Vec::new(),
        told_by,
        ago_ms: millis(now.since(force_left.at)),
        exited: false,
    }
}

fn verdict(node: &Node, belief: &Belief, now: Time) -> VerdictExplained {
    let Belief { verdict, told_by, since } = belief;
    VerdictExplained {
        cause: verdict.cause.to_string(),
        by: name_of(node, verdict.accuser),
        agreed: verdict.referees.iter().map(|referee| name_of(node, *referee)).collect(),
        told_by: name_of(node, *told_by),
        ago_ms: millis(now.since(*since)),
        exited: verdict.exited,
    }
}

fn sign(sign: Sign) -> &'static str {
    match sign {
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::Duration;

    use hobnob_keys::seal::{Counter, DatagramKeys, Sealed};
    use hobnob_membership::Epoch;
    use hobnob_membership::catalog::{Catalog, Want};
    use hobnob_membership::record::{NodeRecord, Value};
    use hobnob_membership::testing::sealed::{SealedCluster, node_id};
    use hobnob_membership::testing::{record, web};
    use hobnob_membership::wire::{Ages, DatagramBuilder, Envelope, Message};
    use tokio::net::UdpSocket;
    use tokio::task::yield_now;

    use super::*;
    use crate::queries::resolve::services;
    use crate::testing::TestDriver;

    /// Sends a rumor of node 1: it has this certificate now, and serves `web`.
    async fn tell(to: SocketAddr, cluster: &SealedCluster, certificate: &[u8]) {
        let record = NodeRecord { certificate: certificate.to_vec(), ..record(1) };
        let records = vec![
            (Key::Node, Some(Value::Node(Arc::new(record)))),
            (Key::Service("web-1".into()), Some(Value::Service(web().into()))),
        ];
        let mut catalog = Catalog::new(node_id(1), Epoch(1_000));
        catalog.write(records).expect("legal");
        let want = Want { origin: node_id(1), epoch: Epoch(0), after: 0, gc_floor: 0 };
        let delta = catalog.answer(&want, usize::MAX).expect("records");
        let mut clear = DatagramBuilder::new(Envelope::clear(Default::default()));
        clear.push(&Message::Rumors(node_id(1), vec![delta], Ages::default())).expect("it fits");
        let clear = clear.finish();
        let keys = DatagramKeys::of(&cluster.generation(1, 7));
        let (sender, counter) = (hobnob_keys::NodeId(node_id(1).0), Counter::of_epoch(1_000_000));
        let mut bytes = Vec::new();
        let sealed = Sealed { sender, counter, messages: &clear[7..] };
        sealed.seal(&keys, &mut bytes).expect("not empty");
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
        socket.send_to(&bytes, to).await.expect("sent");
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_that_the_token_of_its_agent_does_not_allow_is_explained() {
        let cluster = SealedCluster::default();
        let with_keys = |n| cluster.sealing(n).with_generation(cluster.generation(1, 7), true);
        let agent = TestDriver::sealed(0, with_keys(0)).await;
        let member = TestDriver::sealed(1, with_keys(1)).await;
        member.handle.begin_join(vec![agent.addr], false).await.expect("it runs");
        tokio::time::sleep(Duration::from_secs(5)).await;
        // It would object to what is said in its name.
        member.task.abort();
        let token = cluster.token_for(5, &["api-*", "db"]);
        tell(agent.addr, &cluster, cluster.certificate(&token, 1).as_bytes()).await;
        let hidden = async || {
            let counters = agent.handle.report().await.expect("it runs").counters;
            (counters["instances_hidden_now"], counters["instances_hidden"])
        };
        let mut looks = 0..100_000;
        while hidden().await != (1, 1) {
            looks.next().expect("it came to nothing");
            yield_now().await;
        }
        let none = RegistrationsHandle::stopped();
        let explained = explain(&agent.registry, &agent.handle, &none, "web-1".to_owned()).await;
        let explained = explained.expect("it is known");
        let [instance] = &explained.instances[..] else { panic!("{explained:?}") };
        let fingerprint = token.fingerprint().to_string();
        for part in ["hidden from clients", "`web`", "`api-*`, `db`", &fingerprint] {
            assert!(instance.reason.contains(part), "no {part} in: {}", instance.reason);
        }
        assert!(!instance.offered);
        let records = instance.origin.records.as_ref().expect("it has records");
        assert_eq!((records.instances, records.hidden), (0, 1));
        assert!(services(&agent.registry, None).services.is_empty(), "no client sees it");
    }
}
