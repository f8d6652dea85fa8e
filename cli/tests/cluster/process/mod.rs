//! An agent as a process: its log, its files, its limits, and how it stops.

mod descriptors;
mod disk;
mod http;
mod log_level;
mod logs;
mod manager;
mod stop;

pub(crate) use stop::hangups_are_ignored_here;
