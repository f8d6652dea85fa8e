//! A proxy between clients and servers on loopback, with an agent that tells what the test says.

#![expect(clippy::unwrap_used, reason = "what cannot be set up or parsed has failed its test")]

mod admin;
mod drain;
mod frames;
mod grpc;
mod http1;
mod http2;
mod limits;
mod outcomes;
mod parked;
mod smuggling;
mod support;
mod tcp;
mod upgrades;
