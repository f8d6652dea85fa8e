//! Every pair of a token and a data directory, and the agent that follows from it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use hobnob_keys::{
    CaKey, Command, Limits, Name, NodeKey, OperatorCredential, Revoked, Roles, SignedCommand,
    Token, Validity,
};

use hobnob_membership::Protocol;

use super::*;
use crate::config::{SocketMode, StartedWith, TokenSource, ValidConfig};
use crate::storage::fake_disk::FakeDisk;
use crate::storage::{KeptKeys, LockedDir, StoredRegistration};

/// The clock of the host, in ms since 1970. Tokens are valid from some time before until a second later.
const NOW_MS: u64 = 1_700_000_000_000;

struct Cluster(CaKey);

impl Cluster {
    fn prod() -> Self {
        Self(CaKey::found("prod".parse().expect("a name"), &[1; 32]))
    }

    fn other() -> Self {
        Self(CaKey::found("other".parse().expect("a name"), &[2; 32]))
    }

    /// A token that was made so many ms ago.
    fn token(&self, age_ms: u64, change: impl FnOnce(&mut Limits)) -> Token {
        let mut limits = Limits {
            cluster_name: self.0.cluster_name().clone(),
            name: None,
            services: vec![],
            datacenter: None,
            roles: Roles::NONE,
            no_gateway: false,
            validity: Validity { from_ms: NOW_MS - age_ms, until_ms: NOW_MS + 1_000 },
        };
        change(&mut limits);
        let seeds = vec![hobnob_keys::Seed {
            address: hobnob_keys::SeedAddress::Name("seed:1".parse().expect("a name")),
            wan: false,
        }];
        let seed = u8::try_from(age_ms % 251).expect("small") + 2;
        self.0.token(&[seed; 32], limits, seeds).expect("legal limits")
    }
}

fn any(_: &mut Limits) {}

fn text(token: &Token) -> Option<TokenSource> {
    Some(TokenSource::Text(token.to_text().to_string().into()))
}

fn config(token: Option<TokenSource>) -> ValidConfig {
    let loopback = (Ipv4Addr::LOCALHOST, 0).into();
    ValidConfig {
        name: None,
        cluster: None,
        datacenter: None,
        host_name: "host".to_owned(),
        zone: String::new(),
        token,
        data_dir: PathBuf::new(),
        bind: loopback,
        sync_bind: loopback,
        advertise: IpAddr::V4(Ipv4Addr::LOCALHOST),
        advertise_port: None,
        advertise_sync_port: None,
        socket: PathBuf::new(),
        write_group: None,
        query_socket: None,
        query_socket_mode: SocketMode::default(),
        join: vec![],
        join_wan: vec![],
        gateway: hobnob_membership::Gateway::Yes,
        protocol: Protocol::default(),
        keep_on_exit: false,
        insecure: false,
        listener_watch: false,
        config_dir: None,
        started_with: StartedWith::default(),
        script_checks: false,
        http: None,
        insecure_http: false,
        http_tls: None,
        http_open_writes: false,
        dns: None,
        log_filter: None,
    }
}

fn start(disk: &FakeDisk, config: &ValidConfig) -> Result<Entered, SecurityError> {
    enter(LockedDir::on(Box::new(disk.clone())), config, NOW_MS)
}

/// A start that makes a member, or leaves it one.
fn member(disk: &FakeDisk, config: &ValidConfig) -> (Entered, Sealed) {
    let mut entered = start(disk, config).expect("it starts");
    let (sealed, _) = entered.sealed.take().expect("a member");
    assert_eq!(entered.data_dir.node_id(), sealed.node_id());
    (entered, sealed)
}

fn refused(disk: &FakeDisk, config: &ValidConfig, says: &[&str]) {
    let error = start(disk, config).err().expect("refused").to_string();
    for part in says {
        assert!(error.contains(part), "no `{part}` in: {error}");
    }
    assert!(!error.contains("hobnob1_"), "a secret in: {error}");
}

/// The disk of a member that joined with a token that was made this long ago.
fn joined(age_ms: u64) -> FakeDisk {
    let disk = FakeDisk::new();
    member(&disk, &config(text(&Cluster::prod().token(age_ms, any))));
    disk
}

#[test]
fn an_agent_without_a_token_is_in_a_clear_cluster() {
    let entered = start(&FakeDisk::new(), &config(None)).expect("it starts");
    assert!(entered.sealed.is_none());
    let found = (&*entered.name, &*entered.cluster, &*entered.datacenter);
    assert_eq!(found, ("host", "default", "dc1"));
}

#[test]
fn a_token_is_needed_once_and_the_member_stays_the_same() {
    let disk = FakeDisk::new();
    let token = Cluster::prod().token(5, any);
    let (entered, first) = member(&disk, &config(text(&token)));
    let found = (&*entered.name, &*entered.cluster, &*entered.datacenter);
    assert_eq!(found, ("host", "prod", "dc1"));
    assert_eq!(
        (first.own.token(), &first.seeds[..]),
        (token.fingerprint(), &["seed:1".to_owned()][..])
    );
    let renamed = ValidConfig { host_name: "renamed".to_owned(), ..config(None) };
    let missing = config(Some(TokenSource::File("/nowhere/token".into())));
    let malformed = config(Some(TokenSource::Text("hobnob1_no".to_owned().into())));
    let expired =
        config(text(&Cluster::prod().token(7, |limits| limits.validity.until_ms = NOW_MS)));
    for later in [renamed, missing, malformed, expired, config(text(&token))] {
        let (entered, again) = member(&disk, &later);
        assert_eq!((again.node_id(), &*entered.name), (first.node_id(), "host"));
        assert_eq!((again.own.token(), again.seeds), (first.own.token(), first.seeds.clone()));
    }
}

#[test]
fn the_first_token_has_to_be_one() {
    let disk = FakeDisk::new();
    refused(
        &disk,
        &config(Some(TokenSource::File("/nowhere/token".into()))),
        &["cannot read", "/nowhere/token"],
    );
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    let token = Cluster::prod().token(5, any).to_text();
    std::fs::write(&path, &token[..100]).expect("written");
    refused(&disk, &config(Some(TokenSource::File(path.clone()))), &["cut off", "token"]);
    refused(
        &disk,
        &config(Some(TokenSource::Text("hobnob1_no".to_owned().into()))),
        &["HOBNOB_TOKEN"],
    );
    std::fs::write(&path, format!("{}\n", *token)).expect("written");
    member(&disk, &config(Some(TokenSource::File(path))));
}

#[test]
fn an_expired_token_is_for_the_door_to_refuse() {
    let late = Cluster::prod().token(7, |limits| limits.validity.until_ms = NOW_MS - 1);
    let (mut entered, sealed) = member(&FakeDisk::new(), &config(text(&late)));
    assert!(entered.sealed.take().is_none() && !sealed.is_founder());
}

#[test]
fn only_a_founder_with_a_valid_token_and_without_a_generation_founds() {
    let founder = |age: u64, until_ms: u64| {
        let token = Cluster::prod().token(age, |limits| {
            limits.roles = Roles::FOUNDER;
            limits.validity.until_ms = until_ms;
        });
        member(&FakeDisk::new(), &config(text(&token))).1
    };
    let founds =
        |sealed, kept| Secrets::of(Some((sealed, kept)), NOW_MS).expect("it counts").founder;
    let first = founds(founder(5, NOW_MS + 1), KeptKeys::default()).expect("it founds");
    assert!(founds(founder(5, NOW_MS), KeptKeys::default()).is_none(), "the token expired");
    let generation = hobnob_keys::Generation::order(1, [1; 32], &first).expect("a founder may");
    let kept = KeptKeys { generations: vec![(generation, true)], ..KeptKeys::default() };
    assert!(founds(founder(5, NOW_MS + 1), kept).is_none(), "there is one");
    let (_, other) = member(&FakeDisk::new(), &config(text(&Cluster::prod().token(5, any))));
    assert!(founds(other, KeptKeys::default()).is_none(), "it is no founder");
}

#[test]
fn a_member_refuses_a_token_of_another_cluster() {
    let (disk, stranger) = (joined(5), Cluster::other().token(1, any));
    refused(&disk, &config(text(&stranger)), &["`other`", "`prod`"]);
    let named =
        |cluster: &str, token| ValidConfig { cluster: Some(cluster.to_owned()), ..config(token) };
    refused(&disk, &named("default", None), &["`default`", "`prod`", "data directory"]);
    refused(
        &FakeDisk::new(),
        &named("default", text(&stranger)),
        &["`default`", "`other`", "token"],
    );
    member(&disk, &named("prod", None));
}

#[test]
fn insecure_and_sealed_never_mix() {
    let insecure = |token| ValidConfig { insecure: true, ..config(token) };
    let token = || text(&Cluster::prod().token(5, any));
    refused(&FakeDisk::new(), &insecure(token()), &["--insecure", "token"]);
    refused(&joined(5), &insecure(None), &["--insecure", "`prod`"]);
    assert!(start(&FakeDisk::new(), &insecure(None)).is_ok());
}

#[test]
fn a_token_says_which_names_and_datacenters_it_allows() {
    let token = Cluster::prod().token(5, |limits| {
        limits.name = Some("web-*".parse().expect("a glob"));
        limits.datacenter = Some("eu".parse().expect("a name"));
    });
    let called = |name: &str| ValidConfig { name: Some(name.to_owned()), ..config(text(&token)) };
    refused(
        &FakeDisk::new(),
        &called("db-1"),
        &["`web-*`", "`db-1`", &token.fingerprint().to_string()],
    );
    let abroad = ValidConfig { datacenter: Some("us".to_owned()), ..called("web-1") };
    refused(&FakeDisk::new(), &abroad, &["`eu`", "`us`"]);
    refused(&FakeDisk::new(), &called("a,b"), &["`a,b`"]);
    let (entered, _) = member(&FakeDisk::new(), &called("web-1"));
    assert_eq!((&*entered.name, &*entered.datacenter), ("web-1", "eu"));
}

#[test]
fn a_newer_token_makes_a_new_certificate_for_the_same_key() {
    let disk = joined(50);
    let node = member(&disk, &config(None)).1.node_id();
    let operator = |age| Cluster::prod().token(age, |limits| limits.roles = Roles::OPERATOR);
    let older = operator(60);
    assert!(!member(&disk, &config(text(&older))).1.own.limits().roles.has(Roles::OPERATOR));
    let newer = operator(40);
    let (_, renewed) = member(&disk, &config(text(&newer)));
    assert_eq!((renewed.node_id(), renewed.own.token()), (node, newer.fingerprint()));
    let (_, kept) = member(&disk, &config(None));
    assert!(kept.own.limits().roles.has(Roles::OPERATOR));
    let not_allowed =
        Cluster::prod().token(30, |limits| limits.name = Some("web-*".parse().expect("a glob")));
    let (_, kept) = member(&disk, &config(text(&not_allowed)));
    assert_eq!(kept.own.token(), newer.fingerprint(), "nothing that a token says ends a member");
}

#[test]
fn a_token_of_the_ca_key_that_succeeds_makes_a_new_certificate_and_both_keys_stay_trusted() {
    let (first, disk) = (Cluster::prod(), joined(50));
    let second = Cluster(first.0.successor(&[6; 32]));
    let was = member(&disk, &config(None)).1.own.token();
    let token = second.token(40, any);
    assert_eq!(member(&disk, &config(text(&token))).1.own.token(), was, "its CA key is unknown");
    let succession = first.0.succession(&second.0).expect("two keys");
    let keys = KeptKeys { succession: Some(succession.clone()), ..KeptKeys::default() };
    start(&disk, &config(None)).expect("it starts").data_dir.save_keys(&keys).expect("saved");
    for token in [text(&token), None] {
        let (_, renewed) = member(&disk, &config(token));
        assert_eq!(renewed.own.authority(), second.0.public_key());
        assert_eq!(renewed.trust.succession(), Some(&succession));
    }
    // Members tell it again.
    let entered = start(&disk, &config(None)).expect("it starts");
    { entered }.data_dir.save_keys(&KeptKeys::default()).expect("saved");
    let (_, alone) = member(&disk, &config(None));
    assert_eq!(alone.trust, second.0.trust());
}

#[test]
fn another_name_needs_a_valid_token() {
    let disk = joined(50);
    let called = |token| ValidConfig { name: Some("other".to_owned()), ..config(token) };
    refused(&disk, &called(None), &["name", "`other`", "`host`"]);
    let expired = Cluster::prod().token(50, |limits| limits.validity.until_ms = NOW_MS);
    refused(&disk, &called(text(&expired)), &["`other`"]);
    let node = member(&disk, &config(None)).1.node_id();
    let (entered, renamed) = member(&disk, &called(text(&Cluster::prod().token(50, any))));
    assert_eq!((&*entered.name, renamed.node_id()), ("other", node));
    assert_eq!(member(&disk, &config(None)).0.name, "other", "it is kept");
    let narrow =
        Cluster::prod().token(40, |limits| limits.name = Some("web-*".parse().expect("a glob")));
    let wrong = ValidConfig { name: Some("third".to_owned()), ..config(text(&narrow)) };
    refused(&disk, &wrong, &["`web-*`", "`third`"]);
}

#[test]
fn an_agent_of_a_clear_cluster_that_is_given_a_token_keeps_its_registrations() {
    let disk = FakeDisk::new();
    let mut clear = start(&disk, &config(None)).expect("it starts").data_dir;
    let web =
        StoredRegistration { id: "web".to_owned(), service: "web".to_owned(), ..registration() };
    clear.put_registration(&web, None).expect("put");
    let was = clear.node_id();
    drop(clear);
    let (entered, sealed) = member(&disk, &config(text(&Cluster::prod().token(5, any))));
    assert_ne!(sealed.node_id(), was);
    assert_eq!(entered.data_dir.registration("web"), Some(&web));
    let (again, _) = member(&disk, &config(None));
    assert_eq!(again.data_dir.node_id(), sealed.node_id());
}

fn registration() -> StoredRegistration {
    serde_json::from_str(r#"{"service":"s","id":"s","port":80}"#).expect("a registration")
}

#[test]
fn a_membership_without_its_key_is_of_no_use_and_a_token_helps() {
    let disk = joined(50);
    let was = member(&disk, &config(None)).1.node_id();
    let other = FakeDisk::new();
    member(&other, &config(text(&Cluster::prod().token(50, any))));
    disk.set_content("node.key", other.content("node.key"));
    refused(&disk, &config(None), &["node.key", "membership.json"]);
    let (_, anew) = member(&disk, &config(text(&Cluster::prod().token(40, any))));
    assert_ne!(anew.node_id(), was);
    member(&disk, &config(None));
}

#[test]
fn a_revoked_agent_with_a_new_token_is_a_new_node() {
    let disk = joined(50);
    let was = member(&disk, &config(None)).1;
    let revoke = |revoked| -> SignedCommand {
        let token = Cluster::prod().token(60, |limits| limits.roles = Roles::OPERATOR);
        let (key, name) = (NodeKey::from_seed(&[9; 32]), "op".parse::<Name>().expect("a name"));
        let certificate = token.certificate(key.public_key(), &name, &name).expect("allowed");
        let operator = OperatorCredential::new(key, certificate, token.trust()).expect("operator");
        operator.sign(&Command::Revoke(revoked)).expect("it may")
    };
    let revocations = vec![revoke(Revoked::Token(was.own.token()))];
    let keys = KeptKeys { revocations, ..KeptKeys::default() };
    start(&disk, &config(None)).expect("it starts").data_dir.save_keys(&keys).expect("saved");
    let (_, same) = member(&disk, &config(text(&Cluster::prod().token(50, any))));
    assert_eq!(same.node_id(), was.node_id(), "its token is revoked as well");
    let (_, anew) = member(&disk, &config(text(&Cluster::prod().token(40, any))));
    assert_ne!(anew.node_id(), was.node_id());
}

#[test]
fn secrets_are_not_shown() {
    let (_, sealed) = member(&joined(5), &config(None));
    let shown = format!("{sealed:?} {:?}", config(text(&Cluster::prod().token(5, any))));
    let secret = |seed: &[u8; 32]| seed.iter().map(|byte| format!("{byte}, ")).collect::<String>();
    assert!(!shown.contains("hobnob1_") && !shown.contains(&secret(sealed.key.seed())), "{shown}");
}
