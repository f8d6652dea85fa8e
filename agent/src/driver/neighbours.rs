//! The health of what checks by alias follow, as the node knows it.

use std::pin::Pin;

use hobnob_api::Alias;
use hobnob_membership::Node;
use hobnob_membership::record::Health;
use hobnob_membership::view::MemberStatus;

use super::DriverHandle;
use super::words::name_of;
use crate::checks::{Followed, Neighbours};

impl Neighbours for DriverHandle {
    fn health_of(&self, alias: Alias) -> Pin<Box<dyn Future<Output = Option<Followed>> + Send>> {
        let driver = self.clone();
        Box::pin(async move {
            let followed = move |node: &Node, _| match &alias {
                Alias::Instance(id) => of_instance(node, id),
                Alias::Member(name) => of_member(node, name),
            };
            driver.inspect(followed).await.ok()
        })
    }
}

fn of_instance(node: &Node, id: &str) -> Followed {
    let own = node.identity().node_id;
    let found = node.instances_of(own).find(|instance| *instance.id == *id);
    let (health, state) = match found.map(|instance| instance.health) {
        None => (Health::Failing, "is not registered with this agent"),
        Some(Health::Passing) => (Health::Passing, "passes"),
        Some(Health::Warning) => (Health::Warning, "warns"),
        Some(Health::Failing) => (Health::Failing, "fails"),
        Some(Health::Unknown) => (Health::Unknown, "has no result yet"),
    };
    Followed { health, output: format!("the instance {id} {state}") }
}

fn of_member(node: &Node, name: &str) -> Followed {
    let is_named = |id| name_of(node, id) == name || id.to_string() == name;
    let members = node.members();
    let found = members.iter().find(|member| is_named(member.identity.node_id));
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
