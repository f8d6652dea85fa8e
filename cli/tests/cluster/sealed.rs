//! Sealed clusters: from `hobnob init` to members that trust each other, and everything that does not get in.

use std::fs::{self, Permissions};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use rustix::fs::{CWD, Mode, mkfifoat};
use serde_json::Value;
use tempfile::TempDir;

use crate::agent::{ANY_PORT, Agent, eventually, hobnob, socket};

/// An operator with the CA key of a cluster, and a folder for its agents.
pub(crate) struct Operator {
    home: TempDir,
}

impl Operator {
    /// Founds a cluster. Returns the first token, too.
    pub(crate) fn found(cluster: &str, seed: Option<SocketAddr>) -> (Self, String) {
        let operator = Self { home: tempfile::tempdir().unwrap() };
        let mut args = vec!["init".to_owned(), "--cluster".to_owned(), cluster.to_owned()];
        args.extend(seed.map(|seed| format!("--seed={seed}")));
        let printed = operator.ok(&args);
        let token = printed.lines().find(|line| line.starts_with("hobnob1_")).unwrap().to_owned();
        (operator, token)
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn ok(&self, args: &[String]) -> String {
        let output = hobnob(&[]).args(args).env("XDG_CONFIG_HOME", self.home()).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn token(&self, args: &[&str]) -> String {
        let args = ["token", "create"].iter().chain(args).map(ToString::to_string);
        self.ok(&args.collect::<Vec<_>>()).trim().to_owned()
    }

    /// A file with a token.
    pub(crate) fn file(&self, name: &str, token: &str) -> PathBuf {
        let path = self.home().join(name);
        fs::write(&path, format!("{token}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Starts an agent with a token.
    pub(crate) fn start(
        &self,
        name: &str,
        bind: SocketAddr,
        token: &str,
        args: &[String],
    ) -> Agent {
        let file = self.file(&format!("{name}.token"), token);
        let token = [format!("--token-file={}", file.display())];
        Agent::start_with(self.home(), name, bind, &[&token[..], args].concat())
    }

    /// Starts an agent that must not start.
    fn refused(&self, name: &str, args: &[&str], code: i32, says: &[&str]) {
        self.refused_at(&ANY_PORT.to_string(), name, args, code, says);
    }

    fn refused_at(&self, bind: &str, name: &str, args: &[&str], code: i32, says: &[&str]) {
        let output = hobnob(&["agent", "--bind", bind])
            .arg("--data-dir")
            .arg(self.home().join(name))
            .arg("--socket")
            .arg(socket(self.home(), name))
            .args(args)
            .output()
            .unwrap();
        failed(&output, code, says);
    }
}

pub(crate) fn failed(output: &Output, code: i32, says: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    for part in says {
        assert!(error.contains(part), "no `{part}` in: {error}");
    }
    assert!(!error.contains("hobnob1_"), "a secret in: {error}");
}

pub(crate) fn joining(agent: &Agent) -> Vec<String> {
    vec![format!("--join={}", agent.bind())]
}

/// An address that is free for gossip at this moment.
pub(crate) fn free(ip: [u8; 4]) -> SocketAddr {
    UdpSocket::bind((ip.into(), 0_u16) as (std::net::IpAddr, u16)).unwrap().local_addr().unwrap()
}

pub(crate) fn sealed(agent: &Agent) -> Value {
    agent.json(&["info"])["sealed"].take()
}

#[test]
fn two_commands_make_a_sealed_cluster_of_three_hosts() {
    let seed = free([127, 0, 0, 1]);
    let (operator, token) = Operator::found("prod", Some(seed));
    let any = |host| SocketAddr::from(([127, 0, 0, host], 0));
    let hosts = [("a1", seed), ("a2", any(2)), ("a3", any(3))];
    let agents = hosts.map(|(name, bind)| operator.start(name, bind, &token, &[]));
    eventually("all are members", || agents.iter().all(|agent| agent.alive() == 3));
    for (agent, port) in agents.iter().zip(["81", "82", "83"]) {
        agent.ok(&["register", "web", "--id", &format!("web-{port}"), "--port", port]);
    }
    eventually("all agree", || agents.iter().all(|agent| agent.healthy("web").len() == 3));
    for agent in &agents {
        let sealed = sealed(agent);
        assert_eq!((&sealed["generation"], &sealed["revoked"]), (&1.into(), &false.into()));
        assert_eq!(agent.json(&["info"])["cluster"], "prod");
        assert_eq!(agent.counter("datagrams_forged") + agent.counter("datagrams_in_clear"), 0);
        let files = operator.home().join(&agent.name);
        for file in ["node.key", "membership.json", "keys.json", "members.json"] {
            let mode = fs::metadata(files.join(file)).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{file}");
        }
    }
    let text = agents[0].run(&["info"]).stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(text.lines().any(|line| line.split_whitespace().eq(["sealed", "yes"])), "{text}");
    assert!(agents[0].has_logged("founds the cluster"));
    assert!(
        !agents[1].has_logged("founds the cluster") && !agents[2].has_logged("founds the cluster")
    );
}

#[test]
fn a_member_needs_its_token_no_more_and_one_of_another_cluster_is_refused() {
    let (operator, token) = Operator::found("prod", None);
    let first = operator.start("a1", ANY_PORT, &token, &[]);
    let second = operator.start("a2", ANY_PORT, &token, &joining(&first));
    eventually("both are members", || first.alive() == 2 && second.alive() == 2);
    first.ok(&["register", "web", "--port", "80"]);
    let node = first.json(&["info"])["node_id"].take();
    fs::remove_file(operator.home().join("a1.token")).unwrap();
    let first = first.restart();
    assert_eq!(first.json(&["info"])["node_id"], node);
    eventually("it is back", || first.alive() == 2 && second.healthy("web").len() == 1);

    drop(second);
    let (_elsewhere, stranger) = Operator::found("staging", None);
    let stranger = operator.file("stranger", &stranger);
    let stranger = stranger.display().to_string();
    operator.refused("a2", &["--token-file", &stranger], 1, &["`staging`", "`prod`"]);
    operator.refused("a2", &["--insecure"], 2, &["--insecure", "`prod`"]);
    operator.refused("a2", &["--cluster", "other"], 2, &["`other`", "`prod`"]);
    operator.refused("a2", &["--name", "renamed"], 2, &["`renamed`", "`a2`", "--token-file"]);
}

#[test]
fn an_expired_token_is_refused_at_the_door_with_words() {
    let (operator, token) = Operator::found("prod", None);
    let member = operator.start("a1", ANY_PORT, &token, &[]);
    let expired = operator.token(&["--for", "1s"]);
    let view = || -> Value {
        let view =
            operator.ok(&["token".into(), "inspect".into(), "--json".into(), expired.clone()]);
        serde_json::from_str(&view).unwrap()
    };
    let fingerprint = view()["fingerprint"].as_str().unwrap().to_owned();
    eventually("the token expires", || view()["valid"] == false);
    let late = operator.start("a2", ANY_PORT, &expired, &joining(&member));
    assert!(late.has_logged(&fingerprint) || sealed(&late)["token_fingerprint"] == fingerprint);
    eventually("it is refused", || sealed(&late)["refusal"].is_string());
    let refusal = sealed(&late)["refusal"].as_str().unwrap().to_owned();
    for part in [&*fingerprint, "expired", "valid until", "clock"] {
        assert!(refusal.contains(part), "no {part} in: {refusal}");
    }
    assert!(late.has_logged(&refusal[..20]), "the log says it, too");
    assert_eq!((late.alive(), member.alive()), (1, 1));
    assert!(sealed(&late)["generation"].is_null(), "it learned no secret");
    // A new token for the same data directory is all that it needs.
    let address = late.bind();
    drop(late);
    let late = operator.start("a2", address, &operator.token(&[]), &joining(&member));
    eventually("it is let in", || late.alive() == 2 && member.alive() == 2);
}

#[test]
fn a_token_file_that_may_have_no_end_is_refused_at_once_and_one_that_others_may_read_is_told() {
    let (operator, token) = Operator::found("prod", None);
    let pipe = operator.home().join("pipe");
    mkfifoat(CWD, &pipe, Mode::RWXU).unwrap();
    for (path, kind) in [(&*pipe, "a named pipe"), (Path::new("/dev/zero"), "a device")] {
        let path = path.display().to_string();
        let says = [&*path, kind, "not a regular file", "help: name a regular file"];
        operator.refused("a1", &["--token-file", &path], 1, &says);
    }
    let open = operator.file("open", &token);
    let in_variable = hobnob(&["agent", "--bind", "127.0.0.1:0", "--data-dir"])
        .arg(operator.home().join("a1"))
        .args(["--socket", &socket(operator.home(), "a1").display().to_string()])
        .env("HOBNOB_TOKEN", &open)
        .output()
        .unwrap();
    failed(&in_variable, 2, &[&open.display().to_string(), "help: ", "--token-file"]);

    let path = operator.file("a1.token", &token);
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let token_file = [format!("--token-file={}", path.display())];
    let agent = Agent::start_with(operator.home(), "a1", ANY_PORT, &token_file);
    assert!(agent.has_logged(&format!("{} (mode 0644)", path.display())));
    assert!(agent.has_logged(&format!("`chmod 600 {}` closes it", path.display())));
    let key = operator.home().join("a1/node.key");
    fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
    fs::remove_file(path).unwrap();
    let agent = agent.restart();
    assert!(agent.has_logged(&format!("`chmod 600 {}` closes it", key.display())));
}

#[test]
fn sealed_and_clear_agents_never_mix() {
    let (operator, token) = Operator::found("prod", None);
    let sealed_agent = operator.start("a1", ANY_PORT, &token, &[]);
    let named = ["--cluster=prod".to_owned(), format!("--join={}", sealed_agent.bind())];
    let clear = Agent::start_with(operator.home(), "clear", ANY_PORT, &named);
    let other = operator.start("a2", ANY_PORT, &token, &joining(&sealed_agent));
    eventually("the members find each other", || sealed_agent.alive() == 2 && other.alive() == 2);
    eventually("the clear one is counted", || sealed_agent.counter("datagrams_in_clear") >= 3);
    assert!(sealed_agent.has_logged("whose cluster is sealed"));
    assert_eq!((clear.alive(), sealed(&clear)), (1, Value::Null));
    let refused = clear.run(&["join", &other.bind().to_string()]);
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!((clear.alive(), other.alive()), (1, 2));
}

#[test]
fn an_agent_whose_traffic_is_open_says_so() {
    let home = tempfile::tempdir().unwrap();
    let args = ["--insecure".to_owned(), "--advertise=127.0.0.1".to_owned()];
    let open = Agent::start_with(home.path(), "a1", "0.0.0.0:0", &args);
    eventually("it warns", || open.has_logged("runs with --insecure"));
    let inside = Agent::start_with(home.path(), "a2", ANY_PORT, &args[..1]);
    inside.ok(&["info"]);
    assert!(!inside.has_logged("runs with --insecure"), "nobody else reaches it");
}

#[test]
fn what_a_start_off_loopback_needs_is_printed() {
    let operator = Operator { home: tempfile::tempdir().unwrap() };
    let says = ["hobnob init --cluster NAME", "--token-file FILE", "--insecure"];
    operator.refused_at("0.0.0.0:0", "a1", &[], 2, &says);
    assert!(!operator.home().join("a1").exists(), "nothing is left behind");
    operator.refused(
        "a1",
        &["--token-file", "/nowhere/token"],
        1,
        &["/nowhere/token", "hobnob init"],
    );
}

#[test]
fn a_token_may_stand_in_a_variable_and_no_log_shows_a_secret() {
    let (operator, token) = Operator::found("prod", None);
    let start = |name: &str, args: &[String]| {
        // The log is a file, so that all of it is there.
        let log = fs::File::create(operator.home().join(format!("{name}.log"))).unwrap();
        let child =
            hobnob(&["agent", "--bind", &ANY_PORT.to_string(), "--log", "trace", "--name", name])
                .args(["--data-dir", &operator.home().join(name).display().to_string()])
                .args(["--socket", &socket(operator.home(), name).display().to_string()])
                .args(args)
                .env("HOBNOB_TOKEN", &token)
                .stderr(log)
                .spawn()
                .unwrap();
        let mut child = Some(child);
        eventually("it answers", || {
            hobnob(&["info"])
                .env("HOBNOB_SOCKET", socket(operator.home(), name))
                .output()
                .unwrap()
                .status
                .success()
        });
        Agent::adopt(operator.home(), name, child.take().unwrap())
    };
    let first = start("a1", &[]);
    let second = start("a2", &joining(&first));
    eventually("both are members", || first.alive() == 2 && second.alive() == 2);
    let mut secrets = vec![token["hobnob1_".len() + 4..].to_owned()];
    for name in ["a1", "a2"] {
        let read = |file: &str| -> Value {
            serde_json::from_slice(&fs::read(operator.home().join(name).join(file)).unwrap())
                .unwrap()
        };
        secrets.push(read("node.key")["secret_key"].as_str().unwrap().to_owned());
        eventually("the generation is kept", || {
            operator.home().join(name).join("keys.json").exists()
        });
        secrets.push(
            read("keys.json")["generations"][0]["generation"].as_str().unwrap()[..44].to_owned(),
        );
    }
    drop((first, second));
    for name in ["a1", "a2"] {
        let log = fs::read_to_string(operator.home().join(format!("{name}.log"))).unwrap();
        assert!(log.contains("TRACE"), "it is the log of everything");
        for secret in &secrets {
            for shown in shapes(secret) {
                assert!(!log.contains(&shown), "{name} logged a secret");
            }
        }
    }
}

/// How a secret in base64url may look in a log: as it is, in hexadecimal digits, as a list of bytes.
fn shapes(secret: &str) -> Vec<String> {
    let bit = |c: u8| {
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
            .iter()
            .position(|a| *a == c)
    };
    let bits: Vec<u32> = secret.bytes().map(|c| bit(c).unwrap() as u32).collect();
    let bytes: Vec<u8> = bits
        .chunks_exact(4)
        .flat_map(|four| {
            let all = four.iter().fold(0, |all, six| all << 6 | six);
            [(all >> 16) as u8, (all >> 8) as u8, all as u8]
        })
        .skip(1)
        .take(16)
        .collect();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let list: Vec<String> = bytes.iter().map(ToString::to_string).collect();
    vec![secret[..20].to_owned(), hex.to_uppercase(), hex, list.join(", ")]
}
