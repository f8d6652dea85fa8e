//! Faults in force: when each begins, goes on and ends, and what that does to the world.

mod active;
mod course;
mod onset;
mod open;
mod recovery;
mod timetable;

pub use active::{ActiveFaults, FaultPeriod};
pub use timetable::{FaultOrder, Timetable};
