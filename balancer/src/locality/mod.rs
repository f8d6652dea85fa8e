//! Picking from near targets first.

mod damping;
mod layered;
mod nearness;
mod shares;

pub use self::{
    damping::MOVE_TIME,
    layered::{LAYERS_MAX, Layer, Layered, LayeredPicker},
    nearness::{Nearness, Place, Prefer},
    shares::{OVERPROVISIONING, spill_over},
};
