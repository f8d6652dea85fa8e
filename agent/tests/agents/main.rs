//! Agents in one process, on real sockets.

mod cluster;
mod compatibility;
mod discovery;
mod http;
mod socket;
mod storage;
mod support;
