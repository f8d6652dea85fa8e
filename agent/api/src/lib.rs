//! The local API of a Hobnob agent: its requests and answers, both codecs, and two clients.
//!
//! This crate is what a program needs to ask the agent beside it, and no more: it knows neither the protocol between
//! agents nor the agent's own parts.
//!
//! | to | use |
//! |---|---|
//! | ask one question, register an instance | [`client::Client`] |
//! | call a service often, without asking the agent each time | [`discovery::Discovery`] |
//! | call a service: pick, send, learn, try again | `calls`, with the feature `call` |
//! | speak the protocol yourself | [`codec`] and the types here, or `docs/API.md` |

pub mod address;
mod backoff;
#[cfg(feature = "call")]
pub mod calls;
pub mod client;
pub mod clock;
pub mod codec;
pub mod discovery;
mod error;
pub mod names;
mod node_id;
#[cfg(test)]
mod testing;
mod types;
mod watching;

pub use error::{ApiError, ErrorCode, ErrorKind};
pub use hobnob_balancer as balancer;
pub use node_id::{NodeId, NodeIdError};
pub use types::*;
pub use watching::{
    Event, Follow, Followed, MemberPicture, MembersEvent, Picture, Subject, Told, Watch, WatchEvent,
};
