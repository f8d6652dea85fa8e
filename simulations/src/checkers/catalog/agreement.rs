//! Whether all live nodes agree.

use std::collections::BTreeMap;

use hobnob_membership::record::{Key, Value};
use hobnob_membership::view::MemberStatus;
use hobnob_membership::{Epoch, Node, NodeId};

use crate::checkers::checker::Scene;
use crate::truth::{Life, stays_home};
use crate::world::Ordered;

/// The first difference between live nodes. `None` when they agree: the same members, and the same records byte for
/// byte, but for those that stay in the datacenter of their origin. In a very large cluster the bytes of a sample are compared.
#[must_use]
pub fn disagreement(scene: &Scene<'_>) -> Option<String> {
    let running: Vec<(usize, &Node)> = scene.world.running().collect();
    let mut up = BTreeMap::<&str, usize>::new();
    for (host, _) in &running {
        *up.entry(scene.world.location(*host).0).or_default() += 1;
    }
    for (host, node) in &running {
        let (active, name) = (node.active_members(), scene.world.location(*host).0);
        let up = up.get(name).copied().unwrap_or_default();
        if active != up {
            return Some(format!("n{host} counts {active} active members of {up} in {name}"));
        }
    }
    // A generation that went down with the only disk that had it is lost, which `generations` judges.
    let is_held = |order: &&Ordered| {
        let mut hosts = running.iter().map(|(host, _)| *host);
        hosts.any(|host| scene.world.held_by(host).contains(&order.generation))
    };
    let held = scene.world.ordered().iter().filter(is_held);
    let newest = held.reduce(|a, b| if b.generation.replaces(&a.generation) { b } else { a });
    if let Some(newest) = newest {
        let lacks = |host: &usize| !scene.world.held_by(*host).contains(&newest.generation);
        if let Some(host) = running.iter().map(|(host, _)| *host).find(lacks) {
            return Some(format!("n{host} lacks generation {:?}", newest.generation));
        }
    }
    if let Some(difference) = running.windows(2).find_map(|pair| different_digests(scene, pair)) {
        return Some(difference);
    }
    for (id, life) in scene.truth.lives() {
        let Life::Up { .. } = life else { continue };
        for (host, _) in &running {
            if scene.world.host(*host).id == id {
                continue;
            }
            match scene.beliefs.of(*host, id) {
                Some((MemberStatus::Alive | MemberStatus::Suspect, _)) => {}
                other => {
                    let what = other.map_or("nothing".to_owned(), |(s, _)| format!("{s:?}"));
                    let name = scene.world.name_of(id);
                    return Some(format!(
                        "n{host} last reported {what} about {name}, which is alive"
                    ));
                }
            }
        }
    }
    let (first, reference) = running.first()?;
    for (host, node) in scene.sample().filter(|(host, _)| host != first) {
        let is_same_place = scene.world.location(*first).0 == scene.world.location(host).0;
        let contents = |node, other| contents(node, other, is_same_place);
        let (reference, held) = (contents(reference, node), contents(node, reference));
        if held != reference {
            let difference = first_difference(scene, &reference, &held);
            return Some(format!(
                "n{first} and n{host} have equal digests and different records: {difference}"
            ));
        }
    }
    None
}

fn different_digests(scene: &Scene<'_>, pair: &[(usize, &Node)]) -> Option<String> {
    let [(a, left), (b, right)] = pair else { return None };
    if left.catalog().digest() == right.catalog().digest() {
        return None;
    }
    let heads = |node: &Node| -> BTreeMap<NodeId, (Epoch, u64)> {
        let ids = node.catalog().origins().map(|(id, _)| id);
        let heads = ids.filter_map(|id| node.catalog().head(id));
        heads.map(|head| (head.origin, (head.epoch, head.known_to))).collect()
    };
    let (left, right) = (heads(left), heads(right));
    let id = left.keys().chain(right.keys()).find(|id| left.get(id) != right.get(id))?;
    let tell = |head: Option<&(Epoch, u64)>| {
        head.map_or("nothing".to_owned(), |(epoch, to)| format!("epoch {epoch} up to {to}"))
    };
    Some(format!(
        "of {} n{a} knows {} and n{b} knows {}",
        scene.world.name_of(*id),
        tell(left.get(id)),
        tell(right.get(id))
    ))
}

type Contents<'a> = BTreeMap<NodeId, (Epoch, u64, Vec<(&'a Key, u64, &'a Value)>)>;

/// Everything that a node serves. Tombstones are left out, since nodes may drop them at different times; so is every
/// origin that the other node has dropped. Records that stay in one datacenter are compared within it.
fn contents<'a>(node: &'a Node, other: &Node, is_same_place: bool) -> Contents<'a> {
    let kept = |id: &NodeId| other.catalog().origin_tombstone(*id).is_none();
    let origins = node.catalog().origins().filter(|(id, _)| kept(id));
    let served = origins.filter_map(|(id, origin)| Some((id, origin.current()?)));
    served
        .filter(|(_, replica)| replica.known_to() > 0)
        .map(|(id, replica)| {
            let live = replica
                .slots()
                .filter_map(|slot| Some((slot.key(), slot.version(), slot.value()?)))
                .filter(|(.., value)| is_same_place || !stays_home(value));
            (id, (replica.epoch(), replica.known_to(), live.collect()))
        })
        .collect()
}

fn first_difference(scene: &Scene<'_>, left: &Contents<'_>, right: &Contents<'_>) -> String {
    let id = left.keys().chain(right.keys()).find(|id| left.get(id) != right.get(id));
    let Some(id) = id else { return "none".into() };
    let entries = |side: &Contents<'_>| side.get(id).map_or(0, |(_, _, entries)| entries.len());
    let key = |side: &Contents<'_>, other: &Contents<'_>| {
        let theirs = other.get(id).map(|(_, _, entries)| entries);
        let ours = side.get(id).map(|(_, _, entries)| entries)?;
        let odd = ours.iter().find(|entry| theirs.is_none_or(|theirs| !theirs.contains(entry)))?;
        Some(format!("{:?} in version {}", odd.0, odd.1))
    };
    let odd = key(left, right).or_else(|| key(right, left)).unwrap_or_default();
    format!(
        "of {} {} against {} live records, for one {odd}",
        scene.world.name_of(*id),
        entries(left),
        entries(right)
    )
}
