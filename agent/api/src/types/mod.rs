//! The vocabulary of the local API: one request and one response type for both codecs.
//!
//! Enums are externally tagged. A request field that is not known is refused by name, so a request leaves out each
//! field that has its default: a newer client then works with an older agent as long as it asks for nothing new. A
//! response may gain fields, and a client ignores the ones that it does not know.

mod ack;
pub(crate) mod balancing;
mod call;
mod check;
mod consistency;
mod datacenter;
mod datacenters;
mod echo;
mod explain;
mod grade;
mod history;
mod instance;
mod keys;
mod log_level;
mod member;
mod probe;
mod query;
mod registration;
mod registrations;
mod request;
mod response;
mod scope;
mod settings;
mod upkeep;
mod voters;
mod watching;

pub(crate) use crate::node_id::NodeId;

pub use ack::*;
pub use balancing::{Balancing, Protocol, ServiceSettings};
pub use call::*;
pub use check::*;
pub use consistency::*;
pub use datacenter::*;
pub use datacenters::*;
pub use echo::*;
pub use explain::*;
pub use grade::Grade;
pub use history::*;
pub use instance::*;
pub use keys::*;
pub use log_level::*;
pub use member::*;
pub use probe::*;
pub use query::*;
pub use registration::*;
pub use registrations::*;
pub use request::*;
pub use response::*;
pub use scope::InstanceScope;
pub use settings::*;
pub use upkeep::*;
pub use voters::*;
pub use watching::*;

/// The version of this API. It changes only when an older client could misread an answer.
pub const API_VERSION: u32 = 1;

/// The namespace of a service that names none.
pub const DEFAULT_NAMESPACE: &str = "default";

fn default_namespace() -> String {
    DEFAULT_NAMESPACE.to_owned()
}

fn is_default_namespace(namespace: &str) -> bool {
    namespace == DEFAULT_NAMESPACE
}

fn default_one() -> u32 {
    1
}

fn is_one(count: &u32) -> bool {
    *count == 1
}

fn default_true() -> bool {
    true
}

fn is_true(value: &bool) -> bool {
    *value
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
