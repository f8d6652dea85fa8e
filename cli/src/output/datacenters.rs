//! The table of datacenters.

use comfy_table::Color;

use hobnob_api::names::printable;
use hobnob_api::{Datacenter, DatacenterStatus, HeldBack};

use super::age;
use super::table::{Column, Style, cell, or_dash, render};

/// Changes that were held back within this time are worth a warning.
const HELD_LATELY_MS: u64 = 60_000;

/// The table of `hobnob datacenters`.
pub(crate) fn datacenters(datacenters: &[Datacenter], style: Style) -> String {
    const COLUMNS: [Column; 10] = [
        Column::whole("DATACENTER"),
        Column::kept("STATUS"),
        Column::kept("ALIVE"),
        Column::kept("DOWN"),
        Column::hidden("INSTANCES", 2),
        Column::hidden("RTT", 1),
        Column::hidden("HEARD", 3),
        Column::hidden("SENT", 5),
        Column::hidden("GOT", 6),
        Column::hidden("GATEWAYS", 4),
    ];
    let rows = datacenters.iter().map(|datacenter| {
        let (status, colour) = match datacenter.status {
            DatacenterStatus::Own => ("own".to_owned(), Color::Green),
            DatacenterStatus::Reachable => ("reachable".to_owned(), Color::Green),
            DatacenterStatus::OutOfReach => {
                let since = datacenter.out_of_reach_ago_ms.map_or_else(String::new, age);
                (format!("out of reach {since}"), Color::Red)
            }
            DatacenterStatus::Isolated => {
                let since = datacenter.isolated_ago_ms.map_or_else(String::new, age);
                (format!("isolated {since}"), Color::Yellow)
            }
            DatacenterStatus::Unknown => ("unknown".to_owned(), Color::DarkGrey),
        };
        let rate = |bytes| match datacenter.status {
            DatacenterStatus::Own => "-".to_owned(),
            _ => format!("{bytes} B/s"),
        };
        let round_trip = datacenter.round_trip_ms;
        vec![
            cell(&datacenter.name),
            cell(status.trim_end()).fg(colour),
            cell(datacenter.alive),
            cell(datacenter.down),
            cell(datacenter.instances),
            cell(round_trip.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"))),
            cell(datacenter.heard_ago_ms.map_or_else(|| "-".to_owned(), age)),
            cell(rate(datacenter.sent_bytes_per_second)),
            cell(rate(datacenter.received_bytes_per_second)),
            cell(or_dash(&datacenter.gateways.join(","))),
        ]
    });
    render(&COLUMNS, rows, style)
}

/// The warnings to go with the table.
pub(crate) fn warnings(datacenters: &[Datacenter]) -> Vec<String> {
    let mut warnings = held_back(datacenters);
    let own = datacenters.iter().find(|one| one.status == DatacenterStatus::Own);
    if let Some(own) = own.filter(|own| own.gateways.is_empty() && datacenters.len() > 1) {
        warnings.push(format!(
            "warning: no agent of {} may be a gateway, so nothing crosses between it and the others: start one without `--gateway never`",
            printable(&own.name)
        ));
    }
    warnings
}

/// The warnings that a member changes something too often for other datacenters.
fn held_back(datacenters: &[Datacenter]) -> Vec<String> {
    let all = datacenters.iter().filter_map(|one| Some((&one.name, one.held_back.as_ref()?)));
    let lately = all.filter(|(_, held)| held.waiting > 0 || held.last_ago_ms < HELD_LATELY_MS);
    let warning = |(name, held): (&String, &HeldBack)| {
        format!(
            "warning: changes cross to {} later than usual, because too many come at once: {} were held back, the last one of {} {} ago",
            printable(name),
            held.changes,
            printable(&held.last),
            age(held.last_ago_ms)
        )
    };
    lately.map(warning).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datacenter(name: &str, status: DatacenterStatus) -> Datacenter {
        Datacenter {
            name: name.to_owned(),
            status,
            alive: 3,
            down: 0,
            instances: 2,
            gateways: vec!["a1".to_owned(), "a2".to_owned()],
            round_trip_ms: None,
            heard_ago_ms: None,
            out_of_reach_ago_ms: None,
            isolated_ago_ms: None,
            held_back: None,
            sent_bytes_per_second: 0,
            received_bytes_per_second: 0,
            isolation_orders: 0,
        }
    }

    #[test]
    fn a_datacenter_out_of_reach_shows_since_when() {
        let us = Datacenter {
            round_trip_ms: Some(80.25),
            heard_ago_ms: Some(9_000),
            out_of_reach_ago_ms: Some(2_000),
            sent_bytes_per_second: 132,
            ..datacenter("us", DatacenterStatus::OutOfReach)
        };
        let all = [datacenter("eu", DatacenterStatus::Own), us];
        assert_eq!(
            datacenters(&all, Style::PLAIN),
            "\
DATACENTER  STATUS           ALIVE  DOWN  INSTANCES  RTT      HEARD  SENT     GOT    GATEWAYS
eu          own              3      0     2          -        -      -        -      a1,a2
us          out of reach 2s  3      0     2          80.2 ms  9s     132 B/s  0 B/s  a1,a2"
        );
    }

    #[test]
    fn a_datacenter_without_a_gateway_is_warned_of_if_there_are_others() {
        let own = Datacenter { gateways: Vec::new(), ..datacenter("nv", DatacenterStatus::Own) };
        assert!(warnings(std::slice::from_ref(&own)).is_empty());
        let warned = warnings(&[own, datacenter("us", DatacenterStatus::Reachable)]);
        assert_eq!(warned.len(), 1);
        assert!(warned[0].contains("no agent of nv may be a gateway"), "{warned:?}");
    }

    #[test]
    fn a_breaker_that_held_something_back_lately_is_told() {
        let held = |waiting, last_ago_ms| Datacenter {
            held_back: Some(HeldBack { changes: 900, waiting, last: "a7".to_owned(), last_ago_ms }),
            ..datacenter("us", DatacenterStatus::Reachable)
        };
        assert_eq!(
            held_back(&[datacenter("eu", DatacenterStatus::Own), held(0, 2_000)]),
            [
                "warning: changes cross to us later than usual, because too many come at once: 900 were held back, the last one of a7 \
              2s ago"
            ]
        );
        assert_eq!(held_back(&[held(1, 70_000), held(0, 70_000)]).len(), 1);
    }
}
