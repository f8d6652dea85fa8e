//! The clock: against the clocks of other members, and whether the system keeps it.

use std::process::Stdio;
use std::time::Duration;

use hobnob_api::Echoes;
use tokio::process::Command;
use tokio::time::timeout;

use super::finding::Findings;

/// The longest wait for `timedatectl`.
const WITHIN: Duration = Duration::from_secs(2);
/// The difference of two clocks from which on one of them is wrong.
const WARN_MS: u64 = 2_000;
/// The difference that keeps a newcomer with a young token out.
const FAIL_MS: u64 = 300_000;

/// Whether the system says that its clock is synchronized; `None` if it does not say.
pub(super) async fn is_synchronized() -> Option<bool> {
    let mut command = Command::new("timedatectl");
    command.args(["show", "--property=NTPSynchronized", "--value"]);
    command.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = timeout(WITHIN, command.output()).await.ok()?.ok()?;
    match output.stdout.trim_ascii() {
        b"yes" => Some(true),
        b"no" => Some(false),
        _ => None,
    }
}

/// Judges the clock.
pub(super) fn look(findings: &mut Findings, echoes: Option<&Echoes>, synchronized: Option<bool>) {
    let keeps = match synchronized {
        Some(true) => "the system keeps it by NTP",
        Some(false) => "the system does NOT keep it by NTP",
        None => "the system does not say whether NTP keeps it",
    };
    let members = echoes.map_or(&[][..], |echoes| &echoes.members);
    let offsets = members.iter().filter_map(|echo| Some((echo.clock_offset_ms?, &echo.name)));
    let farthest = offsets.max_by_key(|(offset, _)| offset.unsigned_abs());
    let ntp = "run chrony or systemd-timesyncd here and there";
    let told = match farthest {
        None => format!("compared with no other member; {keeps}"),
        Some((offset, name)) => {
            let side = if offset < 0 { "behind" } else { "ahead of" };
            let ms = offset.unsigned_abs();
            format!("{name} is {} {side} this host; {keeps}", apart(ms))
        }
    };
    match farthest.map_or(0, |(offset, _)| offset.unsigned_abs()) {
        FAIL_MS.. => findings.fail("clock", told, format!("{ntp}: tokens are judged by clocks")),
        WARN_MS.. => findings.warn("clock", told, ntp),
        _ if synchronized == Some(false) => findings.warn("clock", told, ntp),
        _ => findings.ok("clock", told),
    }
}

fn apart(ms: u64) -> String {
    if ms < 10_000 { format!("{ms} ms") } else { format!("{} s", ms / 1_000) }
}
