//! Output on stdout and stderr, and its style.

mod access_keys;
mod called;
mod colour;
mod columns;
mod datacenters;
mod explain;
mod format;
mod history;
mod info;
mod json;
mod keys;
mod registrations;
mod settings;
mod table;
mod voters;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, StdoutLock, Write};

use hobnob_api::names::printable;
use hobnob_api::{
    Datacenter, Duplicate, Grade, Info, Instance, InstanceStatus, MassLoss, Member, Members,
    likely_cause,
};
use serde::Serialize;

use crate::logging;

pub(crate) use access_keys::access_keys;
pub(crate) use called::{CalledInstance, called, latency};
pub(crate) use colour::{Style, choose, colours_wanted, member_status, status_style};
pub(crate) use datacenters::datacenters;
pub(crate) use explain::explanation;
pub(crate) use format::{age, endpoint, member_line, service_of, watch_line};
pub(crate) use history::history;
pub(crate) use info::info;
pub(crate) use keys::key_holders;
pub(crate) use registrations::{agent_maintenance, registrations};
pub(crate) use settings::settings;
pub(crate) use table::{fields, instances, members, offer_word, or_dash, services, spread};
pub(crate) use voters::voters;

/// Standard output, for one command.
pub(crate) struct Output {
    stdout: StdoutLock<'static>,
    style: Style,
}

impl Output {
    pub(crate) fn new() -> Self {
        let stdout = io::stdout().lock();
        let colours = colours_wanted(stdout.is_terminal());
        let style = Style { colours, width: columns::terminal_width() };
        Self { stdout, style }
    }

    /// The same, with tables as wide as they are if `wide`, however narrow the terminal is.
    pub(crate) fn wide(mut self, wide: bool) -> Self {
        self.style.width = self.style.width.filter(|_| !wide);
        self
    }

    /// The style of text on standard output.
    pub(crate) fn style(&self) -> Style {
        self.style
    }

    /// Prints a line and flushes it, so that a reader gets it at once.
    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.stdout, "{text}")?;
        self.stdout.flush()
    }

    /// Prints one JSON value on a line of its own, with the names that its fields have in all commands.
    pub(crate) fn json<T: Serialize + ?Sized>(&mut self, value: &T) -> io::Result<()> {
        let value = json::named(serde_json::to_value(value)?);
        self.line(&value.to_string())
    }
}

/// Prints a line on stderr. Control characters are escaped, so that names and arguments cannot control the terminal.
pub(crate) fn say(text: &str) {
    logging::line_to_stderr(&printable(text));
}

/// Prints on stderr why a command fails or finds nothing, in the form of all errors: what is wrong, then what to do.
pub(crate) fn say_error(error: &str, help: &str) {
    say(&format!("error: {error}"));
    if !help.is_empty() {
        say(&format!("help: {help}"));
    }
}

/// Prints a question on stderr, for the answer to follow on the same line.
pub(crate) fn ask(question: &str) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    stderr.write_all(printable(question).as_bytes())?;
    stderr.flush()
}

/// Warns on stderr that an answer may be old, when the agent is isolated.
pub(crate) fn warn_if_isolated(isolated: bool) {
    if isolated {
        say("warning: this agent hears no other member, and its view of them may be old");
    }
}

/// Warns as [`warn_if_isolated`] does, and names a duplicate as the cause when there is one.
pub(crate) fn warn_if_alone(info: &Info) {
    match &info.duplicate {
        Some(Duplicate { silent: true, gossip_address: address, .. }) => say(&format!(
            "warning: this agent is silent, since another agent runs under its node id, at {address}. Its view of other members \
             may be old. `hobnob info` says what to do"
        )),
        _ => warn_if_isolated(info.isolated),
    }
}

/// Warns of what is wrong with the traffic between datacenters.
pub(crate) fn warn_of_datacenters(all: &[Datacenter]) {
    datacenters::warnings(all).iter().for_each(|warning| say(warning));
}

/// Warns on stderr when the offered instances are not known to be healthy, or may be out of reach.
pub(crate) fn warn_if_not_healthy<'a>(offered: impl Iterator<Item = &'a Instance>) {
    offered.take(1).filter_map(not_healthy).for_each(|warning| say(&warning));
}

/// The warning that instances like this one are offered; `None` for a healthy one within reach. All that are offered have one
/// grade.
fn not_healthy(offered: &Instance) -> Option<String> {
    let service = &offered.service;
    match offered.grade()? {
        Grade::Healthy => None,
        Grade::Unanswered => Some(format!(
            "warning: no agent of a healthy instance of `{service}` answers this agent: the network between them may be broken"
        )),
        Grade::LastKnown => Some(format!(
            "warning: no healthy instance of `{service}` is left: offering what was healthy before its agent was lost"
        )),
        Grade::NotYetChecked => Some(format!(
            "warning: no healthy instance of `{service}` is known: offering what has not been checked yet"
        )),
    }
}

/// Warns on stderr of living members that have one name.
pub(crate) fn warn_of_name_conflicts(members: &[Member]) {
    let mut names = BTreeMap::<&str, Vec<String>>::new();
    for member in members.iter().filter(|member| member.name_conflict) {
        let known = names.entry(&member.name).or_default();
        known.push(format!("{} at {}", member.node_id, member.gossip_address));
    }
    for (name, known) in names {
        let (count, known) = (known.len(), known.join(", "));
        say(&format!(
            "warning: {count} living members have the name `{name}`: {known}. Give each a --name of its own"
        ));
    }
}

/// A mass loss in a few words, such as `12 of 20, 34s ago: probably a cut; 3 of 12 are back`.
fn mass_loss(MassLoss { ago_ms, lost, of, back, exited, .. }: &MassLoss) -> String {
    let cause = likely_cause(*lost, *exited);
    let back = if *back > 0 { format!("; {back} of {lost} are back") } else { String::new() };
    format!("{lost} of {of}, {} ago: {cause}{back}", age(*ago_ms))
}

/// The mass losses that are not over, in words, each in a line.
pub(crate) fn lasting_losses(losses: &[MassLoss]) -> Vec<String> {
    if losses.is_empty() {
        return vec!["most of those that were lost at once are back or gone for good".to_owned()];
    }
    losses.iter().map(|loss| format!("lost at once: {}", mass_loss(loss))).collect()
}

/// Warns on stderr of members that were lost together, and of broken links of the agent.
pub(crate) fn warn_of_losses(members: &Members) {
    for loss in &members.mass_losses {
        say(&format!("warning: lost at once: {}", mass_loss(loss)));
    }
    for member in &members.members {
        if let Some(ms) = member.link_silent_ms {
            say(&format!(
                "warning: `{}`: link broken: no answer to this agent for {}; others hear it",
                member.name,
                age(ms)
            ));
        }
    }
}

/// The word for a status, as in JSON.
pub(crate) fn status_word(status: InstanceStatus) -> &'static str {
    match status {
        InstanceStatus::Healthy => "healthy",
        InstanceStatus::Unhealthy => "unhealthy",
        InstanceStatus::Unknown => "unknown",
        InstanceStatus::Gone => "gone",
    }
}

#[cfg(test)]
mod tests {
    use super::info::tests::info;
    use super::table::tests::{instance, member, summary};
    use super::*;

    fn fields<T: Serialize>(value: &T) -> Vec<String> {
        let serde_json::Value::Object(fields) = json::named(serde_json::to_value(value).unwrap())
        else {
            panic!("not an object")
        };
        fields.into_iter().map(|(name, _)| name).collect()
    }

    fn sorted(names: &str) -> Vec<&str> {
        let mut names: Vec<_> = names.split(' ').collect();
        names.sort_unstable();
        names
    }

    /// Scripts rely on these names: a change here breaks them.
    #[test]
    fn the_field_names_of_json_are_stable() {
        let expected = "service instance member node_id datacenter zone address port tags meta weight \
                        namespace status offered basis age_ms";
        assert_eq!(fields(&instance("web-1")), sorted(expected));
        let expected = "member node_id gossip_address status datacenter zone epoch";
        assert_eq!(fields(&member("a1")), sorted(expected));
        let expected = "service namespace instance_count healthy tags efficiency fairness";
        assert_eq!(fields(&summary()), sorted(expected));
        let expected = "api revision member cluster node_id epoch version datacenter zone gossip_address sync_address pid \
                        uptime_ms isolated last_contact_ago_ms duplicate takes_tcp_probes udp_blocked active_members instance_count \
                        catalog_digest counters protocol";
        assert_eq!(fields(&info()), sorted(expected));
    }

    #[test]
    fn the_values_of_json_are_plain() {
        let json = serde_json::to_value(instance("web-1")).unwrap();
        assert_eq!(json["status"], "healthy");
        assert_eq!(json["node_id"], "00000000000000ab");
        assert_eq!(json["tags"], serde_json::json!(["eu", "v1"]));
        assert_eq!(json["meta"], serde_json::json!({"k": "v"}));
        assert_eq!(serde_json::to_value(member("a1")).unwrap()["status"], "alive");
    }

    #[test]
    fn every_status_has_the_word_that_json_has() {
        use InstanceStatus::{Gone, Healthy, Unhealthy, Unknown};
        for status in [Healthy, Unhealthy, Unknown, Gone] {
            assert_eq!(serde_json::to_value(status).unwrap(), status_word(status));
        }
    }
}
