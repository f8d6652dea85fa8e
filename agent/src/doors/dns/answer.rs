//! An answer, and how it is written so that it fits.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use domain::base::iana::{Class, OptRcode};
use domain::base::message_builder::{
    AdditionalBuilder, PushError, RecordSectionBuilder, StaticCompressor,
};
use domain::base::{MessageBuilder, ToName};
use domain::rdata::{A, Aaaa, Cname, Ns, Ptr, Soa, Srv, Txt};

use super::message::{Edns, MAX_UDP_BYTES, Query};
use super::naming::OwnName;

/// Bytes of the record that tells a client what we take (RFC 6891), without options.
const EDNS_BYTES: usize = 11;
/// Bytes of most answers.
const USUAL_BYTES: usize = 512;

/// An answer to a query.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) rcode: OptRcode,
    /// Whether we decide what names are in its domain.
    pub(super) is_authoritative: bool,
    /// Whether names elsewhere are looked up for clients.
    pub(super) is_recursive: bool,
    pub(super) ttl_s: u32,
    /// The records that were asked for.
    pub(super) records: Vec<Record>,
    /// Whether some of them were left out.
    pub(super) is_cut: bool,
    /// Where there are no records of the last name: the domain in which there are none.
    pub(super) authority: Option<Record>,
    /// Records that the client would ask for next.
    pub(super) additionals: Vec<Record>,
    /// The name elsewhere that the last of the records is an alias of. Its records are missing.
    pub(super) alias: Option<OwnName>,
}

/// A record.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    /// The name that it is of; `None` for the one that was asked for.
    pub(super) owner: Option<OwnName>,
    pub(super) data: Data,
}

/// The data of a record.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Cname(OwnName),
    Ns(OwnName),
    Ptr(OwnName),
    Soa(Soa<OwnName>),
    Srv(Srv<OwnName>),
    Txt(Txt<Vec<u8>>),
}

impl From<IpAddr> for Data {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(ip) => Self::A(ip),
            IpAddr::V6(ip) => Self::Aaaa(ip),
        }
    }
}

/// An answer as it is sent.
pub(super) struct Written {
    pub(super) bytes: Vec<u8>,
    /// Whether it says that records were left out, so that the client asks again over TCP.
    pub(super) is_truncated: bool,
}

/// How an answer travels, which limits its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// At most so many bytes.
    Udp(usize),
    Tcp,
}

impl Answer {
    /// An answer without records.
    pub(super) fn empty(rcode: OptRcode) -> Self {
        Self {
            rcode,
            is_authoritative: false,
            is_recursive: false,
            ttl_s: 0,
            records: Vec::new(),
            is_cut: false,
            authority: None,
            additionals: Vec::new(),
            alias: None,
        }
    }
}

type Builder = StaticCompressor<Vec<u8>>;

/// Writes an answer to a query. Over UDP it has as many records as fit, and says if that is not all of them.
pub(super) fn write(query: &Query<'_>, answer: &Answer, transport: Transport) -> Written {
    let limit = match transport {
        Transport::Udp(limit) => limit,
        Transport::Tcp => usize::from(u16::MAX),
    };
    let edns_bytes = if query.edns.is_some() { EDNS_BYTES } else { 0 };
    // A vector takes what it is given, so neither this nor what follows fails for want of room, except by the limit.
    let target = StaticCompressor::new(Vec::with_capacity(USUAL_BYTES));
    let mut message = match MessageBuilder::from_target(target) {
        Ok(message) => message,
        Err(infallible) => match infallible {},
    };
    let header = message.header_mut();
    header.set_id(query.header.id());
    header.set_qr(true);
    header.set_opcode(query.header.opcode());
    header.set_aa(answer.is_authoritative);
    header.set_rd(query.header.rd());
    header.set_cd(query.header.cd());
    header.set_ra(answer.is_recursive);
    // The rest of a longer code is part of the EDNS record.
    header.set_rcode(answer.rcode.rcode());
    let mut questions = message.question();
    if let Some(question) = &query.question {
        // It was taken from a message, so it fits one.
        let _ = questions.push(question);
    }
    let mut answers = questions.answer();
    // The limit of the builder is the first length that is too long.
    answers.set_push_limit(limit.saturating_sub(edns_bytes) + 1);
    let is_whole = push_all(&mut answers, query, &answer.records, answer.ttl_s);
    let mut authority = answers.authority();
    if is_whole && let Some(record) = &answer.authority {
        // Without it the client asks again later.
        push_all(&mut authority, query, std::slice::from_ref(record), answer.ttl_s);
    }
    let mut additional = authority.additional();
    if is_whole {
        push_all(&mut additional, query, &answer.additionals, answer.ttl_s);
    }
    additional.clear_push_limit();
    let is_udp = transport != Transport::Tcp;
    let is_truncated = is_udp && (!is_whole || answer.is_cut);
    additional.header_mut().set_tc(is_truncated);
    if let Some(edns) = query.edns {
        // There is room: it was kept.
        let _ = push_edns(&mut additional, edns, answer.rcode);
    }
    Written { bytes: additional.finish().into_target(), is_truncated }
}

fn push_edns(
    additional: &mut AdditionalBuilder<Builder>,
    edns: Edns,
    rcode: OptRcode,
) -> Result<(), PushError> {
    additional.opt(|opt| {
        opt.set_udp_payload_size(MAX_UDP_BYTES);
        opt.set_rcode(rcode);
        // The client is told that its wish was understood (RFC 3225), although nothing is signed.
        opt.set_dnssec_ok(edns.dnssec_ok);
        Ok(())
    })
}

/// Appends records until one does not fit. Returns whether all did.
fn push_all(
    section: &mut impl RecordSectionBuilder<Builder>,
    query: &Query<'_>,
    records: &[Record],
    ttl_s: u32,
) -> bool {
    let root = OwnName::root_vec();
    records.iter().all(|record| {
        let pushed = match (&record.owner, &query.question) {
            (Some(owner), _) => push(section, owner, ttl_s, &record.data),
            (None, Some(question)) => push(section, question.qname(), ttl_s, &record.data),
            (None, None) => push(section, &root, ttl_s, &record.data),
        };
        pushed.is_ok()
    })
}

fn push(
    section: &mut impl RecordSectionBuilder<Builder>,
    owner: impl ToName,
    ttl_s: u32,
    data: &Data,
) -> Result<(), PushError> {
    match data {
        Data::A(ip) => section.push((owner, Class::IN, ttl_s, A::new(*ip))),
        Data::Aaaa(ip) => section.push((owner, Class::IN, ttl_s, Aaaa::new(*ip))),
        Data::Cname(name) => section.push((owner, Class::IN, ttl_s, Cname::new(name))),
        Data::Ns(name) => section.push((owner, Class::IN, ttl_s, Ns::new(name))),
        Data::Ptr(name) => section.push((owner, Class::IN, ttl_s, Ptr::new(name))),
        Data::Soa(soa) => section.push((owner, Class::IN, ttl_s, soa)),
        Data::Srv(srv) => section.push((owner, Class::IN, ttl_s, srv)),
        Data::Txt(txt) => section.push((owner, Class::IN, ttl_s, txt)),
    }
}

#[cfg(test)]
mod tests {
    use domain::base::iana::{Opcode, Rcode};
    use domain::base::{Message, Name, Rtype};

    use super::super::message::{Read, read};
    use super::*;

    fn name(text: &str) -> OwnName {
        Name::vec_from_str(text).expect("a name")
    }

    /// A query for `WEB.service.consul`, of a client that takes so many bytes.
    fn query(udp_bytes: Option<u16>) -> Vec<u8> {
        let mut questions = MessageBuilder::new_vec().question();
        questions.header_mut().set_id(99);
        questions.header_mut().set_rd(true);
        questions.push((name("WEB.service.consul"), Rtype::SRV)).expect("room");
        let mut additional = questions.additional();
        if let Some(udp_bytes) = udp_bytes {
            additional
                .opt(|opt| {
                    opt.set_udp_payload_size(udp_bytes);
                    Ok(())
                })
                .expect("room");
        }
        additional.finish()
    }

    fn answer(instances: u16) -> Answer {
        let target = |n: u16| name(&format!("node-{n}.node.dc1.consul"));
        let srv = |n| Data::Srv(Srv::new(1, 1, 8_000 + n, target(n)));
        let records = (0..instances).map(|n| Record { owner: None, data: srv(n) });
        let address = |n: u16| Data::A(Ipv4Addr::from_bits(0x0a00_0000 + u32::from(n)));
        let additionals =
            (0..instances).map(|n| Record { owner: Some(target(n)), data: address(n) });
        Answer {
            is_authoritative: true,
            records: records.collect(),
            additionals: additionals.collect(),
            ..Answer::empty(OptRcode::NOERROR)
        }
    }

    /// Records of each section, and whether EDNS is among them.
    fn sections(bytes: &[u8]) -> ([usize; 3], bool) {
        let message = Message::from_octets(bytes).expect("a message");
        let counts = message.header_counts();
        let parsed: Vec<_> = message.iter().map(|record| record.expect("a record")).collect();
        let counted = counts.ancount() + counts.nscount() + counts.arcount();
        assert_eq!(parsed.len(), usize::from(counted), "every record can be read");
        let edns = message.opt().is_some();
        let additionals = usize::from(counts.arcount()) - usize::from(edns);
        ([counts.ancount().into(), counts.nscount().into(), additionals], edns)
    }

    /// Of every length of an answer and every size that a client takes.
    #[test]
    fn an_answer_fits_with_what_the_client_has_to_know() {
        for size in [None, Some(512), Some(700), Some(1_232), Some(4_096)] {
            let asked = query(size);
            let Read::Asked(query) = read(&asked) else { panic!("a query") };
            let limit = query.udp_limit();
            for instances in 0..60 {
                let answer = answer(instances);
                let Written { bytes, is_truncated } = write(&query, &answer, Transport::Udp(limit));
                assert!(bytes.len() <= limit, "{} of {limit}", bytes.len());
                let ([answers, _, additionals], edns) = sections(&bytes);
                assert_eq!(edns, size.is_some(), "it is never left out");
                assert_eq!(is_truncated, answers < usize::from(instances));
                assert!(answers > 0 || instances == 0);
                assert!(!is_truncated || additionals == 0, "answers come first");
                let header = Message::from_octets(&bytes[..]).expect("a message").header();
                assert_eq!((header.tc(), header.id(), header.qr()), (is_truncated, 99, true));
                assert_eq!((header.rd(), header.ra(), header.aa()), (true, false, true));
            }
            let all = write(&query, &answer(60), Transport::Tcp);
            assert_eq!((sections(&all.bytes).0, all.is_truncated), ([60, 0, 60], false));
        }
    }

    #[test]
    fn an_answer_may_have_every_byte_of_its_limit_and_none_more() {
        let asked = query(Some(1_232));
        let Read::Asked(query) = read(&asked) else { panic!("a query") };
        let whole = write(&query, &answer(3), Transport::Tcp).bytes.len();
        let fits = |limit| sections(&write(&query, &answer(3), Transport::Udp(limit)).bytes).0[2];
        assert_eq!((fits(whole), fits(whole - 1)), (3, 2));
    }

    #[test]
    fn the_case_of_the_question_is_kept() {
        let asked = query(None);
        let Read::Asked(query) = read(&asked) else { panic!("a query") };
        let written = write(&query, &answer(2), Transport::Udp(512));
        let message = Message::from_octets(&written.bytes[..]).expect("a message");
        let question = message.first_question().expect("a question");
        assert_eq!(question.qname().to_string(), "WEB.service.consul");
        for record in message.answer().expect("a section") {
            let owner = record.expect("a record").owner().to_string();
            assert_eq!(owner, "WEB.service.consul");
        }
    }

    #[test]
    fn a_long_error_reaches_a_client_that_knows_of_it() {
        let mut asked = query(Some(512));
        let version = asked.len() - 5;
        asked[version] = 3;
        let Read::Faulty(query, rcode) = read(&asked) else { panic!("a later version") };
        let written = write(&query, &Answer::empty(rcode), Transport::Udp(512));
        let message = Message::from_octets(&written.bytes[..]).expect("a message");
        assert_eq!(message.opt_rcode(), OptRcode::BADVERS);
        assert_eq!(message.opt().expect("EDNS").version(), 0);
    }

    #[test]
    fn the_wish_for_signatures_comes_back() {
        let mut asked = query(Some(512));
        let flags = asked.len() - 4;
        for is_wished in [false, true] {
            asked[flags] = if is_wished { 0x80 } else { 0 };
            let Read::Asked(query) = read(&asked) else { panic!("a query") };
            let written = write(&query, &answer(1), Transport::Udp(512));
            let message = Message::from_octets(&written.bytes[..]).expect("a message");
            assert_eq!(message.opt().expect("EDNS").dnssec_ok(), is_wished);
        }
    }

    #[test]
    fn an_error_without_a_question_is_a_header() {
        let mut update = query(None);
        domain::base::Header::for_message_slice_mut(&mut update).set_opcode(Opcode::UPDATE);
        let Read::Faulty(query, rcode) = read(&update) else { panic!("an update") };
        let written = write(&query, &Answer::empty(rcode), Transport::Udp(512));
        assert_eq!(written.bytes.len(), 12);
        let header = Message::from_octets(&written.bytes[..]).expect("a message").header();
        assert_eq!((header.rcode(), header.opcode()), (Rcode::NOTIMP, Opcode::UPDATE));
    }
}
