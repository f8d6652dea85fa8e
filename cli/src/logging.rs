//! The destination and the form of log lines.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Mutex;

use anyhow::Context;
use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use crate::output;

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people: time, level, message, fields.
    Human,
    /// One JSON object a line.
    Json,
}

/// Logs to stderr.
pub(crate) fn to_stderr(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(filter)?)
        .with_writer(io::stderr)
        .with_ansi(output::colours_wanted(io::stderr().is_terminal()));
    match format {
        LogFormat::Human => subscriber.init(),
        LogFormat::Json => subscriber.json().init(),
    }
    Ok(())
}

/// Logs to a new file.
pub(crate) fn to_file(path: &Path, filter: &str) -> anyhow::Result<()> {
    let file =
        File::create_new(path).with_context(|| format!("cannot log to {}", path.display()))?;
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(filter)?)
        .with_writer(Mutex::new(file))
        .with_ansi(false)
        .init();
    Ok(())
}
