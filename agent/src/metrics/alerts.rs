//! What to alert on among the counters of the protocol. The rest tell what an agent does, not that anything is wrong.

/// The counters of the protocol that are worth an alert, and when.
const ALERTS: &[(&str, &str)] = &[
    ("encoding_errors", "Any value but 0 is a bug: report it"),
    ("stalls", "More than a few an hour: the host is short of processor time, or is suspended"),
    ("gave_way", "Any increase: two agents run on copies of one data directory"),
    ("verdicts_refuted", "More than a few an hour: this agent is taken for dead while it lives"),
    ("verdicts_without_witness", "More than a few an hour: this agent alone cannot reach others"),
    (
        "rumors_dropped",
        "A steady rate: there are more changes than rumors carry. Repair brings them later",
    ),
    ("datagrams_other_version", "A rate that goes on after an upgrade"),
    ("datagrams_other_cluster", "Any increase: an agent joins at members of another cluster"),
    ("datagrams_in_clear", "Any increase: an agent without a token sends to this sealed cluster"),
    ("datagrams_forged", "A steady rate: somebody without the keys sends to this agent"),
    ("datagrams_replayed", "A steady rate: somebody repeats datagrams"),
    ("datagrams_without_keys", "Any increase long after the start: no member lets this agent in"),
    ("messages_in_anothers_name", "Any increase: a member speaks for another one"),
    ("sessions_failed", "More than a tenth of the sessions opened"),
    (
        "origins_refused",
        "Any increase: there are more members and former members than an agent keeps",
    ),
    ("records_refused", "Any increase: records take more bytes than an agent keeps"),
    ("writes_refused", "Any increase: registrations of this host are refused"),
    (
        "remote_members_refused",
        "Any increase: other datacenters have more members than an agent keeps",
    ),
    ("datacenters_lost", "Any increase: a datacenter went out of reach"),
    ("tokens_untimely", "Any increase: a host tries to join with a token that is valid no more"),
    ("certificates_refused", "A steady rate"),
    ("orders_refused", "Any increase: somebody gives orders without the role operator"),
    ("wan_held_given_up", "A steady rate: a datacenter changes more than crosses to others"),
    (
        "pool_is_far",
        "1: the members of one datacenter are far from each other. Give them datacenters of their own",
    ),
];

/// What to alert on for a counter of the protocol, by its name in the answer to `info`.
pub(super) fn alert_for(name: &str) -> &'static str {
    ALERTS.iter().find(|(counter, _)| *counter == name).map_or("", |(_, alert)| alert)
}

#[cfg(test)]
mod tests {
    use hobnob_membership::Counters;

    use super::*;

    #[test]
    fn each_alert_is_for_a_counter_that_there_is() {
        for (name, _) in ALERTS {
            assert!(Counters::HELP.iter().any(|(counter, _)| counter == name), "{name}");
        }
    }
}
