//! What the catalog holds: records of nodes, services and their health, each written by one origin only.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::identity::Epoch;
use crate::base::limits;

pub use crate::catalog::labels::{Meta, Tags};
/// A text that is cheap to copy, and takes no room of its own up to 23 bytes.
pub use smol_str::SmolStr as Text;

/// The namespace of a service that names none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// What a record is about, within its origin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Key {
    /// The origin itself.
    Node,
    /// The definition of the instance with this id.
    Service(Text),
    /// The health of the instance with this id. Apart from the definition, so that a flap costs some 40 bytes.
    Health(Text),
}

/// What a record says. Its kind matches that of its [`Key`]. Whoever shows a record shares it with the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// See [`Key::Node`].
    Node(Arc<NodeRecord>),
    /// See [`Key::Service`].
    Service(Arc<ServiceRecord>),
    /// See [`Key::Health`].
    Health(Health),
}

/// A node's description of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// The agent's name, for people.
    pub name: Text,
    /// The datacenter that it runs in.
    pub datacenter: Text,
    /// The failure domain within the datacenter; empty when none was given.
    pub zone: Text,
    /// The version of its software.
    pub software: Text,
    /// A hash of its instance key: two live nodes with one id and different hashes are a copied data directory.
    pub instance_key_hash: u64,
    /// The epoch of the member that left on purpose, once it has.
    pub left: Option<Epoch>,
}

/// The definition of a service instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRecord {
    /// The service that it belongs to.
    pub service: Text,
    /// The namespace of the service.
    pub namespace: Text,
    /// Where it answers: an IP address or a host name.
    pub address: Text,
    /// The port where it answers.
    pub port: u16,
    /// Labels without a value.
    pub tags: Tags,
    /// Labels with a value.
    pub meta: Meta,
    /// Its capacity relative to others'.
    pub weight: u32,
    /// Whether its agent checks its health. An instance without a check is healthy while its agent lives.
    pub checked: bool,
    /// How calls to its service should be balanced.
    pub balancing: Balancing,
}

/// How calls to a service are balanced, wherever they come from. What is not given is left to whoever calls.
///
/// Every instance may carry it; of those that do, the one with the lowest id, then node id, speaks for its service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Balancing {
    /// The name of the strategy of picks that name none. A name that a reader does not know is as good as none.
    pub strategy: Option<Text>,
    /// So many failures without a success in between open the circuit of an instance. Without it there is no breaker.
    pub failure_threshold: Option<u32>,
    /// Milliseconds until an open circuit lets one probe through.
    pub recovery_timeout_ms: Option<u64>,
}

/// What the checks of an instance say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// No check has run yet, or the last is overdue.
    #[default]
    Unknown,
    /// The checks pass.
    Passing,
    /// The checks fail.
    Failing,
}

/// A record that breaks a limit or contradicts its key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A text that must not be empty is.
    #[error("{field} must not be empty")]
    Empty {
        /// Which text.
        field: &'static str,
    },
    /// A text is longer than its limit.
    #[error("{field} is {len} bytes long; the limit is {limit}")]
    TooLong {
        /// Which text.
        field: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// A collection has more items than its limit.
    #[error("there are {len} {field}; the limit is {limit}")]
    TooMany {
        /// Which collection.
        field: &'static str,
        /// How many items it has.
        len: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// A name has a character that would break a terminal, a log line or a URL.
    #[error("{field} `{value}` has a control character")]
    ControlCharacter {
        /// Which text.
        field: &'static str,
        /// The text, escaped.
        value: String,
    },
    /// An address is neither an IP address nor a host name.
    #[error("`{address}` is neither an IP address nor a host name")]
    NotAHost {
        /// The address.
        address: String,
    },
    /// A number is outside its range.
    #[error("{field} must be {expected}")]
    OutOfRange {
        /// Which number.
        field: &'static str,
        /// The allowed range, in words.
        expected: &'static str,
    },
    /// The whole record is larger than the limit.
    #[error("the record takes {len} bytes; the limit is {limit}: shorten its metadata or tags", limit = limits::MAX_RECORD_BYTES)]
    TooLarge {
        /// Its size in bytes on the wire.
        len: usize,
    },
    /// The key is of one kind and the value of another.
    #[error("the record's key and value are of different kinds")]
    KindMismatch,
}

impl Key {
    /// The instance that the record is about, if it is about one.
    #[must_use]
    pub fn instance(&self) -> Option<&Text> {
        match self {
            Self::Node => None,
            Self::Service(id) | Self::Health(id) => Some(id),
        }
    }

    /// Checks the limits of the key itself.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn validate(&self) -> Result<(), RecordError> {
        self.instance().map_or(Ok(()), |id| name("id", id))
    }
}

impl Value {
    /// Checks every limit, and that the value is of the kind that `key` promises.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn validate(&self, key: &Key) -> Result<(), RecordError> {
        key.validate()?;
        match (key, self) {
            (Key::Node, Self::Node(node)) => node.validate(),
            (Key::Service(_), Self::Service(service)) => service.validate(),
            (Key::Health(_), Self::Health(_)) => Ok(()),
            _ => Err(RecordError::KindMismatch),
        }
    }
}

impl NodeRecord {
    /// Checks every limit.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn validate(&self) -> Result<(), RecordError> {
        name("name", &self.name)?;
        name("datacenter", &self.datacenter)?;
        text("zone", &self.zone, limits::MAX_NAME_BYTES)?;
        text("software", &self.software, limits::MAX_NAME_BYTES)
    }
}

impl ServiceRecord {
    /// Checks every limit.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn validate(&self) -> Result<(), RecordError> {
        name("service", &self.service)?;
        name("namespace", &self.namespace)?;
        name("address", &self.address)?;
        if !is_host(&self.address) {
            return Err(RecordError::NotAHost { address: self.address.to_string() });
        }
        if self.port == 0 {
            return Err(RecordError::OutOfRange { field: "port", expected: "from 1 to 65535" });
        }
        if self.weight == 0 || self.weight > limits::MAX_WEIGHT {
            return Err(RecordError::OutOfRange { field: "weight", expected: "from 1 to 65535" });
        }
        count("tags", self.tags.len(), limits::MAX_TAGS)?;
        for tag in self.tags.iter() {
            name("tag", tag)?;
        }
        self.balancing.validate()?;
        count("metadata keys", self.meta.len(), limits::MAX_META_KEYS)?;
        for (key, value) in self.meta.iter() {
            name("metadata key", key)?;
            text("metadata value", value, limits::MAX_META_VALUE_BYTES)?;
        }
        Ok(())
    }
}

impl Balancing {
    /// Checks every limit.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn validate(&self) -> Result<(), RecordError> {
        if let Some(strategy) = &self.strategy {
            name("strategy", strategy)?;
        }
        if self.failure_threshold.is_some_and(|failures| !(1..=1_000).contains(&failures)) {
            return Err(RecordError::OutOfRange {
                field: "failure threshold",
                expected: "from 1 to 1000",
            });
        }
        if self.recovery_timeout_ms.is_some_and(|ms| !(1..=86_400_000).contains(&ms)) {
            return Err(RecordError::OutOfRange {
                field: "recovery timeout",
                expected: "from 1 ms to a day",
            });
        }
        Ok(())
    }
}

fn is_host(address: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    address.parse::<IpAddr>().is_ok() || address.chars().all(legal)
}

/// Checks that a text can be a name: not empty, not too long, fit for a terminal.
///
/// # Errors
/// The first rule that it breaks.
pub fn name(field: &'static str, value: &str) -> Result<(), RecordError> {
    if value.is_empty() {
        return Err(RecordError::Empty { field });
    }
    text(field, value, limits::MAX_NAME_BYTES)
}

fn text(field: &'static str, value: &str, limit: usize) -> Result<(), RecordError> {
    if value.len() > limit {
        return Err(RecordError::TooLong { field, len: value.len(), limit });
    }
    if value.chars().any(char::is_control) {
        return Err(RecordError::ControlCharacter {
            field,
            value: value.escape_default().to_string(),
        });
    }
    Ok(())
}

fn count(field: &'static str, len: usize, limit: usize) -> Result<(), RecordError> {
    if len > limit { Err(RecordError::TooMany { field, len, limit }) } else { Ok(()) }
}
