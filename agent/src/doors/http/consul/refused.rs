//! What Consul has and this agent has not, refused by name.

use axum::extract::Path;
use axum::http::StatusCode;

use super::super::answer::Refused;

/// The begin of a path below `/v1`, and why it is not there.
const ABSENT: &[(&str, &str)] = &[
    ("acl", "there are no ACLs: access keys say who may write, see `hobnob access-key --help`"),
    ("agent/connect", "there is no service mesh"),
    ("agent/force-leave", "use `hobnob force-leave`"),
    ("agent/host", "use the tools of the host"),
    ("agent/join", "use `hobnob join`"),
    ("agent/leave", "use `hobnob leave`"),
    ("agent/maintenance", "use `hobnob maintenance on --all`"),
    ("agent/metrics", "use `/metrics`"),
    ("agent/monitor", "use the log of the agent"),
    ("agent/reload", "use `hobnob reload`"),
    ("agent/token", "there are no ACLs"),
    ("agent/version", "`/v1/agent/self` has the version of the agent"),
    ("catalog/connect", "there is no service mesh"),
    (
        "catalog/deregister",
        "an instance is deregistered with its own agent: `/v1/agent/service/deregister/ID`",
    ),
    ("catalog/gateway-services", "there is no service mesh"),
    ("catalog/node-services", "use `/v1/catalog/node/NODE`"),
    (
        "catalog/register",
        "an instance is registered with its own agent: `/v1/agent/service/register`",
    ),
    ("config", "there is no service mesh"),
    ("connect", "there is no service mesh"),
    ("coordinate", "there are no network coordinates: `near` follows datacenters and zones"),
    ("discovery-chain", "there is no service mesh"),
    ("event", "there are no user events: `/v1/hobnob/watch` tells changes"),
    ("exported-services", "there are no partitions"),
    ("health/connect", "there is no service mesh"),
    ("health/ingress", "there is no service mesh"),
    ("internal", "these are for Consul's own console"),
    (
        "kv",
        "there is no key-value store: an agent knows services, and keeps no data of applications",
    ),
    ("namespace", "a namespace is there once something is registered in it"),
    ("namespaces", "a namespace is there once something is registered in it"),
    ("operator", "there is no leader and no Raft: `hobnob voters` shows voters"),
    ("partition", "there are no partitions"),
    ("partitions", "there are no partitions"),
    ("peering", "there is no cluster peering: datacenters join each other"),
    ("peerings", "there is no cluster peering: datacenters join each other"),
    ("query", "there are no prepared queries"),
    ("session", "there are no sessions and no locks"),
    ("snapshot", "there are no snapshots: each agent keeps its own registrations"),
    ("txn", "there is no key-value store"),
];

/// Refuses a path that no route has.
pub(super) async fn refuse(Path(path): Path<String>) -> Refused {
    match absent(&path) {
        Some((name, why)) => {
            let message = format!("`/v1/{name}` is not served: {why}");
            Refused::new(StatusCode::NOT_IMPLEMENTED, message)
        }
        None => Refused::new(StatusCode::NOT_FOUND, "there is no such path: see docs/HTTP.md"),
    }
}

fn absent(path: &str) -> Option<(&'static str, &'static str)> {
    let is_within = |name: &str| {
        path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    ABSENT.iter().find(|(name, _)| is_within(name)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_refused_by_the_name_of_its_part() {
        for (path, name) in [("kv/a/b", "kv"), ("kv", "kv"), ("agent/token/x", "agent/token")] {
            assert_eq!(absent(path).map(|(name, _)| name), Some(name));
        }
        assert_eq!((absent("kvs/a"), absent("agent/self"), absent("")), (None, None, None));
    }
}
