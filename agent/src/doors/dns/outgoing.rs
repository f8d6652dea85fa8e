//! A question to another server, and the answers that fit it.

use domain::base::iana::Rcode;
use domain::base::{Header, Message, MessageBuilder, Question, Rtype, ToName};

use super::message::{Edns, MAX_UDP_BYTES, Query};
use super::naming::OwnName;

/// Bytes before the name of the question.
const HEADER_BYTES: usize = 12;

/// What makes two questions the same: their bytes but for id and case, and whether they go over TCP.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(Vec<u8>, bool);

/// A question that goes out.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    /// The query with a new id. It has nothing of the client's but its question and its flags.
    bytes: Vec<u8>,
    /// Bytes of the name that is asked for.
    name_bytes: usize,
    /// The id that the client gave it.
    id: u16,
    /// The bytes that an answer over UDP may have.
    limit: usize,
    over_tcp: bool,
}

impl Outgoing {
    /// The query as another server is asked it; `None` if it has no question.
    pub(super) fn of(query: &Query<'_>, over_tcp: bool) -> Option<Self> {
        let question = query.question.as_ref()?;
        Self::with(query, question.qname(), query.edns, over_tcp)
    }

    /// The query for another name, whose answer is not for the client as it stands.
    pub(super) fn for_alias(query: &Query<'_>, alias: &OwnName, over_tcp: bool) -> Option<Self> {
        let ours = Edns { udp_bytes: MAX_UDP_BYTES, version: 0, dnssec_ok: false };
        Self::with(query, alias, Some(ours), over_tcp)
    }

    fn with(
        query: &Query<'_>,
        name: impl ToName,
        edns: Option<Edns>,
        over_tcp: bool,
    ) -> Option<Self> {
        let rtype: Rtype = query.question.as_ref()?.qtype();
        let name_bytes = usize::from(name.compose_len());
        let mut questions = MessageBuilder::new_vec().question();
        let header = questions.header_mut();
        header.set_id(rand::random());
        header.set_rd(query.header.rd());
        header.set_cd(query.header.cd());
        header.set_ad(query.header.ad());
        questions.push(Question::new_in(name, rtype)).ok()?;
        let mut additional = questions.additional();
        if let Some(edns) = edns {
            let opt = additional.opt(|opt| {
                opt.set_udp_payload_size(edns.udp_bytes);
                opt.set_dnssec_ok(edns.dnssec_ok);
                Ok(())
            });
            opt.ok()?;
        }
        let limit = usize::from(Edns::udp_limit(edns));
        let (bytes, id) = (additional.finish(), query.header.id());
        Some(Self { bytes, name_bytes, id, limit, over_tcp })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn over_tcp(&self) -> bool {
        self.over_tcp
    }

    pub(super) fn key(&self) -> Key {
        let mut key = self.bytes.get(2..).unwrap_or_default().to_vec();
        let name = HEADER_BYTES - 2..HEADER_BYTES - 2 + self.name_bytes;
        // Lengths of labels are no letters.
        key.get_mut(name).unwrap_or_default().make_ascii_lowercase();
        Key(key, self.over_tcp)
    }

    /// Whether bytes are an answer to this question. Some errors have no question.
    pub(super) fn is_answered_by(&self, bytes: &[u8]) -> bool {
        let (Ok(query), Ok(answer)) =
            (Message::from_octets(&self.bytes[..]), Message::from_octets(bytes))
        else {
            return false;
        };
        let (header, counts) = (answer.header(), answer.header_counts());
        let is_bare = header.rcode() != Rcode::NOERROR && counts.qdcount() == 0;
        let is_ours = header.qr() && header.id() == query.header().id();
        is_ours && (is_bare || answer.is_answer(&query))
    }

    /// An answer over UDP if the client takes one of that length, else the word that there is a longer one.
    pub(super) fn within_limit(&self, answer: &[u8]) -> Vec<u8> {
        if answer.len() <= self.limit {
            return answer.to_vec();
        }
        let theirs = Message::from_octets(answer).map(|answer| answer.header()).unwrap_or_default();
        let mut bytes = self.bytes.clone();
        let header = Header::for_message_slice_mut(&mut bytes);
        header.set_qr(true);
        header.set_tc(true);
        header.set_ad(false);
        header.set_ra(theirs.ra());
        header.set_rcode(theirs.rcode());
        bytes
    }

    /// The answer under the id of the client, with the name as the client wrote it.
    pub(super) fn for_client(&self, mut answer: Vec<u8>) -> Vec<u8> {
        Header::for_message_slice_mut(&mut answer).set_id(self.id);
        let name = HEADER_BYTES..HEADER_BYTES + self.name_bytes;
        if let (Some(theirs), Some(ours)) = (answer.get_mut(name.clone()), self.bytes.get(name))
            && theirs.eq_ignore_ascii_case(ours)
        {
            theirs.copy_from_slice(ours);
        }
        answer
    }
}
