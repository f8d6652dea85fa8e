//! What the protocol costs and how fast it is, with plain foca beside it.

mod foca_cluster;
mod hobnob_cluster;
mod measure;
mod subject;

pub use foca_cluster::FocaCluster;
pub use hobnob_cluster::{HobnobCluster, session_bytes};
pub use measure::{Effort, Row, measure};
pub use subject::Subject;
