//! A check without probes: the service itself reports how it is, and silence is critical.

use std::time::Duration;

use hobnob_api::CheckStatus;
use hobnob_membership::record::Health;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::checker::{CheckId, CheckReport};
use super::expiry::Expiry;
use super::latest::OutcomeNotes;
use super::outcome::one_line;

/// Reports that wait for the task of their check; a further one waits with its sender.
pub(super) const MAX_WAITING: usize = 4;

/// A report of a service on itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfReport {
    /// Its status.
    pub status: CheckStatus,
    /// A line about it, for people. The first [`MAX_OUTPUT_BYTES`](super::MAX_OUTPUT_BYTES) are kept.
    pub note: String,
}

/// The state of a check by reports.
pub(super) struct Run {
    id: CheckId,
    ttl: Duration,
    health: Health,
    output: String,
    /// The health and the output as they were reported last.
    reported: (Health, String),
    silent_at: Instant,
    expiry: Expiry,
    notes: Option<OutcomeNotes>,
}

impl Run {
    /// `health` holds until a report comes, or until there was time for one. `reported` is what the driver knows.
    pub(super) fn new(
        id: CheckId,
        ttl: Duration,
        health: Health,
        reported: Health,
        expiry: Expiry,
    ) -> Self {
        let output = "no report yet".to_owned();
        let silent_at = Instant::now() + ttl;
        Self {
            id,
            ttl,
            health,
            output: output.clone(),
            reported: (reported, output),
            silent_at,
            expiry,
            notes: None,
        }
    }

    /// Lets others see the latest report.
    pub(super) fn noting(self, notes: OutcomeNotes) -> Self {
        Self { notes: Some(notes), ..self }
    }

    /// Judges and reports until the receiver of the reports is gone.
    pub(super) async fn run(
        mut self,
        mut heard: mpsc::Receiver<SelfReport>,
        tx: mpsc::Sender<CheckReport>,
    ) {
        self.expiry.judged(self.health, Instant::now());
        loop {
            let is_news = self.health != self.reported.0 || self.output != self.reported.1;
            tokio::select! {
                biased;
                permit = tx.reserve(), if is_news => match permit {
                    Ok(permit) => permit.send(self.report()),
                    Err(_) => return,
                },
                Some(report) = heard.recv() => {
                    self.take(&report);
                }
                () = sleep_until(self.silent_at) => self.silent(),
                () = self.expiry.pass() => {}
                () = tx.closed() => return,
            }
        }
    }

    fn take(&mut self, report: &SelfReport) {
        self.health = match report.status {
            CheckStatus::Passing => Health::Passing,
            CheckStatus::Warning => Health::Warning,
            CheckStatus::Critical => Health::Failing,
        };
        self.output = match one_line(report.note.as_bytes()) {
            note if note.is_empty() => format!("reported as {}", report.status.name()),
            note => note,
        };
        if let Some(notes) = &self.notes {
            notes.note(&self.output);
        }
        let now = Instant::now();
        self.silent_at = now + self.ttl;
        self.expiry.judged(self.health, now);
    }

    fn silent(&mut self) {
        let now = Instant::now();
        self.silent_at = now + self.ttl;
        if self.health != Health::Failing {
            self.health = Health::Failing;
            self.output = format!("no report within {:?}", self.ttl);
        }
        self.expiry.judged(self.health, now);
    }

    fn report(&mut self) -> CheckReport {
        self.reported = (self.health, self.output.clone());
        CheckReport {
            id: self.id.clone(),
            health: self.health,
            output: self.output.clone(),
            signal: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    /// The reports of a check, with the seconds at which they came, while these are made at their seconds.
    async fn reports_of(
        health: Health,
        reported: Health,
        made: &[(u64, CheckStatus, &str)],
    ) -> Vec<(u64, Health, String)> {
        let id = CheckId { instance: "web-1".into(), number: 1 };
        let (expired, _) = mpsc::channel(1);
        let expiry = Expiry::new(id.clone(), None, expired);
        let (tx, mut rx) = mpsc::channel(1);
        let (hear, heard) = mpsc::channel(MAX_WAITING);
        let began = Instant::now();
        let mut reports = Vec::new();
        let making = async {
            for (at, status, note) in made {
                sleep_until(began + Duration::from_secs(*at)).await;
                let report = SelfReport { status: *status, note: (*note).to_owned() };
                hear.send(report).await.expect("it runs");
            }
            sleep_until(began + Duration::from_secs(100)).await;
        };
        tokio::select! {
            () = Run::new(id, TTL, health, reported, expiry).run(heard, tx) => {}
            _ = async { while let Some(report) = rx.recv().await {
                reports.push((began.elapsed().as_secs(), report.health, report.output));
            } } => {}
            () = making => {}
        }
        reports
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_holds_for_its_time_and_silence_is_critical() {
        use CheckStatus::{Critical, Passing, Warning};
        let made = [
            (1, Passing, "up"),
            (5, Passing, "up"),
            (14, Warning, "disk\nlow"),
            (30, Passing, ""),
            (31, Critical, "stopping"),
        ];
        let reports = reports_of(Health::Unknown, Health::Unknown, &made).await;
        let told: Vec<_> =
            reports.iter().map(|(at, health, output)| (*at, *health, &**output)).collect();
        assert_eq!(
            told,
            [
                (1, Health::Passing, "up"),
                (14, Health::Warning, "disk low"),
                (24, Health::Failing, "no report within 10s"),
                (30, Health::Passing, "reported as passing"),
                (31, Health::Failing, "stopping"),
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_initial_status_and_a_kept_verdict_hold_until_there_was_time_for_a_report() {
        let reports = reports_of(Health::Passing, Health::Unknown, &[]).await;
        assert_eq!(
            reports,
            [
                (0, Health::Passing, "no report yet".to_owned()),
                (10, Health::Failing, "no report within 10s".to_owned()),
            ]
        );
        let reports = reports_of(Health::Passing, Health::Passing, &[]).await;
        assert_eq!(reports.len(), 1, "{reports:?}");
    }
}
