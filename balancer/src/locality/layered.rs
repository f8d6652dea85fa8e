//! Layers of targets, nearest first, with spill-over.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use crate::{
    balancer::Balancer,
    config::Config,
    picker::{Pick, Picker},
    snapshot::Target,
    strategies::Strategy,
    tables::{hash_key, mix},
};

/// A layer takes the whole load while at least 1/1.4 = 71 % of its targets are available: Envoy's default.
pub const OVERPROVISIONING: f64 = 1.4;

/// The most layers. Further ones are joined to the last.
pub const LAYERS_MAX: usize = 32;

/// A balancer over layers: zones, datacenters, or plain priorities. The first layer takes as much of the load as it can, and
/// the next ones take what spills over.
pub struct Layered<T> {
    layers: Box<[Arc<Balancer<T>>]>,
    overprovisioning: f64,
    /// The number of targets of each layer if all were healthy.
    totals: ArcSwap<Vec<usize>>,
    /// The share of the load that each layer takes.
    shares: ArcSwap<Vec<f64>>,
}

/// One layer of a [`Layered`] balancer.
#[derive(Clone, Debug)]
pub struct Layer<T> {
    /// The targets that may be picked.
    pub targets: Vec<Target<T>>,
    /// The number of targets if all were healthy, at least `targets.len()`. Missing targets make the layer spill over.
    pub total: usize,
}

impl<T: Send + Sync + 'static> Layered<T> {
    /// A balancer of `layers` layers without targets. The number of layers is clamped into `1..=LAYERS_MAX`.
    /// `overprovisioning` is usually [`OVERPROVISIONING`]; at 1 a layer spills over as soon as one of its targets is missing.
    pub fn new(config: &Config, layers: usize, overprovisioning: f64) -> Self {
        let balancer = |layer| {
            let seed = mix(config.seed ^ layer as u64);
            Arc::new(Balancer::new(Config { seed, ..config.clone() }))
        };
        Self {
            layers: (0..layers.clamp(1, LAYERS_MAX)).map(balancer).collect(),
            overprovisioning: overprovisioning.max(1.0),
            totals: ArcSwap::default(),
            shares: ArcSwap::default(),
        }
    }

    /// Replaces the targets of all layers, nearest first. Missing layers are empty, and layers beyond the last are joined to
    /// it.
    pub fn update(&self, layers: Vec<Layer<T>>) {
        let mut joined: Vec<Layer<T>> = Vec::new();
        joined.resize_with(self.layers.len(), || Layer { targets: Vec::new(), total: 0 });
        for (index, mut layer) in layers.into_iter().enumerate() {
            let into = &mut joined[index.min(self.layers.len() - 1)];
            into.total += layer.total.max(layer.targets.len());
            into.targets.append(&mut layer.targets);
        }
        self.totals.store(Arc::new(joined.iter().map(|layer| layer.total).collect()));
        for (balancer, layer) in self.layers.iter().zip(joined) {
            balancer.update(layer.targets);
        }
        self.share_out();
    }

    /// Moves the clock of every layer, and shares the load out again by the targets that are available now. Call it a few
    /// times a second, not for every pick. See [`Balancer::advance`].
    pub fn advance(&self, now: Duration) {
        self.layers.iter().for_each(|balancer| balancer.advance(now));
        self.share_out();
    }

    /// A picker for one thread or connection.
    pub fn picker(self: &Arc<Self>) -> LayeredPicker<T> {
        let pickers = self.layers.iter().map(|layer| layer.picker()).collect::<Box<[_]>>();
        let random =
            fastrand::Rng::with_seed(mix(self.layers[0].config().seed ^ pickers[0].ordinal()));
        LayeredPicker { layered: Arc::clone(self), pickers, random }
    }

    /// The balancers of the layers.
    pub fn layers(&self) -> &[Arc<Balancer<T>>] {
        &self.layers
    }

    /// The share of the load that each layer takes now. The sum is 1, or 0 while no target is available.
    pub fn shares(&self) -> Vec<f64> {
        self.shares.load().to_vec()
    }

    fn share_out(&self) {
        let available = |balancer: &Arc<Balancer<T>>| {
            balancer
                .snapshot()
                .instances()
                .iter()
                .filter(|instance| instance.is_available())
                .count()
        };
        let totals = self.totals.load();
        let counts: Vec<_> =
            self.layers.iter().map(available).zip(totals.iter().copied()).collect();
        self.shares.store(Arc::new(spill_over(&counts, self.overprovisioning)));
    }
}

/// The share of the load of each layer, given as `(available, total)`, nearest first.
///
/// Envoy's priority levels ("Priority levels" in its architecture overview). The health of a layer is `available / total`
/// times the overprovisioning factor, at most 1. Each layer in turn takes as much of the remaining load as its health
/// allows. If the healths add up to less than 1, all are scaled up.
pub fn spill_over(layers: &[(usize, usize)], overprovisioning: f64) -> Vec<f64> {
    let health = |&(available, total): &(usize, usize)| {
        if available == 0 {
            0.0
        } else {
            (overprovisioning * available as f64 / total.max(available) as f64).min(1.0)
        }
    };
    let sum: f64 = layers.iter().map(health).sum();
    let scale = if sum > 0.0 && sum < 1.0 { 1.0 / sum } else { 1.0 };
    let mut left = 1.0;
    let mut take = |layer| {
        let share = (health(layer) * scale).min(left);
        left -= share;
        share
    };
    layers.iter().map(&mut take).collect()
}

/// Picks from the layers of a [`Layered`] balancer, for one thread or connection.
pub struct LayeredPicker<T> {
    layered: Arc<Layered<T>>,
    pickers: Box<[Picker<T>]>,
    random: fastrand::Rng,
}

impl<T> LayeredPicker<T> {
    /// Picks a layer by its share of the load, then a target in it as [`Picker::pick`] does. If no target of that layer
    /// takes the pick, the other layers are asked, nearest first. A key stays in its layer while the shares stay the same.
    pub fn pick(&mut self, strategy: Strategy, key: Option<&[u8]>) -> Option<Pick<T>> {
        let draw = match key {
            Some(key) if strategy.is_keyed() => {
                (mix(hash_key(key)) >> 11) as f64 / (1_u64 << 53) as f64
            }
            _ => self.random.f64(),
        };
        let chosen = self.layer(draw);
        let picked = self.pickers.get_mut(chosen).and_then(|picker| picker.pick(strategy, key));
        picked.or_else(|| self.pickers.iter_mut().find_map(|picker| picker.pick(strategy, key)))
    }

    fn layer(&self, draw: f64) -> usize {
        let shares = self.layered.shares.load();
        let mut passed = 0.0;
        let layer = shares.iter().position(|share| {
            passed += share;
            draw < passed
        });
        layer.unwrap_or(0)
    }
}

impl<T> fmt::Debug for Layered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layered").field("layers", &self.layers).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for LayeredPicker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayeredPicker").field("pickers", &self.pickers).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(name: &str, available: usize, total: usize) -> Layer<usize> {
        let target = |i| Target { id: format!("{name}-{i}").into(), weight: 1, item: total };
        Layer { targets: (0..available).map(target).collect(), total }
    }

    #[test]
    fn shares_follow_envoy() {
        let percent = |layers: &[(usize, usize)]| -> Vec<u32> {
            spill_over(layers, OVERPROVISIONING)
                .iter()
                .map(|share| (share * 100.0).round() as u32)
                .collect()
        };
        assert_eq!(percent(&[(100, 100), (100, 100)]), [100, 0]);
        assert_eq!(percent(&[(72, 100), (72, 100)]), [100, 0]);
        assert_eq!(percent(&[(71, 100), (71, 100)]), [99, 1]);
        assert_eq!(percent(&[(50, 100), (50, 100)]), [70, 30]);
        assert_eq!(percent(&[(25, 100), (100, 100)]), [35, 65]);
        assert_eq!(percent(&[(25, 100), (25, 100)]), [50, 50]);
        assert_eq!(percent(&[(0, 100), (5, 100)]), [0, 100]);
        assert_eq!(percent(&[(0, 100), (0, 0)]), [0, 0]);
    }

    #[test]
    fn load_beyond_the_near_layer_spills_over() {
        let layered = Arc::new(Layered::new(&Config::default(), 3, OVERPROVISIONING));
        let mut picker = layered.picker();
        assert!(picker.pick(Strategy::RoundRobin, None).is_none());
        let mut far = |near: usize| {
            layered.update(vec![layer("near", near, 10), layer("far", 10, 11)]);
            let picks = (0..1_000).filter_map(|_| picker.pick(Strategy::RoundRobin, None));
            picks.filter(|pick| *pick.item() == 11).count()
        };
        assert_eq!(far(10), 0);
        assert!((200..400).contains(&far(5)), "50 % available take 70 %");
        assert_eq!(far(0), 1_000);
    }

    #[test]
    fn a_key_stays_in_its_layer() {
        let layered = Arc::new(Layered::new(&Config::default(), 2, OVERPROVISIONING));
        layered.update(vec![layer("near", 5, 10), layer("far", 10, 10)]);
        for key in 0..100_u32 {
            let pick = || {
                let key = key.to_le_bytes();
                layered
                    .picker()
                    .pick(Strategy::ConsistentHash, Some(&key))
                    .map(|pick| pick.id().to_string())
            };
            assert_eq!(pick(), pick());
        }
    }

    #[test]
    fn a_drained_layer_hands_its_load_on() {
        let layered = Arc::new(Layered::new(&Config::default(), 2, OVERPROVISIONING));
        layered.update(vec![layer("near", 1, 1), layer("far", 1, 1)]);
        layered.layers()[0].drain("near-0", Duration::ZERO);
        let pick = layered.picker().pick(Strategy::Random, None).map(|pick| pick.id().to_string());
        assert_eq!(pick.as_deref(), Some("far-0"));
        layered.advance(Duration::from_secs(1));
        assert_eq!(layered.shares(), [0.0, 1.0]);
    }
}
