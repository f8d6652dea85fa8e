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
/// The flag of every request.
const NLM_F_REQUEST: u16 = 1;

/// A question: the type of its message, and the bytes after the header.
pub(super) struct Question {
    pub(super) kind: u16,
    pub(super) body: Vec<u8>,
}

/// The answer of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A message of this type.
    Message { kind: u16, body: Vec<u8> },
    /// The kernel refuses the question, or finds nothing.
    Error(Errno),
    /// No answer came, as when the kernel lacks memory.
    None,
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

    /// The answers to these questions, in their order.
    ///
    /// # Errors
    /// The socket does not work. It may work later, or on another socket.
    pub(super) fn ask(&mut self, questions: &[Question]) -> io::Result<Vec<Answer>> {
        let mut answers = vec![Answer::None; questions.len()];
        for (questions, answers) in questions.chunks(BATCH).zip(answers.chunks_mut(BATCH)) {
            self.ask_batch(questions, answers)?;
        }
        Ok(answers)
    }

    fn ask_batch(&mut self, questions: &[Question], answers: &mut [Answer]) -> io::Result<()> {
        let first = self.sequence;
        self.datagram.clear();
        for question in questions {
            push(&mut self.datagram, question, self.sequence);
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
                *place = answer;
                left -= 1;
            }
        }
        Ok(())
    }
}

fn push(datagram: &mut Vec<u8>, Question { kind, body }: &Question, sequence: u32) {
    let len = (HEADER + body.len()) as u32;
    datagram.extend(len.to_ne_bytes());
    datagram.extend(kind.to_ne_bytes());
    datagram.extend(NLM_F_REQUEST.to_ne_bytes());
    datagram.extend(sequence.to_ne_bytes());
    datagram.extend([0; 4]); // The port id of the kernel.
    datagram.extend(body);
    // Messages begin at multiples of four bytes.
    datagram.resize(datagram.len().next_multiple_of(4), 0);
}

/// The sequence number of a message, and the answer that it is.
fn parse(message: &[u8]) -> Option<(u32, Answer)> {
    let (header, body) = message.split_at_checked(HEADER)?;
    let kind = u16::from_ne_bytes([header[4], header[5]]);
    let sequence = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]);
    let answer = match kind {
        NLMSG_ERROR => {
            let code = i32::from_ne_bytes(body.get(..4)?.try_into().ok()?);
            // The kernel's numbers are negative, and 0 acknowledges a request.
            Answer::Error(Errno::from_raw_os_error(code.checked_neg()?))
        }
        kind => Answer::Message { kind, body: body.to_owned() },
    };
    Some((sequence, answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_far_as_it_goes() {
        let mut datagram = Vec::new();
        push(&mut datagram, &Question { kind: 20, body: vec![1, 2, 3] }, 7);
        assert_eq!(datagram.len(), 20, "padded");
        let message = Answer::Message { kind: 20, body: vec![1, 2, 3, 0] };
        assert_eq!(parse(&datagram), Some((7, message)));
        let error = Question { kind: NLMSG_ERROR, body: (-2_i32).to_ne_bytes().to_vec() };
        datagram.clear();
        push(&mut datagram, &error, 8);
        assert_eq!(parse(&datagram), Some((8, Answer::Error(Errno::NOENT))));
        for len in 0..HEADER + 4 {
            assert_eq!(parse(&datagram[..len]), None, "{len} bytes");
        }
    }

    #[test]
    fn a_question_that_the_kernel_does_not_know_has_an_error_for_an_answer() {
        let mut netlink = Netlink::open(None).expect("opened");
        let questions: Vec<_> =
            (0..3 * BATCH + 1).map(|_| Question { kind: 0x7fff, body: vec![0; 4] }).collect();
        let answers = netlink.ask(&questions).expect("asked");
        assert_eq!(answers.len(), questions.len());
        assert!(answers.iter().all(|answer| matches!(answer, Answer::Error(_))), "{answers:?}");
    }
}
