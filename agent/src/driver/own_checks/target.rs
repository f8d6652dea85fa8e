//! What a check examines, as people see it and as its kept verdict names it.

use hobnob_api::{Alias, Check, Probe};
use xxhash_rust::xxh3::xxh3_64;

/// What a probe examines: the URL or address that it asks, its program, or what it follows. Every user of the query socket
/// sees it, so the arguments of a program, which may hold secrets, are left out.
pub(super) fn shown(probe: &Probe) -> String {
    match probe {
        Probe::Http(http) => http.url.clone(),
        Probe::Tcp { address } => address.clone(),
        Probe::Udp(udp) => udp.address.clone(),
        Probe::Grpc(grpc) => match &grpc.service {
            Some(service) => format!("{}/{service}", grpc.address),
            None => grpc.address.clone(),
        },
        Probe::Script { args } => args.first().cloned().unwrap_or_default(),
        Probe::Ttl { ttl_ms } => format!("reports within {ttl_ms} ms"),
        Probe::Alias(Alias::Instance(id)) => format!("the instance {id}"),
        Probe::Alias(Alias::Member(name)) => format!("the member {name}"),
    }
}

/// What the verdict of a check holds for: its target, and a hash of everything that its probe sends and expects. Another
/// interval or timeout leaves the verdict as it is.
pub(crate) fn target_of(check: &Check) -> String {
    // A probe has no keys that JSON could not hold.
    let probe = serde_json::to_vec(&check.probe).unwrap_or_default();
    format!("{} #{:016x}", shown(&check.probe), xxh3_64(&probe))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(json: &str) -> Probe {
        serde_json::from_str(json).expect(json)
    }

    #[test]
    fn arguments_of_a_script_are_not_shown() {
        let script = probe(r#"{"script":{"args":["/bin/check","--password","secret"]}}"#);
        assert_eq!(shown(&script), "/bin/check");
        assert!(!target_of(&Check::new(script)).contains("secret"));
    }

    #[test]
    fn a_verdict_holds_for_one_probe() {
        let http = |fields: &str| format!(r#"{{"http":{{"url":"http://h/"{fields}}}}}"#);
        let probes = [
            http(""),
            http(r#","method":"HEAD""#),
            http(r#","headers":{"a":"b"}"#),
            http(r#","body":"x""#),
            http(r#","expect":["404"]"#),
            http(r#","tls":{"skip_verify":true}"#),
            r#"{"script":{"args":["/bin/check","a"]}}"#.to_owned(),
            r#"{"script":{"args":["/bin/check","b"]}}"#.to_owned(),
            r#"{"script":{"args":["/bin/check a"]}}"#.to_owned(),
        ];
        let check = |json: &String| Check::new(probe(json));
        let targets = probes.iter().map(|json| target_of(&check(json)));
        let apart: std::collections::BTreeSet<_> = targets.collect();
        assert_eq!(apart.len(), probes.len(), "{apart:?}");
        let rarer = Check { interval_ms: 60_000, ..check(&probes[0]) };
        assert_eq!(target_of(&rarer), target_of(&check(&probes[0])));
    }
}
