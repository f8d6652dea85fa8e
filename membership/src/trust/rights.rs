//! The services that each member may offer, by the certificate in its node record.
//!
//! A node record counts only with a certificate of the key that the node id comes from, and under the name and the datacenter
//! of the certificate. A certificate is verified once for each content. A newcomer learns of very many at once, so a few are
//! verified at once and the others wait: their instances are hidden meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use hobnob_keys::{Certificate, Membership};

use super::{Act, Guard, node_of};
use crate::base::identity::NodeId;
use crate::base::limits::{MAX_ORIGINS, MAX_RECORD_CHECKS};
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::catalog::WriteError;
use crate::catalog::record::{NodeRecord, Text};

/// The time in which [`MAX_RECORD_CHECKS`] certificates are verified at most: 1,600 a second, some 15 % of a core.
const CHECK_GAP: Duration = Duration::from_millis(10);

/// Why an instance is hidden, although its origin registered it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Hidden {
    /// The node record of the origin holds no certificate.
    #[error("its agent shows no certificate")]
    NoCertificate,
    /// The certificate waits for its turn.
    #[error("the certificate of its agent is about to be checked")]
    Unchecked,
    /// The certificate does not count.
    #[error("the certificate of its agent does not count: {reason}")]
    Certificate {
        /// The reason.
        reason: String,
    },
    /// The certificate is of another node.
    #[error("its agent shows the certificate of another node, {of}")]
    OtherNode {
        /// The node.
        of: NodeId,
    },
    /// The origin is revoked, or its token.
    #[error("its agent is revoked, or the token that it joined with")]
    Revoked,
    /// The origin goes by another name.
    #[error("its agent goes by the name `{told}`, and its certificate says `{certified}`")]
    Name {
        /// The name in the node record.
        told: Text,
        /// The name in the certificate.
        certified: String,
    },
    /// The origin says that it is in another datacenter.
    #[error(
        "its agent says that it is in the datacenter `{told}`, and its certificate says `{certified}`"
    )]
    Datacenter {
        /// The datacenter in the node record.
        told: Text,
        /// The datacenter in the certificate.
        certified: String,
    },
    /// The token of the origin does not allow the service.
    #[error("the token {token} of its agent allows the services {allowed}, and not `{service}`")]
    Service {
        /// The service.
        service: Text,
        /// The globs of the token.
        allowed: String,
        /// The fingerprint of the token.
        token: String,
    },
}

/// The judgement of a node record.
#[derive(Debug)]
struct Judged {
    record: Arc<NodeRecord>,
    result: Result<Arc<Membership>, Hidden>,
}

/// The rights of the origins whose node records are held. There are no more of them than origins.
#[derive(Debug, Default)]
pub(crate) struct Rights {
    judged: BTreeMap<NodeId, Judged>,
    /// Origins whose certificates wait to be verified, and the last one that was.
    waiting: BTreeSet<NodeId>,
    last: Option<NodeId>,
    /// When the present step began, and the certificates that were verified in it.
    step: Time,
    done: usize,
}

impl Rights {
    fn is_judged(&self, origin: NodeId, record: &NodeRecord) -> bool {
        let same = |held: &NodeRecord| {
            (&held.certificate, &held.name, &held.datacenter)
                == (&record.certificate, &record.name, &record.datacenter)
        };
        self.judged.get(&origin).is_some_and(|judged| same(&judged.record))
    }

    fn set(
        &mut self,
        origin: NodeId,
        record: Arc<NodeRecord>,
        result: Result<Arc<Membership>, Hidden>,
    ) {
        if self.judged.len() < MAX_ORIGINS || self.judged.contains_key(&origin) {
            self.judged.insert(origin, Judged { record, result });
        }
    }

    fn may_check(&mut self, now: Time) -> bool {
        if now.since(self.step) >= CHECK_GAP {
            (self.step, self.done) = (now, 0);
        }
        let may = self.done < MAX_RECORD_CHECKS;
        self.done += usize::from(may);
        may
    }

    /// The next origin that waits, after the last one: all have their turn.
    fn take_waiting(&mut self) -> Option<NodeId> {
        let after = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let mut following = self.waiting.range((after, Bound::Unbounded));
        let next = following.next().or_else(|| self.waiting.first()).copied()?;
        self.waiting.remove(&next);
        self.last = Some(next);
        Some(next)
    }

    /// When the next certificates may be verified.
    pub(crate) fn deadline(&self) -> Option<Time> {
        (!self.waiting.is_empty()).then(|| self.step + CHECK_GAP)
    }
}

impl Guard {
    /// Judges the node record of an origin; `None` if it is no longer held.
    pub(crate) fn review_record(
        &mut self,
        origin: NodeId,
        record: Option<&Arc<NodeRecord>>,
        now: Time,
    ) {
        let Some(record) = record else {
            self.rights.judged.remove(&origin);
            self.rights.waiting.remove(&origin);
            return;
        };
        if self.rights.is_judged(origin, record) {
            return;
        }
        self.rights.waiting.remove(&origin);
        if record.certificate.is_empty() {
            return self.rights.set(origin, record.clone(), Err(Hidden::NoCertificate));
        }
        let known = self.certificates.get(origin);
        let known = known.filter(|known| known.certificate().as_bytes() == record.certificate);
        if let Some(known) = known.cloned() {
            return self.conclude(origin, record.clone(), known);
        }
        if self.rights.may_check(now) {
            return self.verify_record(origin, record.clone());
        }
        self.counters.verifications_put_off += 1;
        self.rights.set(origin, record.clone(), Err(Hidden::Unchecked));
        self.rights.waiting.insert(origin);
    }

    /// Has those certificates verified again that another CA key makes count, or not count any more.
    pub(super) fn review_judged(&mut self) {
        let trust = &self.trust;
        let is_in_question = |judged: &Judged| match &judged.result {
            Ok(membership) => !trust.trusts(membership.authority()),
            Err(hidden) => matches!(hidden, Hidden::Certificate { .. }),
        };
        let judged = self.rights.judged.iter().filter(|(_, judged)| is_in_question(judged));
        let origins: Vec<NodeId> = judged.map(|(origin, _)| *origin).collect();
        self.rights.waiting.extend(origins);
    }

    /// Verifies certificates that waited, as many as may be now. The view is to show what follows from them.
    pub(crate) fn verify_waiting(&mut self, now: Time) {
        if self.rights.deadline().is_none_or(|due| due > now) {
            return;
        }
        while !self.rights.waiting.is_empty() && self.rights.may_check(now) {
            let Some(origin) = self.rights.take_waiting() else { return };
            let judged = self.rights.judged.get(&origin);
            if let Some(record) = judged.map(|judged| judged.record.clone()) {
                self.verify_record(origin, record);
                self.acts.push_back(Act::Judged(origin));
            }
        }
    }

    /// Why instances of a service of an origin are hidden; `None` if they are not.
    pub(crate) fn hides(&self, origin: NodeId, service: &Text) -> Option<Hidden> {
        if origin == node_of(&self.own.public_key()) {
            return forbids(&self.own, service);
        }
        if self.is_revoked(origin) {
            return Some(Hidden::Revoked);
        }
        match self.rights.judged.get(&origin).map(|judged| &judged.result) {
            None => Some(Hidden::NoCertificate),
            Some(Err(hidden)) => Some(hidden.clone()),
            // Its latest certificate may be of another token.
            Some(Ok(membership)) if self.revocations.revokes(membership) => Some(Hidden::Revoked),
            Some(Ok(membership)) => forbids(membership, service),
        }
    }

    /// Checks that this node may serve a service.
    pub(crate) fn check_own(&self, service: &Text) -> Result<(), WriteError> {
        check_service(&self.own, service)
    }

    /// Makes a node record of our own say what our certificate says.
    pub(crate) fn certify(&self, record: &mut NodeRecord) {
        record.name = self.own.name().as_str().into();
        record.datacenter = self.own.datacenter().as_str().into();
        record.certificate = self.own.certificate().as_bytes().to_vec();
    }

    fn verify_record(&mut self, origin: NodeId, record: Arc<NodeRecord>) {
        let membership = match Certificate::decode(&record.certificate) {
            Ok(certificate) => certificate.verify(&self.trust).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match membership {
            Ok(membership) => self.conclude(origin, record, Arc::new(membership)),
            Err(reason) => {
                self.counters.certificates_refused += 1;
                self.rights.set(origin, record, Err(Hidden::Certificate { reason }));
            }
        }
    }

    /// Concludes from a certificate that counts what an origin may serve.
    fn conclude(&mut self, origin: NodeId, record: Arc<NodeRecord>, membership: Arc<Membership>) {
        let key = membership.public_key();
        let result = if node_of(&key) != origin {
            Err(Hidden::OtherNode { of: node_of(&key) })
        } else if self.certificates.contradicts(&key) {
            Err(Hidden::Certificate { reason: "another key has this node id".to_owned() })
        } else {
            self.remember(membership.clone());
            self.note_revoked(&membership);
            describes(&record, &membership).map(|()| membership)
        };
        let is_of_another =
            matches!(result, Err(Hidden::OtherNode { .. } | Hidden::Certificate { .. }));
        self.counters.certificates_refused += u64::from(is_of_another);
        self.rights.set(origin, record, result);
    }

    /// Notes a member whose token was revoked before its certificate was known.
    fn note_revoked(&mut self, membership: &Membership) {
        let node = node_of(&membership.public_key());
        if self.revocations.revokes(membership) && self.revoked.insert(node) {
            self.shut_out(node);
        }
    }
}

/// Checks that a node record gives the name and the datacenter of the certificate.
fn describes(record: &NodeRecord, membership: &Membership) -> Result<(), Hidden> {
    let (name, datacenter) = (membership.name().as_str(), membership.datacenter().as_str());
    if record.name != name {
        return Err(Hidden::Name { told: record.name.clone(), certified: name.to_owned() });
    }
    if record.datacenter != datacenter {
        let (told, certified) = (record.datacenter.clone(), datacenter.to_owned());
        return Err(Hidden::Datacenter { told, certified });
    }
    Ok(())
}

/// Checks that a node with this membership may serve a service of its own.
pub(super) fn check_service(own: &Membership, service: &Text) -> Result<(), WriteError> {
    if own.limits().allows_service(service) || mutant::is(Mutant::IgnoreCertificateLimits) {
        return Ok(());
    }
    let (service, allowed, token) = (service.clone(), globs(own), own.token().to_string());
    Err(WriteError::NotAllowed { service, allowed, token })
}

/// Why a member may not serve a service; `None` if it may.
fn forbids(membership: &Membership, service: &Text) -> Option<Hidden> {
    let limits = membership.limits();
    let allows = mutant::is(Mutant::IgnoreCertificateLimits) || limits.allows_service(service);
    (!allows).then(|| Hidden::Service {
        service: service.clone(),
        allowed: globs(membership),
        token: membership.token().to_string(),
    })
}

/// The services that a member may serve, for people.
fn globs(membership: &Membership) -> String {
    let globs = membership.limits().services.iter().map(|glob| format!("`{}`", glob.as_str()));
    globs.collect::<Vec<_>>().join(", ")
}
