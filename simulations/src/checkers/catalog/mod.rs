//! Checkers of the catalog: what is stored stays, what is deleted stays deleted, and all replicas become equal.

mod agreement;
mod durability;
mod gc_floors;
mod origin_tombstones;
mod regression;
mod resurrection;
mod scopes;

pub use agreement::disagreement;
pub(super) use durability::Durability;
pub(super) use gc_floors::GcFloors;
pub(super) use origin_tombstones::OriginTombstones;
pub(super) use regression::Regression;
pub(super) use resurrection::Resurrection;
pub(super) use scopes::Scopes;
