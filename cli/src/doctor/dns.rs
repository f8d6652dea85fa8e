//! The DNS door, if the agent has one: whether it answers.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::Said;
use super::finding::Findings;

/// The longest wait for the answer.
const WITHIN: Duration = Duration::from_secs(2);
/// The most bytes of the answer that are read. Without EDNS there are no more.
const MAX_BYTES: usize = 512;
/// The record that each domain has (SOA), and its class (RFC 1035, section 3.2).
const ASKED: [u16; 2] = [6, 1];

/// Asks the door for the record of its first domain.
pub(super) async fn look(findings: &mut Findings, said: &Said) {
    let Some(address) = said.setting("dns") else { return };
    let Ok(at) = address.parse::<SocketAddr>() else { return };
    if at.port() == 0 {
        let text = "not asked: the port is chosen at each start, and the log names it when the agent is ready";
        return findings.ok("dns", text.to_owned());
    }
    let domains = said.setting("dns_domain").unwrap_or("consul");
    let domain = domains.split(',').next().unwrap_or_default();
    match timeout(WITHIN, ask(at, domain)).await {
        Ok(Ok(Answer::Record)) => {
            findings.ok("dns", format!("{at} answers for the domain {domain}"));
        }
        Ok(Ok(Answer::Other)) => findings.fail(
            "dns",
            format!("{at} does not know the domain {domain}"),
            "look for what else listens there, or name another address with --dns",
        ),
        Ok(Err(error)) => findings.fail(
            "dns",
            format!("{at} does not answer: {error}"),
            "look for what else listens there, or name another address with --dns",
        ),
        Err(_) => findings.fail(
            "dns",
            format!("{at} does not answer within {WITHIN:?}"),
            "a firewall, or a host without processor time: look at hobnob_dns_queries_total",
        ),
    }
}

/// What is answered.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Record,
    Other,
}

async fn ask(at: SocketAddr, domain: &str) -> io::Result<Answer> {
    let any: SocketAddr = match at {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(at).await?;
    // Only this address answers on the socket, so any id will do.
    let id = u16::try_from(std::process::id() % 0xffff).unwrap_or_default();
    socket.send(&question(id, domain)).await?;
    let mut bytes = [0; MAX_BYTES];
    let length = socket.recv(&mut bytes).await?;
    Ok(read(id, bytes.get(..length).unwrap_or_default()))
}

/// A query for the record of a domain.
fn question(id: u16, domain: &str) -> Vec<u8> {
    let counts = [1_u16, 0, 0, 0].map(u16::to_be_bytes).concat();
    let mut bytes = [&id.to_be_bytes()[..], &[0, 0], &counts].concat();
    for label in domain.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap_or_default());
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes.extend(ASKED.map(u16::to_be_bytes).concat());
    bytes
}

/// Whether bytes are an answer with a record: the flags say answer and no error, and the second count is not 0.
fn read(id: u16, bytes: &[u8]) -> Answer {
    let [one, two, flags, code, _, _, records @ ..] = bytes else { return Answer::Other };
    let is_answer = [*one, *two] == id.to_be_bytes() && flags & 0x80 != 0 && code & 0x0f == 0;
    match records {
        [0, 0, ..] => Answer::Other,
        [_, _, ..] if is_answer => Answer::Record,
        _ => Answer::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_as_the_rfc_has_it_and_only_its_answer_counts() {
        let asked = question(0x0102, "svc.example");
        let name = b"\x03svc\x07example\x00\x00\x06\x00\x01";
        assert_eq!(
            asked,
            [&b"\x01\x02\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"[..], name].concat()
        );
        let with = |edit: fn(&mut Vec<u8>)| {
            let mut answer = asked.clone();
            (answer[2], answer[7]) = (0x84, 1);
            edit(&mut answer);
            read(0x0102, &answer)
        };
        assert_eq!(with(|_| {}), Answer::Record);
        let others: [fn(&mut Vec<u8>); 5] = [
            |answer| answer[0] = 9,
            |answer| answer[2] = 0,
            |answer| answer[3] = 5,
            |answer| answer[7] = 0,
            |answer| answer.truncate(7),
        ];
        for other in others {
            assert_eq!(with(other), Answer::Other);
        }
    }
}
