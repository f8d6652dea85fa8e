//! The configuration as its commands show and check it, without an agent.

use std::fs;
use std::path::Path;
use std::process::Output;

use hobnob_api::{Reloaded, Request, Response};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{ScriptedAgent, hobnob, stderr, stdout};

/// A directory with these files.
fn files(all: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in all {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn run(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = hobnob(args);
    command.current_dir(folder).env("HOBNOB_SOCKET", folder.join("nobody.sock"));
    command.envs(variables.iter().copied()).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).unwrap_or_else(|_| panic!("{}", stderr(output)))
}

#[test]
fn all_problems_are_told_at_once_with_their_places() {
    let folder = files(&[
        ("hobnob.toml", "bnd = \"eth0\"\ndata_dir = \"/d\"\njoin = [\"nobody:\"]\n"),
        ("services.d/web.toml", "service = \"web\"\nprot = 80\n"),
        ("services.d/db.json", "{\"service\": {\"name\": \"db\", \"port\": 1, \"conect\": {}}}"),
    ]);
    let args = ["validate", "--config", "hobnob.toml", "--config-dir", "services.d"];
    let output = run(folder.path(), &args, &[]);
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    for problem in [
        "error: hobnob.toml:1: there is no key `bnd`; did you mean `bind`?\n",
        "error: hobnob.toml:3: `join` cannot be `nobody:`: expected the gossip address",
        "error: services.d/web.toml:2: there is no key `prot`; did you mean `port`?\n",
        "error: services.d/db.json: service: there is no key `conect`",
    ] {
        assert!(told.contains(problem), "{told}");
    }
    fs::write(folder.path().join("hobnob.toml"), "join = [\"nobody:\"]\ndatacenter = \"*\"\n")
        .unwrap();
    let output = run(folder.path(), &[&args[..], &["--json"]].concat(), &[]);
    let problems = json(&output)["problems"].clone();
    let first = problems[0].as_str().unwrap();
    assert!(first.starts_with("hobnob.toml:1: `join` cannot be `nobody:`"), "{first}");
    assert_eq!(problems.as_array().unwrap().len(), 3, "{problems}");
    fs::write(folder.path().join("hobnob.toml"), "datacenter = \"*\"\n").unwrap();
    let told = stderr(&run(folder.path(), &args, &[]));
    assert!(told.contains("a datacenter cannot be called `*`"), "{told}");
}

#[test]
fn files_that_are_in_order_are_counted() {
    let folder = files(&[
        ("hobnob.toml", "data_dir = \"/d\"\nconfig_dir = \"services.d\"\n"),
        ("services.d/web.toml", "service = \"web\"\nport = 80\n"),
        ("services.d/db.json", "{\"service\": {\"name\": \"db\", \"port\": 1, \"token\": \"t\"}}"),
        ("services.d/README", "not read\n"),
    ]);
    let output = run(folder.path(), &["validate"], &[("HOBNOB_CONFIG", "hobnob.toml")]);
    assert_eq!(stdout(&output), "in order: hobnob.toml, and services.d (2 files, 2 instances)\n");
    assert!(
        stderr(&output).starts_with("warning: services.d/db.json: service.token has no effect")
    );
    assert_eq!(output.status.code(), Some(0));
    let found = json(&run(folder.path(), &["validate", "--config", "hobnob.toml", "--json"], &[]));
    assert_eq!(found["instances"], serde_json::json!(["db", "web"]));
}

#[test]
fn an_agent_does_not_start_with_a_file_that_is_wrong() {
    let folder = files(&[("hobnob.toml", "bind = \"127.0.0.1:0\"\nzoen = \"r1\"\n")]);
    let output = run(folder.path(), &["agent", "--config", "hobnob.toml"], &[]);
    assert_eq!(output.status.code(), Some(2));
    let told = stderr(&output);
    assert!(
        told.starts_with("error: hobnob.toml:2: there is no key `zoen`; did you mean `zone`?\n")
    );
    assert!(told.contains("help: `hobnob config init`"), "{told}");
    let output = run(folder.path(), &["agent", "--config", "nowhere.toml"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("nowhere.toml: cannot be read"), "{}", stderr(&output));
}

#[test]
fn each_setting_is_shown_with_its_origin_and_no_secret() {
    let folder = files(&[(
        "hobnob.toml",
        "data_dir = \"/d\"\nzone = \"r1\"\nbind = \"eth0\"\n[protocol]\nrumor_fanout = 3\n",
    )]);
    let variables = [("HOBNOB_ZONE", "r2"), ("HOBNOB_TOKEN", "hobnob1_secret")];
    let args = ["config", "show", "--config", "hobnob.toml"];
    let output = run(folder.path(), &args, &variables);
    let told = stdout(&output);
    let row = |key: &str| {
        let row = told.lines().find(|line| line.starts_with(&format!("{key} ")));
        row.unwrap_or_else(|| panic!("{key}: {told}")).split_whitespace().collect::<Vec<_>>()
    };
    assert_eq!(row("zone"), ["zone", "r2", "HOBNOB_ZONE"]);
    assert_eq!(row("bind"), ["bind", "eth0", "hobnob.toml:3"]);
    assert_eq!(row("protocol.rumor_fanout"), ["protocol.rumor_fanout", "3", "hobnob.toml:5"]);
    assert_eq!(row("gateway"), ["gateway", "yes", "default"]);
    assert_eq!(row("token"), ["token", "(not", "shown)", "HOBNOB_TOKEN"]);
    assert!(!told.contains("secret") && !stderr(&output).contains("secret"));
    let shown = json(&run(folder.path(), &[&args[..], &["--json"]].concat(), &variables));
    assert_eq!(shown["file"], "hobnob.toml");
    let settings = shown["settings"].as_array().unwrap();
    let zone = settings.iter().find(|setting| setting["key"] == "zone").unwrap();
    assert_eq!((&zone["origin"], &zone["place"]), (&"variable".into(), &"HOBNOB_ZONE".into()));
    let alone = run(folder.path(), &["config", "show"], &[("HOBNOB_DATA_DIR", "/d")]);
    assert!(stderr(&alone).starts_with("no agent answers: "), "{}", stderr(&alone));
}

#[test]
fn the_example_is_a_file_that_is_in_order() {
    let folder = files(&[]);
    let text = stdout(&run(folder.path(), &["config", "init"], &[]));
    assert!(text.contains("\n#bind = \"127.0.0.1:7946\"\n"), "{text}");
    fs::write(folder.path().join("hobnob.toml"), &text).unwrap();
    let variables = [("HOBNOB_DATA_DIR", "/d")];
    let output = run(folder.path(), &["validate", "--config", "hobnob.toml"], &variables);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn a_reload_prints_what_it_did_and_fails_when_a_file_is_broken() {
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    let done = Reloaded {
        added: ids(&["web-2"]),
        changed: ids(&["web-1"]),
        removed: ids(&["db"]),
        kept: 3,
        restart_for: ids(&["bind"]),
        ..Reloaded::default()
    };
    let agent = ScriptedAgent::start(vec![vec![Response::Reloaded(Box::new(done))]]);
    let (output, asked) = agent.run(&["reload"]);
    assert_eq!(asked, [Request::Reload {}]);
    assert_eq!(
        stdout(&output),
        "added    web-2\nchanged  web-1\nremoved  db\nkept     3\nrestart  bind: the new value counts from the next start\n"
    );
    assert_eq!(output.status.code(), Some(0));
    let broken = Reloaded { problems: ids(&["web.toml:2: no"]), ..Reloaded::default() };
    let answer = Response::Reloaded(Box::new(broken));
    let (output, _) = ScriptedAgent::start(vec![vec![answer.clone()]]).run(&["reload"]);
    assert_eq!((stdout(&output).as_str(), output.status.code()), ("", Some(1)));
    assert_eq!(stderr(&output), "error: web.toml:2: no\nnothing is changed\n");
    let (output, _) = ScriptedAgent::start(vec![vec![answer]]).run(&["reload", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json(&output)["problems"][0], "web.toml:2: no");
}
