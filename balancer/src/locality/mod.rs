//! Picking from near targets first.

mod layered;
mod nearness;

pub use self::{
    layered::{LAYERS_MAX, Layer, Layered, LayeredPicker, OVERPROVISIONING, spill_over},
    nearness::{Nearness, Place, Prefer},
};
