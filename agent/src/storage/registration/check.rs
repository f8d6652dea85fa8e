//! Health checks as they are stored on disk.

use std::collections::BTreeMap;

use hobnob_api::{
    Alias, Check, CheckStatus, DEFAULT_CHECK_INTERVAL, DEFAULT_CHECK_TIMEOUT,
    DEFAULT_FAILURES_BEFORE_CRITICAL, DEFAULT_SUCCESS_BEFORE_PASSING, GrpcProbe, HttpProbe, Probe,
    ProbeTls, UdpProbe,
};
use serde::{Deserialize, Serialize};

/// A health check. All numbers are as the API gives them. A kind has the fields that it needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCheck {
    /// Its name, unique in its registration.
    pub name: String,
    /// Its kind: `http`, `https`, `tcp`, `udp`, `grpc`, `script`, `ttl`, `alias`, or a kind of a later version.
    pub kind: String,
    /// The URL of `http` and `https`, the address of `tcp`, `udp` and `grpc`.
    #[serde(default)]
    pub target: String,
    /// Milliseconds from the start of one try to the start of the next.
    #[serde(default = "default_interval_ms")]
    pub interval_ms: u64,
    /// Milliseconds after which a try has failed.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
    /// Successes in a row before it is passing.
    #[serde(default = "default_success_before_passing")]
    pub success_before_passing: u32,
    /// Failures in a row before it is critical. The name on disk is that of the first version, so that it can be gone back to.
    #[serde(rename = "failures_before_failing", default = "default_failures_before_critical")]
    pub failures_before_critical: u32,
    /// Whether the listener of a service on this host is watched.
    #[serde(default = "default_true", skip_serializing_if = "is_true")]
    pub listener_watch: bool,
    /// Failures in a row before a passing one is warning.
    #[serde(default, skip_serializing_if = "is_default")]
    pub failures_before_warning: Option<u32>,
    /// The status before the first verdict: `passing`, `warning`, `critical`, or a word of a later version.
    #[serde(default, skip_serializing_if = "is_default")]
    pub initial: Option<String>,
    /// Milliseconds for which it may be critical before its instance is deregistered.
    #[serde(default, skip_serializing_if = "is_default")]
    pub deregister_critical_after_ms: Option<u64>,
    /// The method of `http`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub method: Option<String>,
    /// The fields of the head of `http`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub headers: BTreeMap<String, String>,
    /// The body of `http`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub body: Option<String>,
    /// The status codes that `http` expects.
    #[serde(default, skip_serializing_if = "is_default")]
    pub expect: Vec<String>,
    /// Whether `grpc` speaks TLS.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tls: bool,
    /// The file of the CAs that TLS trusts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ca_file: Option<String>,
    /// The CAs that TLS trusts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ca_pem: Option<String>,
    /// The name that the server proves over TLS.
    #[serde(default, skip_serializing_if = "is_default")]
    pub server_name: Option<String>,
    /// Whether any certificate will do.
    #[serde(default, skip_serializing_if = "is_default")]
    pub skip_verify: bool,
    /// The content of the datagram of `udp`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub payload: Option<String>,
    /// Whether silence passes for `udp`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub silence_passes: bool,
    /// The service that `grpc` asks for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub service: Option<String>,
    /// The program of `script`, with its arguments.
    #[serde(default, skip_serializing_if = "is_default")]
    pub args: Vec<String>,
    /// Milliseconds for which a report of `ttl` holds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ttl_ms: Option<u64>,
    /// The instance that `alias` follows.
    #[serde(default, skip_serializing_if = "is_default")]
    pub instance: Option<String>,
    /// The member that `alias` follows.
    #[serde(default, skip_serializing_if = "is_default")]
    pub member: Option<String>,
}

impl From<&Check> for StoredCheck {
    fn from(check: &Check) -> Self {
        Self {
            name: check.name.clone(),
            interval_ms: check.interval_ms,
            timeout_ms: check.timeout_ms,
            success_before_passing: check.success_before_passing,
            failures_before_critical: check.failures_before_critical,
            listener_watch: check.listener_watch,
            failures_before_warning: check.failures_before_warning,
            initial: check.initial.map(|initial| initial.name().to_owned()),
            deregister_critical_after_ms: check.deregister_critical_after_ms,
            ..Self::of_probe(&check.probe)
        }
    }
}

impl StoredCheck {
    /// The fields that depend on the kind.
    fn of_probe(probe: &Probe) -> Self {
        let kind = probe.kind().to_owned();
        match probe.clone() {
            Probe::Http(http) => {
                let HttpProbe { url, method, headers, body, expect, tls } = *http;
                // A version without TLS does not know the kind, and so does not call the instance unhealthy.
                let kind = if url.starts_with("https:") { "https".to_owned() } else { kind };
                let expect = expect.iter().map(ToString::to_string).collect();
                Self { kind, target: url, method, headers, body, expect, ..Self::of_tls(tls) }
            }
            Probe::Tcp { address } => Self { kind, target: address, ..Self::default() },
            Probe::Udp(UdpProbe { address, payload, silence_passes }) => {
                Self { kind, target: address, payload, silence_passes, ..Self::default() }
            }
            Probe::Grpc(grpc) => {
                let GrpcProbe { address, service, tls } = *grpc;
                let is_tls = tls.is_some();
                let rest = Self::of_tls(tls.unwrap_or_default());
                Self { kind, target: address, service, tls: is_tls, ..rest }
            }
            Probe::Script { args } => Self { kind, args, ..Self::default() },
            Probe::Ttl { ttl_ms } => Self { kind, ttl_ms: Some(ttl_ms), ..Self::default() },
            Probe::Alias(Alias::Instance(id)) => {
                Self { kind, instance: Some(id), ..Self::default() }
            }
            Probe::Alias(Alias::Member(name)) => {
                Self { kind, member: Some(name), ..Self::default() }
            }
        }
    }

    fn of_tls(tls: ProbeTls) -> Self {
        let ProbeTls { ca_file, ca_pem, server_name, skip_verify } = tls;
        Self { ca_file, ca_pem, server_name, skip_verify, ..Self::default() }
    }

    /// The check, if this version knows its kind.
    #[must_use]
    pub fn to_check(&self) -> Option<Check> {
        Some(Check {
            name: self.name.clone(),
            probe: self.probe()?,
            interval_ms: self.interval_ms,
            timeout_ms: self.timeout_ms,
            success_before_passing: self.success_before_passing,
            failures_before_warning: self.failures_before_warning,
            failures_before_critical: self.failures_before_critical,
            initial: self.initial.as_deref().and_then(CheckStatus::of),
            deregister_critical_after_ms: self.deregister_critical_after_ms,
            listener_watch: self.listener_watch,
        })
    }

    fn probe(&self) -> Option<Probe> {
        let address = self.target.clone();
        let tls = ProbeTls {
            ca_file: self.ca_file.clone(),
            ca_pem: self.ca_pem.clone(),
            server_name: self.server_name.clone(),
            skip_verify: self.skip_verify,
        };
        Some(match self.kind.as_str() {
            "http" | "https" => Probe::Http(Box::new(HttpProbe {
                url: address,
                method: self.method.clone(),
                headers: self.headers.clone(),
                body: self.body.clone(),
                expect: self.expect.iter().filter_map(|range| range.parse().ok()).collect(),
                tls,
            })),
            "tcp" => Probe::Tcp { address },
            "udp" => {
                let (payload, silence_passes) = (self.payload.clone(), self.silence_passes);
                Probe::Udp(UdpProbe { address, payload, silence_passes })
            }
            "grpc" => {
                let (service, tls) = (self.service.clone(), self.tls.then_some(tls));
                Probe::Grpc(Box::new(GrpcProbe { address, service, tls }))
            }
            "script" => Probe::Script { args: self.args.clone() },
            "ttl" => Probe::Ttl { ttl_ms: self.ttl_ms? },
            "alias" => Probe::Alias(match (&self.instance, &self.member) {
                (Some(id), _) => Alias::Instance(id.clone()),
                (None, name) => Alias::Member(name.clone()?),
            }),
            _ => return None,
        })
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn default_true() -> bool {
    true
}

fn is_true(value: &bool) -> bool {
    *value
}

fn default_interval_ms() -> u64 {
    DEFAULT_CHECK_INTERVAL.as_millis() as u64
}

fn default_timeout_ms() -> u64 {
    DEFAULT_CHECK_TIMEOUT.as_millis() as u64
}

fn default_success_before_passing() -> u32 {
    DEFAULT_SUCCESS_BEFORE_PASSING
}

fn default_failures_before_critical() -> u32 {
    DEFAULT_FAILURES_BEFORE_CRITICAL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_comes_back_as_it_was_given() {
        let tls = ProbeTls {
            ca_file: Some("/etc/ca.pem".to_owned()),
            ca_pem: Some("PEM".to_owned()),
            server_name: Some("shop".to_owned()),
            skip_verify: true,
        };
        for probe in [
            Probe::http("http://127.0.0.1:80/"),
            Probe::Http(Box::new(HttpProbe {
                url: "https://127.0.0.1:443/".to_owned(),
                method: Some("POST".to_owned()),
                headers: BTreeMap::from([("x-a".to_owned(), "b".to_owned())]),
                body: Some("{}".to_owned()),
                expect: vec!["200-204".parse().expect("a range"), "3xx".parse().expect("a class")],
                tls: tls.clone(),
            })),
            Probe::tcp("127.0.0.1:80"),
            Probe::Udp(UdpProbe {
                address: "127.0.0.1:53".to_owned(),
                payload: Some("ping".to_owned()),
                silence_passes: true,
            }),
            Probe::Grpc(Box::new(GrpcProbe {
                address: "127.0.0.1:80".to_owned(),
                service: Some("shop".to_owned()),
                tls: Some(tls),
            })),
            Probe::Script { args: vec!["/bin/true".to_owned(), "-v".to_owned()] },
            Probe::Ttl { ttl_ms: 30_000 },
            Probe::Alias(Alias::Instance("db".to_owned())),
            Probe::Alias(Alias::Member("host-1".to_owned())),
        ] {
            let check = Check {
                name: "deep".to_owned(),
                probe,
                interval_ms: 1,
                timeout_ms: 2,
                success_before_passing: 3,
                failures_before_warning: Some(2),
                failures_before_critical: 4,
                initial: Some(CheckStatus::Warning),
                deregister_critical_after_ms: Some(60_000),
                listener_watch: false,
            };
            let stored = StoredCheck::from(&check);
            let json = serde_json::to_string(&stored).expect("written");
            assert_eq!(serde_json::from_str::<StoredCheck>(&json).expect("read"), stored);
            assert_eq!(stored.to_check(), Some(check));
        }
    }

    #[test]
    fn a_check_of_a_later_version_is_none_that_can_run() {
        let json = r#"{"name":"deep","kind":"quic","interval_ms":1,"timeout_ms":2,"success_before_passing":3,"failures_before_failing":4}"#;
        let check: StoredCheck = serde_json::from_str(json).expect("parsed");
        assert_eq!((check.to_check(), check.failures_before_critical), (None, 4));
        let json = r#"{"name":"lease","kind":"lease","lease_ms":5000}"#;
        let check: StoredCheck =
            serde_json::from_str(json).expect("a check without today's numbers");
        assert_eq!(check.to_check(), None);
    }
}
