//! What another server says of the name elsewhere that one of ours is an alias of.

use domain::base::iana::{OptRcode, Rcode};
use domain::base::{Message, ParsedName, ParsedRecord, Rtype, ToName};
use domain::rdata::{A, Aaaa, Cname};

use super::answer::{Answer, Data, Record};

/// Records that are taken from the answer of another server.
const MAX_RECORDS: usize = 64;

/// The answer of ours, and behind its alias what another server answered. Without such an answer the client looks for itself.
pub(super) fn completed(begun: Answer, reply: &[u8]) -> Answer {
    let Ok(message) = Message::from_octets(reply) else { return begun };
    let rcode = message.header().rcode();
    if !matches!(rcode, Rcode::NOERROR | Rcode::NXDOMAIN) {
        return begun;
    }
    let Some(records) = records(&message) else { return begun };
    let ttl_s = records.iter().map(|(_, ttl_s)| *ttl_s).min();
    let mut answer = Answer { rcode: OptRcode::from_rcode(rcode), alias: None, ..begun };
    // Our own record lives as long as the catalog allows, and the answer no longer than any of its records.
    answer.ttl_s = answer.ttl_s.min(ttl_s.unwrap_or(u32::MAX));
    answer.is_cut |= message.header().tc();
    answer.records.extend(records.into_iter().map(|(record, _)| record));
    answer
}

/// The addresses and aliases of an answer, each with the seconds for which it may be kept; `None` if it cannot be read.
fn records(message: &Message<&[u8]>) -> Option<Vec<(Record, u32)>> {
    let mut records = Vec::new();
    for parsed in message.answer().ok()?.take(MAX_RECORDS) {
        let parsed = parsed.ok()?;
        if let Some(data) = data(&parsed)? {
            let record = Record { owner: Some(parsed.owner().to_vec()), data };
            records.push((record, parsed.ttl().as_secs()));
        }
    }
    Some(records)
}

/// The data of an address or alias; `Some(None)` for another record.
fn data(parsed: &ParsedRecord<'_, &[u8]>) -> Option<Option<Data>> {
    Some(match parsed.rtype() {
        Rtype::A => parsed.to_record::<A>().ok()?.map(|record| Data::A(record.data().addr())),
        Rtype::AAAA => {
            parsed.to_record::<Aaaa>().ok()?.map(|record| Data::Aaaa(record.data().addr()))
        }
        Rtype::CNAME => {
            let record = parsed.to_record::<Cname<ParsedName<_>>>().ok()?;
            record.map(|record| Data::Cname(record.data().cname().to_vec()))
        }
        _ => None,
    })
}
