use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use clap::{CommandFactory, FromArgMatches};
use hobnob_agent::AgentConfig;
use hobnob_api::{Origin, Setting};

use super::options::options;
use super::*;
use crate::args::{Cli, Command};

/// A configuration file in a directory of its own.
fn file(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hobnob.toml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn merged(path: &Path, more: &[&str]) -> Result<Merged, Broken> {
    let mut line = agent_line(Some(path), None);
    line.extend(more.iter().map(OsString::from));
    merge(&Cli::command(), &line)
}

fn config(path: &Path, more: &[&str]) -> AgentConfig {
    let cli = Cli::from_arg_matches(&merged(path, more).unwrap().matches).unwrap();
    let socket = cli.socket();
    match cli.command {
        Command::Agent(args) => args.into_config(socket).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn setting(path: &Path, more: &[&str], key: &str) -> Setting {
    let settings = merged(path, more).unwrap().settings.settings;
    settings.into_iter().find(|setting| setting.key == key).unwrap()
}

fn problems(text: &str) -> Vec<String> {
    let (_folder, path) = file(text);
    let name = path.display().to_string();
    let Err(broken) = merged(&path, &[]) else { panic!("{text} is in order") };
    let told = broken.problems().into_iter().map(|problem| problem.to_string());
    told.map(|told| told.replace(&name, "FILE")).collect()
}

const TEXT: &str = "bind = \"127.0.0.1:1\"\njoin = [\"a:1\", \"b:2\"]\ninsecure = true\nzone = \"r1\"\n\
                    socket = \"run/a.sock\"\ndata_dir = \"/d\"\n[protocol]\ndigest_period_ms = 700\n";

#[test]
fn a_file_counts_before_the_defaults_and_after_flags() {
    let (folder, path) = file(TEXT);
    let config_of_file = config(&path, &[]);
    assert_eq!(config_of_file.bind.to_string(), "127.0.0.1:1");
    assert_eq!(config_of_file.join, ["a:1", "b:2"]);
    assert!(config_of_file.insecure && config_of_file.listener_watch);
    assert_eq!(config_of_file.protocol.digest_period.as_millis(), 700);
    assert_eq!(config_of_file.socket, folder.path().join("run/a.sock"), "relative to the file");
    assert_eq!(config_of_file.data_dir, Path::new("/d"));
    let flags = ["--bind", "127.0.0.1:2", "--join", "c:3", "--insecure=false", "--socket", "s"];
    let config_of_flags = config(&path, &flags);
    assert_eq!(config_of_flags.bind.to_string(), "127.0.0.1:2");
    assert_eq!((config_of_flags.join, config_of_flags.insecure), (vec!["c:3".to_owned()], false));
    assert_eq!((config_of_flags.socket, config_of_flags.zone), ("s".into(), "r1".to_owned()));
}

#[test]
fn each_setting_has_its_origin() {
    let (_folder, path) = file(TEXT);
    let place = |line| Some(format!("{}:{line}", path.display()));
    let zone = setting(&path, &[], "zone");
    assert_eq!(
        (zone.origin, zone.value.as_deref(), zone.place),
        (Origin::File, Some("r1"), place(4))
    );
    let period = setting(&path, &[], "protocol.digest_period_ms");
    assert_eq!(
        (period.origin, period.value.as_deref(), period.place),
        (Origin::File, Some("700"), place(8))
    );
    let zone = setting(&path, &["--zone", "r2"], "zone");
    assert_eq!((zone.origin, zone.place.as_deref()), (Origin::Flag, Some("--zone")));
    assert_eq!(setting(&path, &[], "join").value.as_deref(), Some("a:1,b:2"));
    let socket = setting(&path, &["--socket", "s"], "socket");
    assert_eq!((socket.origin, socket.value.as_deref()), (Origin::Flag, Some("s")));
    assert_eq!(setting(&path, &[], "socket").origin, Origin::File);
    let name = setting(&path, &[], "name");
    assert_eq!((name.origin, name.value, name.place), (Origin::Default, None, None));
    assert_eq!(setting(&path, &[], "query_socket_mode").value.as_deref(), Some("0666"));
}

#[test]
fn all_problems_of_a_file_are_told_with_their_lines() {
    let told = problems("bnd = 1\n[protocol]\nrumor_fanout = 0\nrumour_fanout = 3\n");
    assert_eq!(told[0], "FILE:1: there is no key `bnd`; did you mean `bind`?");
    assert!(
        told[1].starts_with("FILE:3: `protocol.rumor_fanout` cannot be `0`: 0 is not in 1..=8")
    );
    assert!(told[2].starts_with("FILE:4: there is no key `protocol.rumour_fanout`; did you mean"));
    let told = problems(
        "bind = \"nowhere:\"\nwan_bytes_per_second = 3\ngateway = \"perhaps\"\ninsecure = \"maybe\"\njoin = [\"a:1\", \"b:\"]\n\
         [protocol]\ndigest_period_ms = 1\n",
    );
    for (says, told) in [
        "FILE:1: `bind` cannot be `nowhere:`: expected an IP address",
        "FILE:2: `wan_bytes_per_second` cannot be `3`: 3 is not in 10000..",
        "FILE:3: `gateway` cannot be `perhaps`: expected one of yes, only-if-needed, never",
        "FILE:4: `insecure` cannot be `maybe`: ",
        "FILE:5: `join` cannot be `b:`: expected the gossip address",
        "FILE:7: `protocol.digest_period_ms` cannot be `1`: 1 is not in 100..",
    ]
    .iter()
    .zip(&told)
    {
        assert!(told.starts_with(says), "{told}");
    }
    assert_eq!(told.len(), 6, "{told:?}");
    assert!(problems("no_config = true\n")[0].starts_with("FILE:1: there is no key"));
}

#[test]
fn the_example_has_every_key_and_is_in_order_when_all_of_it_is_uncommented() {
    let command = Cli::command();
    let text = example(&command);
    let is_key = |line: &str| {
        line.strip_prefix('#')
            .is_some_and(|rest| !rest.starts_with([' ', '\n']) && rest.contains(" = "))
    };
    let uncommented: Vec<_> =
        text.lines().map(|line| if is_key(line) { &line[1..] } else { line }).collect();
    let (_folder, path) = file(&uncommented.join("\n"));
    let settings =
        merged(&path, &[]).map_err(Broken::problems).map(|merged| merged.settings.settings);
    let settings = settings.unwrap_or_else(|problems| panic!("{problems:?}"));
    let set: BTreeSet<_> =
        settings.iter().filter(|one| one.origin == Origin::File).map(|one| &*one.key).collect();
    let options = options(&command);
    let known: BTreeSet<_> = options.iter().map(|option| &*option.key).collect();
    assert_eq!(set, known);
    let (_folder, path) = file(&text);
    let of_file = |one: &Setting| one.origin == Origin::File;
    assert!(!merged(&path, &[]).unwrap().settings.settings.iter().any(of_file), "all are comments");
}

#[test]
fn the_example_shows_the_defaults() {
    let text = example(&Cli::command());
    for line in [
        "#bind = \"127.0.0.1:7946\"",
        "#insecure = false",
        "#wan_bytes_per_second = 1250000",
        "#query_socket_mode = \"0666\"",
        "[protocol]",
        "#digest_period_ms = 500",
        "# (--protocol-digest-period-ms, HOBNOB_PROTOCOL_DIGEST_PERIOD_MS)",
    ] {
        assert!(text.lines().any(|of_text| of_text == line), "{line}: {text}");
    }
}

#[test]
fn no_file_is_read_when_none_is_wanted() {
    let (_folder, path) = file("bnd = 1\n");
    assert!(merged(&path, &[]).is_err());
    let line = ["hobnob", "agent", "--no-config"].map(OsString::from);
    assert_eq!(merge(&Cli::command(), &line).unwrap().settings.file, None);
}

#[test]
fn no_configuration_and_a_place_of_one_contradict_each_other() {
    for place in ["--config", "--config-dir"] {
        let line = ["hobnob", "agent", "--no-config", place, "/x"].map(OsString::from);
        let Err(Broken::Usage(error)) = merge(&Cli::command(), &line) else { panic!("{place}") };
        assert!(error.to_string().contains(place), "{error}");
        assert!(error.to_string().starts_with("error: --no-config"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn other_commands_read_no_file() {
    let line = ["hobnob", "members"].map(OsString::from);
    let merged = merge(&Cli::command(), &line).unwrap();
    assert!(merged.settings.settings.is_empty());
}

#[test]
fn every_option_of_an_agent_has_a_key() {
    let command = Cli::command();
    let keys: BTreeSet<_> =
        options(&command).into_iter().map(|option| option.id().to_owned()).collect();
    let agent = command.find_subcommand("agent").unwrap();
    for arg in agent.get_arguments() {
        let id = arg.get_id().as_str();
        // A switch has to be written as the others are, to be turned off again by a variable or a flag.
        let has_none = ["config", "no_config"].contains(&id);
        assert_eq!(keys.contains(id), !has_none, "{id}");
    }
    assert!(keys.contains("socket"));
}
