//! The records of the catalog: nodes, service instances and their health. One origin writes each record.

mod calling;
mod key;
mod labels;
mod node;
mod rules;
mod scope;
mod service;
mod upkeep;
mod value;

pub use calling::{CallSettings, Calling};
pub use key::{Key, UnknownKey};
pub use labels::{Meta, Tags};
pub use node::{NodeRecord, Support};
pub use rules::{RecordError, name};
pub use scope::InstanceScope;
pub use service::{Balancing, DEFAULT_NAMESPACE, Health, ServiceRecord};
/// A text that is cheap to clone and needs no allocation up to 23 bytes.
pub use smol_str::SmolStr as Text;
pub use upkeep::{Drain, Upkeep};
pub use value::{RawValue, Value};
