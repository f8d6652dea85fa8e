//! Real agents in processes of their own, on loopback, driven through the command line.

#![expect(clippy::unwrap_used, reason = "what cannot be set up or parsed has failed its test")]

mod addresses;
mod agent;
mod calls;
mod clients;
mod clusters;
mod configured;
mod console;
mod consul;
mod copy;
mod crash;
mod cuts;
mod datacenters;
mod deletion;
mod dns;
mod elsewhere;
#[path = "../terminal/mod.rs"]
mod emulator;
mod exit;
mod explain;
mod garbage;
mod growth;
mod history;
mod hosts;
mod languages;
mod listeners;
mod live;
mod members;
mod mistakes;
mod networks;
mod offer;
mod orders;
mod process;
mod prometheus;
mod proxy;
mod python;
mod sealed;
mod sockets;
mod stall;
mod template;
mod unit;
mod upkeep;
mod voting;
mod walk;
mod watching;
mod web;
