//! The health of what checks by alias follow, as the node knows it.

use std::pin::Pin;
use std::sync::Arc;

use hobnob_api::Alias;
use hobnob_membership::record::Health;
use hobnob_membership::view::MemberStatus;
use hobnob_membership::{Node, NodeId};

use super::{Driver, DriverHandle, OwnChecks};
use crate::checks::{Followed, Neighbours};

impl Neighbours for DriverHandle {
    fn health_of(
        &self,
        alias: Alias,
        follower: Arc<str>,
    ) -> Pin<Box<dyn Future<Output = Option<Followed>> + Send>> {
        let driver = self.clone();
        Box::pin(async move { driver.follow(alias, follower).await.ok() })
    }
}

impl Driver {
    /// What an alias of the instance `follower` follows.
    pub(super) fn followed(&self, alias: &Alias, follower: &str) -> Followed {
        match alias {
            Alias::Instance(id) => of_instance(&self.node, &self.own_checks, id, follower),
            Alias::Member(name) => of_member(&self.node, name),
        }
    }
}

fn of_instance(node: &Node, checks: &OwnChecks, id: &str, follower: &str) -> Followed {
    let own = node.identity().node_id;
    let found = node.instances_of(own).find(|instance| *instance.id == *id);
    let health = |written| checks.but_followers(id, follower).unwrap_or(written);
    let (health, state) = match found.map(|instance| health(instance.health)) {
        None => (Health::Failing, "is not registered with this agent"),
        Some(Health::Passing) => (Health::Passing, "passes"),
        Some(Health::Warning) => (Health::Warning, "warns"),
        Some(Health::Failing) => (Health::Failing, "fails"),
        Some(Health::Unknown) => (Health::Unknown, "has no result yet"),
    };
    Followed { health, output: format!("the instance {id} {state}") }
}

fn of_member(node: &Node, name: &str) -> Followed {
    let by_id = name.parse::<NodeId>().ok();
    let is_named = |id: &NodeId| {
        by_id == Some(*id) || node.description(*id).is_some_and(|record| *record.name == *name)
    };
    let found = node.member_ids().filter(is_named).find_map(|id| node.member(id));
    let Some(member) = found else {
        return Followed { health: Health::Failing, output: format!("no member {name} is known") };
    };
    let health = match member.status {
        MemberStatus::Alive | MemberStatus::Suspect => Health::Passing,
        MemberStatus::Unreachable => Health::Unknown,
        MemberStatus::Down
        | MemberStatus::Left
        | MemberStatus::ForceLeft
        | MemberStatus::Replaced
        | MemberStatus::Revoked => Health::Failing,
    };
    Followed { health, output: format!("the member {name} is {}", member.status) }
}
