//! Addresses: those that agents join at, listen on and advertise.

mod forwarder;
mod forwarding;
mod joining;
mod naming;
