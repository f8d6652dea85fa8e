//! The keys of a sealed cluster: who holds them, and the orders that change them.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::{MemberStatus, NodeId, is_default};
use crate::{ApiError, ErrorCode};

/// The keys of a sealed cluster, as this agent and the members that it asked know them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Keys {
    /// The id of the cluster, in hexadecimal digits.
    pub cluster_id: String,
    /// The fingerprints of the CA keys whose tokens count, the older one first.
    pub authorities: Vec<String>,
    /// Whether this agent has the role operator, and signs orders itself.
    pub operator: bool,
    /// The generation that this agent seals with; absent while it holds none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub generation: Option<HeldGeneration>,
    /// The generation that replaces it, and is not in use here yet.
    #[serde(default, skip_serializing_if = "is_default")]
    pub next: Option<NextGeneration>,
    /// The members that are not gone, this agent included, and all others whose certificates it knows, by name and node id.
    pub members: Vec<KeyHolder>,
    /// The revocations.
    pub revocations: Vec<Revocation>,
    /// Tokens that let newcomers in for longer than a week, with which members joined, and that are not revoked.
    pub long_tokens: Vec<LongToken>,
    /// Newcomers that this agent did not let in since its start because of their token's validity.
    pub untimely_tokens: u64,
    /// The reason for which this agent has not kept its keys on its disk; absent when it has.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unkept: Option<String>,
    /// Whether this agent hears no other member.
    #[serde(default, skip_serializing_if = "is_default")]
    pub isolated: bool,
}

/// A generation of the secret that all members share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldGeneration {
    /// Its number.
    pub number: u64,
    /// Its hash, in hexadecimal digits. Two operators that rotate at once make two generations of one number.
    pub hash: String,
    /// Milliseconds since this agent got it, or started with it; absent while another one is about to replace it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub held_for_ms: Option<u64>,
}

/// A generation that is on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextGeneration {
    /// Its number.
    pub number: u64,
    /// Its hash, in hexadecimal digits.
    pub hash: String,
    /// Milliseconds until this agent uses it.
    pub in_use_in_ms: u64,
}

/// A member, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyHolder {
    /// Its name, else its node id.
    pub name: String,
    /// Its node id.
    pub node_id: NodeId,
    /// Whether it is believed to live.
    pub status: MemberStatus,
    /// Its public key, in hexadecimal digits; absent while its certificate is not known.
    #[serde(default, skip_serializing_if = "is_default")]
    pub public_key: Option<String>,
    /// The fingerprint of the token that it joined with; absent while its certificate is not known.
    #[serde(default, skip_serializing_if = "is_default")]
    pub token: Option<String>,
    /// The fingerprint of the CA key that signed its token; absent while its certificate is not known.
    #[serde(default, skip_serializing_if = "is_default")]
    pub authority: Option<String>,
    /// Milliseconds since it last showed which keys it holds; absent when it never did to this agent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub shown_ago_ms: Option<u64>,
    /// The number of the generation that it used then.
    #[serde(default, skip_serializing_if = "is_default")]
    pub generation: Option<u64>,
    /// Whether it held the newest generation that this agent holds.
    pub has_newest: bool,
    /// Whether it had applied all revocations that this agent knows.
    pub has_revocations: bool,
    /// Whether it trusted the same CA keys as this agent. An earlier agent trusts one, and does not say so.
    #[serde(default = "yes")]
    pub has_authorities: bool,
    /// Whether it is revoked.
    #[serde(default, skip_serializing_if = "is_default")]
    pub revoked: bool,
}

impl KeyHolder {
    /// Whether it lives.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self.status, MemberStatus::Alive | MemberStatus::Suspect)
    }

    /// The one member with this name, node id or public key. Of several, it is the one that is not revoked.
    ///
    /// # Errors
    /// There is none, or there are several.
    pub fn find<'a>(holders: &'a [Self], subject: &str) -> Result<&'a Self, ApiError> {
        let is_named = |one: &&Self| {
            let key = one.public_key.as_deref();
            one.name == subject || one.node_id.to_string() == subject || key == Some(subject)
        };
        let mut named: Vec<&Self> = holders.iter().filter(is_named).collect();
        if named.iter().any(|one| !one.revoked) {
            named.retain(|one| !one.revoked);
        }
        match named[..] {
            [one] => Ok(one),
            [] => {
                let message = format!("no member has the name or node id `{subject}`");
                Err(ApiError::new(ErrorCode::MemberNotFound, message))
            }
            _ => {
                let ids: Vec<String> = named.iter().map(|one| one.node_id.to_string()).collect();
                let (count, ids) = (ids.len(), ids.join(", "));
                let message = format!("{count} members have the name `{subject}`: {ids}");
                Err(ApiError::new(ErrorCode::MemberAmbiguous, message))
            }
        }
    }

    /// Whether it is not known to hold the newest generation, to have applied all revocations, and to trust the same CA keys.
    #[must_use]
    pub fn lacks(&self) -> bool {
        !(self.has_newest && self.has_revocations && self.has_authorities)
    }
}

fn yes() -> bool {
    true
}

impl Keys {
    /// The living members that are not known to hold the newest generation, to have applied all revocations, and to trust the same
    /// CA keys.
    pub fn lacking(&self) -> impl Iterator<Item = &KeyHolder> {
        self.members.iter().filter(|member| member.is_live() && member.lacks())
    }

    /// The number of the newest generation; 0 if there is none.
    #[must_use]
    pub fn newest(&self) -> u64 {
        let next = self.next.as_ref().map(|next| next.number);
        next.or(self.generation.as_ref().map(|generation| generation.number)).unwrap_or(0)
    }

    /// Whether a generation is on its way: it is not in use here yet, or a living member lacks it.
    #[must_use]
    pub fn is_rotating(&self) -> bool {
        self.next.is_some()
            || self.members.iter().any(|member| member.is_live() && !member.has_newest)
    }
}

/// A node or a token that an operator revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// The subject of the revocation.
    pub kind: RevokedKind,
    /// The fingerprint of the token, or that of the node's public key.
    pub fingerprint: String,
    /// The node id of a node.
    #[serde(default, skip_serializing_if = "is_default")]
    pub node_id: Option<NodeId>,
    /// The names of the nodes that it revokes, as far as their certificates are known.
    pub members: Vec<String>,
    /// The name in the certificate of the operator.
    pub by: String,
    /// The fingerprint of the operator's token.
    pub by_token: String,
}

/// The subject of the revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokedKind {
    /// A node.
    Node,
    /// A token, and all nodes that joined with it. A kind of a newer agent reads as this one.
    #[serde(other)]
    Token,
}

/// A token that lets newcomers in for longer than a week.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LongToken {
    /// Its fingerprint.
    pub fingerprint: String,
    /// It lets newcomers in until this time, in milliseconds since 1970.
    pub valid_until_ms: u64,
    /// Milliseconds from now until then, by the clock of this agent; 0 when it is over.
    pub valid_for_ms: u64,
    /// The names of the members that joined with it.
    pub members: Vec<String>,
}

/// A signed order, or a generation with the order to use it, as bytes. Hexadecimal digits in both dialects. Zeroed on drop, since
/// a generation is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Signed(Zeroizing<Vec<u8>>);

impl Signed {
    /// An order of these bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signed({} bytes)", self.0.len())
    }
}

impl Serialize for Signed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = Zeroizing::new(String::with_capacity(2 * self.0.len()));
        let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
        text.extend(self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Signed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let malformed = || D::Error::custom("a signed order takes pairs of hexadecimal digits");
        let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|n| u8::try_from(n).ok());
        let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 2));
        for pair in text.as_bytes().chunks(2) {
            let [high, low] = pair else { return Err(malformed()) };
            let (high, low) = nibble(*high).zip(nibble(*low)).ok_or_else(malformed)?;
            bytes.push(high << 4 | low);
        }
        Ok(Self(bytes))
    }
}

/// A revocation and the generation that follows on it, signed by an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedRevocation {
    /// The revocation.
    pub command: Signed,
    /// The generation.
    pub generation: Signed,
}

/// A generation that an agent was ordered to use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotated {
    /// The number of the newest generation.
    pub number: u64,
    /// Its hash, in hexadecimal digits.
    pub hash: String,
    /// Whether this order made it. Else another one was on its way, or replaces it.
    pub begun: bool,
    /// The reason for which the agent that was asked has not kept it on its disk; absent when it has. The members have it all the
    /// same.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unkept: Option<String>,
}

/// The CA keys that an agent trusts now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedNow {
    /// Their fingerprints, the older one first.
    pub authorities: Vec<String>,
    /// Whether this request added one.
    pub new: bool,
    /// The reason for which the agent that was asked has not kept them on its disk; absent when it has.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unkept: Option<String>,
}

/// The outcome of a revocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedNow {
    /// The revocation.
    pub revocation: Revocation,
    /// Whether it is new.
    pub new: bool,
    /// The generation that follows on it; absent when it is not new.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rotated: Option<Rotated>,
    /// The reason for which the agent that was asked has not kept all of it on its disk; absent when it has.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unkept: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(name: &str, id: u64) -> KeyHolder {
        KeyHolder {
            name: name.to_owned(),
            node_id: NodeId(id),
            status: MemberStatus::Alive,
            public_key: Some(format!("{id:064x}")),
            token: None,
            authority: None,
            shown_ago_ms: None,
            generation: None,
            has_newest: false,
            has_revocations: false,
            has_authorities: false,
            revoked: false,
        }
    }

    #[test]
    fn a_member_is_found_by_name_id_and_key_if_there_is_one() {
        let holders = [holder("a", 1), holder("b", 2), holder("b", 3)];
        let id = |subject: &str| KeyHolder::find(&holders, subject).map(|found| found.node_id.0);
        assert_eq!(id("a"), Ok(1));
        assert_eq!((id("0000000000000003"), id(&format!("{:064x}", 2))), (Ok(3), Ok(2)));
        let renewed = [KeyHolder { revoked: true, ..holder("b", 2) }, holder("b", 3)];
        assert_eq!(KeyHolder::find(&renewed, "b").map(|found| found.node_id.0), Ok(3));
        assert_eq!(KeyHolder::find(&renewed[..1], "b").map(|found| found.node_id.0), Ok(2));
        assert_eq!(id("c").expect_err("nobody").code, ErrorCode::MemberNotFound);
        let error = id("b").expect_err("two");
        assert_eq!(error.code, ErrorCode::MemberAmbiguous);
        assert!(error.message.ends_with("0000000000000002, 0000000000000003"), "{error}");
    }

    #[test]
    fn a_signed_order_is_hexadecimal_and_is_not_shown() {
        let order = Signed::new(&[0x00, 0x9f, 0xa0]);
        assert_eq!(serde_json::to_value(&order).expect("text"), "009fa0");
        assert_eq!(serde_json::from_str::<Signed>("\"009FA0\"").expect("an order"), order);
        assert_eq!(format!("{order:?}"), "Signed(3 bytes)");
        for wrong in ["\"0\"", "\"0g\"", "\"+1\"", "\"é\"", "1"] {
            assert!(serde_json::from_str::<Signed>(wrong).is_err(), "{wrong}");
        }
    }
}
