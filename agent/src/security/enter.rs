//! How a token and a data directory together make an agent a member of a sealed cluster, or of a clear one.
//!
//! | data directory | token | the agent |
//! |---|---|---|
//! | no membership, no key | none | is in a clear cluster |
//! | a key without a membership | none | is refused |
//! | no membership | any | becomes a member: its clock does not judge the token, the door does |
//! | a membership | none, unusable, or expired | stays the member that it is |
//! | a membership | of another cluster | is refused |
//! | a membership | valid, and made later than the one before, or that one has expired | gets a new certificate from it, for the same key |

use hobnob_keys::{IssueError, Name, NodeKey, Revocations, Revoked, Token, Trust};

use super::{Sealed, SecurityError, system_random};
use crate::config::{TokenSource, ValidConfig};
use crate::storage::{DataDir, KeptKeys, LockedDir};

/// The name of a clear cluster that was given none.
const DEFAULT_CLUSTER: &str = "default";
/// The datacenter of an agent that was given none.
const DEFAULT_DATACENTER: &str = "dc1";

/// An agent with its data directory, whose cluster is decided.
pub(crate) struct Entered {
    pub(crate) data_dir: DataDir,
    pub(crate) name: String,
    pub(crate) cluster: String,
    pub(crate) datacenter: String,
    /// Its membership, and what it remembers of the keys of others; `None` in a clear cluster.
    pub(crate) sealed: Option<(Sealed, KeptKeys)>,
}

/// Decides about the cluster of an agent, and opens its data directory.
pub(crate) fn enter(
    mut dir: LockedDir,
    config: &ValidConfig,
    now_ms: u64,
) -> Result<Entered, SecurityError> {
    if config.insecure && config.token.is_some() {
        return Err(SecurityError::InsecureWithToken);
    }
    let entering = Entering { config, now_ms };
    let Some(mut sealed) = entering.membership(&mut dir)? else {
        let cluster = config.cluster.clone().unwrap_or_else(|| DEFAULT_CLUSTER.to_owned());
        let datacenter = config.datacenter.clone();
        return Ok(Entered {
            data_dir: dir.into_clear(&cluster)?,
            name: config.name.clone().unwrap_or_else(|| config.host_name.clone()),
            cluster,
            datacenter: datacenter.unwrap_or_else(|| DEFAULT_DATACENTER.to_owned()),
            sealed: None,
        });
    };
    let kept = dir.keys()?;
    take_succession(&mut sealed.trust, &kept);
    let cluster = sealed.cluster_name();
    Ok(Entered {
        data_dir: dir.into_sealed(&cluster, sealed.node_id())?,
        name: sealed.own.name().to_string(),
        datacenter: sealed.own.datacenter().to_string(),
        cluster,
        sealed: Some((sealed, kept)),
    })
}

/// A start, as far as it decides about the cluster.
struct Entering<'a> {
    config: &'a ValidConfig,
    now_ms: u64,
}

impl Entering<'_> {
    /// The membership of the agent; `None` in a clear cluster. It is durable when this returns.
    fn membership(&self, dir: &mut LockedDir) -> Result<Option<Sealed>, SecurityError> {
        let key = dir.node_key()?;
        match (dir.membership()?, &self.config.token) {
            (None, None) if key.is_some() => Err(SecurityError::NoMembership {
                key: dir.path("node.key"),
                membership: dir.path("membership.json"),
            }),
            (None, None) => Ok(None),
            (None, Some(source)) => self.join(dir, key, source).map(Some),
            (Some(mut kept), source) => {
                take_succession(&mut kept.trust, &dir.keys()?);
                let path = dir.path("membership.json");
                let (certificate, trust) = (kept.certificate.clone(), kept.trust.clone());
                let membership = certificate.verify(&trust);
                let membership = membership
                    .map_err(|source| SecurityError::Membership { path: path.clone(), source })?;
                let key = key.filter(|key| key.public_key() == membership.public_key());
                match (key, source) {
                    (Some(key), source) => {
                        let member = Sealed::of(kept, key)
                            .map_err(|source| SecurityError::Membership { path, source })?;
                        self.stay(dir, member, source.as_ref()).map(Some)
                    }
                    (None, Some(source)) => {
                        tracing::warn!(path = %path.display(), "the membership is of another key than node.key: this agent joins anew");
                        let key = dir.node_key()?;
                        self.join(dir, key, source).map(Some)
                    }
                    (None, None) => {
                        Err(SecurityError::OtherKey { key: dir.path("node.key"), membership: path })
                    }
                }
            }
        }
    }

    /// Makes the agent a member, with its key if it has one already.
    fn join(
        &self,
        dir: &mut LockedDir,
        key: Option<NodeKey>,
        source: &TokenSource,
    ) -> Result<Sealed, SecurityError> {
        let token = source.read()?;
        self.check_cluster(
            &token.limits().cluster_name,
            &format!("token {}", token.fingerprint()),
        )?;
        let key = match key {
            Some(key) => key,
            None => NodeKey::from_seed(&*system_random()?),
        };
        let name = self.config.name.as_ref().unwrap_or(&self.config.host_name);
        let datacenter = match (&self.config.datacenter, &token.limits().datacenter) {
            (Some(given), _) => given.clone(),
            (None, Some(only)) => only.to_string(),
            (None, None) => DEFAULT_DATACENTER.to_owned(),
        };
        let sealed = issue(&token, key, name, &datacenter)?;
        // The key goes first: a membership without its key would be of no use.
        dir.save_node_key(&sealed.key)?;
        dir.save_membership(&sealed.kept())?;
        tracing::info!(
            cluster = %token.limits().cluster_name,
            token = %token.fingerprint(),
            key = %sealed.key.public_key().fingerprint(),
            "this agent issued its certificate from its token, and needs the token no more"
        );
        if let Err(untimely) = token.valid_at(self.now_ms) {
            tracing::warn!(
                token = %token.fingerprint(),
                "{untimely} by the clock of this host: members whose clocks say the same do not let this agent in. Make a \
                 new token with `hobnob token create`"
            );
        }
        Ok(sealed)
    }

    /// Leaves a member what it is, unless its token makes another one of it.
    fn stay(
        &self,
        dir: &mut LockedDir,
        member: Sealed,
        source: Option<&TokenSource>,
    ) -> Result<Sealed, SecurityError> {
        if self.config.insecure {
            let (dir, cluster) = (dir.path(""), member.cluster_name());
            return Err(SecurityError::InsecureMember { dir, cluster });
        }
        let token = source.map(|source| self.usable(dir, &member, source)).transpose()?.flatten();
        self.check_cluster(
            &member.own.limits().cluster_name,
            "the membership in the data directory",
        )?;
        let config = self.config;
        let (own_name, own_datacenter) =
            (member.own.name().to_string(), member.own.datacenter().to_string());
        let name = config.name.clone().unwrap_or_else(|| own_name.clone());
        let datacenter = config.datacenter.clone().unwrap_or_else(|| own_datacenter.clone());
        let changed =
            [("name", name.clone(), own_name), ("datacenter", datacenter.clone(), own_datacenter)]
                .into_iter()
                .find(|(_, wanted, certified)| wanted != certified);
        let Some(token) = token else {
            return match changed {
                Some((what, wanted, certified)) => {
                    Err(SecurityError::Changed { what, wanted, certified })
                }
                None => Ok(member),
            };
        };
        let is_same = token.fingerprint() == member.own.token();
        let joined_with = member.own.limits().validity;
        let is_newer = token.limits().validity.from_ms > joined_with.from_ms;
        let is_wanted = is_newer || joined_with.at(self.now_ms).is_err();
        if changed.is_none() && (is_same || !is_wanted) {
            return Ok(member);
        }
        let key = self.key_for(dir, &member, &token)?;
        match issue(&token, key, &name, &datacenter) {
            Ok(renewed) => {
                dir.save_node_key(&renewed.key)?;
                dir.save_membership(&renewed.kept())?;
                tracing::info!(
                    token = %token.fingerprint(),
                    was = %member.own.token(),
                    "this agent issued itself a new certificate from the token that it was given"
                );
                Ok(renewed)
            }
            Err(error) if changed.is_none() => {
                tracing::warn!(%error, "the new token does not allow this agent, which keeps its certificate");
                Ok(member)
            }
            Err(error) => Err(error),
        }
    }

    /// The token of a member, if it can be used. A member needs none, so one that cannot be used only leaves a line in the log.
    fn usable(
        &self,
        dir: &LockedDir,
        member: &Sealed,
        source: &TokenSource,
    ) -> Result<Option<Token>, SecurityError> {
        let ignored = |reason: &dyn std::fmt::Display| {
            tracing::info!(%reason, "the token is not used: this agent is a member already, and needs none");
            Ok(None)
        };
        let token = match source.read() {
            Ok(token) => token,
            Err(problem) => return ignored(&problem),
        };
        let (wanted, stored) = (token.trust().cluster(), member.trust.cluster());
        if wanted != stored {
            let short = |id: &dyn ToString| id.to_string().chars().take(16).collect();
            return Err(SecurityError::OtherCluster {
                dir: dir.path(""),
                stored: member.cluster_name(),
                stored_id: short(&stored),
                wanted: token.limits().cluster_name.to_string(),
                wanted_id: short(&wanted),
            });
        }
        let fingerprint = token.fingerprint();
        if !token.trust().authorities().all(|ca| member.trust.trusts(ca)) {
            return ignored(&format_args!(
                "token {fingerprint} is signed by a CA key that this agent does not trust"
            ));
        }
        if let Err(untimely) = token.valid_at(self.now_ms) {
            return ignored(&format_args!("token {fingerprint}: {untimely}"));
        }
        if revocations(dir, member)?.contains(&Revoked::Token(fingerprint)) {
            return ignored(&format_args!("token {fingerprint} is revoked"));
        }
        Ok(Some(token))
    }

    /// The key for a new certificate: the one that the member has, unless it is revoked.
    fn key_for(
        &self,
        dir: &LockedDir,
        member: &Sealed,
        token: &Token,
    ) -> Result<NodeKey, SecurityError> {
        if !revocations(dir, member)?.revokes(&member.own) {
            return Ok(NodeKey::from_seed(member.key.seed()));
        }
        tracing::warn!(
            was = %member.key.public_key().fingerprint(),
            token = %token.fingerprint(),
            "this agent was revoked, and was given another token: it makes a new key, and is a new node from now on"
        );
        Ok(NodeKey::from_seed(&*system_random()?))
    }

    /// Checks that the name of the cluster, if one was given, is that of the token or the membership.
    fn check_cluster(&self, sealed: &Name, from: &str) -> Result<(), SecurityError> {
        match &self.config.cluster {
            Some(wanted) if *wanted != sealed.as_str() => Err(SecurityError::OtherName {
                wanted: wanted.clone(),
                sealed: sealed.to_string(),
                from: from.to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

/// Trusts the CA keys of the succession that the data directory keeps, too.
fn take_succession(trust: &mut Trust, kept: &KeptKeys) {
    if let Some(error) = kept.succession.clone().and_then(|kept| trust.succeed(kept).err()) {
        tracing::warn!(%error, "the succession of CA keys in the data directory does not count here, and is forgotten");
    }
}

/// The revocations in the data directory.
fn revocations(dir: &LockedDir, member: &Sealed) -> Result<Revocations, SecurityError> {
    let mut revocations = Revocations::default();
    for command in dir.keys()?.revocations {
        // Those that do not count are dropped at the start of the node, and counted there.
        let _ = revocations.merge(&member.trust, [command]);
    }
    Ok(revocations)
}

/// Issues the certificate of an agent from its token.
fn issue(
    token: &Token,
    key: NodeKey,
    name: &str,
    datacenter: &str,
) -> Result<Sealed, SecurityError> {
    let certified = |text: &str| {
        text.parse::<Name>().map_err(|source| SecurityError::Name { name: text.to_owned(), source })
    };
    let (name, datacenter) = (certified(name)?, certified(datacenter)?);
    let refused = |source: IssueError| SecurityError::NotAllowed {
        token: token.fingerprint().to_string(),
        source,
    };
    let certificate = token.certificate(key.public_key(), &name, &datacenter).map_err(refused)?;
    let own = certificate.verify(token.trust()).map_err(|error| refused(error.into()))?;
    let seeds = token.seeds().iter().filter(|seed| !seed.wan);
    let seeds = seeds.map(|seed| seed.address.to_string()).collect();
    Ok(Sealed { key, trust: token.trust().clone(), own, seeds })
}
