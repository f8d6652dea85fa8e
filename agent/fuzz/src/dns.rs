//! Queries to the DNS door, over UDP and TCP.

use std::sync::LazyLock;

use domain::base::Message;
use hobnob_agent::DnsSample;

/// The most bytes of an answer over UDP to a client that says nothing of itself, and to one that takes more.
const MAX_PLAIN_BYTES: usize = 512;
const MAX_UDP_BYTES: usize = 1_232;

static DOOR: LazyLock<DnsSample> = LazyLock::new(DnsSample::default);

/// Asks the door over UDP and over TCP. An answer can be read, is to that query, and keeps the limits.
pub fn check(bytes: &[u8]) {
    for is_tcp in [false, true] {
        let Some(answer) = DOOR.answer(bytes, is_tcp) else { continue };
        let message = Message::from_octets(&answer[..]).expect("a message");
        assert!(message.header().qr(), "an answer");
        assert_eq!(answer[..2], bytes[..2], "the id of the query");
        assert!(message.iter().all(|record| record.is_ok()), "records that can be read");
        let most = match (is_tcp, message.opt()) {
            (true, _) => usize::from(u16::MAX),
            (false, Some(_)) => MAX_UDP_BYTES,
            (false, None) => MAX_PLAIN_BYTES,
        };
        assert!(answer.len() <= most, "{} bytes", answer.len());
    }
}
