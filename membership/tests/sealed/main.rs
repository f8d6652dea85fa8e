//! Sealed clusters, with the real cryptography.

mod datagrams;
mod door;
mod fixtures;
mod orders;
mod revocation;
mod rights;
mod rotation;
mod successions;
