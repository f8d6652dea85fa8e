//! A script probe: a program whose exit code is the outcome.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::{ProbeError, Subject};
use crate::checks::outcome::{MAX_OUTPUT_BYTES, Outcome, one_line};

/// Scripts that run at a time. Further ones wait, and their time begins afterwards.
pub const MAX_SCRIPTS: usize = 32;
/// The only variable of the environment beside those of the check.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) static PERMITS: Semaphore = Semaphore::const_new(MAX_SCRIPTS);

/// A process with its group. It is killed on drop, together with all that it has started in its group.
struct Group {
    child: Child,
    id: Option<Pid>,
}

impl Drop for Group {
    fn drop(&mut self) {
        // The process may have been waited for. As long as one that it left behind runs, the number of the group is not given
        // away; the next process gets a number that was free for longer.
        if let Some(id) = self.id {
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}

/// Runs the program, and judges it by its exit code: 0 passes, 1 warns, anything else fails.
pub(super) async fn run(
    args: &[String],
    subject: &Subject,
    timeout: Duration,
) -> Result<Outcome, ProbeError> {
    let deadline = Instant::now() + timeout;
    let Some((program, args)) = args.split_first() else {
        return Ok(Outcome::failure("the check names no program"));
    };
    let failed = |source| ProbeError::Script { program: program.clone(), source };
    let (mut group, mut output) = spawn(program, args, subject).map_err(failed)?;
    let mut said = Vec::new();
    let ended = async {
        tokio::select! {
            biased;
            ended = group.child.wait() => ended,
            never = read(&mut output, &mut said) => match never {},
        }
    };
    let Ok(ended) = timeout_at(deadline, ended).await else {
        drop(group);
        let said = quoted(&said);
        return Ok(Outcome::failure(format!("no end within {timeout:?}, killed{said}")));
    };
    // What it wrote is in the pipe already. A process that it left behind may hold the pipe open. It is not waited for, and
    // killed at the end.
    let mut rest = [0; MAX_OUTPUT_BYTES];
    while said.len() < MAX_OUTPUT_BYTES
        && let Ok(len @ 1..) = output.try_read(&mut rest)
    {
        said.extend_from_slice(&rest[..len]);
    }
    Ok(judge(ended.map_err(failed)?, &said))
}

fn spawn(program: &str, args: &[String], subject: &Subject) -> io::Result<(Group, Receiver)> {
    let (output, input) = io::pipe()?;
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .env("PATH", PATH)
        .env("HOBNOB_INSTANCE", &*subject.instance)
        .env("HOBNOB_SERVICE", &subject.service)
        .env("HOBNOB_ADDRESS", &subject.address)
        .env("HOBNOB_PORT", subject.port.to_string())
        .env("HOBNOB_CHECK", &subject.check)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(input.try_clone()?)
        .stderr(input)
        .process_group(0)
        .kill_on_drop(true);
    let child = command.spawn()?;
    let output = Receiver::from_owned_fd(OwnedFd::from(output))?;
    let id = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
    Ok((Group { child, id }, output))
}

/// Reads until the task is dropped, and keeps the beginning, so that a program with much to say is not held up.
async fn read(output: &mut Receiver, said: &mut Vec<u8>) -> std::convert::Infallible {
    let mut part = [0; 4 * 1024];
    loop {
        match output.read(&mut part).await {
            Ok(len @ 1..) => {
                let room = MAX_OUTPUT_BYTES.saturating_sub(said.len());
                said.extend_from_slice(&part[..len.min(room)]);
            }
            Ok(0) | Err(_) => return std::future::pending().await,
        }
    }
}

fn judge(ended: ExitStatus, said: &[u8]) -> Outcome {
    let text = one_line(said);
    match ended.code() {
        Some(0) if text.is_empty() => Outcome::success("exit code 0"),
        Some(0) => Outcome::success(text),
        Some(1) => Outcome::warning(format!("exit code 1{}", quoted(said))),
        Some(code) => Outcome::failure(format!("exit code {code}{}", quoted(said))),
        None => Outcome::failure(format!("ended by a signal{}", quoted(said))),
    }
}

fn quoted(said: &[u8]) -> String {
    match one_line(said) {
        text if text.is_empty() => text,
        text => format!(": {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::outcome::Meaning;

    const PATIENT: Duration = Duration::from_secs(30);

    fn subject() -> Subject {
        Subject {
            instance: "web-1".into(),
            service: "web".to_owned(),
            check: "deep".to_owned(),
            address: "10.0.0.7".to_owned(),
            port: 80,
        }
    }

    async fn sh(script: &str, timeout: Duration) -> Outcome {
        let args = ["sh", "-c", script].map(str::to_owned);
        run(&args, &subject(), timeout).await.expect("it runs")
    }

    #[tokio::test]
    async fn the_exit_code_decides() {
        for (script, meaning, output) in [
            ("echo fine; exit 0", Meaning::Success, "fine"),
            ("exit 0", Meaning::Success, "exit code 0"),
            ("echo low >&2; exit 1", Meaning::Warning, "exit code 1: low"),
            ("echo a; echo b; exit 2", Meaning::Failure, "exit code 2: a b"),
            ("kill -9 $$", Meaning::Failure, "ended by a signal"),
        ] {
            let outcome = sh(script, PATIENT).await;
            assert_eq!((outcome.meaning(), outcome.output()), (meaning, output), "{script}");
        }
    }

    #[tokio::test]
    async fn it_learns_what_it_checks_and_nothing_of_the_agent() {
        let outcome = sh("env | sort", PATIENT).await;
        let expected = "HOBNOB_ADDRESS=10.0.0.7 HOBNOB_CHECK=deep HOBNOB_INSTANCE=web-1 HOBNOB_PORT=80 HOBNOB_SERVICE=web PATH=";
        assert!(outcome.output().starts_with(expected), "{}", outcome.output());
        assert!(!outcome.output().contains("HOME="), "{}", outcome.output());
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_a_failure_with_its_name() {
        let args = ["/nowhere/check".to_owned()];
        let error = run(&args, &subject(), PATIENT).await.expect_err("it is not there");
        assert!(error.to_string().contains("/nowhere/check"), "{error}");
        assert!(!error.is_local());
    }

    #[tokio::test]
    async fn an_endless_output_is_cut_and_does_not_hold_the_program_up() {
        let outcome = sh("head -c 1000000 /dev/zero | tr '\\0' x; exit 3", PATIENT).await;
        assert_eq!(outcome.meaning(), Meaning::Failure);
        assert_eq!(outcome.output().len(), MAX_OUTPUT_BYTES);
    }

    /// The group of a script that ended, or ran out of time, has no process left: a pipe that all of them hold open is closed.
    async fn leaves_nothing_behind(end: &str, timeout: Duration) -> Outcome {
        let dir = tempfile::tempdir().expect("a directory");
        let fifo = dir.path().join("held");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).expect("a fifo");
        let held = fifo.to_str().expect("text").to_owned();
        let opened = tokio::task::spawn_blocking({
            let held = held.clone();
            move || std::fs::read(held)
        });
        let script = format!("exec 9>{held}; echo begun; sleep 1000 & {end}");
        let outcome = sh(&script, timeout).await;
        let read = tokio::time::timeout(PATIENT, opened).await.expect("every process is gone");
        assert_eq!(read.expect("no panic").expect("read"), b"");
        outcome
    }

    #[tokio::test]
    async fn a_script_that_runs_out_of_time_is_killed_with_all_that_it_started() {
        let outcome = leaves_nothing_behind("sleep 1000", Duration::from_secs(1)).await;
        assert_eq!(outcome.meaning(), Meaning::Failure);
        assert!(outcome.output().contains("killed: begun"), "{}", outcome.output());
    }

    #[tokio::test]
    async fn what_a_script_leaves_behind_is_killed_when_the_script_has_ended() {
        let outcome = leaves_nothing_behind("exit 0", PATIENT).await;
        assert_eq!((outcome.meaning(), outcome.output()), (Meaning::Success, "begun"));
    }

    #[tokio::test]
    async fn a_process_that_is_left_behind_is_not_waited_for() {
        let outcome = sh("sleep 20 & echo done; exit 0", PATIENT).await;
        assert_eq!((outcome.meaning(), outcome.output()), (Meaning::Success, "done"));
    }
}
