//! Commands to try in another terminal.

use std::env;
use std::path::{Path, PathBuf};

/// What to try in another terminal.
#[derive(Clone, Debug, Default)]
pub(in crate::dev) struct Hints {
    /// Commands to paste.
    pub(in crate::dev) commands: Vec<String>,
    /// A command that lets shorter ones find the socket.
    pub(in crate::dev) export: String,
    /// Those shorter ones.
    pub(in crate::dev) short: Vec<String>,
}

/// Commands to paste, one about the datacenters if there are several, and one that follows the logs in a folder if there are some.
pub(in crate::dev) fn hints(socket: &Path, logs: Option<&Path>, has_link: bool) -> Hints {
    let program = quote(&program());
    let socket = quote(socket);
    let tries = ["members", "resolve web", "pick web -n 5", "watch web", "top"];
    let tries = tries.iter().chain(has_link.then_some(&"datacenters"));
    let mut short: Vec<_> = tries.clone().map(|command| format!("{program} {command}")).collect();
    let mut commands: Vec<_> =
        tries.map(|command| format!("{program} --socket {socket} {command}")).collect();
    if let Some(folder) = logs {
        let tail = format!("tail -f {}/a[0-9]*.log", quote(folder));
        short.push(tail.clone());
        commands.push(tail);
    }
    Hints { commands, export: format!("export HOBNOB_SOCKET={socket}"), short }
}

/// `hobnob` if the shell finds this executable under that name, else the path of the executable.
fn program() -> PathBuf {
    let name = PathBuf::from("hobnob");
    let Ok(running) = env::current_exe() else { return name };
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|dir| dir.join(&name)).find(|found| found.is_file());
    match found.and_then(|found| found.canonicalize().ok()) {
        Some(found) if running.canonicalize().is_ok_and(|running| running == found) => name,
        _ => running,
    }
}

/// A path, quoted for a POSIX shell.
fn quote(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_what_was_meant() {
        assert_eq!(
            quote(Path::new("/tmp/hobnob-dev-Xy_1/a1.sock")),
            "/tmp/hobnob-dev-Xy_1/a1.sock"
        );
        assert_eq!(quote(Path::new("/my projects/it's")), r"'/my projects/it'\''s'");
        assert_eq!(quote(Path::new("")), "''");
    }

    #[test]
    fn commands_name_the_socket() {
        let Hints { commands, export, .. } =
            hints(Path::new("/t/a1.sock"), Some(Path::new("/my logs")), true);
        assert_eq!(export, "export HOBNOB_SOCKET=/t/a1.sock");
        assert!(commands[1].ends_with(" --socket /t/a1.sock resolve web"), "{commands:?}");
        assert!(commands[5].ends_with(" datacenters"), "{commands:?}");
        assert_eq!(commands.last().unwrap(), "tail -f '/my logs'/a[0-9]*.log");
    }
}
