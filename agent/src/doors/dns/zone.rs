//! The answers to questions about our own domains, and about the addresses in the catalog.
//!
//! Whether a name is there is decided first, whatever the type that it is asked for: a name above names that are there is there,
//! too (RFC 8020).

use std::net::IpAddr;
use std::sync::Arc;

use domain::base::iana::OptRcode;
use domain::base::{Rtype, Serial, ToName, Ttl};
use domain::rdata::Soa;

use super::answer::{Answer, Data, Record};
use super::directory::{Directory, Named};
use super::message::Asked;
use super::names::{Place, Subject, place};
use super::naming::{self, OwnName};
use super::records::{Missing, Records};
use super::search::Search;
use crate::config::{DnsConfig, DnsDomain};
use crate::services::Registry;

/// When those who copy a domain look again, try again and give up, in seconds. Nobody copies it.
const COPY_TIMES_S: [u32; 3] = [3_600, 600, 86_400];
/// Names that are followed from one alias to the next.
const MAX_ALIASES: usize = 8;

/// What answers are made of.
pub(super) struct Zone {
    pub(super) registry: Arc<Registry>,
    pub(super) directory: Directory,
    config: DnsConfig,
    /// The address of this server, for those who ask who serves the domain.
    pub(super) own_address: IpAddr,
    /// In lower case.
    pub(super) own_datacenter: String,
}

/// What is known of a question.
#[derive(Clone, Debug)]
pub(super) enum Found {
    Answer(Box<Answer>),
    /// It is known once all instances have been looked at, which [`Zone::gather`] does.
    Gathering,
    /// The name is not ours.
    Elsewhere,
}

impl Zone {
    pub(super) fn new(
        registry: Arc<Registry>,
        config: DnsConfig,
        own_address: IpAddr,
        own_datacenter: &str,
    ) -> Self {
        let own_datacenter = own_datacenter.to_ascii_lowercase();
        let directory = Directory::default();
        Self {
            registry,
            directory,
            config,
            own_address: own_address.to_canonical(),
            own_datacenter,
        }
    }

    /// Looks at all instances. It takes a while.
    pub(super) fn gather(&self) {
        self.directory.gather(&self.registry);
    }

    /// Answers a question, with `most` records at most.
    pub(super) fn find(&self, asked: &Asked<'_>, most: usize) -> Found {
        let answer = match place(&self.config.domains, asked.qname().iter()) {
            Place::Elsewhere => return Found::Elsewhere,
            Place::Reverse(address) => return self.of_address(address, asked),
            Place::Own(at, subjects) => match self.config.domains.get(at) {
                Some(domain) => self.of_domain(domain, &subjects, asked, most),
                None => return Found::Elsewhere,
            },
        };
        answer.map_or(Found::Gathering, |answer| Found::Answer(Box::new(answer)))
    }

    /// The answer from one of our domains; `None` if it takes a look at all instances.
    fn of_domain(
        &self,
        domain: &DnsDomain,
        subjects: &[Subject],
        asked: &Asked<'_>,
        most: usize,
    ) -> Option<Answer> {
        let rtype = asked.qtype();
        let nothing = |rcode| Answer {
            rcode,
            authority: self.soa(domain),
            ..self.answer(Records::default())
        };
        let records = match self.records(domain, subjects, rtype, most) {
            Ok(records) if records.records.is_empty() => return Some(nothing(OptRcode::NOERROR)),
            Ok(records) => records,
            Err(Missing::Name) => return Some(nothing(OptRcode::NXDOMAIN)),
            Err(Missing::Gathering) => return None,
        };
        match (&records.alias, rtype) {
            (Some(_), Rtype::A | Rtype::AAAA) => self.follow(asked, records, most),
            _ => Some(self.answer(Records { alias: None, ..records })),
        }
    }

    /// What a name is an alias of, from one of our names to the next. The last one may be elsewhere.
    fn follow(&self, asked: &Asked<'_>, mut records: Records, most: usize) -> Option<Answer> {
        let mut seen: Vec<OwnName> = vec![asked.qname().to_vec()];
        let mut rcode = OptRcode::NOERROR;
        let mut authority = None;
        while let Some(alias) = records.alias.take() {
            if seen.len() > MAX_ALIASES || seen.iter().any(|name| name.name_eq(&alias)) {
                break;
            }
            let Place::Own(at, subjects) = place(&self.config.domains, alias.iter()) else {
                records.alias = Some(alias);
                break;
            };
            let domain = self.config.domains.get(at)?;
            match self.records(domain, &subjects, asked.qtype(), most) {
                Ok(found) => {
                    authority = found.records.is_empty().then(|| self.soa(domain)).flatten();
                    records.append(&alias, found);
                }
                Err(Missing::Name) => (rcode, authority) = (OptRcode::NXDOMAIN, self.soa(domain)),
                Err(Missing::Gathering) => return None,
            }
            seen.push(alias);
        }
        Some(Answer { rcode, authority, ..self.answer(records) })
    }

    fn answer(&self, Records { records, additionals, is_cut, alias }: Records) -> Answer {
        Answer {
            is_authoritative: true,
            ttl_s: self.config.ttl_s,
            records,
            additionals,
            is_cut,
            alias,
            ..Answer::empty(OptRcode::NOERROR)
        }
    }

    /// What the first of these has that is there.
    fn records(
        &self,
        domain: &DnsDomain,
        subjects: &[Subject],
        rtype: Rtype,
        most: usize,
    ) -> Result<Records, Missing> {
        let index = self.directory.index(&self.registry);
        let search = Search { zone: self, index: &index, domain, rtype, most };
        for subject in subjects {
            match search.find(subject) {
                Err(Missing::Name) => {}
                found => return found,
            }
        }
        Err(Missing::Name)
    }

    /// The names of an address that is in the catalog, in the first domain. Each such address is a zone of its own.
    fn of_address(&self, address: IpAddr, asked: &Asked<'_>) -> Found {
        let Some(gathered) = self.directory.gathered() else { return Found::Gathering };
        let names = gathered.names_of(address.to_canonical());
        let (Some(domain), false) = (self.config.domains.first(), names.is_empty()) else {
            return Found::Elsewhere;
        };
        let name = |named: &Named| match named {
            Named::Node { name, datacenter } => naming::node_name(domain, name, datacenter),
            Named::Service { key, datacenter } => {
                naming::service_name(domain, (&key.service, &key.namespace), datacenter)
            }
        };
        let records = match asked.qtype() {
            Rtype::PTR | Rtype::ANY => Records::of(names.iter().filter_map(name).map(Data::Ptr)),
            rtype => self.of_apex(domain, rtype),
        };
        let authority = self.soa_data(domain).map(|data| Record { owner: None, data });
        let authority = authority.filter(|_| records.records.is_empty());
        Found::Answer(Box::new(Answer { authority, ..self.answer(records) }))
    }

    /// What the apex of a zone has.
    pub(super) fn of_apex(&self, domain: &DnsDomain, rtype: Rtype) -> Records {
        let mut records = match rtype {
            Rtype::SOA | Rtype::ANY => Records::of(self.soa_data(domain)),
            _ => Records::default(),
        };
        if let (Rtype::NS | Rtype::ANY, Some(server)) = (rtype, naming::below(domain, "ns")) {
            records.records.push(Record { owner: None, data: Data::Ns(server.clone()) });
            let address = Record { owner: Some(server), data: self.own_address.into() };
            records.additionals.push(address);
        }
        records
    }

    /// The record of a domain itself. It says for how long others may keep that there is nothing.
    fn soa(&self, domain: &DnsDomain) -> Option<Record> {
        let owner = naming::apex(domain)?;
        Some(Record { owner: Some(owner), data: self.soa_data(domain)? })
    }

    fn soa_data(&self, domain: &DnsDomain) -> Option<Data> {
        let [refresh, retry, expire] = COPY_TIMES_S.map(Ttl::from_secs);
        let minimum = Ttl::from_secs(self.config.ttl_s);
        // Revisions count from the start of the agent, in microseconds since 1970.
        let serial = Serial::from((self.registry.revision() / 1_000_000) as u32);
        let [server, mailbox] = ["ns", "hostmaster"].map(|label| naming::below(domain, label));
        Some(Data::Soa(Soa::new(server?, mailbox?, serial, refresh, retry, expire, minimum)))
    }
}
