//! The limits of a token.

use crate::bytes::DecodeError;
use crate::glob::Glob;
use crate::moment::{Moment, Span};
use crate::names::Name;
use crate::tlv::{self, Elements};

/// The most bytes of the limits of a token, and of those of a node.
pub const MAX_LIMITS_BYTES: usize = 512;

/// Kinds of elements of the limits of a token.
mod kind {
    pub(super) const CLUSTER_NAME: u8 = 0x01;
    pub(super) const NAME: u8 = 0x82;
    pub(super) const SERVICE: u8 = 0x83;
    pub(super) const DATACENTER: u8 = 0x84;
    pub(super) const ROLES: u8 = 0x85;
    pub(super) const NO_GATEWAY: u8 = 0x86;
    pub(super) const VALIDITY: u8 = 0x87;
}

const WHAT: &str = "the limits of the token";

/// The limits of a token, for all that join with it. The CA signs the encoded form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The name of the cluster, for people. The cluster id is what counts.
    pub cluster_name: Name,
    /// The pattern that the name of a node must match; `None` allows any name.
    pub name: Option<Glob>,
    /// A node may offer services that match one of these; none allows any service.
    pub services: Vec<Glob>,
    /// The datacenter of a node; `None` allows any.
    pub datacenter: Option<Name>,
    /// The roles of a node.
    pub roles: Roles,
    /// A node is never a gateway between datacenters.
    pub no_gateway: bool,
    /// When a newcomer is let in with the token.
    pub validity: Validity,
}

impl Limits {
    /// Whether a node of this name may join.
    #[must_use]
    pub fn allows_name(&self, name: &Name) -> bool {
        self.name.as_ref().is_none_or(|glob| glob.matches(name.as_str()))
    }

    /// Whether a node in this datacenter may join.
    #[must_use]
    pub fn allows_datacenter(&self, datacenter: &Name) -> bool {
        self.datacenter.as_ref().is_none_or(|only| only == datacenter)
    }

    /// Whether a node may offer this service.
    #[must_use]
    pub fn allows_service(&self, service: &str) -> bool {
        self.services.is_empty() || self.services.iter().any(|glob| glob.matches(service))
    }

    /// The encoded form.
    ///
    /// # Errors
    /// There are more than [`MAX_LIMITS_BYTES`] of it.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, DecodeError> {
        let mut out = vec![];
        let mut put = |kind, value: &[u8]| tlv::put(&mut out, kind, WHAT, value);
        put(kind::CLUSTER_NAME, self.cluster_name.as_str().as_bytes())?;
        if let Some(glob) = &self.name {
            put(kind::NAME, glob.as_str().as_bytes())?;
        }
        for glob in &self.services {
            put(kind::SERVICE, glob.as_str().as_bytes())?;
        }
        if let Some(name) = &self.datacenter {
            put(kind::DATACENTER, name.as_str().as_bytes())?;
        }
        if self.roles != Roles::NONE {
            put(kind::ROLES, &[self.roles.0])?;
        }
        if self.no_gateway {
            put(kind::NO_GATEWAY, &[])?;
        }
        put(kind::VALIDITY, &self.validity.encode())?;
        let (len, max) = (out.len(), MAX_LIMITS_BYTES);
        if len > max {
            return Err(DecodeError::TooLong { what: WHAT, len, unit: "bytes", max });
        }
        Ok(out)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (mut cluster_name, mut name, mut services) = (None, None, vec![]);
        let (mut datacenter, mut roles, mut no_gateway) = (None, Roles::NONE, false);
        let mut validity = None;
        let mut elements = Elements::new(WHAT, bytes);
        while let Some((kind, value)) = elements.next(|kind| kind == kind::SERVICE)? {
            match kind {
                kind::CLUSTER_NAME => cluster_name = Some(tlv::text(WHAT, value)?),
                kind::NAME => name = Some(tlv::text(WHAT, value)?),
                kind::SERVICE => services.push(tlv::text(WHAT, value)?),
                kind::DATACENTER => datacenter = Some(tlv::text(WHAT, value)?),
                kind::ROLES => roles = Roles(tlv::array(WHAT, value).map(|[bits]| bits)?),
                kind::NO_GATEWAY => no_gateway = tlv::array(WHAT, value).map(|[]| true)?,
                kind::VALIDITY => validity = Some(Validity::decode(tlv::array(WHAT, value)?)),
                unknown => elements.unknown(unknown)?,
            }
        }
        let missing = |what| DecodeError::invalid(WHAT, &format_args!("{what} is missing"));
        let cluster_name = cluster_name.ok_or_else(|| missing("the name of the cluster"))?;
        let validity = validity.ok_or_else(|| missing("the time for which it is valid"))?;
        Ok(Self { cluster_name, name, services, datacenter, roles, no_gateway, validity })
    }
}

/// A set of roles. A reader ignores roles that it does not know: each role grants something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// No role: an ordinary member.
    pub const NONE: Self = Self(0);
    /// May sign commands that change the cluster for all.
    pub const OPERATOR: Self = Self(1);
    /// May sign the first generation of a cluster, and nothing else.
    pub const FOUNDER: Self = Self(2);

    /// All roles of both sets.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether this set has all roles of the other one.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The time for which a token lets newcomers in, in ms since 1970, by the clock of the member that lets them in. The last
/// millisecond is excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment. At most [`Validity::MAX_MS`].
    pub from_ms: u64,
    /// The first moment at which the token is no longer valid. At most [`Validity::MAX_MS`].
    pub until_ms: u64,
}

/// A token is not valid at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untimely {
    /// Not yet.
    #[error("the token is not valid before {}, in {}", Moment(*.from_ms), Span(*.for_ms))]
    Early {
        /// When it becomes valid.
        from_ms: u64,
        /// The time until then.
        for_ms: u64,
    },
    /// No longer.
    #[error("the token expired at {}, {} ago", Moment(*.until_ms), Span(*.since_ms))]
    Expired {
        /// When it expired.
        until_ms: u64,
        /// The time since then.
        since_ms: u64,
    },
}

impl Validity {
    /// The last moment that the wire carries (48 bits: until the year 10889).
    pub const MAX_MS: u64 = (1 << 48) - 1;

    /// Whether a newcomer may be let in at this time of the wall clock.
    ///
    /// # Errors
    /// It is too early or too late.
    pub fn at(self, now_ms: u64) -> Result<(), Untimely> {
        if now_ms < self.from_ms {
            Err(Untimely::Early { from_ms: self.from_ms, for_ms: self.from_ms - now_ms })
        } else if now_ms >= self.until_ms {
            Err(Untimely::Expired { until_ms: self.until_ms, since_ms: now_ms - self.until_ms })
        } else {
            Ok(())
        }
    }

    /// Both moments, 6 bytes each.
    fn encode(self) -> [u8; 12] {
        let [from, until] = [self.from_ms, self.until_ms].map(|ms| ms.min(Self::MAX_MS));
        ((u128::from(until) << 48) | u128::from(from)).to_le_bytes()[..12]
            .try_into()
            .expect("12 bytes")
    }

    fn decode(bytes: [u8; 12]) -> Self {
        let moment = |at: usize| {
            let mut moment = [0; 8];
            moment[..6].copy_from_slice(&bytes[at..at + 6]);
            u64::from_le_bytes(moment)
        };
        Self { from_ms: moment(0), until_ms: moment(6) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            cluster_name: "prod".parse().unwrap(),
            name: Some("web-*".parse().unwrap()),
            services: vec!["web".parse().unwrap(), "api-*".parse().unwrap()],
            datacenter: Some("eu".parse().unwrap()),
            roles: Roles::OPERATOR,
            no_gateway: true,
            validity: Validity { from_ms: 1_000, until_ms: 5_000 },
        }
    }

    #[test]
    fn limits_are_read_as_they_were_written() {
        let open = Limits {
            name: None,
            services: vec![],
            datacenter: None,
            roles: Roles::NONE,
            no_gateway: false,
            ..limits()
        };
        for limits in [limits(), open] {
            assert_eq!(Limits::decode(&limits.encode().unwrap()).unwrap(), limits);
        }
    }

    #[test]
    fn what_is_not_limited_is_allowed() {
        let name = |name: &str| name.parse().unwrap();
        let limits = limits();
        assert!(limits.allows_name(&name("web-1")) && !limits.allows_name(&name("db-1")));
        assert!(limits.allows_datacenter(&name("eu")) && !limits.allows_datacenter(&name("us")));
        assert!(limits.allows_service("web") && limits.allows_service("api-a"));
        assert!(!limits.allows_service("db"));
        let open = Limits { name: None, services: vec![], datacenter: None, ..limits };
        assert!(open.allows_name(&name("db-1")) && open.allows_datacenter(&name("us")));
        assert!(open.allows_service("db"));
    }

    #[test]
    fn a_role_grants_itself_only() {
        assert!(Roles::OPERATOR.and(Roles::FOUNDER).has(Roles::FOUNDER));
        assert!(!Roles::FOUNDER.has(Roles::OPERATOR) && !Roles::NONE.has(Roles::FOUNDER));
        assert!(!Roles(0x80).has(Roles::OPERATOR), "an unknown role grants nothing known");
    }

    #[test]
    fn a_token_is_valid_from_its_first_moment_until_before_its_last() {
        let validity = limits().validity;
        assert_eq!(validity.at(999), Err(Untimely::Early { from_ms: 1_000, for_ms: 1 }));
        assert_eq!(validity.at(1_000), Ok(()));
        assert_eq!(validity.at(4_999), Ok(()));
        assert_eq!(validity.at(5_000), Err(Untimely::Expired { until_ms: 5_000, since_ms: 0 }));
        let widest = Validity { from_ms: 0, until_ms: Validity::MAX_MS };
        assert_eq!(Validity::decode(widest.encode()), widest);
    }

    #[test]
    fn an_unknown_limit_is_refused_if_it_is_critical() {
        let encoded = limits().encode().unwrap();
        let with = |kind| [&encoded[..], &[kind, 1, 9]].concat();
        assert_eq!(Limits::decode(&with(0x70)).unwrap(), limits());
        let error = Limits::decode(&with(0xf0)).unwrap_err();
        assert_eq!(error, DecodeError::UnknownCritical { what: WHAT, kind: 0xf0 });
    }

    #[test]
    fn broken_limits_are_refused_with_the_reason() {
        let validity = [&[0x87, 12][..], &[0; 12]].concat();
        for (bytes, says) in [
            (&[1, 1, b'a'][..], "the time for which it is valid is missing"),
            (&validity, "the name of the cluster is missing"),
            (&[1, 1, b' '], "white space"),
            (&[1, 1, 0xff], "UTF-8"),
            (&[0x85, 2, 0, 0], "an element has 2 bytes instead of 1"),
            (&[0x86, 1, 0], "an element has 1 bytes instead of 0"),
        ] {
            let error = Limits::decode(bytes).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn too_many_limits_are_refused() {
        let services = vec!["a".repeat(100).parse().unwrap(); 6];
        let error = Limits { services, ..limits() }.encode().unwrap_err().to_string();
        assert!(error.contains("and 512 are allowed"), "{error}");
    }
}
