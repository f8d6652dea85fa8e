//! The configuration of `hobnob agent`: options of the command line, variables and a file, and which of them counts.

mod example;
mod merge;
mod options;
mod places;
mod proxies;
#[cfg(test)]
mod tests;

pub(crate) use example::example;
pub(crate) use merge::{Broken, Merged, agent_line, merge};
pub(crate) use places::{default_data_dir, default_dir, default_file};
pub(crate) use proxies::{proxies, socket_of};
