//! The whole of the Hobnob protocol as one state machine without IO.
//!
//! A [`Node`] is a member of a SWIM cluster that replicates service records to every other member. It takes what
//! happens as [`Input`], gives what it wants done as [`Output`], and asks for one deadline; it never sees a socket, a
//! thread, a clock, a file or entropy. So the agent and the simulator run the same code, and the same seed gives the
//! same trace.
//!
//! ```
//! use hobnob_membership::record::NodeRecord;
//! use hobnob_membership::{ClusterId, Config, Epoch, Identity, Input, Node, NodeId, Protocol, Time};
//!
//! let identity = Identity {
//!     node_id: NodeId(7),
//!     epoch: Epoch(1),
//!     addr: "127.0.0.1:7946".parse()?,
//!     sync_port: 7947,
//! };
//! let node = NodeRecord {
//!     name: "a1".into(),
//!     datacenter: "dc1".into(),
//!     zone: "".into(),
//!     software: "0.1.0".into(),
//!     instance_key_hash: 0,
//!     left: None,
//! };
//! let config = Config {
//!     cluster: ClusterId::named("production"),
//!     identity,
//!     node,
//!     records: Vec::new(),
//!     seed: 42,
//!     protocol: Protocol::default(),
//! };
//! let mut node = Node::new(config, Time::ZERO);
//! node.handle(Input::Join(vec!["127.0.0.1:7950".parse()?]), Time::ZERO);
//! while let Some(output) = node.poll_output() {
//!     println!("to do: {output:?}");
//! }
//! println!("call again at {:?}", node.next_deadline());
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

#![forbid(unsafe_code)]

mod budget;
pub mod catalog;
mod cluster;
mod config;
mod counters;
pub mod detector;
mod digest;
mod duplicate;
mod identity;
mod io;
mod join;
mod labels;
pub mod limits;
mod members;
mod mutant;
mod node;
mod provenance;
mod reconcile;
pub mod record;
mod repair;
mod ring;
mod rumor;
mod session;
mod swim;
mod time;
pub mod view;
pub mod wire;

pub use cluster::{ClusterId, ClusterMark, DEFAULT_CLUSTER};
pub use config::{Config, Protocol};
pub use counters::{Counters, Load};
pub use duplicate::{Claim, Duplicate, Life};
pub use identity::{Epoch, Identity, NodeId, NodeIdError};
pub use io::{Event, Input, Output, StreamId, TouchId};
#[cfg(feature = "mutants")]
pub use mutant::Mutant;
pub use node::Node;
pub use provenance::{Arrival, Burial, Heard, Provenance, Route, Sign};
pub use time::Time;
