//! Findings: a verdict, what was found, and what to do.

use std::io::{self, IsTerminal};

use crossterm::style::Stylize;
use hobnob_api::names::printable;
use serde::Serialize;

use crate::output::colours_wanted;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// It is as it should be, or it cannot be told and nothing speaks against it.
    Ok,
    /// It works now, and deserves a look.
    Warn,
    /// It is broken.
    Fail,
}

impl Verdict {
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
    pub(super) verdict: Verdict,
    /// What was found, in one line.
    pub(super) found: String,
    /// What to do, in one line; absent when nothing is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
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
    agent: Option<&'f str>,
    verdict: Verdict,
    findings: &'f [Finding],
}

impl Findings {
    pub(super) fn ok(&mut self, check: &'static str, found: impl Into<String>) {
        self.all.push(Finding { check, verdict: Verdict::Ok, found: found.into(), remedy: None });
    }

    pub(super) fn warn(
        &mut self,
        check: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(check, Verdict::Warn, found, remedy);
    }

    pub(super) fn fail(
        &mut self,
        check: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(check, Verdict::Fail, found, remedy);
    }

    pub(super) fn add(
        &mut self,
        check: &'static str,
        verdict: Verdict,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let remedy = Some(remedy.into());
        self.all.push(Finding { check, verdict, found: found.into(), remedy });
    }

    #[cfg(test)]
    pub(super) fn of(&self, check: &str) -> Vec<&Finding> {
        self.all.iter().filter(|finding| finding.check == check).collect()
    }

    /// The worst verdict.
    pub(super) fn worst(&self) -> Verdict {
        self.all.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok)
    }

    pub(super) fn report(&self) -> Report<'_> {
        Report { agent: self.agent.as_deref(), verdict: self.worst(), findings: &self.all }
    }

    /// The lines for people, in the order in which things were looked at, and a line that counts them.
    pub(super) fn lines(&self) -> Vec<String> {
        let has_colours = colours_wanted(io::stdout().is_terminal());
        let width = self.all.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
        let mut lines = Vec::new();
        for Finding { check, verdict, found, remedy } in &self.all {
            let word = format!("{:<4}", verdict.word());
            let word = match (has_colours, verdict) {
                (false, _) => word,
                (true, Verdict::Ok) => word.green().to_string(),
                (true, Verdict::Warn) => word.yellow().to_string(),
                (true, Verdict::Fail) => word.red().bold().to_string(),
            };
            lines.push(format!("{word}  {check:<width$}  {}", printable(found)));
            if let Some(remedy) = remedy {
                let indent = " ".repeat(4 + 2 + width + 2);
                lines.push(format!("{indent}> {}", printable(remedy)));
            }
        }
        let count = |of: Verdict| self.all.iter().filter(|finding| finding.verdict == of).count();
        let plural = |count: usize, noun: &str| {
            format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
        };
        lines.push(format!(
            "{} ok, {}, {}",
            count(Verdict::Ok),
            plural(count(Verdict::Warn), "warning"),
            plural(count(Verdict::Fail), "failure")
        ));
        lines
    }
}
