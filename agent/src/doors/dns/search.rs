//! What a name in one of our domains has.

use domain::base::Rtype;

use super::directory::{Index, address_of};
use super::instances::{address_records, instance_records};
use super::names::{Subject, Within};
use super::records::{Missing, Records};
use super::texts::text_record;
use super::zone::Zone;
use crate::config::DnsDomain;
use crate::queries::metrics::member_word;
use crate::queries::ordered::{Offered, Wanted};

/// The namespace of names that name none.
const DEFAULT_NAMESPACE: &str = "default";

/// A question, and what it is answered from.
pub(super) struct Search<'a> {
    pub(super) zone: &'a Zone,
    pub(super) index: &'a Index,
    pub(super) domain: &'a DnsDomain,
    pub(super) rtype: Rtype,
    /// The most records of an answer.
    pub(super) most: usize,
}

impl Search<'_> {
    /// The records of the type that was asked for, none if the name is there and has no such record.
    pub(super) fn find(&self, subject: &Subject) -> Result<Records, Missing> {
        match subject {
            Subject::Apex => Ok(self.zone.of_apex(self.domain, self.rtype)),
            Subject::NameServer => {
                Ok(address_records(self.rtype, [self.zone.own_address], self.most))
            }
            Subject::Structure(within) => self.is_there(within).map(|()| Records::default()),
            Subject::Service { labels, within } => self.service(labels, within),
            Subject::Located { name, tag, within } => {
                self.instances(name, tag.as_deref(), within).ok_or(Missing::Name)
            }
            Subject::Protocol { end, tag, within } => self.protocol(end, tag.as_deref(), within),
            Subject::Node { labels, within } => self.node(labels, within),
            Subject::Address { address, within } => {
                self.is_there(within)?;
                Ok(address_records(self.rtype, [*address], self.most))
            }
        }
    }

    /// Whether a datacenter and a namespace are there.
    fn is_there(&self, within: &Within) -> Result<(), Missing> {
        let has_datacenter = |name: &str| {
            self.zone.own_datacenter == name || self.index.members.has_datacenter(name)
        };
        let has_namespace = |name: &str| self.index.services.has_namespace(name);
        let is_there = within.datacenter.as_deref().is_none_or(has_datacenter)
            && within.namespace.as_deref().is_none_or(has_namespace);
        if is_there { Ok(()) } else { Err(Missing::Name) }
    }

    /// The instances of a service. Its name may have dots, and so may a tag: the longest name comes first.
    fn service(&self, labels: &[String], within: &Within) -> Result<Records, Missing> {
        let found = (0..labels.len()).find_map(|at| {
            let (tag, name) = labels.split_at(at);
            let tag = (at > 0).then(|| tag.join("."));
            self.instances(&name.join("."), tag.as_deref(), within)
        });
        match found {
            Some(records) => Ok(records),
            None if self.has_services_below(labels, within) => {
                self.is_there(within).map(|()| Records::default())
            }
            None => Err(Missing::Name),
        }
    }

    /// The records of those that match; `None` if none does.
    fn instances(&self, name: &str, tag: Option<&str>, within: &Within) -> Option<Records> {
        let registry = &self.zone.registry;
        let service = self.index.services.get(registry, namespace(within), name)?;
        let instances = service.instances();
        let wanted = Wanted { tag, datacenter: within.datacenter.as_deref() };
        let offered = Offered::of(registry, &service, &instances, wanted)?;
        Some(instance_records(self.index, self.domain, offered, self.rtype, self.most))
    }

    /// Whether a service or a tag has a name that ends with this one and has more labels.
    fn has_services_below(&self, labels: &[String], within: &Within) -> bool {
        let services = &self.index.services;
        let has_tag_below = |at: usize| {
            let (tag, name) = labels.split_at(at);
            let end = format!(".{}", tag.join("."));
            let service = services.get(&self.zone.registry, namespace(within), &name.join("."));
            let instances = service.map(|service| service.instances()).unwrap_or_default();
            let mut tags = instances.values().flat_map(|entry| entry.service.tags.iter());
            tags.any(|tag| tag.to_ascii_lowercase().ends_with(&end))
        };
        services.has_below(namespace(within), &labels.join("."))
            || (1..labels.len()).any(has_tag_below)
    }

    /// What stands above the names that RFC 2782 gives to services has no records.
    fn protocol(
        &self,
        end: &[String],
        tag: Option<&str>,
        within: &Within,
    ) -> Result<Records, Missing> {
        self.is_there(within)?;
        let services = &self.index.services;
        if !end.is_empty() && !services.has_below(namespace(within), &end.join(".")) {
            return Err(Missing::Name);
        }
        if let Some(tag) = tag {
            let gathered = self.zone.directory.gathered().ok_or(Missing::Gathering)?;
            if !gathered.has_tag(namespace(within), within.datacenter.as_deref(), tag) {
                return Err(Missing::Name);
            }
        }
        Ok(Records::default())
    }

    /// A member, of the agent's own datacenter first. It is there while it is remembered, be it dead.
    fn node(&self, labels: &[String], within: &Within) -> Result<Records, Missing> {
        let (name, members) = (labels.join("."), &self.index.members);
        let datacenter = within.datacenter.as_deref();
        let mut found =
            members.named(&name, datacenter.or(Some(self.zone.own_datacenter.as_str())));
        if found.is_empty() && datacenter.is_none() {
            found = members.named(&name, None);
        }
        if found.is_empty() {
            let has_below = members.has_below(&name, datacenter);
            return if has_below { Ok(Records::default()) } else { Err(Missing::Name) };
        }
        if self.rtype != Rtype::TXT {
            let addresses = found.iter().filter_map(|known| address_of(known));
            return Ok(address_records(self.rtype, addresses, self.most));
        }
        let texts = found.iter().filter_map(|known| {
            let member = &known.member;
            text_record([
                ("status", member_word(member.status)),
                ("datacenter", &member.datacenter),
                ("zone", &member.zone),
            ])
        });
        Ok(Records::up_to(self.most, texts))
    }
}

fn namespace(within: &Within) -> &str {
    within.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE)
}
