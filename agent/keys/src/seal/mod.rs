//! The forms of datagrams of a sealed cluster. The first byte names the form, as in every datagram.
//!
//! ```text
//! sealed = 0x02 | generation 1 | sender 8 | counter 6 | AES-256-GCM-SIV(messages) | tag 16
//! ping   = 0x42 | generation 1 | sender 8 | nonce 4 | mac 8
//! pong   = 0x52 | generation 1 | tag 4 | members 4 | local health 1 | mac 8
//! digest = 0x62 | generation 1 | sender 8 | counter 6 | catalog 8 | local health 1 | mac 8
//! ```
//!
//! A receiver takes the steps in this order, so that junk costs little: [`Header::read`], look for the keys of the generation,
//! ask whether the sender is a member and the counter [is new](ReplayWindow::check), open, and only then
//! [record](ReplayWindow::record) the counter.

mod counter;
mod header;
mod keys;
mod replay;
mod sealed;
mod short;

pub use counter::Counter;
pub use header::{Form, Header, OpenError};
pub use keys::DatagramKeys;
pub use replay::{ReplayError, ReplayWindow, WINDOW};
pub use sealed::{SEALED_OVERHEAD_BYTES, Sealed};
pub use short::{DIGEST_BYTES, PING_BYTES, PONG_BYTES, Ping, Pong, QuietDigest};
