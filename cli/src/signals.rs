//! The signals that ask a process to stop.

use std::ffi::OsString;
use std::fs;
use std::future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, oneshot};

use crate::stdin;

/// The time within which a further signal only repeats the first. GNU `timeout` signals its child and then the group,
/// and a wrapper passes on the Ctrl-C that the terminal sent to both.
const REPEATS_WITHIN: Duration = Duration::from_secs(1);

/// The meaning of SIGHUP. A process that was started with SIGHUP ignored, as by `nohup`, goes on ignoring it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hangup {
    /// It asks to stop, for the terminal is gone.
    Stops,
    /// It asks to read the configuration again. It never asks to stop.
    Reloads,
}

/// SIGINT (Ctrl-C), SIGTERM and SIGHUP, from the creation of this value on. No signal between two waits is missed.
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<(Signal, Hangup)>,
    /// Counts as a signal, once.
    end_of_stdin: Option<oneshot::Receiver<()>>,
    /// Told of each SIGHUP that asks to read the configuration again.
    reload: Arc<Notify>,
    repeats: Repeats,
}

impl StopSignals {
    pub(crate) fn new(meaning: Hangup) -> io::Result<Self> {
        let hangup = match is_ignored(Number::HUP) {
            true => None,
            false => Some((signal(SignalKind::hangup())?, meaning)),
        };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup,
            end_of_stdin: None,
            reload: Arc::default(),
            repeats: Repeats::default(),
        })
    }

    /// Lets the end of the standard input count as a signal, too.
    pub(crate) fn or_end_of_stdin(self) -> io::Result<Self> {
        Ok(Self { end_of_stdin: Some(stdin::end_of_stdin()?), ..self })
    }

    /// Resolves after each SIGHUP that asks to read the configuration again, while [`next`](Self::next) is waited for. One that
    /// came before is not lost.
    pub(crate) fn reloads(&self) -> Arc<Notify> {
        self.reload.clone()
    }

    /// The process stops already, without a signal: the next one asks for nothing more. Service managers send one after
    /// the command that stopped the process.
    pub(crate) fn expect_one(&mut self) {
        self.repeats.is_one_expected = true;
    }

    /// Waits for the next signal that does not repeat the first one. Returns its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        loop {
            let signal = tokio::select! {
                _ = self.interrupt.recv() => "SIGINT",
                _ = self.terminate.recv() => "SIGTERM",
                () = next_end(&mut self.end_of_stdin) => "the end of stdin",
                meaning = next_hangup(&mut self.hangup) => match meaning {
                    Hangup::Stops => "SIGHUP",
                    Hangup::Reloads => {
                        self.reload.notify_one();
                        continue;
                    }
                },
            };
            if !self.repeats.is_one(Instant::now()) {
                return signal;
            }
        }
    }
}

/// Lets two signals end this process no more, from now on, if it is the process of an agent. An agent reads its files before it
/// listens to signals, and a SIGHUP that comes meanwhile asks for what it does anyway. SIGXFSZ comes with a write beyond the
/// limit of file sizes, which then fails as on a full disk.
pub(crate) fn outlive() {
    if !is_agent(std::env::args_os().skip(1)) {
        return;
    }
    // A handler stays installed without the runtime and the value that it was made with.
    if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() {
        let _runtime = runtime.enter();
        drop(signal(SignalKind::from_raw(Number::XFSZ.as_raw())));
        if !is_ignored(Number::HUP) {
            drop(signal(SignalKind::hangup()));
        }
    }
}

/// Whether these arguments run an agent. An option before the command has a value, behind `=` or as the next argument.
fn is_agent(args: impl IntoIterator<Item = OsString>) -> bool {
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let arg = arg.as_encoded_bytes();
        if !arg.starts_with(b"-") {
            return arg == b"agent";
        }
        if !arg.contains(&b'=') {
            args.next();
        }
    }
    false
}

/// Ends this process some time after a signal to stop, if it has not ended by then: a terminal that does not read holds up whoever
/// draws on it.
pub(crate) fn end_despite_a_stuck_terminal() -> io::Result<()> {
    const PATIENCE: Duration = Duration::from_secs(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = {
        let _runtime = runtime.enter();
        StopSignals::new(Hangup::Stops)?
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            signals.next().await;
            tokio::time::sleep(PATIENCE).await;
        });
        std::process::exit(0);
    })?;
    Ok(())
}

async fn next_hangup(hangup: &mut Option<(Signal, Hangup)>) -> Hangup {
    match hangup {
        Some((signal, meaning)) => {
            signal.recv().await;
            *meaning
        }
        None => future::pending().await,
    }
}

async fn next_end(end_of_stdin: &mut Option<oneshot::Receiver<()>>) {
    match end_of_stdin {
        Some(end) => {
            // Ignore the error: a reader that is gone reads no more, either.
            let _ = end.await;
            *end_of_stdin = None;
        }
        None => future::pending().await,
    }
}

/// Whether this process was started with this signal ignored. Where the system does not tell, it counts as not ignored.
fn is_ignored(signal: Number) -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores(&status, signal))
}

/// Reads the set of ignored signals in `/proc/PID/status`: hexadecimal, the lowest bit for signal 1.
fn ignores(status: &str, signal: Number) -> bool {
    let set = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let set = set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    set.is_some_and(|set| set >> (signal.as_raw() - 1) & 1 == 1)
}

/// Tells a signal that repeats the first one from a signal that asks to stop at once.
#[derive(Default)]
struct Repeats {
    first: Option<Instant>,
    /// Whether the first signal asks for nothing that is not done already.
    is_one_expected: bool,
}

impl Repeats {
    /// Whether a signal at this time only repeats the first one.
    fn is_one(&mut self, now: Instant) -> bool {
        match self.first {
            Some(first) => now.duration_since(first) < REPEATS_WITHIN,
            None => {
                self.first = Some(now);
                self.is_one_expected
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(repeats: &mut Repeats, after_ms: &[u64]) -> Vec<bool> {
        let first = Instant::now();
        let at = |after_ms| first + Duration::from_millis(after_ms);
        after_ms.iter().map(|after_ms| repeats.is_one(at(*after_ms))).collect()
    }

    #[test]
    fn an_agent_is_known_by_its_command_wherever_that_stands() {
        let is_agent = |line: &str| is_agent(line.split_whitespace().map(OsString::from));
        for line in
            ["agent", "agent --socket s", "--socket s agent", "--color=never --socket s agent"]
        {
            assert!(is_agent(line), "{line}");
        }
        for line in ["", "watch agent", "--socket agent watch web", "--socket"] {
            assert!(!is_agent(line), "{line}");
        }
    }

    #[test]
    fn a_signal_within_a_second_of_the_first_repeats_it() {
        let mut repeats = Repeats::default();
        let is_one = [false, true, true, false, false];
        assert_eq!(told(&mut repeats, &[0, 3, 999, 1_000, 1_001]), is_one);
    }

    #[test]
    fn the_first_signal_to_a_process_that_stops_already_asks_for_nothing_more() {
        let mut repeats = Repeats { is_one_expected: true, ..Repeats::default() };
        assert_eq!(told(&mut repeats, &[0, 999, 1_000]), [true, true, false]);
    }

    #[test]
    fn an_ignored_signal_is_a_bit_of_the_status() {
        let status = |set: &str| format!("Name:\thobnob\nSigBlk:\t1\nSigIgn:\t{set}\nSigCgt:\t1\n");
        for (set, hangup, terminate) in [
            ("0000000000000000", false, false),
            ("0000000000000001", true, false),
            ("0000000000001000", false, false),
            ("0000000000005001", true, true),
        ] {
            let ignored = [Number::HUP, Number::TERM].map(|signal| ignores(&status(set), signal));
            assert_eq!(ignored, [hangup, terminate], "{set}");
        }
        assert!(!ignores("", Number::HUP));
    }
}
