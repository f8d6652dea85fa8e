//! Tests of the rules for checks.

use super::*;
use hobnob_api::address::AddressError;

fn valid(check: &Check) -> Result<(), CheckError> {
    validate(check, false)
}

fn check() -> Check {
    Check {
        name: "check".into(),
        interval_ms: 1_000,
        timeout_ms: 500,
        success_before_passing: 1,
        failures_before_critical: 3,
        listener_watch: true,
        ..Check::new(Probe::Tcp { address: "127.0.0.1:80".into() })
    }
}

#[test]
fn the_ends_of_every_range() {
    for interval_ms in [10, 86_400_000] {
        assert_eq!(valid(&Check { interval_ms, ..check() }), Ok(()));
    }
    for interval_ms in [0, 9, 86_400_001, u64::MAX] {
        assert_eq!(
            valid(&Check { interval_ms, ..check() }),
            Err(CheckError::Interval { given_ms: interval_ms })
        );
    }
    for timeout_ms in [1, 60_000] {
        assert_eq!(valid(&Check { timeout_ms, ..check() }), Ok(()));
    }
    for timeout_ms in [0, 60_001, u64::MAX] {
        assert_eq!(
            valid(&Check { timeout_ms, ..check() }),
            Err(CheckError::Timeout { given_ms: timeout_ms })
        );
    }
    for threshold in [1, 100] {
        let both = Check {
            success_before_passing: threshold,
            failures_before_critical: threshold,
            ..check()
        };
        assert_eq!(valid(&both), Ok(()));
    }
    for given in [0, 101, u32::MAX] {
        let error = valid(&Check { success_before_passing: given, ..check() });
        assert_eq!(error, Err(CheckError::Threshold { field: "success_before_passing", given }));
        let error = valid(&Check { failures_before_critical: given, ..check() });
        assert_eq!(error, Err(CheckError::Threshold { field: "failures_before_critical", given }));
    }
}

#[test]
fn a_target_that_cannot_be_used_is_refused() {
    let malformed = Check { probe: Probe::http("ftp://localhost/"), ..check() };
    assert!(matches!(valid(&malformed), Err(CheckError::Target(AddressError::Url { .. }))));
}

fn of(probe: &str) -> Result<(), CheckError> {
    let probe = serde_json::from_str(probe).expect(probe);
    validate(&Check { probe, ..check() }, true)
}

#[test]
fn every_kind_has_rules() {
    let long = "x".repeat(5_000);
    let http = |fields: &str| format!(r#"{{"http":{{"url":"http://h/",{fields}}}}}"#);
    for (probe, refused) in [
        (http(r#""method":"POST","headers":{"x-a":"b"},"body":"{}""#), None),
        (http(r#""method":"post""#), Some("method")),
        (http(r#""method":"CONNECT""#), Some("method")),
        (http(r#""headers":{"a b":"c"}"#), Some("`a b`")),
        (http(r#""headers":{"a":"b\nc"}"#), Some("`a`")),
        (http(r#""headers":{"Connection":"close"}"#), Some("itself")),
        (http(&format!(r#""body":"{long}""#)), Some("body")),
        (http(r#""tls":{"ca_file":"ca.pem"}"#), Some("ca_file")),
        (http(r#""tls":{"server_name":"a b"}"#), Some("server_name")),
        (r#"{"udp":{"address":"h:53","payload":"ping"}}"#.to_owned(), None),
        (r#"{"udp":{"address":"h"}}"#.to_owned(), Some("HOST:PORT")),
        (format!(r#"{{"udp":{{"address":"h:53","payload":"{long}"}}}}"#), Some("payload")),
        (r#"{"grpc":{"address":"h:53","tls":{"skip_verify":true}}}"#.to_owned(), None),
        (r#"{"script":{"args":["/bin/true"]}}"#.to_owned(), None),
        (r#"{"script":{"args":[]}}"#.to_owned(), Some("a program")),
        (r#"{"script":{"args":["a\u0000"]}}"#.to_owned(), Some("NUL")),
        (r#"{"ttl":{"ttl_ms":30000}}"#.to_owned(), None),
        (r#"{"ttl":{"ttl_ms":9}}"#.to_owned(), Some("ttl_ms is 9 ms: choose one from 10 ms")),
        (r#"{"alias":{"instance":"db-1"}}"#.to_owned(), None),
        (r#"{"alias":{"member":""}}"#.to_owned(), Some("alias")),
    ] {
        let told = of(&probe).err().map(|error| error.to_string());
        assert_eq!(told.is_some(), refused.is_some(), "{probe}: {told:?}");
        assert!(told.is_none_or(|told| told.contains(refused.unwrap_or_default())), "{probe}");
    }
}

#[test]
fn an_alias_is_not_probed_as_often_as_others() {
    let alias = |interval_ms| {
        let probe = Probe::Alias(Alias::Instance("db-1".into()));
        valid(&Check { interval_ms, probe, ..check() })
    };
    assert_eq!(alias(1_000), Ok(()));
    let refused = alias(999).expect_err("too often").to_string();
    assert!(refused.contains("999 ms: choose one from 1 s to one day"), "{refused}");
}

#[test]
fn a_script_needs_an_agent_that_runs_scripts() {
    let script = Check { probe: Probe::Script { args: vec!["/bin/true".into()] }, ..check() };
    let refused = validate(&script, false).expect_err("off");
    assert!(refused.to_string().contains("--enable-script-checks"), "{refused}");
}

#[test]
fn a_warning_comes_before_critical_and_a_registration_does_not_end_at_once() {
    let warning = |count| valid(&Check { failures_before_warning: Some(count), ..check() });
    assert_eq!(warning(2), Ok(()));
    assert_eq!(warning(3), Err(CheckError::Warning { given: 3, critical: 3 }));
    let field = "failures_before_warning";
    assert_eq!(warning(0), Err(CheckError::Threshold { field, given: 0 }));
    let after = |ms| valid(&Check { deregister_critical_after_ms: Some(ms), ..check() });
    assert_eq!(after(1_000), Ok(()));
    assert!(matches!(after(999), Err(CheckError::Time { given_ms: 999, .. })));
}

#[test]
fn messages_name_the_value_and_the_range() {
    let message = CheckError::Interval { given_ms: 5 }.to_string();
    assert_eq!(message, "the check's interval is 5 ms: choose one from 10 ms to one day");
    let message = CheckError::Timeout { given_ms: 0 }.to_string();
    assert_eq!(message, "the check's timeout is 0 ms: choose one from 1 ms to 60 s");
}
