//! Questions to the kernel over netlink, many in one datagram. Each has one answer.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    self, AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind,
};

/// Questions in one datagram. Their answers, of which each takes up some 768 bytes of buffer, must fit into the default
/// receive buffer of 208 KiB.
const BATCH: usize = 64;
/// Bytes of the longest answer that is read; the ends of longer ones are not needed.
const MAX_ANSWER: usize = 4_096;
/// Bytes of the header of each message.
const HEADER: usize = 16;
/// The type of a message that tells an error.
const NLMSG_ERROR: u16 = 2;
/// The largest number of an error.
const MAX_ERROR: i32 = 4_095;
/// The flag of every request.
const NLM_F_REQUEST: u16 = 1;

/// A kind of question: how it is written, and the meaning of its answers.
pub(super) struct Lookup<Q> {
    /// The type of its message.
    pub(super) kind: u16,
    /// Writes the bytes after the header.
    pub(super) write: fn(&Q, &mut Vec<u8>),
    /// `None` where the answer says neither yes nor no.
    pub(super) meaning: fn(Answer<'_>) -> Option<bool>,
}

/// The answer of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer<'a> {
    /// A message of this type.
    Message { kind: u16, body: &'a [u8] },
    /// The kernel refuses the question, or finds nothing.
    Error(Errno),
}

/// A netlink socket. It never blocks.
pub(super) struct Netlink {
    fd: OwnedFd,
    sequence: u32,
    datagram: Vec<u8>,
}

impl Netlink {
    /// Opens a socket for a protocol; `None` stands for `NETLINK_ROUTE`.
    pub(super) fn open(protocol: Option<Protocol>) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, protocol)?;
        bind(&fd, &SocketAddrNetlink::new(0, 0))?;
        Ok(Self { fd, sequence: 0, datagram: Vec::new() })
    }

    /// The answers to these questions, in their order; `None` where none came, as when the kernel lacks memory.
    ///
    /// # Errors
    /// The socket does not work. It may work later, or on another socket.
    pub(super) fn ask<Q>(
        &mut self,
        lookup: &Lookup<Q>,
        questions: &[Q],
    ) -> io::Result<Vec<Option<bool>>> {
        let mut answers = vec![None; questions.len()];
        for (questions, answers) in questions.chunks(BATCH).zip(answers.chunks_mut(BATCH)) {
            self.ask_batch(lookup, questions, answers)?;
        }
        Ok(answers)
    }

    fn ask_batch<Q>(
        &mut self,
        lookup: &Lookup<Q>,
        questions: &[Q],
        answers: &mut [Option<bool>],
    ) -> io::Result<()> {
        let first = self.sequence;
        self.datagram.clear();
        for question in questions {
            let write = |datagram: &mut Vec<u8>| (lookup.write)(question, datagram);
            push(&mut self.datagram, lookup.kind, self.sequence, write);
            self.sequence = self.sequence.wrapping_add(1);
        }
        // The kernel answers within `send`, so all answers are there when it returns.
        net::send(&self.fd, &self.datagram, SendFlags::empty())?;
        let mut buffer = [0; MAX_ANSWER];
        let mut left = answers.len();
        while left > 0 {
            let got = match net::recv(&self.fd, &mut buffer[..], RecvFlags::empty()) {
                Ok((got, _)) => got,
                // Answers that found no room are lost, and so is nothing else.
                Err(Errno::AGAIN | Errno::NOBUFS) => break,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let Some((sequence, answer)) = buffer.get(..got).and_then(parse) else { continue };
            // An answer to an earlier batch, which was given up, is not among these.
            if let Some(place) = answers.get_mut(sequence.wrapping_sub(first) as usize) {
                *place = (lookup.meaning)(answer);
                left -= 1;
            }
        }
        Ok(())
    }
}

fn push(datagram: &mut Vec<u8>, kind: u16, sequence: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let start = datagram.len();
    datagram.extend([0; 4]); // The length, which is known at the end.
    datagram.extend(kind.to_ne_bytes());
    datagram.extend(NLM_F_REQUEST.to_ne_bytes());
    datagram.extend(sequence.to_ne_bytes());
    datagram.extend([0; 4]); // The port id of the kernel.
    write(datagram);
    let len = (datagram.len() - start) as u32;
    datagram[start..start + 4].copy_from_slice(&len.to_ne_bytes());
    // Messages begin at multiples of four bytes.
    datagram.resize(datagram.len().next_multiple_of(4), 0);
}

/// The sequence number of a message, and the answer that it is.
fn parse(message: &[u8]) -> Option<(u32, Answer<'_>)> {
    let (header, body) = message.split_at_checked(HEADER)?;
    let kind = u16::from_ne_bytes([header[4], header[5]]);
    let sequence = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]);
    let answer = match kind {
        NLMSG_ERROR => {
            let code = i32::from_ne_bytes(body.get(..4)?.try_into().ok()?);
            // The kernel's numbers are negative, and 0 acknowledges a request.
            let code = code.checked_neg().filter(|code| (1..=MAX_ERROR).contains(code))?;
            Answer::Error(Errno::from_raw_os_error(code))
        }
        kind => Answer::Message { kind, body },
    };
    Some((sequence, answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_far_as_it_goes() {
        let mut datagram = Vec::new();
        push(&mut datagram, 20, 7, |body| body.extend([1, 2, 3]));
        assert_eq!(datagram.len(), 20, "padded");
        assert_eq!(datagram[..4], 19_u32.to_ne_bytes(), "without the padding");
        let message = Answer::Message { kind: 20, body: &[1, 2, 3, 0] };
        assert_eq!(parse(&datagram), Some((7, message)));
        datagram.clear();
        push(&mut datagram, NLMSG_ERROR, 8, |body| body.extend((-2_i32).to_ne_bytes()));
        assert_eq!(parse(&datagram), Some((8, Answer::Error(Errno::NOENT))));
        for len in 0..HEADER + 4 {
            assert_eq!(parse(&datagram[..len]), None, "{len} bytes");
        }
        for no_error in [0_i32, 1, i32::MIN, -MAX_ERROR - 1] {
            datagram.clear();
            push(&mut datagram, NLMSG_ERROR, 9, |body| body.extend(no_error.to_ne_bytes()));
            assert_eq!(parse(&datagram), None, "{no_error}");
        }
    }

    #[test]
    fn a_question_that_the_kernel_does_not_know_has_an_error_for_an_answer() {
        let lookup = Lookup {
            kind: 0x7fff,
            write: |(): &(), body| body.extend([0; 4]),
            meaning: |answer| Some(matches!(answer, Answer::Error(_))),
        };
        let mut netlink = Netlink::open(None).expect("opened");
        let answers = netlink.ask(&lookup, &[(); 3 * BATCH + 1]).expect("asked");
        assert_eq!(answers, [Some(true); 3 * BATCH + 1]);
    }
}
