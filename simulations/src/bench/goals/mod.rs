//! The protocol against its goals, in sections.

mod cluster;
mod detection;
mod followed;
mod links;
mod load;
mod measurement;
mod pair;
mod restart;
mod sessions;
mod spread;

pub use measurement::{Measurement, MeasurementEntry, SectionReport, Setting, quantile};

/// A group of measurements.
pub struct Section {
    /// Its name.
    pub name: &'static str,
    /// A description of its measurements.
    pub about: &'static str,
    run: fn(&Setting, &mut SectionReport<'_>),
}

impl Section {
    /// Takes the measurements. `progress` receives the name of each step.
    pub fn measure(&self, setting: &Setting, progress: &mut dyn FnMut(&str)) -> Vec<Measurement> {
        let mut report = SectionReport::new(self.name, setting, progress);
        (self.run)(setting, &mut report);
        report.finish()
    }
}

/// All sections.
pub const SECTIONS: &[Section] = &[
    Section {
        name: "changes",
        about: "time until all know a change, and copies sent for it",
        run: spread::changes,
    },
    Section {
        name: "delivery",
        about: "very many changes at 25 % loss; none may be lost",
        run: spread::delivery,
    },
    Section { name: "storm", about: "10,000 changes within a second", run: load::storm },
    Section {
        name: "absence",
        about: "an agent is cut off for a minute while 10,000 changes happen",
        run: load::absence,
    },
    Section { name: "join", about: "all agents start at once", run: load::join },
    Section {
        name: "newcomer",
        about: "an agent joins one that holds 100 records of each agent",
        run: sessions::newcomer,
    },
    Section {
        name: "sessions",
        about: "bytes until two agents are equal, when few of many origins differ",
        run: sessions::sessions,
    },
    Section { name: "rest", about: "what agents send while nothing happens", run: load::rest },
    Section { name: "crash", about: "time until all know of a crash", run: detection::crash },
    Section {
        name: "kill",
        about: "time until all know that a process was killed",
        run: detection::kill,
    },
    Section {
        name: "exits",
        about: "connections are reset, members are slow, packets are lost; no process may be taken to have exited",
        run: detection::exits,
    },
    Section {
        name: "mass-crash",
        about: "30 % of the agents crash at once",
        run: detection::mass_crash,
    },
    Section {
        name: "false-downs",
        about: "an hour of slow agents and loss; no live agent may be declared down",
        run: detection::false_downs,
    },
    Section {
        name: "onsets",
        about: "agents that pause for the first time, for 1.7 to 2 s",
        run: detection::onsets,
    },
    Section {
        name: "one-way",
        about: "one agent is cut off in one direction for 2 min",
        run: links::one_way,
    },
    Section {
        name: "udp-blocked",
        about: "datagrams of one agent are blocked for 2 min; QUIC passes",
        run: links::udp_blocked,
    },
    Section {
        name: "halves",
        about: "two halves are cut apart, for a minute and for long, and healed",
        run: links::halves,
    },
    Section {
        name: "restart",
        about: "all agents restart, one after the other, while clients pick",
        run: restart::rolling,
    },
];
