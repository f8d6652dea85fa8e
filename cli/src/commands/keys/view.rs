//! A token as it is shown, without its secret.

use std::time::{Duration, UNIX_EPOCH};

use hobnob_keys::{Roles, Seed, Token, Untimely};
use serde::Serialize;

use crate::output;

/// A token as it is shown.
#[derive(Debug, Serialize)]
pub(super) struct TokenView {
    cluster: String,
    cluster_id: String,
    fingerprint: String,
    #[serde(rename = "member")]
    name: Option<String>,
    services: Vec<String>,
    datacenter: Option<String>,
    roles: Vec<&'static str>,
    gateway: bool,
    valid_from_ms: u64,
    valid_until_ms: u64,
    valid: bool,
    seeds: Vec<String>,
    wan_seeds: Vec<String>,
    #[serde(skip)]
    now_ms: u64,
}

impl TokenView {
    pub(super) fn new(token: &Token, now_ms: u64) -> Self {
        let limits = token.limits();
        let roles = [("operator", Roles::OPERATOR), ("founder", Roles::FOUNDER)];
        let roles = roles.into_iter().filter(|(_, role)| limits.roles.has(*role));
        let seeds = |wan| {
            let seeds = token.seeds().iter().filter(move |seed| seed.wan == wan);
            seeds.map(|Seed { address, .. }| address.to_string()).collect()
        };
        Self {
            cluster: limits.cluster_name.to_string(),
            cluster_id: token.trust().cluster().to_string(),
            fingerprint: token.fingerprint().to_string(),
            name: limits.name.as_ref().map(ToString::to_string),
            services: limits.services.iter().map(ToString::to_string).collect(),
            datacenter: limits.datacenter.as_ref().map(ToString::to_string),
            roles: roles.map(|(name, _)| name).collect(),
            gateway: !limits.no_gateway,
            valid_from_ms: limits.validity.from_ms,
            valid_until_ms: limits.validity.until_ms,
            valid: token.valid_at(now_ms).is_ok(),
            seeds: seeds(false),
            wan_seeds: seeds(true),
            now_ms,
        }
    }

    /// When newcomers are let in, by the clock of this host.
    pub(super) fn validity(&self) -> String {
        let until = time(self.valid_until_ms);
        match (hobnob_keys::Validity { from_ms: self.valid_from_ms, until_ms: self.valid_until_ms })
            .at(self.now_ms)
        {
            Ok(()) => {
                format!("until {until}, for {}", output::age(self.valid_until_ms - self.now_ms))
            }
            Err(Untimely::Early { for_ms, .. }) => {
                let from = time(self.valid_from_ms);
                format!("from {from}, in {}, until {until}", output::age(for_ms))
            }
            Err(Untimely::Expired { since_ms, .. }) => {
                format!("no longer: it expired {} ago, at {until}", output::age(since_ms))
            }
        }
    }

    /// The rows of `hobnob token inspect`.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let any = |limit: &Option<String>| limit.clone().unwrap_or_else(|| "any".to_owned());
        let list = |all: &[String], none: &str| match all {
            [] => none.to_owned(),
            all => all.join(", "),
        };
        let roles: Vec<String> = self.roles.iter().map(ToString::to_string).collect();
        let mut fields = vec![
            ("cluster", self.cluster.clone()),
            ("cluster id", self.cluster_id.clone()),
            ("fingerprint", self.fingerprint.clone()),
            ("names", any(&self.name)),
            ("services", list(&self.services, "any")),
            ("datacenter", any(&self.datacenter)),
            ("roles", list(&roles, "none")),
            ("gateway", if self.gateway { "allowed" } else { "never" }.to_owned()),
            ("lets in", self.validity()),
            ("seeds", list(&self.seeds, "none")),
        ];
        if !self.wan_seeds.is_empty() {
            fields.push(("WAN seeds", self.wan_seeds.join(", ")));
        }
        fields
    }
}

/// A time of the wall clock. One that has no date is shown as a number.
pub(super) fn time(ms: u64) -> String {
    /// The end of the year 9999, the last that a date can show.
    const LAST_DATE_MS: u64 = 253_402_300_799_999;
    if ms > LAST_DATE_MS {
        return format!("{ms} ms since 1970");
    }
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(ms)).to_string()
}
