//! The whole of the Hobnob protocol as one state machine without IO.
//!
//! A [`Node`] is a member of a SWIM cluster that replicates service records to every other member. It takes what
//! happens as [`Input`], gives what it wants done as [`Output`], and asks for one deadline; it never sees a socket, a
//! thread, a clock, a file or entropy. So the agent and the simulator run the same code, and the same seed gives the
//! same trace.
//!
//! ```
//! use hobnob_membership::record::{NodeRecord, Support};
//! use hobnob_membership::{ClusterId, Config, Epoch, Gateway, Identity, Input, Node, NodeId, Protocol, Time};
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
//!     support: Support::OURS,
//!     certificate: Vec::new(),
//!     gateway: Gateway::Yes,
//! };
//! let config = Config {
//!     cluster: ClusterId::named("production"),
//!     identity,
//!     node,
//!     records: Vec::new(),
//!     seed: 42,
//!     protocol: Protocol::default(),
//!     sealing: None,
//! };
//! let mut node = Node::new(config, Time::ZERO)?;
//! node.handle(Input::Join(vec!["127.0.0.1:7950".parse()?]), Time::ZERO);
//! while let Some(output) = node.poll_output() {
//!     println!("to do: {output:?}");
//! }
//! println!("call again at {:?}", node.next_deadline());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod base;
pub mod catalog;
mod codec;
pub(crate) mod datacenters;
mod gateways;
mod liveness;
mod node;
pub mod quorum;
mod requests;
mod spread;
#[cfg(feature = "testing")]
pub mod testing;
mod trust;
pub mod wire;

pub use base::cluster::{ClusterId, ClusterMark, DEFAULT_CLUSTER};
pub use base::counters::{Counters, Load};
pub use base::datacenter::{DatacenterId, Gateway};
pub use base::durations::Durations;
pub use base::identity::{Epoch, Identity, NodeId, NodeIdError};
pub use base::io::{HoldEnd, HoldId, ReachId, ReachOutcome, StreamId, TcpProbeId};
pub use base::limits;
#[cfg(feature = "mutants")]
pub use base::mutants::Mutant;
pub use base::protocol::Protocol;
pub use base::time::Time;
pub use catalog::{record, registering};
pub use codec::DecodeError;
pub use gateways::links::HeldBack;
pub use liveness::detector;
pub use liveness::duplicate::Duplicate;
pub use liveness::ends::End;
pub use liveness::heard::{Heard, Sign};
pub use node::config::Config;
pub use node::datacenters::shown::Datacenter;
pub use node::explain::Provenance;
pub use node::io::{Event, Input, Output};
pub use node::losses::{MassLoss, is_probably_a_cut};
pub use node::sealed::survey::{KeyStatus, MemberKeys};
pub use node::{Node, view};
pub use requests::{RequestError, RequestId};
pub use spread::confirming::{ConfirmError, Confirmation, Confirmers};
pub use spread::provenance::{Arrival, ForceLeft, Route};
pub use trust::orders::{OrderError, OrderKind};
pub use trust::rights::Hidden;
pub use trust::sealing::Sealing;
pub use wire::{Claim, Life};
