//! The bodies of the fuzz targets. `tests/corpus.rs` does the same with the corpus.

pub mod api;
pub mod dns;
pub mod keys;
pub mod selector;
pub mod storage;
