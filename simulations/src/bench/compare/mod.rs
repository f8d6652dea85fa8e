//! Hobnob and plain foca, measured in the same way.

mod foca_cluster;
mod hobnob_cluster;
mod measure;
mod subject;

pub use foca_cluster::FocaCluster;
pub use hobnob_cluster::HobnobCluster;
pub use measure::{Comparison, ComparisonEffort, measure};
pub use subject::Subject;
