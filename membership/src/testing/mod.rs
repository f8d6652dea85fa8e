//! What tests need: protocol bugs that can be switched on.

pub(crate) mod mutants;
