//! A query as it arrives: what is read of it, and what is wrong with it.

use domain::base::iana::{Class, Opcode, OptRcode};
use domain::base::opt::{Opt, OptRecord};
use domain::base::{Header, Message, ParsedName, ParsedRecord, Question, Rtype};

/// Records beside the question that a query may have: EDNS, and a signature.
const MAX_ADDITIONALS: u16 = 4;
/// Questions and records that are read of a query. One with more is wrong, whatever they are.
const MAX_READ: u32 = 8;
/// The least that a client takes over UDP, and what it takes when it does not say (RFC 1035, section 4.2.1).
pub(super) const MIN_UDP_BYTES: u16 = 512;
/// The most that is sent over UDP, so that no answer is fragmented (RFC 9715).
pub(super) const MAX_UDP_BYTES: u16 = 1_232;

/// The question of a query.
pub(super) type Asked<'a> = Question<ParsedName<&'a [u8]>>;

/// A query, as far as it could be read.
#[derive(Clone, Debug)]
pub(super) struct Query<'a> {
    pub(super) header: Header,
    /// `None` when it cannot be read.
    pub(super) question: Option<Asked<'a>>,
    pub(super) edns: Option<Edns>,
}

/// What a client says of itself (RFC 6891).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edns {
    /// The bytes that it takes over UDP, within our own limits.
    pub(super) udp_bytes: u16,
    pub(super) version: u8,
    /// Whether it asks for signatures.
    pub(super) dnssec_ok: bool,
}

/// What became of the bytes.
#[derive(Clone, Debug)]
pub(super) enum Read<'a> {
    /// They get no answer: they are an answer themselves, or too short for a header.
    Ignored,
    /// They get this error.
    Faulty(Query<'a>, OptRcode),
    Asked(Query<'a>),
}

/// Reads a query. An answer is never answered, so that two servers do not answer each other forever.
pub(super) fn read(bytes: &[u8]) -> Read<'_> {
    let Ok(message) = Message::from_octets(bytes) else { return Read::Ignored };
    let header = message.header();
    if header.qr() {
        return Read::Ignored;
    }
    let (edns, is_well_formed) = beside(&message);
    let mut query = Query { header, question: None, edns };
    if header.opcode() != Opcode::QUERY {
        return Read::Faulty(query, OptRcode::NOTIMP);
    }
    let counts = message.header_counts();
    query.question = (counts.qdcount() == 1).then(|| message.first_question()).flatten();
    let Some(question) = query.question else { return Read::Faulty(query, OptRcode::FORMERR) };
    if matches!(question.qtype(), Rtype::AXFR | Rtype::IXFR) {
        // Nobody copies the catalog of an agent, nor through it what others have. IXFR has a record beside the question.
        return Read::Faulty(query, OptRcode::REFUSED);
    }
    let is_plain = counts.ancount() == 0 && counts.nscount() == 0;
    if !(is_plain && is_well_formed && counts.arcount() <= MAX_ADDITIONALS) {
        return Read::Faulty(query, OptRcode::FORMERR);
    }
    if query.edns.is_some_and(|edns| edns.version > 0) {
        return Read::Faulty(query, OptRcode::BADVERS);
    }
    if question.qclass() != Class::IN {
        return Read::Faulty(query, OptRcode::NOTIMP);
    }
    if question.qtype() == Rtype::OPT {
        return Read::Faulty(query, OptRcode::FORMERR);
    }
    Read::Asked(query)
}

/// What a client says of itself beside the question, and whether all of that can be read: it is said at most once, for no name,
/// and nothing follows.
fn beside(message: &Message<&[u8]>) -> (Option<Edns>, bool) {
    let counts = message.header_counts();
    let all = [counts.qdcount(), counts.ancount(), counts.nscount(), counts.arcount()];
    if all.into_iter().map(u32::from).sum::<u32>() > MAX_READ {
        return (None, false);
    }
    let Ok(mut additionals) = message.additional() else { return (None, false) };
    let (mut edns, mut is_well_formed) = (None, true);
    for record in &mut additionals {
        let Ok(record) = record else { return (edns, false) };
        if record.rtype() == Rtype::OPT {
            let read = Some(record).filter(|record| record.owner().is_root()).and_then(read_edns);
            is_well_formed &= read.is_some() && edns.is_none();
            edns = edns.or(read);
        }
    }
    (edns, is_well_formed && additionals.pos() == message.as_slice().len())
}

fn read_edns(record: ParsedRecord<'_, &[u8]>) -> Option<Edns> {
    let opt = OptRecord::from(record.into_record::<Opt<_>>().ok()??);
    Some(Edns {
        udp_bytes: opt.udp_payload_size().clamp(MIN_UDP_BYTES, MAX_UDP_BYTES),
        version: opt.version(),
        dnssec_ok: opt.dnssec_ok(),
    })
}

impl Edns {
    /// The bytes that an answer over UDP may have.
    pub(super) fn udp_limit(edns: Option<Self>) -> u16 {
        edns.map_or(MIN_UDP_BYTES, |edns| edns.udp_bytes)
    }
}

impl Query<'_> {
    /// The bytes that an answer over UDP may have.
    pub(super) fn udp_limit(&self) -> usize {
        Edns::udp_limit(self.edns).into()
    }
}

#[cfg(test)]
mod tests {
    use domain::base::{MessageBuilder, Name};

    use super::*;

    fn name(text: &str) -> Name<Vec<u8>> {
        Name::vec_from_str(text).expect("a name")
    }

    /// A query with these EDNS payload sizes.
    fn query(class: Class, edns: &[u16], edit: impl FnOnce(&mut Header)) -> Vec<u8> {
        let mut question = MessageBuilder::new_vec().question();
        question.header_mut().set_id(7);
        edit(question.header_mut());
        question.push((name("web.service.consul"), Rtype::A, class)).expect("room");
        let mut additional = question.additional();
        for size in edns {
            let opt = |opt: &mut domain::base::message_builder::OptBuilder<'_, Vec<u8>>| {
                opt.set_udp_payload_size(*size);
                Ok(())
            };
            additional.opt(opt).expect("room");
        }
        additional.finish()
    }

    fn plain(edns: &[u16]) -> Vec<u8> {
        query(Class::IN, edns, |_| {})
    }

    fn fault(bytes: &[u8]) -> OptRcode {
        match read(bytes) {
            Read::Faulty(_, rcode) => rcode,
            other => panic!("{other:?} is no fault"),
        }
    }

    #[test]
    fn a_client_is_sent_what_it_takes_within_limits() {
        for (edns, limit) in [
            (vec![], 512),
            (vec![0], 512),
            (vec![900], 900),
            (vec![1_232], 1_232),
            (vec![65_535], 1_232),
        ] {
            let bytes = plain(&edns);
            let Read::Asked(query) = read(&bytes) else { panic!("it can be read") };
            assert_eq!(query.udp_limit(), limit, "{edns:?}");
            let question = query.question.expect("there is one");
            assert_eq!((question.qtype(), query.header.id()), (Rtype::A, 7));
            assert_eq!(question.qname().to_string(), "web.service.consul");
        }
    }

    #[test]
    fn an_answer_is_not_answered_nor_is_half_a_header() {
        let answer = query(Class::IN, &[], |header| header.set_qr(true));
        for ignored in [&answer[..], &answer[..11], b""] {
            assert!(matches!(read(ignored), Read::Ignored));
        }
    }

    #[test]
    fn what_is_not_understood_is_told_apart_from_what_is_wrong() {
        let update = query(Class::IN, &[], |header| header.set_opcode(Opcode::UPDATE));
        assert_eq!(fault(&update), OptRcode::NOTIMP);
        assert_eq!(fault(&query(Class::CH, &[], |_| {})), OptRcode::NOTIMP);
        assert_eq!(fault(&plain(&[512, 512])), OptRcode::FORMERR, "two EDNS records");
        let whole = plain(&[512]);
        for length in 12..whole.len() {
            assert_eq!(fault(&whole[..length]), OptRcode::FORMERR, "cut to {length}");
        }
        let mut later = whole.clone();
        let version = whole.len() - 5;
        later[version] = 1;
        assert_eq!(fault(&later), OptRcode::BADVERS);
        for (at, count) in [(5, 0), (5, 2), (7, 1), (9, 1), (11, 200)] {
            let mut counts = whole.clone();
            counts[at] = count;
            assert_eq!(fault(&counts), OptRcode::FORMERR, "{at}: {count}");
        }
        let trailing = [&whole[..], b"x"].concat();
        assert_eq!(fault(&trailing), OptRcode::FORMERR, "something follows");
        // The EDNS record is of the name `x`.
        let opt = whole.len() - 11;
        let named = [&whole[..opt], b"\x01x", &whole[opt..]].concat();
        assert_eq!(fault(&named), OptRcode::FORMERR, "EDNS of a name");
    }

    #[test]
    fn an_error_knows_of_what_the_client_takes() {
        let whole = plain(&[900]);
        let with = |at: usize, byte: u8| {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            bytes
        };
        let opcode_of_notify = 4 << 3;
        for bytes in [with(2, opcode_of_notify), [&whole[..], b"x"].concat(), plain(&[900, 900])] {
            let Read::Faulty(query, _) = read(&bytes) else { panic!("{bytes:?} is wrong") };
            assert_eq!(query.edns.map(|edns| edns.udp_bytes), Some(900), "{bytes:?}");
        }
    }

    #[test]
    fn transfers_are_refused_whatever_the_name() {
        for rtype in [Rtype::AXFR, Rtype::IXFR] {
            let mut question = MessageBuilder::new_vec().question();
            question.push((name("example.com"), rtype)).expect("room");
            let mut authority = question.authority();
            if rtype == Rtype::IXFR {
                // The version that the client has.
                let address = domain::rdata::A::from_octets(1, 2, 3, 4);
                authority.push((name("example.com"), 0, address)).expect("room");
            }
            assert_eq!(fault(&authority.finish()), OptRcode::REFUSED, "{rtype}");
        }
    }

    #[test]
    fn a_name_that_points_at_itself_is_malformed() {
        let mut bytes = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        bytes.extend([0xc0, 0x0c, 0, 1, 0, 1]);
        assert_eq!(fault(&bytes), OptRcode::FORMERR);
    }
}
