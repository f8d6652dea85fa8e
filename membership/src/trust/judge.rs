//! Admission of a peer at a door.

use std::sync::Arc;
use std::time::Duration;

use hobnob_keys::{Certificate, Membership, Moment, Untimely};

use super::door::SecuredBy;
use super::{Guard, node_of};
use crate::base::identity::NodeId;
use crate::base::limits::MAX_VERIFICATIONS_PER_SECOND;
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::wire::Credentials;

/// Counts the certificates of unknown peers that are verified in a second, because each costs much more than the bytes of it.
#[derive(Debug, Default)]
pub(crate) struct Verifications {
    second: Time,
    done: u32,
}

impl Verifications {
    pub(super) fn allow(&mut self, now: Time) -> bool {
        if now.since(self.second) >= Duration::from_secs(1) {
            *self = Self { second: now, done: 0 };
        }
        self.done += 1;
        self.done <= MAX_VERIFICATIONS_PER_SECOND
    }
}

/// How far a peer is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is a member.
    Member,
    /// It has a certificate that counts, and is to prove that it is still a member.
    Unproven,
}

/// Why a peer is not let in. The text goes to the peer, if it is for people.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shut {
    /// With these words.
    Told(String),
    /// Because it is revoked: it is told so, with the order that revoked it.
    Revoked(NodeId),
    /// In silence.
    Silently,
}

impl Guard {
    /// Judges the credentials of a peer. Returns the node, and how far it is let in.
    ///
    /// A member that is known, or that proves a generation which we hold, is let in whatever the clocks say. Another one that
    /// dials needs a token that is valid now, by our clock. Another one that we dialled may have been a member for long, while we
    /// were away: it gets no secret of ours before it proves the generation that it gives.
    pub(super) fn judge(
        &mut self,
        secured: &SecuredBy,
        is_ours: bool,
        credentials: &Credentials,
        now: Time,
    ) -> Result<(NodeId, Standing), Shut> {
        let node = node_of(&secured.key);
        let membership = self.membership_of(secured, credentials, now)?;
        if self.is_revoked(node) || self.revocations.revokes(&membership) {
            return Err(Shut::Revoked(node));
        }
        let is_known = self.certificates.knows(&secured.key);
        let proves = self.proves(secured, credentials, now)?;
        if is_ours && !is_known && !proves {
            return Ok((node, Standing::Unproven));
        }
        if !is_known && !proves && !mutant::is(Mutant::NewcomerJudgesToken) {
            let validity = membership.limits().validity;
            validity.at(secured.wall_ms).map_err(|untimely| {
                self.counters.tokens_untimely += 1;
                late(&membership, untimely, secured)
            })?;
        }
        self.remember(membership);
        self.survey.note(node, credentials, now);
        Ok((node, Standing::Member))
    }

    /// The verified membership of a peer. The same certificate is not verified twice, and one that is held need not be shown.
    fn membership_of(
        &mut self,
        secured: &SecuredBy,
        credentials: &Credentials,
        now: Time,
    ) -> Result<Arc<Membership>, Shut> {
        let known = self.certificates.get(node_of(&secured.key));
        if let Some(known) = known
            && known.public_key() == secured.key
            && [known.certificate().as_bytes(), &[]].contains(&&*credentials.certificate)
        {
            return Ok(known.clone());
        }
        if !self.verifications.allow(now) {
            self.counters.verifications_refused += 1;
            return Err(Shut::Silently);
        }
        let told = |error: &dyn std::fmt::Display| Shut::Told(error.to_string());
        let certificate =
            Certificate::decode(&credentials.certificate).map_err(|error| told(&error));
        let membership =
            certificate.and_then(|c| c.verify(&self.trust).map_err(|error| told(&error)));
        let membership = membership.inspect_err(|_| self.counters.certificates_refused += 1)?;
        if membership.public_key() != secured.key {
            self.counters.certificates_refused += 1;
            return Err(told(&"the certificate is of another key than the connection"));
        }
        if self.certificates.contradicts(&secured.key) {
            self.counters.certificates_refused += 1;
            return Err(told(&"another key has this node id"));
        }
        Ok(Arc::new(membership))
    }

    /// Whether a peer proves the secret of a generation that we hold.
    fn proves(
        &mut self,
        secured: &SecuredBy,
        credentials: &Credentials,
        now: Time,
    ) -> Result<bool, Shut> {
        let Some(first) = credentials.generations.first() else { return Ok(false) };
        let keyring = &self.sealer.keyring;
        let Some(generation) = keyring.get((*first).into(), now) else { return Ok(false) };
        if generation.verifies_proof(&secured.binding, &secured.key, &credentials.proof) {
            return Ok(true);
        }
        self.counters.proofs_refused += 1;
        Err(Shut::Silently)
    }
}

fn late(membership: &Membership, untimely: Untimely, secured: &SecuredBy) -> Shut {
    let (token, validity) = (membership.token(), membership.limits().validity);
    let (from, until, now) =
        (Moment(validity.from_ms), Moment(validity.until_ms), Moment(secured.wall_ms));
    Shut::Told(match untimely {
        Untimely::Early { .. } => {
            format!(
                "token {token} is valid from {from} until {until}, and the clock here shows {now}"
            )
        }
        Untimely::Expired { .. } => {
            format!(
                "token {token} expired: it was valid until {until}, and the clock here shows {now}"
            )
        }
    })
}
