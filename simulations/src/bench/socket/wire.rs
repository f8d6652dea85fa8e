//! The two encodings, as far as a client that only counts has to know them.

use bytes::BytesMut;
use hobnob_api::codec::BinaryCodec;
use hobnob_api::{Call, PickQuery, Request};
use serde_json::json;
use tokio_util::codec::Encoder;

/// The encoding of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Json,
    Binary,
}

impl Wire {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Binary => "MessagePack",
        }
    }

    /// A call that picks one instance, as short as the encoding allows.
    pub(super) fn request(self, service: &str, selector: Option<&str>) -> Vec<u8> {
        let mut pick = json!({ "service": service });
        if let Some(selector) = selector {
            pick["selector"] = selector.into();
        }
        match self {
            Self::Json => {
                format!("{}\n", json!({ "id": 1, "request": { "pick": pick } })).into_bytes()
            }
            Self::Binary => {
                let query: PickQuery = serde_json::from_value(pick).expect("a legal query");
                let call = Call::new(1, Request::Pick(query));
                let mut bytes = BytesMut::new();
                BinaryCodec::client().encode(&call, &mut bytes).expect("a short call");
                bytes.to_vec()
            }
        }
    }

    /// Counts the whole answers at the start of some bytes: how many, and how many bytes they take.
    pub(super) fn whole(self, bytes: &[u8]) -> (usize, usize) {
        let (mut count, mut taken) = (0, 0);
        while let Some(len) = self.first(&bytes[taken..]) {
            count += 1;
            taken += len;
        }
        (count, taken)
    }

    /// The length of the first whole answer.
    fn first(self, bytes: &[u8]) -> Option<usize> {
        let len = match self {
            Self::Json => bytes.iter().position(|byte| *byte == b'\n')? + 1,
            Self::Binary => {
                let prefix = bytes.first_chunk::<4>()?;
                u32::from_be_bytes(*prefix) as usize + prefix.len()
            }
        };
        (len <= bytes.len()).then_some(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_answers_count() {
        assert_eq!(Wire::Json.whole(b"{}\n{}\n{"), (2, 6));
        assert_eq!(Wire::Json.whole(b"{}"), (0, 0));
        assert_eq!(Wire::Binary.whole(&[0, 0, 0, 1, 9, 0, 0, 0, 2, 9]), (1, 5));
        assert_eq!(Wire::Binary.whole(&[0, 0]), (0, 0));
    }

    #[test]
    fn a_request_asks_for_what_it_should() {
        let line = Wire::Json.request("web", Some("tier=a"));
        let call: Call = serde_json::from_slice(&line).unwrap();
        let Request::Pick(query) = call.request else { panic!("{call:?}") };
        assert_eq!((query.service.as_str(), query.selector.as_deref()), ("web", Some("tier=a")));
        assert_eq!(Wire::Binary.whole(&Wire::Binary.request("web", None)).0, 1);
    }
}
