//! The settings of one balancer.

/// The settings of one balancer. Every field has a default; construct it with `..Config::default()`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Seeds the random choices of this balancer's pickers. It has no influence on where a key lands, which is the same
    /// on every agent.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { seed: 0x686f_626e_6f62 }
    }
}
