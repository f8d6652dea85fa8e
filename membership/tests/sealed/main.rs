//! Sealed clusters, with the real cryptography.

mod datacenters;
mod datagrams;
mod door;
mod fixtures;
mod orders;
mod revocation;
mod rights;
mod rotation;
mod successions;
