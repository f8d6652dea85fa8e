//! Tests of the files of a member of a sealed cluster, with recorded ones.

use hobnob_keys::{
    CaKey, Command, Fingerprint, Generation, Limits, Name, NodeKey, OperatorCredential, Revoked,
    Roles, Validity,
};

use super::super::fake_disk::{FakeDisk, Writes};
use super::super::{LockedDir, OpenError};
use super::*;

/// Written by version 0.1.0. These bytes never change: a version that cannot read them needs a new format.
const FILES: [(&str, &str); 4] = [
    ("node.key", include_str!("recorded/node.key")),
    ("membership.json", include_str!("recorded/membership.json")),
    ("keys.json", include_str!("recorded/keys.json")),
    ("members.json", include_str!("recorded/members.json")),
];

/// A member of a cluster with fixed keys, and what it remembers.
fn fixed() -> (NodeKey, KeptMembership, KeptKeys) {
    let name = |name: &str| name.parse::<Name>().expect("a name");
    let ca = CaKey::found(name("prod"), &[1; 32]);
    let limits = Limits {
        cluster_name: name("prod"),
        name: None,
        services: vec![],
        datacenter: None,
        roles: Roles::OPERATOR,
        no_gateway: false,
        validity: Validity { from_ms: 1, until_ms: 2 },
    };
    let token = ca.token(&[2; 32], limits, vec![]).expect("legal limits");
    let key = NodeKey::from_seed(&[3; 32]);
    let certificate =
        token.certificate(key.public_key(), &name("a"), &name("dc1")).expect("allowed");
    let operator =
        OperatorCredential::new(NodeKey::from_seed(&[3; 32]), certificate.clone(), &ca.trust());
    let operator = operator.expect("an operator");
    let revoked = Command::Revoke(Revoked::Token(Fingerprint([4; 16])));
    let keys = KeptKeys {
        generations: vec![
            (Generation::order(1, [5; 32], &operator).expect("it may"), true),
            (Generation::order(2, [6; 32], &operator).expect("it may"), false),
        ],
        revocations: vec![operator.sign(&revoked).expect("it may")],
        succession: None,
        certificates: vec![certificate.clone()],
    };
    let seeds = vec!["10.0.0.9:7946".to_owned(), "seed.example:7946".to_owned()];
    (key, KeptMembership { trust: ca.trust(), certificate, seeds }, keys)
}

fn written() -> FakeDisk {
    let (mut disk, (key, membership, keys)) = (FakeDisk::new(), fixed());
    save_node_key(&mut disk, &key).expect("saved");
    membership.save(&mut disk).expect("saved");
    keys.save(&mut disk, &mut Written::default()).expect("saved");
    disk
}

fn recorded() -> FakeDisk {
    let disk = FakeDisk::new();
    for (file, content) in FILES {
        disk.set_content(file, content);
    }
    disk
}

/// The first error of reading all files.
fn read(disk: &FakeDisk) -> Result<(NodeKey, KeptMembership, KeptKeys), OpenError> {
    let dir = LockedDir::on(Box::new(disk.clone()));
    let (key, membership) = (dir.node_key()?, dir.membership()?);
    Ok((key.expect("there"), membership.expect("there"), dir.keys()?))
}

#[test]
fn recorded_files_are_read_and_written_alike() {
    for (file, content) in FILES {
        let now = String::from_utf8(written().content(file)).expect("text");
        assert_eq!(now.replace(env!("CARGO_PKG_VERSION"), "0.1.0"), content, "{file}");
    }
    let (key, membership, keys) = read(&recorded()).expect("readable");
    let (fixed_key, fixed_membership, fixed_keys) = fixed();
    assert_eq!((key.seed(), &membership), (fixed_key.seed(), &fixed_membership));
    let ids = |keys: &KeptKeys| {
        keys.generations
            .iter()
            .map(|(generation, in_use)| (generation.id(), *in_use))
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&keys), ids(&fixed_keys));
    assert_eq!(keys.revocations, fixed_keys.revocations);
    assert_eq!(keys.certificates, fixed_keys.certificates);
}

#[test]
fn a_succession_of_ca_keys_is_kept() {
    let (mut disk, (_, membership, keys)) = (written(), fixed());
    assert_eq!(read(&disk).expect("readable").2.succession, None);
    let ca = CaKey::found("prod".parse().expect("a name"), &[1; 32]);
    let succession = ca.succession(&ca.successor(&[6; 32])).expect("two keys");
    let keys = KeptKeys { succession: Some(succession.clone()), ..keys };
    keys.save(&mut disk, &mut Written::default()).expect("saved");
    let (_, read_membership, read_keys) = read(&disk).expect("readable");
    assert_eq!((read_membership, read_keys.succession), (membership, Some(succession)));
    let content = String::from_utf8(disk.content("keys.json")).expect("text");
    disk.set_content("keys.json", content.replace("succession\":\"", "succession\":\"A"));
    assert!(read(&disk).expect_err("damaged").to_string().contains("keys.json"));
}

#[test]
fn a_directory_without_the_files_is_that_of_no_member() {
    let dir = LockedDir::on(Box::new(FakeDisk::new()));
    assert!(dir.node_key().expect("readable").is_none());
    assert!(dir.membership().expect("readable").is_none());
    assert!(dir.keys().expect("readable").generations.is_empty());
}

#[test]
fn damage_names_the_file_and_shows_no_secret() {
    let (key, ..) = fixed();
    let secret = encoding::text_of(key.seed());
    let begins = ["secret_key\":\"", "certificate\":\"", "generation\":\"", "certificates\":[\""];
    for ((file, content), begin) in FILES.into_iter().zip(begins) {
        let with = |more: &str| content.replacen(begin, &format!("{begin}{more}"), 1);
        for damaged in [&content[..content.len() / 2], "", "{}", &with("*"), &with("AAAA")] {
            let disk = recorded();
            disk.set_content(file, damaged);
            let error =
                read(&disk).err().unwrap_or_else(|| panic!("{file}: {damaged}")).to_string();
            assert!(error.contains(file), "no {file} in: {error}");
            assert!(!error.contains(&secret[..10]), "{error}");
        }
    }
}

#[test]
fn files_of_a_later_format_are_refused_and_later_fields_are_not() {
    for (file, content) in FILES {
        let disk = recorded();
        disk.set_content(
            file,
            content.replace("\"written_by\"", "\"new\":{\"deep\":[1]},\"written_by\""),
        );
        assert!(read(&disk).is_ok(), "{file}");
        disk.set_content(
            file,
            content.replace("\"format\":1", "\"format\":2").replace("0.1.0", "0.9.0"),
        );
        let error = read(&disk).expect_err("refused").to_string();
        for part in [file, "format 2", "0.9.0", "format 1"] {
            assert!(error.contains(part), "no {part} in: {error}");
        }
    }
}

#[test]
fn only_a_file_whose_content_changed_is_written() {
    let (mut disk, (_, _, mut keys)) = (FakeDisk::new(), fixed());
    let mut hashes = Written::default();
    keys.save(&mut disk, &mut hashes).expect("saved");
    disk.set_content("members.json", "untouched");
    keys.generations.pop();
    keys.save(&mut disk, &mut hashes).expect("saved");
    assert_eq!(disk.content("members.json"), b"untouched");
    disk.set_writes(Writes::Fail(std::io::ErrorKind::StorageFull));
    keys.save(&mut disk, &mut hashes).expect("there is nothing to write");
    keys.generations.clear();
    keys.save(&mut disk, &mut hashes).expect_err("the disk is full");
    disk.set_writes(Writes::Succeed);
    keys.save(&mut disk, &mut hashes).expect("it is tried again");
    assert!(!String::from_utf8_lossy(&disk.content("keys.json")).contains("in_use"));
}
