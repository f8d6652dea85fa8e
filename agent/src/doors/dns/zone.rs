//! The answers to questions about our own domains, and about the addresses in the catalog.

use std::net::IpAddr;
use std::sync::Arc;

use domain::base::iana::OptRcode;
use domain::base::{Rtype, Serial, Ttl};
use domain::rdata::Soa;

use super::answer::{Answer, Data, Record};
use super::directory::{Directory, Named, address_of};
use super::instances::{address_records, instance_records};
use super::message::Asked;
use super::names::{self, OwnName, Place, Subject, Within, place};
use super::texts::text_record;
use crate::config::{DnsConfig, DnsDomain};
use crate::queries::metrics::member_word;
use crate::queries::ordered::{Wanted, ordered};
use crate::services::{KnownMember, Registry, ServiceKey};

/// The namespace of names that name none.
const DEFAULT_NAMESPACE: &str = "default";
/// When those who copy a domain look again, try again and give up, in seconds. Nobody copies it.
const COPY_TIMES_S: [u32; 3] = [3_600, 600, 86_400];

/// What answers are made of.
pub(super) struct Zone {
    pub(super) registry: Arc<Registry>,
    pub(super) directory: Directory,
    config: DnsConfig,
    /// The address of this server, for those who ask who serves the domain.
    own_address: IpAddr,
    own_datacenter: String,
}

/// What is known of a question.
#[derive(Clone, Debug)]
pub(super) enum Found {
    Answer(Box<Answer>),
    /// The name is not ours.
    Elsewhere,
}

/// What a name has of the type that was asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    pub(super) records: Vec<Record>,
    pub(super) additionals: Vec<Record>,
    /// Whether there are more.
    pub(super) is_cut: bool,
}

/// There is no such name.
pub(super) struct NoSuchName;

impl Records {
    /// Records of the name that was asked for.
    pub(super) fn of(data: impl IntoIterator<Item = Data>) -> Self {
        let records = data.into_iter().map(|data| Record { owner: None, data });
        Self { records: records.collect(), ..Self::default() }
    }
}

impl Zone {
    pub(super) fn new(
        registry: Arc<Registry>,
        config: DnsConfig,
        own_address: IpAddr,
        own_datacenter: String,
    ) -> Self {
        Self { registry, directory: Directory::default(), config, own_address, own_datacenter }
    }

    /// Answers a question, with `most` instances at most.
    pub(super) fn find(&self, asked: &Asked<'_>, most: usize) -> Found {
        let answer = match place(&self.config.domains, asked.qname().iter()) {
            Place::Elsewhere => return Found::Elsewhere,
            Place::Reverse(address) => match self.names_of(address, asked.qtype()) {
                records if records.records.is_empty() => return Found::Elsewhere,
                records => self.answer(records),
            },
            Place::Own(at, subject) => match self.config.domains.get(at) {
                Some(domain) => self.of_domain(domain, &subject, asked.qtype(), most),
                None => return Found::Elsewhere,
            },
        };
        Found::Answer(Box::new(answer))
    }

    fn of_domain(
        &self,
        domain: &DnsDomain,
        subject: &Subject,
        rtype: Rtype,
        most: usize,
    ) -> Answer {
        if matches!(rtype, Rtype::AXFR | Rtype::IXFR) {
            return Answer::empty(OptRcode::REFUSED);
        }
        match self.records(domain, subject, rtype, most) {
            Ok(records) if records.records.is_empty() => {
                Answer { authority: self.soa(domain), ..self.answer(Records::default()) }
            }
            Ok(records) => self.answer(records),
            Err(NoSuchName) => Answer {
                rcode: OptRcode::NXDOMAIN,
                authority: self.soa(domain),
                ..self.answer(Records::default())
            },
        }
    }

    fn answer(&self, Records { records, additionals, is_cut }: Records) -> Answer {
        Answer {
            is_authoritative: true,
            ttl_s: self.config.ttl_s,
            records,
            additionals,
            is_cut,
            ..Answer::empty(OptRcode::NOERROR)
        }
    }

    fn records(
        &self,
        domain: &DnsDomain,
        subject: &Subject,
        rtype: Rtype,
        most: usize,
    ) -> Result<Records, NoSuchName> {
        Ok(match subject {
            Subject::Apex => self.of_apex(domain, rtype),
            Subject::NameServer => address_records(rtype, [self.own_address]),
            Subject::Structure => Records::default(),
            Subject::Datacenter(name) => {
                let members = self.directory.members(&self.registry);
                let is_known = members.has_datacenter(name);
                if !is_known && !self.own_datacenter.eq_ignore_ascii_case(name) {
                    return Err(NoSuchName);
                }
                Records::default()
            }
            Subject::Service { tag, name, within } => {
                return self.of_service(domain, (tag.as_deref(), name), within, rtype, most);
            }
            Subject::Node { name, datacenter } => {
                return self.of_node(name, datacenter.as_deref(), rtype);
            }
            Subject::Address(address) => address_records(rtype, [*address]),
            Subject::Nothing => return Err(NoSuchName),
        })
    }

    fn of_service(
        &self,
        domain: &DnsDomain,
        (tag, name): (Option<&str>, &str),
        within: &Within,
        rtype: Rtype,
        most: usize,
    ) -> Result<Records, NoSuchName> {
        let namespace = within.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
        let service = |service: String| {
            let key = ServiceKey { namespace: namespace.to_owned(), service };
            self.directory.service(&self.registry, &key)
        };
        let dotted = tag.and_then(|tag| service(format!("{tag}.{name}")));
        let tag = tag.filter(|_| dotted.is_none());
        let service = dotted.or_else(|| service(name.to_owned())).ok_or(NoSuchName)?;
        let wanted = Wanted { tag, datacenter: within.datacenter.as_deref(), most };
        let ordered = ordered(&self.registry, &service, wanted);
        if !ordered.is_known {
            return Err(NoSuchName);
        }
        Ok(instance_records(self, domain, &ordered, rtype))
    }

    fn of_node(
        &self,
        name: &str,
        datacenter: Option<&str>,
        rtype: Rtype,
    ) -> Result<Records, NoSuchName> {
        let members = self.directory.members(&self.registry);
        let is_in = |known: &KnownMember, datacenter: &str| {
            known.member.datacenter.eq_ignore_ascii_case(datacenter)
        };
        let named = members.named(name);
        let within = |datacenter: &str| -> Vec<_> {
            named.iter().filter(|known| is_in(known, datacenter)).collect()
        };
        let found = match datacenter {
            Some(datacenter) => within(datacenter),
            None => match within(&self.own_datacenter) {
                none if none.is_empty() => named.iter().collect(),
                own => own,
            },
        };
        if found.is_empty() {
            return Err(NoSuchName);
        }
        if rtype == Rtype::TXT {
            let texts = found.iter().filter_map(|known| {
                let member = &known.member;
                text_record([
                    ("status", member_word(member.status)),
                    ("datacenter", &member.datacenter),
                    ("zone", &member.zone),
                ])
            });
            return Ok(Records::of(texts));
        }
        Ok(address_records(rtype, found.iter().filter_map(|known| address_of(known))))
    }

    fn of_apex(&self, domain: &DnsDomain, rtype: Rtype) -> Records {
        let soa = self.soa(domain).map(|record| record.data);
        let server = names::below(domain, "ns");
        let mut records = Records::default();
        if matches!(rtype, Rtype::SOA | Rtype::ANY) {
            records = Records::of(soa);
        }
        if let (Rtype::NS | Rtype::ANY, Some(server)) = (rtype, server) {
            records.records.push(Record { owner: None, data: Data::Ns(server.clone()) });
            let address = Record { owner: Some(server), data: self.own_address.into() };
            records.additionals.push(address);
        }
        records
    }

    /// The record of a domain itself. It says for how long others may keep that there is nothing.
    fn soa(&self, domain: &DnsDomain) -> Option<Record> {
        let [refresh, retry, expire] = COPY_TIMES_S.map(Ttl::from_secs);
        let minimum = Ttl::from_secs(self.config.ttl_s);
        // Revisions count from the start of the agent, in microseconds since 1970.
        let serial = Serial::from((self.registry.revision() / 1_000_000) as u32);
        let [server, mailbox] = ["ns", "hostmaster"].map(|label| names::below(domain, label));
        let soa = Soa::new(server?, mailbox?, serial, refresh, retry, expire, minimum);
        Some(Record { owner: Some(names::apex(domain)?), data: Data::Soa(soa) })
    }

    /// The names of an address that is in the catalog, in the first domain.
    fn names_of(&self, address: IpAddr, rtype: Rtype) -> Records {
        let Some(domain) = self.config.domains.first() else { return Records::default() };
        if !matches!(rtype, Rtype::PTR | Rtype::ANY) {
            return Records::default();
        }
        let name = |named: Named| -> Option<OwnName> {
            match named {
                Named::Node { name, datacenter } => names::node_name(domain, &name, &datacenter),
                Named::Service { key, datacenter } => {
                    names::service_name(domain, (&key.service, &key.namespace), &datacenter)
                }
            }
        };
        let named = self.directory.names_of(&self.registry, address);
        Records::of(named.into_iter().filter_map(name).map(Data::Ptr))
    }
}
