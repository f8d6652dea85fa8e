//! The values of all metrics.

use std::collections::BTreeMap;
use std::time::Instant;

use hobnob_api::{Info, InstanceStatus, MemberStatus};
use hobnob_membership::{Durations, Load, Node, NodeId, Time};

use crate::actor::Stopping;
use crate::checks::probe_durations;
use crate::driver::DriverHandle;
use crate::metrics::{CallMetrics, Kind, Readings, Value, name_of, process, table};
use crate::progress::Progress;
use crate::services::Registry;
use crate::translate::{instance_status, member_status};

/// The values of this moment. `info` is the answer to that question, with all counters.
pub(crate) async fn readings(
    info: &Info,
    registry: &Registry,
    driver: &DriverHandle,
    calls: &CallMetrics,
    progress: &Progress,
    own: NodeId,
) -> Result<Readings, Stopping> {
    let about = driver.inspect(AboutCluster::read).await?;
    let mut readings = Readings::default();
    describe(&mut readings, info);
    readings.level("hobnob_ready", !info.isolated && !progress.is_leaving());
    show_cluster(&mut readings, info, &about);
    show_instances(&mut readings, registry, own);
    show_progress(&mut readings, progress);
    for (call, durations) in calls.calls() {
        let labels = vec![("call", call.to_owned())];
        readings.set_for("hobnob_call_duration_seconds", labels, Value::Durations(durations));
    }
    let gaps = Value::Durations(about.gaps_closed.into());
    readings.set("hobnob_gap_duration_seconds", gaps);
    let convergence = Value::Durations(about.convergence.into());
    readings.set("hobnob_convergence_seconds", convergence);
    readings.set("hobnob_pick_duration_seconds", Value::Durations(calls.picks()));
    readings.set("hobnob_ack_duration_seconds", Value::Durations(calls.acks()));
    let (reads, writes) = (calls.strong_reads(), calls.strong_writes());
    readings.set("hobnob_strong_read_duration_seconds", Value::Durations(reads));
    readings.set("hobnob_strong_write_duration_seconds", Value::Durations(writes));
    readings.set("hobnob_check_duration_seconds", Value::Durations(probe_durations()));
    show_counters(&mut readings, &info.counters);
    process::show(&mut readings);
    Ok(readings)
}

fn describe(readings: &mut Readings, info: &Info) {
    let version = vec![("version", info.version.clone())];
    readings.set_for("hobnob_build_info", version, Value::Level(1.0));
    let labels = vec![
        ("member", info.name.clone()),
        ("node_id", info.node_id.to_string()),
        ("cluster", info.cluster.clone()),
        ("datacenter", info.datacenter.clone()),
        ("zone", info.zone.clone()),
    ];
    readings.set_for("hobnob_agent_info", labels, Value::Level(1.0));
}

fn show_cluster(readings: &mut Readings, info: &Info, about: &AboutCluster) {
    readings.level("hobnob_isolated", info.isolated);
    readings.level("hobnob_duplicate", info.duplicate.is_some());
    readings.level("hobnob_udp_blocked", info.udp_blocked);
    readings.level("hobnob_name_conflicts", count(info.name_conflicts.len()));
    readings.level("hobnob_maintenance", info.maintenance.is_some());
    readings.level("hobnob_file_problems", count(info.file_problems.len()));
    readings.level("hobnob_members_unanswered", count(about.unanswered));
    readings.level("hobnob_links_broken", count(about.links_broken));
    readings.level("hobnob_members_missing", count(about.missing));
    if let Some(ago_ms) = info.last_contact_ago_ms {
        readings.level("hobnob_last_contact_seconds", ago_ms as f64 / 1e3);
    }
    for (status, members) in &about.members {
        let labels = vec![("status", (*status).to_owned())];
        readings.set_for("hobnob_members", labels, Value::Level(count(*members)));
    }
    let load = &about.load;
    for (queue, length) in [
        ("own_writes", usize::try_from(load.own_unsent).unwrap_or(usize::MAX)),
        ("rumors", load.rumors),
        ("answers", load.answers),
        ("gaps", load.gaps),
        ("confirms", load.confirms),
        ("sessions", load.sessions),
        ("requests", load.requests),
        ("far_news", load.far_news),
        ("indirect_probes", load.indirect_probes),
        ("member_updates", load.member_updates),
    ] {
        let labels = vec![("queue", queue.to_owned())];
        readings.set_for("hobnob_queue_length", labels, Value::Level(count(length)));
    }
}

/// Counts the instances in the registry, so that the driver does not wait for it.
fn show_instances(readings: &mut Readings, registry: &Registry, own: NodeId) {
    let services = registry.services();
    readings.level("hobnob_services", count(services.len()));
    let statuses = ["healthy", "unhealthy", "unknown"];
    let mut all: BTreeMap<&'static str, usize> = statuses.map(|status| (status, 0)).into();
    let mut local = all.clone();
    for service in services.values() {
        for instance in service.instances().values() {
            let status = instance_word(instance_status(instance.status));
            *all.entry(status).or_default() += 1;
            if instance.origin == own {
                *local.entry(status).or_default() += 1;
            }
        }
    }
    for (name, counted) in [("hobnob_instances", all), ("hobnob_local_instances", local)] {
        for (status, instances) in counted {
            readings.set_for(
                name,
                vec![("status", status.to_owned())],
                Value::Level(count(instances)),
            );
        }
    }
}

fn show_progress(readings: &mut Readings, progress: &Progress) {
    for of_part in progress.of_parts(Instant::now()) {
        let labels = || vec![("part", of_part.part.name().to_owned())];
        let age = Value::Level(of_part.age.as_secs_f64());
        readings.set_for("hobnob_progress_age_seconds", labels(), age);
        let stuck = Value::Level(f64::from(u8::from(of_part.is_stuck())));
        readings.set_for("hobnob_stuck", labels(), stuck);
    }
}

/// Shows every counter of `info` that the table knows.
fn show_counters(readings: &mut Readings, counters: &BTreeMap<String, u64>) {
    let kinds: BTreeMap<_, _> = table().into_iter().map(|row| (row.name, row.kind)).collect();
    for (name, value) in counters {
        let (counter, gauge) = (name_of(name, false), name_of(name, true));
        if kinds.get(counter.as_str()) == Some(&Kind::Counter) {
            readings.set(counter, Value::Count(*value));
        } else if kinds.get(gauge.as_str()) == Some(&Kind::Gauge) {
            readings.level(&gauge, *value as f64);
        }
    }
}

/// The part of the values that the node knows.
struct AboutCluster {
    members: BTreeMap<&'static str, usize>,
    unanswered: usize,
    links_broken: usize,
    missing: usize,
    load: Load,
    gaps_closed: Durations,
    convergence: Durations,
}

impl AboutCluster {
    fn read(node: &Node, now: Time) -> Self {
        let mut members = BTreeMap::from(["alive", "suspect", "down"].map(|status| (status, 0)));
        for member in node.members() {
            *members.entry(member_word(member_status(member.status))).or_default() += 1;
        }
        Self {
            members,
            unanswered: node.unanswered(now).count(),
            links_broken: node.broken_links().count(),
            missing: node.mass_losses().iter().map(|loss| loss.missing.len()).sum(),
            load: node.load(),
            gaps_closed: node.gaps_closed(),
            convergence: node.convergence(),
        }
    }
}

fn count(of: usize) -> f64 {
    of as f64
}

/// The word for a status, as JSON has it.
pub(crate) fn member_word(status: MemberStatus) -> &'static str {
    match status {
        MemberStatus::Alive => "alive",
        MemberStatus::Suspect => "suspect",
        MemberStatus::Down => "down",
        MemberStatus::Unreachable => "unreachable",
        MemberStatus::Left => "left",
        MemberStatus::ForceLeft => "force_left",
        MemberStatus::Replaced => "replaced",
        MemberStatus::Unknown => "unknown",
    }
}

/// The word for a status, as JSON has it.
fn instance_word(status: InstanceStatus) -> &'static str {
    match status {
        InstanceStatus::Healthy => "healthy",
        InstanceStatus::Unhealthy => "unhealthy",
        InstanceStatus::Gone => "gone",
        InstanceStatus::Unknown => "unknown",
    }
}
