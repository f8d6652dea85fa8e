//! The table of `hobnob services --local`.

use hobnob_api::{
    Basis, CheckExplained, InstanceScope, LocalRegistration, Maintenance, RegisteredBy,
};

use super::table::{Column, Style, cell, or_dash, render, status_style};
use super::{endpoint, status_word};

/// What is registered with the agent, by id.
pub(crate) fn registrations(registrations: &[LocalRegistration], style: Style) -> String {
    let rows = registrations.iter().map(|one| {
        let instance = &one.instance;
        let checks: Vec<_> = one.checks.iter().map(check).collect();
        vec![
            cell(&instance.id),
            cell(&instance.service),
            cell(endpoint(&instance.address, instance.port)),
            cell(status_word(instance.status)).fg(status_style(instance.status)),
            cell(or_dash(&state(one))),
            cell(or_dash(&checks.join("; "))),
            cell(or_dash(one.since.as_deref().unwrap_or_default())),
            cell(from(one)),
            cell(match instance.scope {
                InstanceScope::Global => "global",
                InstanceScope::Datacenter => "datacenter",
            }),
            cell(one.version),
        ]
    });
    const COLUMNS: [Column; 10] = [
        Column::whole("INSTANCE"),
        Column::hidden("SERVICE", 2),
        Column::whole("ADDRESS"),
        Column::kept("STATUS"),
        Column::kept("STATE"),
        Column::hidden("CHECKS", 1),
        Column::hidden("REGISTERED", 4),
        Column::hidden("FROM", 3),
        Column::hidden("SCOPE", 6),
        Column::hidden("VERSION", 5),
    ];
    render(&COLUMNS, rows, style)
}

/// The line for the maintenance of all of an agent.
pub(crate) fn agent_maintenance(
    member: &str,
    Maintenance { reason, since }: &Maintenance,
) -> String {
    let reason = if reason.is_empty() { "no reason given" } else { reason };
    format!("`{member}` is in maintenance with all of its instances since {since}: {reason}")
}

fn check(check: &CheckExplained) -> String {
    let CheckExplained { name, kind, status, output, .. } = check;
    let name = if name == kind { name.clone() } else { format!("{name} ({kind})") };
    match output.as_deref().and_then(|output| output.lines().next()).filter(|line| !line.is_empty())
    {
        Some(line) if status != "passing" => format!("{name} {status}: {line}"),
        _ => format!("{name} {status}"),
    }
}

/// What keeps calls away from an instance.
fn state(one: &LocalRegistration) -> String {
    let of_agent = one.instance.basis == Basis::Maintenance && one.maintenance.is_none();
    let maintenance = match &one.maintenance {
        None if of_agent => Some("maintenance of the agent".to_owned()),
        None => None,
        Some(Maintenance { reason, .. }) if reason.is_empty() => Some("maintenance".to_owned()),
        Some(Maintenance { reason, .. }) => Some(format!("maintenance: {reason}")),
    };
    let drain = one.drain.as_ref().map(|drain| {
        if drain.over { "drained".to_owned() } else { format!("draining since {}", drain.since) }
    });
    let hidden = one.hidden.as_ref().map(|hidden| format!("hidden: {hidden}"));
    maintenance.into_iter().chain(drain).chain(hidden).collect::<Vec<_>>().join("; ")
}

/// Where a registration comes from.
fn from(one: &LocalRegistration) -> String {
    let restored = if one.restored { ", restored" } else { "" };
    let from = match &one.registered_by {
        None => "unknown".to_owned(),
        Some(RegisteredBy { file: Some(file), .. }) => format!("file {file}"),
        Some(RegisteredBy { uid, pid, agent, .. }) => {
            let pid = pid.map_or(String::new(), |pid| format!(", pid {pid}"));
            let agent = agent.map_or(String::new(), |agent| format!(" on the host of {agent}"));
            format!("uid {uid}{pid}{agent}")
        }
    };
    format!("{from}{restored}")
}
