//! What the system says of this process, under the names that Prometheus gives it for any process.

use std::fs;
use std::sync::OnceLock;

use hobnob_api::clock::since_boot;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

use super::readings::{Readings, Value};
use crate::clock::wall_clock_ms;

/// The start of the process, as the first look found it: a clock that is set later makes no other start of it.
static STARTED: OnceLock<f64> = OnceLock::new();

/// Adds the values of this process. Where the system does not tell one, it is left out.
pub(crate) fn show(readings: &mut Readings) {
    let ticks = clock_ticks_per_second() as f64;
    if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(Stat::parse)
    {
        readings.set("process_cpu_seconds_total", Value::Sum(stat.cpu_ticks as f64 / ticks));
        readings.level("process_virtual_memory_bytes", stat.virtual_bytes as f64);
        let resident = stat.resident_pages as f64 * page_size() as f64;
        readings.level("process_resident_memory_bytes", resident);
        let age_s = since_boot().as_secs_f64() - stat.start_ticks as f64 / ticks;
        readings.level("process_start_time_seconds", *STARTED.get_or_init(|| now_s() - age_s));
    }
    if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
        // The look itself takes one.
        readings.level("process_open_fds", descriptors.count().saturating_sub(1) as f64);
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        readings.level("process_max_fds", most as f64);
    }
}

/// What is read of `/proc/self/stat`.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_ticks: u64,
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name of the process may have spaces and brackets. What follows it begins with field 3.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// Seconds since 1970.
fn now_s() -> f64 {
    wall_clock_ms() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_behind_any_name() {
        let text =
            "7 (a) b) S 1 7 7 0 -1 4194560 9 0 0 0 30 12 0 0 20 0 8 0 5000 73400320 2100 1 2";
        let stat = Stat {
            cpu_ticks: 42,
            start_ticks: 5_000,
            virtual_bytes: 73_400_320,
            resident_pages: 2_100,
        };
        assert_eq!(Stat::parse(text), Some(stat));
        assert_eq!(Stat::parse("7 (a) S 1"), None);
    }
}
