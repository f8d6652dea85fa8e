//! The IP addresses that interfaces and host names stand for, looked up once at the start.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hobnob_api::address::{DEFAULT_GOSSIP_PORT, Host, OwnAddress, is_of_one_host};
use tokio::time::{Instant, timeout_at};

use super::AgentConfig;

/// The longest wait for the resolver, for all names together.
const LOOKUP_WITHIN: Duration = Duration::from_secs(10);

/// The use of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressUse {
    /// It takes gossip.
    Bind,
    /// It takes sync streams.
    SyncBind,
    /// Others send to it.
    Advertise,
}

impl fmt::Display for AddressUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bind => "to listen on",
            Self::SyncBind => "for sync streams",
            Self::Advertise => "to advertise",
        })
    }
}

/// No IP address was found for an interface or a host name. A later start may find one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// The interface has no address, or none that others could send to.
    #[error(
        "the address {purpose}, `{given}`: the interface has no address that others could send to, for a link-local \
         IPv6 address means nothing on other hosts; it has {}",
        listed(has)
    )]
    NoUsableAddress {
        /// Its use.
        purpose: AddressUse,
        /// The address as it was given.
        given: OwnAddress,
        /// The addresses of the interface.
        has: Vec<IpAddr>,
    },
    /// There is neither such an interface nor such a host.
    #[error(
        "the address {purpose}, `{given}`: its host is no IP address; it is no interface with an address ({interfaces}); \
         as a host name it leads nowhere: {reason}"
    )]
    Unknown {
        /// Its use.
        purpose: AddressUse,
        /// The address as it was given.
        given: OwnAddress,
        /// The interfaces of this host, or why they are not known.
        interfaces: String,
        /// The answer of the resolver.
        reason: String,
    },
}

impl LookupError {
    /// The use of the address.
    #[must_use]
    pub fn purpose(&self) -> AddressUse {
        match self {
            Self::NoUsableAddress { purpose, .. } | Self::Unknown { purpose, .. } => *purpose,
        }
    }
}

/// An IP address with its port, and what led to it.
#[derive(Clone, Debug)]
pub struct FoundAddress {
    /// The address.
    pub addr: SocketAddr,
    /// The interface or the host name in the configuration; `None` if the IP address stands there.
    pub name: Option<Box<str>>,
}

/// The address, with the interface or the name that led to it.
impl fmt::Display for FoundAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            None => self.addr.fmt(f),
            Some(name) => write!(f, "{} (`{name}`)", self.addr),
        }
    }
}

/// The addresses of an agent, with their defaults filled in.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    pub(super) bind: FoundAddress,
    pub(super) sync_bind: FoundAddress,
    pub(super) advertise: Option<FoundAddress>,
}

/// The part of the host that addresses are looked up with.
pub(crate) trait System: Sync {
    /// The names of interfaces, each with one address, in the order of the system.
    fn interfaces(&self) -> io::Result<Vec<(String, IpAddr)>>;

    /// The addresses of a host name.
    fn look_up(&self, name: &str) -> impl Future<Output = io::Result<Vec<IpAddr>>> + Send;
}

/// The interfaces and the resolver of this host.
pub(crate) struct ThisHost;

impl System for ThisHost {
    fn interfaces(&self) -> io::Result<Vec<(String, IpAddr)>> {
        let interfaces = if_addrs::get_if_addrs()?.into_iter();
        Ok(interfaces.map(|interface| (interface.name.clone(), interface.ip())).collect())
    }

    async fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|found| found.ip()).collect())
    }
}

impl Addresses {
    /// Finds the addresses of a configuration. Equal hosts are looked up once, so that they cannot lead apart.
    ///
    /// # Errors
    /// A host is neither an IP address, nor an interface with a usable address, nor a name that resolves in time.
    pub(crate) async fn find(
        config: &AgentConfig,
        system: &impl System,
    ) -> Result<Self, LookupError> {
        let deadline = Instant::now() + LOOKUP_WITHIN;
        let bind = &config.bind;
        let bound = find(AddressUse::Bind, bind, system, deadline).await?;
        let with_port = |given: &OwnAddress, ip, default| FoundAddress {
            addr: SocketAddr::new(ip, given.port.unwrap_or(default)),
            name: ip_of(&given.host).is_none().then(|| given.host.as_str().into()),
        };
        let bind_found = with_port(bind, bound, DEFAULT_GOSSIP_PORT);
        let sync = config.sync_bind.clone();
        let sync = sync.unwrap_or_else(|| OwnAddress { host: bind.host.clone(), port: None });
        let sync_ip = match sync.host == bind.host {
            true => bound,
            false => find(AddressUse::SyncBind, &sync, system, deadline).await?,
        };
        let advertise = match &config.advertise {
            None => None,
            Some(given) if given.host == bind.host => {
                Some(with_port(given, bound, bind_found.addr.port()))
            }
            Some(given) => {
                let ip = find(AddressUse::Advertise, given, system, deadline).await?;
                Some(with_port(given, ip, bind_found.addr.port()))
            }
        };
        Ok(Self { sync_bind: with_port(&sync, sync_ip, 0), bind: bind_found, advertise })
    }
}

/// The IP address of a host: itself, or the first usable one of the interface of that name, or else of the host name.
async fn find(
    purpose: AddressUse,
    given: &OwnAddress,
    system: &impl System,
    deadline: Instant,
) -> Result<IpAddr, LookupError> {
    if let Some(ip) = ip_of(&given.host) {
        return Ok(ip);
    }
    let name = given.host.as_str();
    let interfaces = system.interfaces();
    let here: &[(String, IpAddr)] = interfaces.as_deref().unwrap_or_default();
    let has: Vec<IpAddr> =
        here.iter().filter(|(label, _)| is_of_interface(label, name)).map(|(_, ip)| *ip).collect();
    if !has.is_empty() {
        let Some(ip) = first_by(&has, |_| 0) else {
            return Err(LookupError::NoUsableAddress { purpose, given: given.clone(), has });
        };
        tracing::info!(%given, address = %ip, "the address {purpose} is that of an interface");
        return Ok(ip);
    }
    let unknown = |reason| {
        let mut names: Vec<&str> = here.iter().map(|(label, _)| label.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let interfaces = match &interfaces {
            Ok(_) => format!("those are {}", names.join(", ")),
            Err(error) => format!("they cannot be listed: {error}"),
        };
        LookupError::Unknown { purpose, given: given.clone(), interfaces, reason }
    };
    let found = match timeout_at(deadline, system.look_up(name)).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return Err(unknown(error.to_string())),
        Err(_) => {
            let seconds = LOOKUP_WITHIN.as_secs();
            return Err(unknown(format!("the resolver does not answer within {seconds} s")));
        }
    };
    let found: Vec<IpAddr> = found.into_iter().map(|ip| ip.to_canonical()).collect();
    let is_elsewhere = |ip: &IpAddr| here.iter().all(|(_, here)| here != ip);
    let listens = purpose != AddressUse::Advertise;
    let last = |ip: &IpAddr| 2 * u8::from(listens && is_elsewhere(ip)) + u8::from(ip.is_loopback());
    let Some(ip) = first_by(&found, last) else {
        return Err(unknown(format!("it has {}, and no usable address", listed(&found))));
    };
    tracing::info!(%given, address = %ip, "the address {purpose} is that of a host name");
    if ip.is_loopback() && !is_localhost(name) {
        tracing::warn!(
            %given, address = %ip,
            "the host name leads to this host's loopback, which no other host reaches: give an IP address or an interface \
             instead, or correct the name (see /etc/hosts)"
        );
    }
    Ok(ip)
}

fn ip_of(host: &Host) -> Option<IpAddr> {
    host.as_str().parse().ok()
}

/// Whether an address of this label belongs to the interface. Further IPv4 addresses may have labels such as `eth0:1`.
fn is_of_interface(label: &str, interface: &str) -> bool {
    label.strip_prefix(interface).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

/// The first usable address: of those with the least `last`, IPv4 before IPv6, and link-local IPv4 last.
fn first_by(addresses: &[IpAddr], last: impl Fn(&IpAddr) -> u8) -> Option<IpAddr> {
    let rank = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) if ip.is_link_local() => 2,
        IpAddr::V4(_) => 0,
        IpAddr::V6(_) => 1,
    };
    let usable = addresses.iter().copied().filter(|ip| is_of_one_host(*ip) && !needs_scope(*ip));
    usable.min_by_key(|ip| (last(ip), rank(ip)))
}

/// Whether an address means nothing without the interface that it belongs to.
pub(super) fn needs_scope(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// Whether a name stands for loopback by definition (RFC 6761, section 6.3).
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

fn listed(addresses: &[IpAddr]) -> String {
    match addresses {
        [] => "none".to_owned(),
        some => some.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests;
