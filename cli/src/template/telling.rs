//! What is told of templates: files and commands on stdout, problems on stderr.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::{Duration, SystemTime};

use hobnob_api::names::printable;
use serde::Serialize;

use super::render::Notes;
use super::write::Difference;
use crate::args::{TemplateSpec, millis};
use crate::output::{self, Output};

/// An event of a template, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Event<'a> {
    time: String,
    template: &'a Path,
    destination: &'a Path,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

/// Tells of one template.
#[derive(Debug)]
pub(super) struct Telling {
    json: bool,
    /// The problem that was told last, so that it is told once while it lasts.
    problem: Option<String>,
    notes: Notes,
}

impl Telling {
    pub(super) fn new(json: bool) -> Self {
        Self { json, problem: None, notes: Notes::default() }
    }

    /// The file has a new text.
    pub(super) fn written(&self, spec: &TemplateSpec) -> io::Result<()> {
        let line = format!("written: {}", spec.destination.display());
        self.print(&event(spec, "written"), &line)
    }

    /// The file has the text already.
    pub(super) fn unchanged(&self, spec: &TemplateSpec) -> io::Result<()> {
        let line = format!("unchanged: {}", spec.destination.display());
        self.print(&event(spec, "unchanged"), &line)
    }

    /// The command ran.
    pub(super) fn ran(&self, spec: &TemplateSpec, command: &str, took: Duration) -> io::Result<()> {
        let took_ms = millis(took);
        let event = Event {
            command: Some(command),
            took_ms: Some(took_ms),
            ..event(spec, "command_succeeded")
        };
        self.print(&event, &format!("ran in {took_ms} ms: {command}"))
    }

    /// The command failed.
    pub(super) fn failed(
        &self,
        spec: &TemplateSpec,
        command: &str,
        reason: &str,
        again: Option<Duration>,
    ) -> io::Result<()> {
        let again = again.map_or(String::new(), |wait| format!("; trying again in {wait:?}"));
        output::say(&format!("error: `{command}` failed: {reason}{again}"));
        if !self.json {
            return Ok(());
        }
        let reason = Some(reason.to_owned());
        let event = Event { command: Some(command), reason, ..event(spec, "command_failed") };
        Output::new().json(&event)
    }

    /// What would be written.
    pub(super) fn dry(
        &self,
        spec: &TemplateSpec,
        difference: Difference,
        text: &str,
    ) -> io::Result<()> {
        let mut out = Output::new();
        if self.json {
            let command = spec.command.as_deref();
            let outcome = difference.word();
            return out.json(&Event { command, text: Some(text), ..event(spec, outcome) });
        }
        let command = match &spec.command {
            Some(command) if difference != Difference::Unchanged => {
                format!(", then this would run: {command}")
            }
            _ => String::new(),
        };
        let (destination, word) = (spec.destination.display().to_string(), difference.word());
        out.line(&format!("> {}: {word}{}", printable(&destination), printable(&command)))?;
        let is_terminal = io::stdout().is_terminal();
        for line in text.lines() {
            match is_terminal {
                true => out.line(&printable(line))?,
                false => out.line(line)?,
            }
        }
        Ok(())
    }

    /// Something that went wrong, once while it lasts.
    pub(super) fn problem(&mut self, problem: &str, help: &str) {
        if self.problem.as_deref() != Some(problem) {
            output::say_error(problem, help);
            self.problem = Some(problem.to_owned());
        }
    }

    /// All is well again.
    pub(super) fn no_problem(&mut self) {
        self.problem = None;
    }

    /// Warns of what is new among these.
    pub(super) fn note(&mut self, spec: &TemplateSpec, notes: Notes) {
        let destination = spec.destination.display();
        for service in notes.without_instances.difference(&self.notes.without_instances) {
            output::say(&format!(
                "warning: nothing of `{service}` can be offered: {destination} is without it"
            ));
        }
        for service in notes.not_healthy.difference(&self.notes.not_healthy) {
            output::say(&format!(
                "warning: no healthy instance of `{service}` is known: {destination} has those that may work"
            ));
        }
        self.notes = notes;
    }

    fn print(&self, event: &Event<'_>, line: &str) -> io::Result<()> {
        let mut out = Output::new();
        if self.json { out.json(event) } else { out.line(&printable(line)) }
    }
}

fn event<'a>(spec: &'a TemplateSpec, outcome: &'static str) -> Event<'a> {
    let (template, destination) = (&*spec.template, &*spec.destination);
    let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    let (command, took_ms, reason, text) = (None, None, None, None);
    Event { time, template, destination, outcome, command, took_ms, reason, text }
}
