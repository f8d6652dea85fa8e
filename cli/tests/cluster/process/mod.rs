//! An agent as a process: its log, its files, its limits, and how it stops.

mod descriptors;
mod disk;
mod logs;
mod stop;

pub(crate) use stop::hangups_are_ignored_here;
