//! Members that are gone: forced to leave, replaced, dropped from memory.

mod force_leave;
mod lives;
mod prune;
