//! Frames in the bytes of a stream. Each frame is preceded by its length, a big-endian `u32`.

use bytes::{Buf, Bytes, BytesMut};
use hobnob_membership::limits::MAX_FRAME_BYTES;
use quinn::{ReadError, RecvStream};

/// Bytes of a length prefix.
const PREFIX_BYTES: usize = 4;

/// No further frame can be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error("the peer announced a frame of {0} bytes; a frame has from 1 to {MAX_FRAME_BYTES}")]
    Length(usize),
    #[error("the peer finished in the middle of a frame")]
    CutShort,
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Whether a frame may have this length.
pub(super) fn is_valid_len(len: usize) -> bool {
    (1..=MAX_FRAME_BYTES).contains(&len)
}

/// The prefix of a frame of this (valid) length.
pub(super) fn prefix(len: usize) -> Bytes {
    Bytes::copy_from_slice(&(len as u32).to_be_bytes())
}

/// Finds the frames in bytes that arrive in pieces. It never holds more than one frame, and allocates only for bytes
/// that have arrived.
#[derive(Default)]
struct FrameDecoder {
    buffer: BytesMut,
}

impl FrameDecoder {
    /// The number of bytes that are missing to the end of the next frame or, while its length is unknown, to the end of
    /// the length.
    fn missing(&self) -> Result<usize, FrameError> {
        match self.announced()? {
            Some(len) => Ok(PREFIX_BYTES + len - self.buffer.len()),
            None => Ok(PREFIX_BYTES - self.buffer.len()),
        }
    }

    /// Adds bytes, no more than are [missing](Self::missing). Returns a frame if they complete one.
    fn push(&mut self, bytes: &[u8]) -> Result<Option<Bytes>, FrameError> {
        self.buffer.extend_from_slice(bytes);
        match self.announced()? {
            Some(len) if self.buffer.len() >= PREFIX_BYTES + len => {
                let mut frame = std::mem::take(&mut self.buffer);
                frame.advance(PREFIX_BYTES);
                Ok(Some(frame.freeze()))
            }
            _ => Ok(None),
        }
    }

    fn announced(&self) -> Result<Option<usize>, FrameError> {
        let Some(prefix) = self.buffer.first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let len = u32::from_be_bytes(*prefix) as usize;
        if is_valid_len(len) { Ok(Some(len)) } else { Err(FrameError::Length(len)) }
    }

    fn is_between_frames(&self) -> bool {
        self.buffer.is_empty()
    }
}

/// Reads the frames of a stream.
pub(super) struct FrameReader {
    stream: RecvStream,
    decoder: FrameDecoder,
}

impl FrameReader {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self { stream, decoder: FrameDecoder::default() }
    }

    /// The next frame, or `None` once the peer has finished. Cancel-safe: bytes that have arrived are kept.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        loop {
            let Some(chunk) = self.stream.read_chunk(self.decoder.missing()?, true).await? else {
                return if self.decoder.is_between_frames() {
                    Ok(None)
                } else {
                    Err(FrameError::CutShort)
                };
            };
            if let Some(frame) = self.decoder.push(&chunk.bytes)? {
                return Ok(Some(frame));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds all bytes, in pieces of at most `piece` bytes, and returns the frames.
    fn decode(mut bytes: &[u8], piece: usize) -> Result<Vec<Bytes>, FrameError> {
        let mut decoder = FrameDecoder::default();
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            let (head, rest) = bytes.split_at(decoder.missing()?.min(piece).min(bytes.len()));
            bytes = rest;
            frames.extend(decoder.push(head)?);
        }
        if decoder.is_between_frames() { Ok(frames) } else { Err(FrameError::CutShort) }
    }

    fn encode(frames: &[Vec<u8>]) -> Vec<u8> {
        frames
            .iter()
            .flat_map(|frame| [prefix(frame.len()).to_vec(), frame.clone()].concat())
            .collect()
    }

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let frames = vec![vec![1], vec![2; 300], vec![0; MAX_FRAME_BYTES], vec![4; 4]];
        for piece in [1, 3, 4, 5, 1_000, usize::MAX] {
            assert_eq!(
                decode(&encode(&frames), piece).expect("valid"),
                frames,
                "in pieces of {piece}"
            );
        }
    }

    #[test]
    fn lengths_outside_the_limits_are_refused_before_anything_else_is_read() {
        for len in [0, MAX_FRAME_BYTES as u32 + 1, u32::MAX] {
            let error = decode(&len.to_be_bytes(), usize::MAX).expect_err("refused");
            assert!(matches!(error, FrameError::Length(found) if found == len as usize), "{error}");
        }
    }

    #[test]
    fn an_end_inside_a_frame_is_seen() {
        let whole = encode(&[vec![7; 10]]);
        for len in 1..whole.len() {
            assert!(
                matches!(decode(&whole[..len], usize::MAX), Err(FrameError::CutShort)),
                "{len}"
            );
        }
    }
}
