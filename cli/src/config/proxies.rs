//! The `[[proxy]]` tables of the configuration file: each is read as a command line is.

use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ContextKind;
use clap::{CommandFactory, Parser};
use hobnob_agent::{ConfigFile, KnownKey, Leaf, Problem, ProxyTable, nearest};
use hobnob_proxy::{Endpoint, RouteConfig};

use super::options::SOCKET;
use crate::args::ProxyLine;

/// The routes of a file, followed through the agent behind a socket.
///
/// # Errors
/// All problems of the tables.
pub(crate) fn proxies(path: &Path, socket: &Path) -> Result<Vec<RouteConfig>, Vec<Problem>> {
    let (tables, mut problems) = ProxyTable::read(path);
    let mut routes: Vec<RouteConfig> = Vec::new();
    for table in &tables {
        match route(path, table, socket) {
            Ok(route) if routes.iter().any(|other| is_taken(&route.listen, &other.listen)) => {
                let message =
                    format!("another [[proxy]] table listens on {} already", route.listen);
                problems.push(Problem::of(path, Some(table.line), message));
            }
            Ok(route) => routes.push(route),
            Err(wrong) => problems.extend(wrong),
        }
    }
    problems.sort_by_key(|problem| problem.line);
    if problems.is_empty() { Ok(routes) } else { Err(problems) }
}

/// Whether one address takes another. The system chooses a port of its own for each that is 0.
fn is_taken(address: &Endpoint, by: &Endpoint) -> bool {
    let is_chosen = matches!(address, Endpoint::Tcp(address) if address.port() == 0);
    address == by && !is_chosen
}

/// The socket of the agent that a file names.
pub(crate) fn socket_of(path: &Path) -> Option<PathBuf> {
    let known = KnownKey { key: SOCKET, is_list: false };
    let (file, _) = ConfigFile::read(path, &[known]);
    let value = file.leaves.first()?.values.first()?.clone();
    Some(path.parent().unwrap_or(Path::new("")).join(value))
}

fn route(path: &Path, table: &ProxyTable, socket: &Path) -> Result<RouteConfig, Vec<Problem>> {
    let command = ProxyLine::command();
    let known: Vec<String> =
        command.get_arguments().filter_map(|arg| Some(arg.get_long()?.replace('-', "_"))).collect();
    let mut problems = Vec::new();
    let mut words: Vec<OsString> = Vec::new();
    for leaf in &table.leaves {
        let wrong = |message| Problem::of(path, Some(leaf.line), message);
        if !known.contains(&leaf.key) {
            let key = &leaf.key;
            let meant = nearest(key, known.iter().map(String::as_str));
            let meant = meant.map_or(String::new(), |meant| format!("; did you mean `{meant}`?"));
            problems.push(wrong(format!("there is no key `{key}` in a [[proxy]] table{meant}")));
            continue;
        }
        match word(leaf, &command) {
            Ok(word) => words.extend(word),
            Err(message) => problems.push(wrong(message)),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let place = |message| vec![Problem::of(path, Some(table.line), message)];
    let line = ProxyLine::try_parse_from(words).map_err(|error| match culprit(&error, table) {
        Some((line, message)) => vec![Problem::of(path, Some(line), message)],
        None => place("a [[proxy]] table needs the keys `service` and `listen`".to_owned()),
    })?;
    line.route(socket).map_err(place)
}

/// A key and its value as a word; none for a switch that is off.
fn word(leaf: &Leaf, command: &clap::Command) -> Result<Option<OsString>, String> {
    let Leaf { key, values, .. } = leaf;
    let value = values.first().map(String::as_str).unwrap_or_default();
    let long = key.replace('_', "-");
    let mut args = command.get_arguments();
    let is_switch = args
        .find(|arg| arg.get_long() == Some(&long))
        .is_some_and(|arg| !arg.get_action().takes_values());
    match (is_switch, value) {
        (false, value) => Ok(Some(format!("--{long}={value}").into())),
        (true, "true") => Ok(Some(format!("--{long}").into())),
        (true, "false") => Ok(None),
        (true, value) => Err(format!("`{key}` cannot be `{value}`: expected true or false")),
    }
}

/// The line of a value that cannot be, and why.
fn culprit(error: &clap::Error, table: &ProxyTable) -> Option<(usize, String)> {
    let arg = error.get(ContextKind::InvalidArg)?.to_string();
    let value = error.get(ContextKind::InvalidValue)?.to_string();
    let key = arg.trim_start_matches('-').split([' ', '=']).next()?.replace('-', "_");
    let leaf = table.leaves.iter().find(|leaf| leaf.key == key)?;
    let expected = match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(reason), _) => reason.to_string(),
        (None, Some(valid)) => format!("expected one of {valid}"),
        (None, None) => "expected another one".to_owned(),
    };
    Some((leaf.line, format!("`{key}` cannot be `{value}`: {expected}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hobnob_api::Protocol;
    use hobnob_proxy::Mode;

    fn read(text: &str) -> Result<Vec<RouteConfig>, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.toml");
        std::fs::write(&path, text).unwrap();
        let place = format!("{}/", folder.path().display());
        let text = |problem: &Problem| problem.to_string().replace(&place, "");
        proxies(&path, Path::new("/s")).map_err(|problems| problems.iter().map(text).collect())
    }

    #[test]
    fn a_table_has_the_options_of_the_command() {
        let text = "bind = \"eth0\"\n[[proxy]]\nservice = \"web\"\nlisten = \"127.0.0.1:9001\"\nprotocol = \"http2\"\nshow_instance = true\nretries = 1\n\
                    [[proxy]]\nservice = \"db\"\nlisten = \"tcp:unix:/run/db.sock\"\nproxy_protocol = true\nstrict = false\n";
        let routes = read(text).unwrap();
        assert_eq!(routes.len(), 2);
        let given = &routes[0].discovery.overrides;
        assert_eq!((given.protocol, given.max_retries), (Some(Protocol::Http2), Some(1)));
        assert!(matches!(routes[0].mode, Mode::Http(options) if options.show_instance));
        assert!(matches!(routes[1].mode, Mode::Tcp(options) if options.proxy_protocol));
        assert_eq!(routes[1].listen.to_string(), "unix:/run/db.sock");
        assert_eq!(read("bind = \"eth0\"\n").unwrap().len(), 0);
        let chosen = "[[proxy]]\nservice = \"web\"\nlisten = \"127.0.0.1:0\"\n";
        assert_eq!(read(&chosen.repeat(2)).unwrap().len(), 2);
    }

    #[test]
    fn each_problem_has_its_line_and_says_what_is_expected() {
        let table = |more: &str| {
            format!("[[proxy]]\nservice = \"web\"\nlisten = \"127.0.0.1:9001\"\n{more}\n")
        };
        for (text, says) in [
            (
                table("retires = 1"),
                "h.toml:4: there is no key `retires` in a [[proxy]] table; did you mean `retries`?",
            ),
            (table("strict = 1"), "h.toml:4: `strict` cannot be `1`: expected true or false"),
            (
                table("timeout = \"soon\""),
                "h.toml:4: `timeout` cannot be `soon`: expected a number and a unit",
            ),
            (
                table("protocol = \"h3\""),
                "h.toml:4: `protocol` cannot be `h3`: expected one of http1, http2",
            ),
            (
                table("forwarded = true").replace("127", "tcp:127"),
                "h.toml:1: --forwarded is for HTTP alone",
            ),
            (table("proxy_protocol = true"), "h.toml:1: --proxy-protocol is for tcp: alone"),
            (table("selector = \"(\""), "h.toml:1: the selector of `web` cannot be read"),
            (
                [table(""), table("")].concat(),
                "h.toml:5: another [[proxy]] table listens on 127.0.0.1:9001 already",
            ),
            (
                "[[proxy]]\nservice = \"web\"\n".to_owned(),
                "h.toml:1: a [[proxy]] table needs the keys",
            ),
            (
                "[[proxy]]\nservice = \"web\"\nlisten = \"9001\"\n".to_owned(),
                "h.toml:3: `listen` cannot be `9001`",
            ),
        ] {
            let problems = read(&text).unwrap_err();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].starts_with(says), "{}", problems[0]);
        }
    }

    #[test]
    fn the_socket_of_the_agent_is_found_beside_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.toml");
        std::fs::write(&path, "socket = \"a.sock\"\n[[proxy]]\nservice = \"web\"\n").unwrap();
        assert_eq!(socket_of(&path), Some(folder.path().join("a.sock")));
        std::fs::write(&path, "bind = \"eth0\"\n").unwrap();
        assert_eq!(socket_of(&path), None);
    }
}
