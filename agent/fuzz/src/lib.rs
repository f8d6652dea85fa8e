//! What the fuzz targets do with their bytes. `tests/corpus.rs` does the same with the corpus.

pub mod api;
pub mod selector;
pub mod storage;
