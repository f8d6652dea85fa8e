//! The members of the cluster, as this agent believes in them.

use hobnob_api::{Member, Members};

use crate::actor::Stopping;
use crate::driver::DriverHandle;
use crate::services::Registry;
use crate::translate::member;

/// Every member, by name and node id.
pub(crate) async fn members(
    registry: &Registry,
    driver: &DriverHandle,
) -> Result<Members, Stopping> {
    let revision = registry.revision();
    let members = driver.inspect(|node, _| node.members()).await?;
    let mut members: Vec<Member> = members.iter().map(member).collect();
    members.sort_by(|a, b| (&a.name, a.node_id).cmp(&(&b.name, b.node_id)));
    Ok(Members { revision, isolated: registry.is_isolated(), members })
}
