//! The keys of a sealed cluster: the generation, who holds it, and what is revoked.

use std::collections::BTreeMap;
use std::time::Duration;

use hobnob_api::{
    ApiError, HeldGeneration, KeyHolder, Keys, LongToken, NextGeneration, Revocation, RevokedKind,
};
use hobnob_keys::{Membership, Revoked, SignedCommand};
use hobnob_membership::view::MemberStatus as Status;
use hobnob_membership::{MemberKeys, Node, NodeId, Time};
use tokio::time::{Instant, sleep};

use super::{hex, not_sealed};
use crate::actor::Stopping;
use crate::clock::{millis, wall_clock_ms};
use crate::driver::{DriverHandle, words};
use crate::security::OwnCredential;
use crate::translate::{api_node_id, member_status};

/// The longest wait for the members that a survey asks.
const SURVEY_WITHIN: Duration = Duration::from_secs(3);
/// The time between two looks at a survey.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The longest wait for the disk of this agent. Changes of the keys are written half a second later at most.
const KEPT_WITHIN: Duration = Duration::from_secs(1);
/// A token that lets newcomers in for longer than this is named.
const LONG_VALIDITY: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The keys of the cluster, at an agent that may be isolated. Living members that are not known to hold all are asked.
///
/// # Errors
/// The cluster is not sealed.
pub(crate) async fn keys(
    driver: &DriverHandle,
    own: &OwnCredential,
    isolated: bool,
) -> Result<Keys, ApiError> {
    survey(driver).await?;
    let is_operator = own.is_operator();
    let keys = driver.inspect(move |node, now| read(node, is_operator, now)).await??;
    Ok(Keys { unkept: driver.keys_kept().wait(KEPT_WITHIN).await.err(), isolated, ..keys })
}

/// Asks the living members which keys they hold, and waits until all have shown that they hold what this agent does, or for some
/// seconds.
pub(super) async fn survey(driver: &DriverHandle) -> Result<(), Stopping> {
    driver.survey().await?;
    let until = Instant::now() + SURVEY_WITHIN;
    while !driver.inspect(is_surveyed).await? && Instant::now() < until {
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

fn is_surveyed(node: &Node, now: Time) -> bool {
    node.key_status(now).is_none_or(|status| {
        let mut living = status.members.iter().filter(|member| is_live(member.status));
        !status.is_surveying || living.all(has_all)
    })
}

/// Whether a member showed that it holds what this agent does.
fn has_all(member: &MemberKeys) -> bool {
    member.has_newest && member.has_revocations && member.has_authorities
}

fn read(node: &Node, operator: bool, now: Time) -> Result<Keys, ApiError> {
    let (trust, status) = node.trust().zip(node.key_status(now)).ok_or_else(not_sealed)?;
    let revocations = node.revoked().into_iter().flat_map(hobnob_keys::Revocations::iter);
    let mut members = holders(node, now);
    members.sort_by(|a, b| (&a.name, a.node_id).cmp(&(&b.name, b.node_id)));
    let held_for_ms = status.newest_since.map(|since| millis(now.since(since)));
    let (present, newest) = (status.present, status.newest);
    let next = newest.filter(|_| newest != present).zip(node.next_switch(now));
    Ok(Keys {
        cluster_id: trust.cluster().to_string(),
        authorities: trust.authorities().map(|key| key.fingerprint().to_string()).collect(),
        operator,
        generation: present.map(|id| HeldGeneration {
            number: id.number,
            hash: hex(&id.hash),
            held_for_ms: held_for_ms.filter(|_| newest == present),
        }),
        next: next.map(|(id, at)| NextGeneration {
            number: id.number,
            hash: hex(&id.hash),
            in_use_in_ms: millis(at.since(now)),
        }),
        members,
        revocations: revocations.map(|entry| revocation(node, entry)).collect(),
        long_tokens: long_tokens(node),
        untimely_tokens: node.counters().tokens_untimely,
        unkept: None,
        isolated: false,
    })
}

/// Whether a member with this status is asked, and is to hold all.
pub(super) fn is_live(status: Status) -> bool {
    matches!(status, Status::Alive | Status::Suspect)
}

/// This agent, the members that are not gone, then all others whose certificates are known.
pub(super) fn holders(node: &Node, now: Time) -> Vec<KeyHolder> {
    let certified: BTreeMap<NodeId, &Membership> =
        node.memberships().map(|member| (NodeId(member.node_id().0), member)).collect();
    let status = node.key_status(now);
    let (own, members) = (node.identity().node_id, status.map_or(vec![], |status| status.members));
    let mut holders = vec![KeyHolder {
        has_newest: true,
        has_revocations: true,
        has_authorities: true,
        shown_ago_ms: Some(0),
        generation: node
            .generations(now)
            .iter()
            .find_map(|(generation, in_use)| in_use.then(|| generation.id().number)),
        ..silent(node, own, Status::Alive, certified.get(&own).copied())
    }];
    for member in &members {
        let certified = certified.get(&member.node).copied();
        holders.push(KeyHolder {
            shown_ago_ms: member.shown_at.map(|at| millis(now.since(at))),
            generation: member.present.map(|present| present.number),
            has_newest: member.has_newest,
            has_revocations: member.has_revocations,
            has_authorities: member.has_authorities,
            ..silent(node, member.node, member.status, certified)
        });
    }
    let is_listed = |id: &NodeId| *id == own || members.iter().any(|member| member.node == *id);
    let others = certified.iter().filter(|(id, _)| !is_listed(id));
    holders.extend(others.map(|(id, membership)| {
        let status = node.member(*id).map_or(Status::Left, |member| member.status);
        silent(node, *id, status, Some(membership))
    }));
    holders
}

/// A member that showed nothing.
fn silent(node: &Node, id: NodeId, status: Status, membership: Option<&Membership>) -> KeyHolder {
    let certified = membership.map(|membership| membership.name().to_string());
    KeyHolder {
        name: certified.unwrap_or_else(|| words::name_of(node, id)),
        node_id: api_node_id(id),
        status: member_status(status),
        public_key: membership.map(|membership| membership.public_key().to_string()),
        token: membership.map(|membership| membership.token().to_string()),
        authority: membership.map(|membership| membership.authority().fingerprint().to_string()),
        shown_ago_ms: None,
        generation: None,
        has_newest: false,
        has_revocations: false,
        has_authorities: false,
        revoked: node.is_revoked(id),
    }
}

/// A revocation as the API names it.
pub(super) fn revocation(
    node: &Node,
    (revoked, command): (&Revoked, &SignedCommand),
) -> Revocation {
    let names = |is: &dyn Fn(&Membership) -> bool| {
        let members = node.memberships().filter(|member| is(member));
        let mut names: Vec<String> = members.map(|member| member.name().to_string()).collect();
        names.sort_unstable();
        names
    };
    let (kind, fingerprint, node_id, members) = match revoked {
        Revoked::Key(key) => {
            let node_id = hobnob_api::NodeId(key.node_id().0);
            let members = names(&|member| member.public_key() == *key);
            (RevokedKind::Node, key.fingerprint(), Some(node_id), members)
        }
        Revoked::Token(token) => {
            (RevokedKind::Token, *token, None, names(&|member| member.token() == *token))
        }
    };
    let signer =
        node.trust().and_then(|trust| command.verify(trust).ok()).map(|(_, signer)| signer);
    Revocation {
        kind,
        fingerprint: fingerprint.to_string(),
        node_id,
        members,
        by: signer.as_ref().map_or(String::new(), |signer| signer.name().to_string()),
        by_token: signer.map_or(String::new(), |signer| signer.token().to_string()),
    }
}

/// The tokens of known members that let newcomers in for long, and are neither over nor revoked.
fn long_tokens(node: &Node) -> Vec<LongToken> {
    let now_ms = wall_clock_ms();
    let mut tokens = BTreeMap::<_, LongToken>::new();
    for member in node.memberships() {
        let (token, validity) = (member.token(), member.limits().validity);
        let is_long = validity.until_ms.saturating_sub(validity.from_ms) > millis(LONG_VALIDITY);
        let is_revoked = node.revoked().is_some_and(|set| set.contains(&Revoked::Token(token)));
        if !is_long || is_revoked || validity.until_ms <= now_ms {
            continue;
        }
        let long = tokens.entry(token).or_insert_with(|| LongToken {
            fingerprint: token.to_string(),
            valid_until_ms: validity.until_ms,
            valid_for_ms: validity.until_ms - now_ms,
            members: vec![],
        });
        long.members.push(member.name().to_string());
    }
    let mut tokens: Vec<LongToken> = tokens.into_values().collect();
    tokens.iter_mut().for_each(|token| token.members.sort_unstable());
    tokens
}
