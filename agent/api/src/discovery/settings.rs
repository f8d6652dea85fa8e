//! The settings that count: what the program overrides, else what a registration sets, else what the program has by default.

use std::sync::Arc;

use hobnob_balancer::{Config, Layered, OVERPROVISIONING, Strategy};
use serde::Serialize;

use super::DiscoveryConfig;
#[cfg(feature = "call")]
use crate::calls::CallConfig;
use crate::types::{Balancing, Instance, ServiceSettings};

/// A setting that counts, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EffectiveSetting {
    /// Its name, as in [`Balancing`].
    pub setting: String,
    /// Its value, as it would be given on the command line.
    pub value: String,
    /// Where the value comes from.
    pub origin: SettingOrigin,
}

/// Where the value of a setting comes from, the first that gives one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingOrigin {
    /// The program overrides it: [`DiscoveryConfig::overrides`].
    Program,
    /// A registration sets it, of the instance that speaks for the service.
    Registration,
    /// Neither does, so the rest of [`DiscoveryConfig`] counts.
    Default,
}

/// The settings of a program.
#[derive(Clone, Debug)]
pub(super) struct OfProgram {
    overrides: Balancing,
    strategy: Strategy,
    balancer: Config,
    #[cfg(feature = "call")]
    calls: CallConfig,
}

/// The settings that count now, and the balancer that has them.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) strategy: Strategy,
    pub(crate) balancer: Arc<Layered<Arc<Instance>>>,
    /// The settings of the balancer.
    config: Config,
    pub(super) failover: Vec<String>,
    #[cfg(feature = "call")]
    pub(crate) calls: Arc<CallConfig>,
    /// What the service's registrations say.
    pub(super) registered: ServiceSettings,
    /// Whether an agent has told that.
    pub(crate) is_told: bool,
}

impl OfProgram {
    pub(super) fn new(config: &DiscoveryConfig) -> Self {
        Self {
            overrides: config.overrides.clone(),
            strategy: config.strategy,
            balancer: config.balancer.clone(),
            #[cfg(feature = "call")]
            calls: config.calls.clone(),
        }
    }

    /// The datacenters that it fails over to while no registration is known.
    pub(super) fn failover(&self) -> Vec<String> {
        self.overrides.failover.clone()
    }

    /// The settings that count with these of the service; with `before`, those that count until now, an agent has told them. The balancer stays with all that it learnt, unless its own settings
    /// change.
    pub(super) fn in_force(
        &self,
        registered: ServiceSettings,
        before: Option<&InForce>,
    ) -> InForce {
        let given = self.overrides.clone().or(&registered.balancing);
        let config = given.config(&self.balancer);
        let kept = before.filter(|before| before.config == config);
        let balancer = match kept {
            Some(before) => before.balancer.clone(),
            None => Arc::new(Layered::new(&config, OVERPROVISIONING)),
        };
        InForce {
            strategy: given.strategy.unwrap_or(self.strategy),
            balancer,
            config,
            #[cfg(feature = "call")]
            calls: Arc::new(self.calls.with(&given)),
            failover: given.failover,
            registered,
            is_told: before.is_some(),
        }
    }

    /// Each setting that has a value with these of the service, by name.
    pub(super) fn effective(&self, registered: &ServiceSettings) -> Vec<EffectiveSetting> {
        let sources = [
            (SettingOrigin::Program, &self.overrides),
            (SettingOrigin::Registration, &registered.balancing),
            (SettingOrigin::Default, &self.defaults()),
        ];
        let mut effective: Vec<EffectiveSetting> = Vec::new();
        for (origin, balancing) in sources {
            for (setting, value) in balancing.given() {
                if !effective.iter().any(|known| known.setting == setting) {
                    effective.push(EffectiveSetting { setting, value, origin });
                }
            }
        }
        effective.sort_unstable_by(|a, b| a.setting.cmp(&b.setting));
        effective
    }

    /// What counts where nobody gives anything.
    fn defaults(&self) -> Balancing {
        let Config { breaker, outlier, panic_threshold_percent, slow_start, .. } = &self.balancer;
        let balancing = Balancing {
            strategy: Some(self.strategy),
            failure_threshold: breaker.as_ref().map(|breaker| breaker.failure_threshold),
            recovery_timeout_ms: breaker.as_ref().map(|breaker| millis(breaker.recovery_timeout)),
            outlier_failures: outlier.as_ref().map(|outlier| outlier.consecutive_failures),
            outlier_interval_ms: outlier.as_ref().map(|outlier| millis(outlier.interval)),
            ejection_time_ms: outlier.as_ref().map(|outlier| millis(outlier.base_ejection_time)),
            max_ejection_percent: outlier.as_ref().map(|outlier| outlier.max_ejection_percent),
            panic_threshold_percent: Some(*panic_threshold_percent),
            slow_start_ms: slow_start.map(millis),
            load_bound_percent: self.balancer.load_bound_percent,
            ..Balancing::default()
        };
        #[cfg(feature = "call")]
        let balancing = Balancing {
            call_timeout_ms: Some(millis(self.calls.timeout)),
            try_timeout_ms: Some(millis(self.calls.try_timeout)),
            connect_timeout_ms: Some(millis(self.calls.connect_timeout)),
            max_retries: Some(self.calls.retries.max_retries),
            protocol: Some(self.calls.protocol),
            ..balancing
        };
        balancing
    }
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use hobnob_balancer::BreakerConfig;

    use super::*;

    fn registered(balancing: Balancing) -> ServiceSettings {
        ServiceSettings { instance: Some("web-1".to_owned()), member: None, balancing }
    }

    fn program(overrides: Balancing) -> OfProgram {
        let mut config = DiscoveryConfig { overrides, ..DiscoveryConfig::new("web") };
        config.strategy = Strategy::PeakEwma;
        config.balancer.breaker =
            Some(BreakerConfig { failure_threshold: 3, ..Default::default() });
        OfProgram::new(&config)
    }

    fn threshold(in_force: &InForce) -> u32 {
        in_force.config.breaker.as_ref().expect("on").failure_threshold
    }

    #[test]
    fn the_program_comes_before_the_registration_and_both_before_the_defaults() {
        let nothing = ServiceSettings::default();
        let ring = Balancing { strategy: Some(Strategy::Ring), ..Balancing::default() };
        let seven = Balancing { failure_threshold: Some(7), ..ring.clone() };
        let random = Balancing { strategy: Some(Strategy::Random), ..Balancing::default() };
        for (overrides, registered, strategy, failures) in [
            (Balancing::default(), nothing.clone(), Strategy::PeakEwma, 3),
            (Balancing::default(), registered(seven.clone()), Strategy::Ring, 7),
            (random.clone(), nothing, Strategy::Random, 3),
            (random, registered(seven), Strategy::Random, 7),
        ] {
            let in_force = program(overrides).in_force(registered, None);
            assert_eq!((in_force.strategy, threshold(&in_force)), (strategy, failures));
        }
    }

    #[test]
    fn the_origin_of_each_setting_is_told() {
        let overrides = Balancing { strategy: Some(Strategy::Ring), ..Balancing::default() };
        let registered = registered(Balancing {
            strategy: Some(Strategy::Random),
            slow_start_ms: Some(9),
            ..Balancing::default()
        });
        let effective = program(overrides).effective(&registered);
        let find = |name| effective.iter().find(|one| one.setting == name);
        for (name, value, origin) in [
            ("strategy", "ring", SettingOrigin::Program),
            ("slow_start_ms", "9", SettingOrigin::Registration),
            ("failure_threshold", "3", SettingOrigin::Default),
            ("recovery_timeout_ms", "5000", SettingOrigin::Default),
        ] {
            let told = find(name).expect(name);
            assert_eq!((told.value.as_str(), told.origin), (value, origin), "{name}");
        }
        assert!(find("load_bound_percent").is_none(), "nobody gives it");
    }

    #[test]
    fn a_balancer_is_replaced_only_when_its_own_settings_change() {
        let program = program(Balancing::default());
        let first = program.in_force(ServiceSettings::default(), None);
        let strategy = Balancing { strategy: Some(Strategy::Ring), ..Balancing::default() };
        let second = program.in_force(registered(strategy.clone()), Some(&first));
        assert!(Arc::ptr_eq(&first.balancer, &second.balancer));
        let breaker = Balancing { failure_threshold: Some(9), ..strategy };
        let third = program.in_force(registered(breaker), Some(&second));
        assert!(!Arc::ptr_eq(&first.balancer, &third.balancer));
    }
}
