//! Agents in one process, on real sockets.

mod cluster;
mod compatibility;
mod discovery;
mod http;
mod http_bodies;
mod http_changes;
mod http_queries;
mod socket;
mod storage;
mod support;
