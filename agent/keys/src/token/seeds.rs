//! The members to join at, as a token carries them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::WHAT;
use crate::bytes::{DecodeError, Reader};
use crate::names::Name;
use crate::tlv;

/// Kinds of elements for seeds.
mod kind {
    pub(super) const ADDRESS: u8 = 0x01;
    pub(super) const WAN_ADDRESS: u8 = 0x02;
    pub(super) const NAME: u8 = 0x03;
    pub(super) const WAN_NAME: u8 = 0x04;
}

/// A member to join at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seed {
    /// Where it takes gossip.
    pub address: SeedAddress,
    /// Whether it is a seed for other datacenters, not for its own.
    pub wan: bool,
}

/// Where a seed takes gossip.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SeedAddress {
    /// An IP address and a port: 6 or 18 bytes.
    Socket(SocketAddr),
    /// A host name, with or without a port. This crate does not check its form.
    Name(Name),
}

impl From<SocketAddr> for SeedAddress {
    /// The address without the scope of an IPv6 address.
    fn from(address: SocketAddr) -> Self {
        Self::Socket(SocketAddr::new(address.ip(), address.port()))
    }
}

impl fmt::Display for SeedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl Seed {
    /// Whether elements of this kind are seeds.
    pub(super) fn is_kind(kind: u8) -> bool {
        (kind::ADDRESS..=kind::WAN_NAME).contains(&kind)
    }

    pub(super) fn kind(&self) -> u8 {
        match (&self.address, self.wan) {
            (SeedAddress::Socket(_), false) => kind::ADDRESS,
            (SeedAddress::Socket(_), true) => kind::WAN_ADDRESS,
            (SeedAddress::Name(_), false) => kind::NAME,
            (SeedAddress::Name(_), true) => kind::WAN_NAME,
        }
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let kind = self.kind();
        match &self.address {
            SeedAddress::Socket(address) => {
                let port = address.port().to_le_bytes();
                match address.ip() {
                    IpAddr::V4(ip) => {
                        tlv::put(out, kind, WHAT, &[&ip.octets()[..], &port].concat())
                    }
                    IpAddr::V6(ip) => {
                        tlv::put(out, kind, WHAT, &[&ip.octets()[..], &port].concat())
                    }
                }
            }
            SeedAddress::Name(name) => tlv::put(out, kind, WHAT, name.as_str().as_bytes()),
        }
    }

    /// Reads an element. `None` if its kind is no seed.
    pub(super) fn read(kind: u8, value: &[u8]) -> Result<Option<Self>, DecodeError> {
        let address = match kind {
            kind::ADDRESS | kind::WAN_ADDRESS => {
                let mut reader = Reader::new("a seed of the token", value);
                let ip: IpAddr = match value.len() {
                    ..=6 => reader.array::<4>()?.into(),
                    _ => reader.array::<16>()?.into(),
                };
                let port = reader.u16()?;
                reader.end()?;
                SeedAddress::Socket(SocketAddr::new(ip, port))
            }
            kind::NAME | kind::WAN_NAME => SeedAddress::Name(tlv::text(WHAT, value)?),
            _ => return Ok(None),
        };
        Ok(Some(Self { address, wan: matches!(kind, kind::WAN_ADDRESS | kind::WAN_NAME) }))
    }
}
