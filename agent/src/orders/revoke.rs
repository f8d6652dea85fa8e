//! Revocation: taking the effect of a node or a token, for good.

use hobnob_api::{ApiError, ErrorCode, KeyHolder, RevokedNow, SignedRevocation};
use hobnob_keys::{
    Command, Fingerprint, Generation, MAX_REVOCATIONS, Membership, PublicKey, Revoked,
    SignedCommand,
};
use hobnob_membership::{Input, Node, Time};

use super::status::{holders, revocation};
use super::{
    inside, invalid, judge_generation, judge_signer, judges, next_generation, next_number, rotated,
    unkept,
};
use crate::driver::{DriverHandle, Ordered};
use crate::security::{self, OwnCredential};

/// The subject of a client's revocation.
#[derive(Debug)]
pub(crate) enum Subject {
    /// The node with this name, node id or public key.
    Member(String),
    /// The token with this fingerprint.
    Token(String),
    /// The orders that an operator signed.
    Signed(SignedRevocation),
}

impl Subject {
    /// The one thing that a request names.
    ///
    /// # Errors
    /// It names none, or several.
    pub(crate) fn of(
        member: Option<String>,
        token: Option<String>,
        signed: Option<SignedRevocation>,
    ) -> Result<Self, ApiError> {
        match (member, token, signed) {
            (Some(member), None, None) => Ok(Self::Member(member)),
            (None, Some(token), None) => Ok(Self::Token(token)),
            (None, None, Some(signed)) => Ok(Self::Signed(signed)),
            _ => {
                let message = "a revocation takes one of member, token and signed";
                Err(ApiError::new(ErrorCode::RequestMalformed, message))
            }
        }
    }
}

impl Subject {
    /// Whether the client signed it.
    pub(crate) fn is_signed(&self) -> bool {
        matches!(self, Self::Signed(_))
    }
}

/// Revokes a node or a token, and rotates. Nothing happens if it is revoked already.
///
/// # Errors
/// The cluster is not sealed, the order does not count, this agent lacks the role, the node is not known, or it is this agent and
/// the request does not say that it may be.
pub(crate) async fn revoke(
    driver: &DriverHandle,
    own: &OwnCredential,
    subject: Subject,
    myself: bool,
) -> Result<RevokedNow, ApiError> {
    let own = own.clone();
    let revoked = driver.order(move |node, now| decide(node, &own, &subject, myself, now)).await?;
    Ok(RevokedNow { unkept: unkept(driver).await, ..revoked })
}

fn decide(
    node: &Node,
    own: &OwnCredential,
    subject: &Subject,
    myself: bool,
    now: Time,
) -> Result<Ordered<RevokedNow>, ApiError> {
    let status = inside(node, now)?;
    let (trust, known) = judges(node)?;
    let (command, given) = match subject {
        Subject::Signed(signed) => {
            let command = SignedCommand::decode(signed.command.as_bytes()).map_err(invalid)?;
            let generation = Generation::decode(signed.generation.as_bytes()).map_err(invalid)?;
            judge_signer(node, &command)?;
            (command, Some(generation))
        }
        Subject::Member(name) => (sign(own, Revoked::Key(key_of(node, name, now)?))?, None),
        Subject::Token(token) => (sign(own, Revoked::Token(fingerprint(token)?))?, None),
    };
    let Some(Command::Revoke(revoked)) = command.unverified() else {
        return Err(invalid("the signed command revokes nothing"));
    };
    if let Some(earlier) = known.iter().find(|(known, _)| *known == revoked) {
        let answer = RevokedNow {
            revocation: revocation(node, earlier),
            new: false,
            rotated: None,
            unkept: None,
        };
        return Ok(Ordered { inputs: vec![], answer });
    }
    if known.iter().len() >= MAX_REVOCATIONS {
        let message = format!("{MAX_REVOCATIONS} revocations are there, and no more are taken");
        return Err(ApiError::new(ErrorCode::TooManyRevocations, message));
    }
    let is_own = |member: &Membership| member.node_id().0 == node.identity().node_id.0;
    if !myself && node.memberships().any(|member| is_own(member) && revokes(revoked, member)) {
        let message =
            "this revokes the agent that is asked: it would be out of the cluster at once";
        return Err(ApiError::new(ErrorCode::RevokesItself, message));
    }
    let mut then = known.clone();
    then.add(trust, command.clone()).map_err(invalid)?;
    let number = next_number(node, &then, status.newest, now)?;
    let generation = match given {
        Some(generation) => {
            judge_generation(node, &generation, number)?;
            generation
        }
        None => next_generation(own, number)?,
    };
    // A generation does not count if the same breath revokes who signed it.
    if generation.verify(trust, &then).is_err() {
        let message = "this revokes its own signer, whose next generation would not count: another operator has to order it";
        return Err(ApiError::new(ErrorCode::RoleMissing, message));
    }
    let answer = RevokedNow {
        revocation: revocation(node, (revoked, &command)),
        new: true,
        rotated: Some(rotated(generation.id(), true)),
        unkept: None,
    };
    Ok(Ordered { inputs: vec![Input::Revoke(command), Input::Rotate(generation)], answer })
}

fn sign(own: &OwnCredential, revoked: Revoked) -> Result<SignedCommand, ApiError> {
    own.get()?.sign(&Command::Revoke(revoked)).map_err(security::refused)
}

fn revokes(revoked: &Revoked, member: &Membership) -> bool {
    match revoked {
        Revoked::Key(key) => *key == member.public_key(),
        Revoked::Token(token) => *token == member.token(),
    }
}

/// The public key of the one node with this name, node id or public key.
fn key_of(node: &Node, subject: &str, now: Time) -> Result<PublicKey, ApiError> {
    let holders = holders(node, now);
    let holder = KeyHolder::find(&holders, subject)?;
    let known = node.memberships().find(|member| member.node_id().0 == holder.node_id.0);
    let key = known.map(Membership::public_key);
    key.ok_or_else(|| {
        let message =
            format!("the certificate of `{subject}` is not known here, and its key with it");
        ApiError::new(ErrorCode::KeyUnknown, message)
    })
}

fn fingerprint(text: &str) -> Result<Fingerprint, ApiError> {
    text.parse().map_err(|error: hobnob_keys::FingerprintError| {
        ApiError::new(ErrorCode::NameInvalid, error.to_string())
    })
}
