//! Files that hold the trace of a run.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use hobnob_simulations::run::Outcome;
use hobnob_simulations::world::{Detail, Sink};

/// The start of the first line of a trace file.
pub(super) const HEADER: &str = "# hobnob-simulations ";
/// The start of its last line.
pub(super) const FOOTER: &str = "# trace hash ";

/// A trace file that is being written.
pub(super) struct TraceFile {
    file: Arc<Mutex<BufWriter<Box<dyn Write + Send>>>>,
}

impl TraceFile {
    /// Creates the trace file of a run, which `command` repeats.
    pub(super) fn create(path: &Path, command: &str) -> anyhow::Result<Self> {
        let file =
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Self::to(Box::new(file), command)
    }

    pub(super) fn to(out: Box<dyn Write + Send>, command: &str) -> anyhow::Result<Self> {
        let mut file = BufWriter::new(out);
        writeln!(file, "{HEADER}{command}")?;
        Ok(Self { file: Arc::new(Mutex::new(file)) })
    }

    pub(super) fn sink(&self, packets: bool) -> (Detail, Sink) {
        let file = Arc::clone(&self.file);
        let detail = if packets { Detail::Packets } else { Detail::Events };
        let sink = move |line: &str| {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            // `finish` reports a full disk or a closed pipe.
            let _ = writeln!(file, "{line}");
        };
        (detail, Box::new(sink))
    }

    pub(super) fn finish(&self, outcome: &Outcome) -> anyhow::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let written = (|| {
            for failure in &outcome.failures {
                writeln!(file, "# BROKEN {failure}")?;
            }
            writeln!(file, "{FOOTER}{}", outcome.trace_hash)?;
            file.flush()
        })();
        match written {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => other.context("cannot write the trace"),
        }
    }
}
