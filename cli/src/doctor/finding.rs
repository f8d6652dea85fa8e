//! Findings: a status, what was found, and what to do.

use std::io::{self, IsTerminal};

use crossterm::style::Stylize;
use hobnob_api::names::printable;
use serde::Serialize;

use crate::output::colours_wanted;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// It is as it should be, or it cannot be told and nothing speaks against it.
    Ok,
    /// It works now, and deserves a look.
    Warn,
    /// It is broken.
    Fail,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What was looked at.
    pub(super) check: &'static str,
    pub(super) status: Status,
    /// What was found, in one line.
    pub(super) found: String,
    /// What to do, in one line; absent when nothing is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
}

/// All findings.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// The name of the agent, if it answers.
    pub(super) agent: Option<String>,
    all: Vec<Finding>,
}

/// All findings, as JSON has them.
#[derive(Debug, Serialize)]
pub(super) struct Report<'f> {
    member: Option<&'f str>,
    status: Status,
    findings: &'f [Finding],
}

impl Findings {
    pub(super) fn ok(&mut self, check: &'static str, found: impl Into<String>) {
        self.all.push(Finding { check, status: Status::Ok, found: found.into(), advice: None });
    }

    pub(super) fn warn(
        &mut self,
        check: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.add(check, Status::Warn, found, advice);
    }

    pub(super) fn fail(
        &mut self,
        check: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.add(check, Status::Fail, found, advice);
    }

    pub(super) fn add(
        &mut self,
        check: &'static str,
        status: Status,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) {
        let advice = Some(advice.into());
        self.all.push(Finding { check, status, found: found.into(), advice });
    }

    #[cfg(test)]
    pub(super) fn of(&self, check: &str) -> Vec<&Finding> {
        self.all.iter().filter(|finding| finding.check == check).collect()
    }

    /// The worst status.
    pub(super) fn worst(&self) -> Status {
        self.all.iter().map(|finding| finding.status).max().unwrap_or(Status::Ok)
    }

    pub(super) fn report(&self) -> Report<'_> {
        Report { member: self.agent.as_deref(), status: self.worst(), findings: &self.all }
    }

    /// The lines for people, in the order in which things were looked at, and a line that counts them.
    pub(super) fn lines(&self) -> Vec<String> {
        let has_colours = colours_wanted(io::stdout().is_terminal());
        let width = self.all.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
        let mut lines = Vec::new();
        for Finding { check, status, found, advice } in &self.all {
            let word = format!("{:<4}", status.word());
            let word = match (has_colours, status) {
                (false, _) => word,
                (true, Status::Ok) => word.green().to_string(),
                (true, Status::Warn) => word.yellow().to_string(),
                (true, Status::Fail) => word.red().bold().to_string(),
            };
            lines.push(format!("{word}  {check:<width$}  {}", printable(found)));
            if let Some(advice) = advice {
                let indent = " ".repeat(4 + 2 + width + 2);
                lines.push(format!("{indent}> {}", printable(advice)));
            }
        }
        let count = |of: Status| self.all.iter().filter(|finding| finding.status == of).count();
        let plural = |count: usize, noun: &str| {
            format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
        };
        lines.push(format!(
            "{} ok, {}, {}",
            count(Status::Ok),
            plural(count(Status::Warn), "warning"),
            plural(count(Status::Fail), "failure")
        ));
        lines
    }
}
