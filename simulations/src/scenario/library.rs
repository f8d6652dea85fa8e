//! The built-in scenarios.

use super::Scenario;

/// A built-in scenario.
#[derive(Clone, Copy, Debug)]
pub struct Builtin {
    /// Its name, and that of its file.
    pub name: &'static str,
    text: &'static str,
}

macro_rules! builtins {
    ($($name:literal,)*) => {
        &[$(Builtin { name: $name, text: include_str!(concat!("../../scenarios/", $name, ".toml")) },)*]
    };
}

const BUILTINS: &[Builtin] = builtins![
    "address-change",
    "asymmetric-loss",
    "bandwidth-cap",
    "blackout",
    "bootstrapped-apart",
    "bridge",
    "broken-link",
    "bursty-loss",
    "ca-succession",
    "churn",
    "clock-jumps",
    "corruption",
    "crash",
    "datacenter-churn",
    "datacenter-cut",
    "datacenter-power",
    "deaf-agent",
    "disk-full",
    "duplicate-id",
    "flapping-link",
    "gateway-restart",
    "gateways-cut",
    "gc-partition",
    "half-half",
    "isolated-node",
    "key-rotation",
    "kill",
    "late-datacenter",
    "late-replay",
    "liar",
    "lossy-lan",
    "lost-storage",
    "majority-ring",
    "mass-death",
    "mass-join",
    "moved-agent",
    "mtu-black-hole",
    "one-way",
    "one-way-wan",
    "outsider",
    "pauses",
    "renamed-datacenter",
    "resets",
    "retention",
    "revocation",
    "rolled-back-storage",
    "rolling-restart",
    "rotations-apart",
    "rotations-missed",
    "scoped-instances",
    "sealed-copy",
    "seed-outage",
    "slow-agents",
    "small-cluster",
    "steady",
    "streams-blocked",
    "torn-writes",
    "two-clusters",
    "udp-blocked",
    "wan",
    "wan-spikes",
    "years-away",
];

impl Builtin {
    /// The scenario.
    ///
    /// # Errors
    /// When its file is not a valid scenario.
    pub fn load(&self) -> Result<Scenario, toml::de::Error> {
        Scenario::parse(self.text)
    }
}

/// All built-in scenarios, by name.
#[must_use]
pub fn builtins() -> &'static [Builtin] {
    BUILTINS
}

/// The built-in scenario with this name.
#[must_use]
pub fn builtin(name: &str) -> Option<&'static Builtin> {
    BUILTINS.iter().find(|builtin| builtin.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_reads_is_named_as_its_file_and_says_what_it_is_about() {
        for builtin in builtins() {
            let scenario =
                builtin.load().unwrap_or_else(|error| panic!("{}: {error}", builtin.name));
            assert_eq!(scenario.name, builtin.name);
            assert!(scenario.about.len() > 30, "{} says nothing", builtin.name);
            let written = toml::to_string(&scenario).expect("a scenario can be written");
            assert_eq!(Scenario::parse(&written).expect("and read"), scenario, "{}", builtin.name);
        }
    }
}
