//! The destination and the form of log lines.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::io::{self, Write};
use std::panic;
use std::process;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use hobnob_agent::LogFilter;
use hobnob_agent::log_writer::LogWriter;
use tracing_subscriber::{EnvFilter, reload};

use crate::args::values;
use crate::exit::Exit;

/// The time that the last lines have to be written when the process ends. A log that nobody reads must not keep it.
const LAST_LINES_WITHIN: Duration = Duration::from_secs(1);

/// The log on stderr, while there is one.
static STDERR_LOG: OnceLock<LogWriter> = OnceLock::new();

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people: time, level, message, fields.
    Human,
    /// One JSON object a line.
    Json,
}

/// Logs to stderr, with colours or without. Returns the filter, which may be changed.
pub(crate) fn to_stderr(
    format: LogFormat,
    filter: &str,
    colours: bool,
) -> anyhow::Result<Arc<dyn LogFilter>> {
    let log = LogWriter::start(io::stderr()).context("cannot start the log")?;
    let log = STDERR_LOG.get_or_init(|| log);
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(filter)?)
        .with_writer(|| log.clone())
        .with_ansi(colours);
    let text = Mutex::new(filter.to_owned());
    let replace: Replace = match format {
        LogFormat::Human => {
            let subscriber = subscriber.with_filter_reloading();
            let handle = subscriber.reload_handle();
            subscriber.init();
            Box::new(move |filter| handle.reload(filter))
        }
        LogFormat::Json => {
            let subscriber = subscriber.json().with_filter_reloading();
            let handle = subscriber.reload_handle();
            subscriber.init();
            Box::new(move |filter| handle.reload(filter))
        }
    };
    Ok(Arc::new(Filter { text, replace }))
}

/// Replaces the filter of the log.
type Replace = Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>;

/// The filter of the log on stderr.
struct Filter {
    /// As it was given.
    text: Mutex<String>,
    replace: Replace,
}

impl LogFilter for Filter {
    fn current(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn check(&self, filter: &str) -> Result<(), String> {
        let filter = values::log_filter(filter)?;
        EnvFilter::try_new(&filter).map(drop).map_err(|error| error.to_string())
    }

    fn set(&self, filter: &str) -> Result<(), String> {
        let filter = values::log_filter(filter)?;
        let parsed = EnvFilter::try_new(&filter).map_err(|error| error.to_string())?;
        // Held meanwhile, so that the text is that of the filter.
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        (self.replace)(parsed).map_err(|error| error.to_string())?;
        *text = filter;
        Ok(())
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filter").field(&self.current()).finish()
    }
}

/// Writes a line to stderr: through the log, if it is there, so that this never waits where the log would not. An error
/// is ignored, for there is no other place to tell it.
pub(crate) fn line_to_stderr(text: &str) {
    let line = format!("{text}\n");
    let _ = match STDERR_LOG.get() {
        Some(log) => log.clone().write_all(line.as_bytes()),
        None => io::stderr().write_all(line.as_bytes()),
    };
}

/// From now on a panic, in whatever thread or task, ends the process with a message and the exit code of a failure. What is
/// left of an agent without one of its tasks would look alive and do half of its work.
pub(crate) fn exit_on_panic() {
    panic::set_hook(Box::new(|panic| {
        line_to_stderr(&format!("error: a part of the agent failed, so all of it ends: {panic}"));
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            line_to_stderr(&backtrace.to_string());
        }
        finish();
        process::exit(Exit::Failed as i32);
    }));
}

/// Gives the last lines on stderr some time to be written.
pub(crate) fn finish() {
    if let Some(log) = STDERR_LOG.get() {
        log.flush_within(LAST_LINES_WITHIN);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::{env, thread};

    use super::*;

    /// Run as a process of its own by the next test.
    #[test]
    #[ignore = "it ends its process"]
    fn panics_in_another_thread() {
        to_stderr(LogFormat::Human, "info", false).unwrap();
        exit_on_panic();
        let _ = thread::spawn(|| panic!("no more")).join();
        unreachable!("the process has ended");
    }

    #[test]
    fn a_panic_in_any_thread_ends_the_process_with_a_message_and_exit_code_1() {
        let name = "logging::tests::panics_in_another_thread";
        let args = ["--exact", name, "--ignored", "--nocapture"];
        let output = Command::new(env::current_exe().unwrap()).args(args).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("all of it ends") && told.contains("no more"), "{told}");
        assert!(!told.contains("unreachable"), "{told}");
    }
}
