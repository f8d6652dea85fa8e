//! `hobnob init` and `hobnob token`.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{hobnob, stderr, stdout};

/// A folder with the CA key of a cluster in it.
struct Operator {
    folder: TempDir,
}

impl Operator {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn founded(args: &[&str]) -> Self {
        let operator = Self::new();
        let init = [&["init", "--cluster", "prod"], args].concat();
        assert_eq!(operator.run(&init).status.code(), Some(0));
        operator
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn ca(&self) -> PathBuf {
        self.path("hobnob/ca.key")
    }

    /// A file with a passphrase.
    fn passphrase(&self, text: &str) -> String {
        let path = self.path("passphrase");
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn run(&self, args: &[&str]) -> Output {
        hobnob(args).env("XDG_CONFIG_HOME", self.folder.path()).output().unwrap()
    }

    fn token(&self, args: &[&str]) -> String {
        let output = self.run(&[&["token", "create"], args].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output).trim_end().to_owned()
    }
}

fn json(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    serde_json::from_str(&stdout(output)).unwrap()
}

fn inspect(token: &str) -> Value {
    json(&hobnob(&["token", "inspect", "--json", token]).output().unwrap())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn init_makes_a_key_and_prints_a_token_and_the_next_command() {
    let operator = Operator::new();
    let output = operator.run(&["init", "--cluster", "prod", "--seed", "10.0.0.9:7946"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains(&operator.ca().display().to_string()), "{text}");
    assert!(text.contains("\n  hobnob agent --bind 10.0.0.9:7946 --token-file "), "{text}");
    assert_eq!((mode(&operator.ca()), mode(&operator.path("hobnob"))), (0o600, 0o700));
    let token = text.lines().find(|line| line.starts_with("hobnob1_")).unwrap();
    let view = inspect(token);
    assert_eq!(view["cluster"], "prod");
    assert_eq!(view["roles"], serde_json::json!(["founder"]));
    assert_eq!(view["seeds"], serde_json::json!(["10.0.0.9:7946"]));
    assert_eq!((&view["valid"], &view["gateway"]), (&true.into(), &true.into()));
}

#[test]
fn the_next_step_without_a_seed_has_the_others_join_at_the_first_one() {
    let operator = Operator::new();
    let output = operator.run(&["init", "--cluster", "prod"]);
    let text = stdout(&output);
    let commands: Vec<&str> = text.lines().filter(|line| line.starts_with("  hobnob")).collect();
    let [first, others] = commands[..] else { panic!("{text}") };
    assert!(!first.contains("--join") && others.ends_with("--join FIRST:7946"), "{text}");
}

#[test]
fn a_file_that_may_have_no_end_is_refused_at_once() {
    let operator = Operator::founded(&[]);
    let pipe = operator.path("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    let pipe = pipe.display().to_string();
    for (path, kind) in [(&*pipe, "a named pipe"), ("/dev/zero", "a device"), ("/", "a directory")]
    {
        for args in [
            &["token", "create", "--ca", path][..],
            &["init", "--cluster", "x", "--ca", "/nowhere/ca", "--passphrase-file", path],
        ] {
            let output = operator.run(args);
            let error = stderr(&output);
            assert_eq!(output.status.code(), Some(1), "{error}");
            assert!(error.contains(&format!("cannot read {path}: it is {kind}")), "{error}");
            assert!(error.contains("help: name a regular file"), "{error}");
        }
    }
}

#[test]
fn a_passphrase_may_come_from_a_command_and_from_stdin() {
    let operator = Operator::new();
    let passphrase = operator.passphrase("a long one\n");
    let init = ["init", "--cluster", "prod", "--passphrase-file", &passphrase];
    assert_eq!(operator.run(&init).status.code(), Some(0));
    let script = r#""$0" token create --passphrase-file <(echo a long one) &&
        echo a long one | "$0" token create --passphrase-file /dev/stdin"#;
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_hobnob")]);
    let output = shell.env("XDG_CONFIG_HOME", operator.folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output).lines().count(), 2);
}

#[test]
fn init_never_overwrites_a_file() {
    let operator = Operator::founded(&[]);
    let before = fs::read(operator.ca()).unwrap();
    let output = operator.run(&["init", "--cluster", "prod"]);
    assert_eq!(output.status.code(), Some(1));
    let error = stderr(&output);
    assert!(error.contains("exists, and a CA key is never overwritten\nhelp: "), "{error}");
    assert_eq!(fs::read(operator.ca()).unwrap(), before);
}

#[test]
fn init_says_where_it_cannot_write() {
    let operator = Operator::new();
    fs::write(operator.path("file"), "").unwrap();
    let below = operator.path("file/ca.key").display().to_string();
    let output = operator.run(&["init", "--cluster", "prod", "--ca", &below]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains(&*operator.path("file").to_string_lossy()),
        "{}",
        stderr(&output)
    );
}

#[test]
fn init_in_json_has_all_of_it() {
    let operator = Operator::new();
    let made = json(&operator.run(&["init", "--cluster", "prod", "--json"]));
    assert_eq!(made["ca_file"], operator.ca().display().to_string());
    assert_eq!(inspect(made["token"].as_str().unwrap())["fingerprint"], made["fingerprint"]);
}

#[test]
fn init_makes_a_second_key_and_a_file_for_the_cluster_and_never_overwrites_one() {
    let operator = Operator::founded(&[]);
    let first = fs::read(operator.ca()).unwrap();
    let made = json(&operator.run(&["init", "--rotate-ca", "--json"]));
    let (key, succession) =
        (operator.path("hobnob/ca-2.key"), operator.path("hobnob/ca-2.succession"));
    assert_eq!(made["ca_file"], key.display().to_string());
    assert_eq!(made["succession_file"], succession.display().to_string());
    assert_eq!((mode(&key), mode(&succession)), (0o600, 0o600));
    let text = fs::read_to_string(&succession).unwrap();
    let succession = hobnob_keys::Succession::parse(&text).unwrap();
    assert_eq!(succession.new_key().fingerprint().to_string(), made["authority"]);
    // A token of it is one of the same cluster.
    let of = |ca: &Path| inspect(&operator.token(&["--ca", &ca.display().to_string()]));
    assert_eq!(of(&key)["cluster_id"], of(&operator.ca())["cluster_id"]);
    let again = operator.run(&["init", "--rotate-ca"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("ca-2.key exists"), "{}", stderr(&again));
    assert!(stderr(&again).contains("keys trust"), "{}", stderr(&again));
    let third = operator.run(&["init", "--rotate-ca", "--ca", &key.display().to_string()]);
    assert_eq!(third.status.code(), Some(1));
    assert!(stderr(&third).contains("no third one"), "{}", stderr(&third));
    assert!(!operator.path("hobnob/ca-3.key").exists());
    let beside = operator.run(&["init", "--rotate-ca", "--ca", "/dev/null"]);
    assert!(stderr(&beside).contains("not a regular file"), "{}", stderr(&beside));
    assert_eq!(fs::read(operator.ca()).unwrap(), first, "the first key stays as it is");
    let usage = operator.run(&["init", "--rotate-ca", "--cluster", "prod"]);
    assert_eq!(usage.status.code(), Some(2));
}

#[test]
fn a_second_key_is_encrypted_as_the_first_one_was() {
    let operator = Operator::new();
    let passphrase = operator.passphrase("correct horse");
    let with = ["--passphrase-file", &passphrase];
    let init = operator.run(&[&["init", "--cluster", "prod"], &with[..]].concat());
    assert_eq!(init.status.code(), Some(0), "{}", stderr(&init));
    let output = operator.run(&[&["init", "--rotate-ca"], &with[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("hobnob keys trust"), "{}", stdout(&output));
    let text = fs::read_to_string(operator.path("hobnob/ca-2.key")).unwrap();
    assert!(text.contains("sealed-key argon2id"), "{text}");
}

#[test]
fn a_token_says_what_it_allows() {
    let operator = Operator::founded(&[]);
    let token = operator.token(&[
        "--name",
        "web-*",
        "--services",
        "web,api-*",
        "--datacenter",
        "eu",
        "--role",
        "operator",
        "--no-gateway",
        "--for",
        "90d",
        "--seed",
        "10.0.0.9,seed.example:1",
    ]);
    let view = inspect(&token);
    let expected = serde_json::json!({
        "cluster": "prod", "member": "web-*", "services": ["web", "api-*"], "datacenter": "eu", "roles": ["operator"],
        "gateway": false, "valid": true, "seeds": ["10.0.0.9:7946", "seed.example:1"], "wan_seeds": [],
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(view[field], *value, "{field}");
    }
    let time = |field: &str| humantime::parse_rfc3339(view[field].as_str().unwrap()).unwrap();
    let span = time("valid_until").duration_since(time("valid_from")).unwrap();
    assert_eq!(span.as_millis(), (90 * 24 * 60 + 10) * 60 * 1_000);
}

#[test]
fn a_token_is_inspected_from_stdin_as_text() {
    let operator = Operator::founded(&[]);
    let token = operator.token(&["--services", "web"]);
    let mut command = hobnob(&["token", "inspect", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{token}").unwrap();
    let output = child.wait_with_output().unwrap();
    let text = stdout(&output);
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].trim().to_owned()
    };
    assert_eq!(
        (value("cluster "), value("services"), value("roles")),
        ("prod".into(), "web".into(), "none".into())
    );
    assert!(value("lets in").starts_with("until 2"), "{text}");
    assert!(!text.contains(&token[20..60]), "the secret is not shown: {text}");
}

#[test]
fn create_prints_the_token_alone_on_stdout() {
    let operator = Operator::founded(&[]);
    let output = operator.run(&["token", "create"]);
    let (text, notes) = (stdout(&output), stderr(&output));
    assert_eq!(text.lines().count(), 1);
    assert!(text.starts_with("hobnob1_") && text.len() < 400, "{text}");
    assert!(notes.contains("lets agents join until 2") && notes.contains("note: "), "{notes}");
}

#[test]
fn a_broken_token_is_refused_with_the_reason() {
    let operator = Operator::founded(&[]);
    let token = operator.token(&[]);
    let swapped = if token.as_bytes()[40] == b'A' { "B" } else { "A" };
    let mistyped = format!("{}{swapped}{}", &token[..40], &token[41..]);
    for (text, says) in [
        ("", "the token is empty\nhelp: copy the whole line"),
        ("secret", "this is no token: a token begins with `hobnob1_`"),
        (
            "hobnob2_abc",
            "the token is of version 2, and this version of hobnob reads tokens of version 1\nhelp: ",
        ),
        (&token[..100], "the token is cut off: it has 100 of "),
        (&mistyped, "its checksum does not fit"),
        (&format!("{} {}", &token[..30], &token[30..]), "character 31 of the token"),
    ] {
        let output = hobnob(&["token", "inspect", text]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        let error = stderr(&output);
        assert!(error.contains(says), "{error}");
        assert!(!error.contains(&token[20..30]), "the text is a secret: {error}");
    }
}

#[test]
fn an_encrypted_key_needs_its_passphrase() {
    let operator = Operator::new();
    let passphrase = operator.passphrase("correct horse\n");
    let init = ["init", "--cluster", "prod", "--passphrase-file", &passphrase];
    assert_eq!(operator.run(&init).status.code(), Some(0));
    assert!(fs::read_to_string(operator.ca()).unwrap().contains("sealed-key argon2id"));
    inspect(&operator.token(&["--passphrase-file", &passphrase]));
    let wrong = operator.passphrase("battery");
    let output = operator.run(&["token", "create", "--passphrase-file", &wrong]);
    assert_eq!(output.status.code(), Some(1));
    let error = stderr(&output);
    assert!(error.contains("the passphrase is wrong") && error.contains("\nhelp: "), "{error}");
    // Without a terminal nobody can be asked.
    let mut command = std::process::Command::new("setsid");
    command.arg("--wait").arg(env!("CARGO_BIN_EXE_hobnob")).args(["token", "create"]);
    command.env("HOBNOB_CA", operator.ca()).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("help: give the passphrase with --passphrase-file"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn an_empty_passphrase_is_refused_before_anything_is_written() {
    let operator = Operator::new();
    let empty = operator.passphrase("\n");
    let output = operator.run(&["init", "--cluster", "prod", "--passphrase-file", &empty]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!operator.ca().exists());
}

#[test]
fn a_missing_or_foreign_key_file_is_named_with_what_to_do() {
    let operator = Operator::new();
    let output = operator.run(&["token", "create"]);
    assert_eq!(output.status.code(), Some(1));
    let error = stderr(&output);
    let path = operator.ca();
    assert!(
        error.starts_with(&format!("error: there is no CA key at {}\nhelp: ", path.display())),
        "{error}"
    );
    let other = operator.passphrase("other");
    let output = operator.run(&["token", "create", "--ca", &other]);
    assert!(stderr(&output).contains("this is no CA key file"), "{}", stderr(&output));
    let output = operator.run(&["token", "create", "--passphrase-file", "/nowhere/p"]);
    assert!(stderr(&output).contains("there is no CA key at"), "{}", stderr(&output));
}

#[test]
fn a_key_file_that_others_can_read_gets_a_warning() {
    let operator = Operator::founded(&[]);
    assert!(!stderr(&operator.run(&["token", "create"])).contains("warning"));
    fs::set_permissions(operator.ca(), Permissions::from_mode(0o644)).unwrap();
    let error = stderr(&operator.run(&["token", "create"]));
    let ca = operator.ca().display().to_string();
    assert!(error.contains(&format!("{ca} (mode 0644), which holds a secret")), "{error}");
    assert!(error.contains(&format!("`chmod 600 {ca}` closes it")), "{error}");
}

#[test]
fn wrong_limits_are_refused_as_usage() {
    let operator = Operator::founded(&[]);
    let many = ["a-rather-long-name-of-a-service-*"; 9].join(",");
    for (args, says) in [
        (&["--for", "0s"][..], "between 1s and 10 years"),
        (&["--for", "soon"], "such as 1h or 90d"),
        (&["--role", "king"], "operator"),
        (&["--name", "a b"], "has a space"),
        (&["--seed", "0.0.0.0:1"], "such as 10.0.0.7:7946"),
        (&["--services", &many], "and 399 are allowed\nhelp: leave out some of --services"),
    ] {
        let output = operator.run(&[&["token", "create"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(says), "{args:?}: {}", stderr(&output));
    }
}
