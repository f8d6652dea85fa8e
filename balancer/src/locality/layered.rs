//! A balancer over layers of targets, nearest first.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use arc_swap::ArcSwap;

use super::damping::Damping;
use super::shares::{Capacity, spill_over};
use crate::{
    balancer::Balancer,
    config::Config,
    picker::{Pick, Picker},
    snapshot::Target,
    strategies::Strategy,
    tables::{hash_key, mix},
};

/// The most layers. The farthest ones beyond it are joined to the last.
pub const LAYERS_MAX: usize = 66;

/// A balancer over layers: zones, datacenters, or plain priorities.
///
/// The layers of the nearest region take the load of its callers as far as they can, and other regions take what spills over,
/// as far as they have room for it. Within a region the nearer layer comes first. Load moves between regions at a limited
/// rate; see [`MOVE_TIME`](crate::MOVE_TIME).
pub struct Layered<T> {
    config: Config,
    overprovisioning: f64,
    plan: ArcSwap<Plan<T>>,
    /// Grows after a plan is published.
    generation: AtomicU64,
    pickers: AtomicU64,
    is_moving: AtomicBool,
    /// Locked during an update.
    state: Mutex<State<T>>,
}

/// One layer of a [`Layered`] balancer.
#[derive(Clone, Debug)]
pub struct Layer<T> {
    /// The datacenter, or another name for what fails and recovers together. A layer keeps what it learnt of its targets while
    /// its region stays, whatever its distance.
    pub region: Arc<str>,
    /// The distance of the region from the client. Regions of one distance are alike.
    pub distance: u32,
    /// Whether it is the client's own zone, which comes before the rest of its region.
    pub own_zone: bool,
    /// The targets that may be picked.
    pub targets: Vec<Target<T>>,
    /// The weight of its targets if all were healthy, at least that of `targets`. Missing weight makes the layer spill over.
    pub total: u64,
}

/// The layers and their shares as pickers read them, nearest first.
struct Plan<T> {
    layers: Box<[Planned<T>]>,
    /// The layer that takes the whole load, if one does.
    only: Option<usize>,
}

struct Planned<T> {
    balancer: Arc<Balancer<T>>,
    share: f64,
}

struct State<T> {
    /// Nearest first.
    layers: Vec<Kept<T>>,
    damping: Damping,
    now: Duration,
    /// Whether every target took every pick when the shares were made.
    was_calm: bool,
}

struct Kept<T> {
    region: Arc<str>,
    distance: u32,
    own_zone: bool,
    total: f64,
    balancer: Arc<Balancer<T>>,
}

impl<T: Send + Sync + 'static> Layered<T> {
    /// A balancer without layers. `overprovisioning` is usually [`OVERPROVISIONING`](crate::OVERPROVISIONING); at 1 a region
    /// spills over as soon as some of its weight is missing.
    pub fn new(config: &Config, overprovisioning: f64) -> Self {
        Self {
            config: config.clone(),
            overprovisioning: overprovisioning.max(1.0),
            plan: ArcSwap::from_pointee(Plan { layers: Box::default(), only: None }),
            generation: AtomicU64::new(0),
            pickers: AtomicU64::new(0),
            is_moving: AtomicBool::new(false),
            state: Mutex::new(State {
                layers: Vec::new(),
                damping: Damping::default(),
                now: Duration::ZERO,
                was_calm: true,
            }),
        }
    }

    /// Replaces the layers. The first ones that have any weight share the load out at once; later changes move it in time.
    pub fn update(&self, layers: Vec<Layer<T>>) {
        let mut state = self.lock();
        let mut former = std::mem::take(&mut state.layers);
        for Layer { region, distance, own_zone, targets, total } in joined(layers) {
            let weight: u64 = targets.iter().map(|target| u64::from(target.weight)).sum();
            let known = former
                .iter()
                .position(|kept| kept.region == region && kept.own_zone == own_zone)
                .map(|at| former.swap_remove(at).balancer);
            let balancer = known.unwrap_or_else(|| self.new_balancer(&region, own_zone, state.now));
            balancer.update(targets);
            let total = total.max(weight) as f64;
            state.layers.push(Kept { region, distance, own_zone, total, balancer });
        }
        self.share_out(&mut state);
    }

    /// Moves the clock of every layer, and shares the load out again by the targets that are available now. Call it a few
    /// times a second, not for every pick. See [`Balancer::advance`].
    pub fn advance(&self, now: Duration) {
        let mut state = self.lock();
        state.now = state.now.max(now);
        state.layers.iter().for_each(|layer| layer.balancer.advance(now));
        let is_calm = state.layers.iter().all(|layer| layer.balancer.is_calm());
        if !is_calm || !state.was_calm || state.damping.is_moving() {
            self.share_out(&mut state);
        }
    }

    /// Whether load is on its way from one region to another, which needs [`Layered::advance`].
    pub fn is_moving(&self) -> bool {
        self.is_moving.load(Relaxed)
    }

    /// A picker for one thread or connection.
    pub fn picker(self: &Arc<Self>) -> LayeredPicker<T> {
        let ordinal = self.pickers.fetch_add(1, Relaxed);
        let mut picker = LayeredPicker {
            layered: Arc::clone(self),
            generation: 0,
            plan: Arc::new(Plan { layers: Box::default(), only: None }),
            pickers: Vec::new(),
            random: fastrand::Rng::with_seed(mix(self.config.seed ^ ordinal)),
        };
        picker.refresh();
        picker
    }

    /// The balancers of the layers, nearest first.
    pub fn layers(&self) -> Vec<Arc<Balancer<T>>> {
        self.plan.load().layers.iter().map(|layer| Arc::clone(&layer.balancer)).collect()
    }

    /// The share of the load that each layer takes now, nearest first. The sum is 1, or 0 while no target is available.
    pub fn shares(&self) -> Vec<f64> {
        self.plan.load().layers.iter().map(|layer| layer.share).collect()
    }

    fn new_balancer(&self, region: &str, own_zone: bool, now: Duration) -> Arc<Balancer<T>> {
        let seed = mix(self.config.seed ^ hash_key(region.as_bytes()) ^ u64::from(own_zone));
        let balancer = Balancer::new(Config { seed, ..self.config.clone() });
        balancer.advance(now);
        Arc::new(balancer)
    }

    fn share_out(&self, state: &mut State<T>) {
        state.was_calm = state.layers.iter().all(|layer| layer.balancer.is_calm());
        let weights: Vec<(f64, f64)> =
            state.layers.iter().map(|layer| (layer.available(), layer.total)).collect();
        let (mut names, mut regions): (Vec<Arc<str>>, Vec<Capacity>) = (Vec::new(), Vec::new());
        let mut first_layers = Vec::new();
        for (index, (layer, (available, total))) in state.layers.iter().zip(&weights).enumerate() {
            if names.last() != Some(&layer.region) {
                names.push(layer.region.clone());
                regions.push(Capacity { distance: layer.distance, ..Capacity::default() });
                first_layers.push(index);
            }
            if let Some(region) = regions.last_mut() {
                region.available += available;
                region.total += total;
            }
        }
        let shares = state.damping.share_out(&names, &regions, self.overprovisioning, state.now);
        self.is_moving.store(state.damping.is_moving(), Relaxed);
        first_layers.push(weights.len());
        let within = shares.iter().zip(first_layers.windows(2)).flat_map(|(share, layers)| {
            let layers = &weights[layers[0]..layers[1]];
            spill_over(layers, self.overprovisioning).into_iter().map(move |part| part * share)
        });
        let planned = |(layer, share): (&Kept<T>, f64)| Planned {
            balancer: Arc::clone(&layer.balancer),
            share,
        };
        let layers: Box<[Planned<T>]> = state.layers.iter().zip(within).map(planned).collect();
        let mut taking = (0..layers.len()).filter(|at| layers[*at].share > 0.0);
        let only = taking.next().filter(|_| taking.next().is_none());
        self.plan.store(Arc::new(Plan { layers, only }));
        self.generation.fetch_add(1, Release);
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send + Sync + 'static> Kept<T> {
    /// The weight of the targets that take picks. One that warms up or drains counts in part.
    fn available(&self) -> f64 {
        let snapshot = self.balancer.snapshot();
        let available = snapshot.instances().iter().filter(|instance| instance.is_available());
        available.map(|instance| f64::from(instance.weight()) * f64::from(instance.share())).sum()
    }
}

/// The layers, nearest first and those of a region side by side, with the farthest joined to the last that there may be.
fn joined<T>(mut layers: Vec<Layer<T>>) -> Vec<Layer<T>> {
    layers.sort_by(|a, b| {
        let key = |layer: &Layer<T>| (layer.distance, layer.region.clone(), !layer.own_zone);
        key(a).cmp(&key(b))
    });
    let farthest = layers.split_off(layers.len().min(LAYERS_MAX));
    if let Some(last) = layers.last_mut() {
        for layer in farthest {
            last.total += layer.total;
            last.targets.extend(layer.targets);
        }
    }
    layers
}

/// Picks from the layers of a [`Layered`] balancer, for one thread or connection.
pub struct LayeredPicker<T> {
    layered: Arc<Layered<T>>,
    /// The generation of the plan.
    generation: u64,
    plan: Arc<Plan<T>>,
    /// One for each layer of the plan.
    pickers: Vec<Picker<T>>,
    random: fastrand::Rng,
}

impl<T: Send + Sync + 'static> LayeredPicker<T> {
    /// Picks a layer by its share of the load, then a target in it as [`Picker::pick`] does. If no target of that layer
    /// takes the pick, the other layers are asked, nearest first. A key stays in its layer while the shares stay the same.
    pub fn pick(&mut self, strategy: Strategy, key: Option<&[u8]>) -> Option<Pick<T>> {
        self.pick_by(strategy, key, |picker| picker.pick(strategy, key))
    }

    /// Picks as [`LayeredPicker::pick`] does, but none of the targets with these ids. See [`Picker::pick_another`].
    pub fn pick_another(
        &mut self,
        strategy: Strategy,
        key: Option<&[u8]>,
        tried: &[Arc<str>],
    ) -> Option<Pick<T>> {
        self.pick_by(strategy, key, |picker| picker.pick_another(strategy, key, tried))
    }

    #[inline]
    fn pick_by<F>(&mut self, strategy: Strategy, key: Option<&[u8]>, pick: F) -> Option<Pick<T>>
    where
        F: Fn(&mut Picker<T>) -> Option<Pick<T>>,
    {
        if self.layered.generation.load(Acquire) != self.generation {
            self.refresh();
        }
        let chosen = match self.plan.only {
            Some(layer) => layer,
            None => {
                let draw = match key {
                    Some(key) if strategy.is_keyed() => {
                        (mix(hash_key(key)) >> 11) as f64 / (1_u64 << 53) as f64
                    }
                    _ => self.random.f64(),
                };
                self.layer(draw)
            }
        };
        let picked = self.pickers.get_mut(chosen).and_then(&pick);
        picked.or_else(|| self.pickers.iter_mut().find_map(pick))
    }

    fn layer(&self, draw: f64) -> usize {
        let mut passed = 0.0;
        let layer = self.plan.layers.iter().position(|layer| {
            passed += layer.share;
            draw < passed
        });
        layer.unwrap_or(0)
    }

    /// Takes the latest plan. The pickers of layers that stay go on.
    #[cold]
    fn refresh(&mut self) {
        self.generation = self.layered.generation.load(Acquire);
        let plan = self.layered.plan.load_full();
        let mut former: Vec<_> = self
            .plan
            .layers
            .iter()
            .map(|layer| &layer.balancer)
            .zip(self.pickers.drain(..))
            .collect();
        let picker = |layer: &Planned<T>| {
            let known = former.iter().position(|(of, _)| Arc::ptr_eq(of, &layer.balancer));
            match known {
                Some(at) => former.swap_remove(at).1,
                None => layer.balancer.picker(),
            }
        };
        self.pickers = plan.layers.iter().map(picker).collect();
        self.plan = plan;
    }
}

impl<T> fmt::Debug for Layered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.plan.load();
        let layers = plan.layers.iter().map(|layer| (layer.share, &layer.balancer));
        f.debug_list().entries(layers).finish()
    }
}

impl<T> fmt::Debug for LayeredPicker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayeredPicker").field("pickers", &self.pickers).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::shares::OVERPROVISIONING;
    use super::*;

    /// A layer of so many targets, of which `available` are there, at a distance of the length of its name.
    fn layer(name: &str, available: usize, total: usize) -> Layer<usize> {
        let target = |i| Target { id: format!("{name}-{i}").into(), weight: 1, item: total };
        Layer {
            region: name.into(),
            distance: name.len() as u32,
            own_zone: false,
            targets: (0..available).map(target).collect(),
            total: total as u64,
        }
    }

    fn layered(layers: Vec<Layer<usize>>) -> Arc<Layered<usize>> {
        let layered = Arc::new(Layered::new(&Config::default(), OVERPROVISIONING));
        layered.update(layers);
        layered
    }

    #[test]
    fn load_beyond_the_near_layer_spills_over() {
        let layered = layered(Vec::new());
        let mut picker = layered.picker();
        assert!(picker.pick(Strategy::RoundRobin, None).is_none());
        let mut distant = |near: usize| {
            layered.update(vec![layer("near", near, 10), layer("distant", 10, 11)]);
            let picks = (0..1_000).filter_map(|_| picker.pick(Strategy::RoundRobin, None));
            picks.filter(|pick| *pick.item() == 11).count()
        };
        assert_eq!(distant(10), 0);
        assert!((200..400).contains(&distant(5)), "50 % available take 70 %");
        assert_eq!(distant(0), 1_000);
    }

    #[test]
    fn a_zone_spills_into_its_datacenter_first_and_the_datacenter_as_far_as_others_have_room() {
        let zone = |available| Layer { own_zone: true, ..layer("dc", available, 10) };
        let layers = |here, next| vec![layer("other", 100, 100), layer("dc", next, 20), zone(here)];
        let layered = layered(layers(10, 20));
        let after = |here, next| {
            layered.update(layers(here, next));
            let shares = layered.shares();
            [shares[0], shares[1], shares[2]].map(|share| (share * 100.0).round() as u32)
        };
        assert_eq!(after(10, 20), [100, 0, 0]);
        assert_eq!(after(5, 20), [70, 30, 0]);
        assert_eq!(after(0, 20), [0, 93, 7], "20 of 30 bear 28");
        assert_eq!(after(0, 0), [0, 0, 100]);
    }

    #[test]
    fn a_key_stays_in_its_layer() {
        let layered = layered(vec![layer("near", 5, 10), layer("distant", 10, 10)]);
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
        let layered = layered(vec![layer("near", 1, 1), layer("distant", 1, 1)]);
        layered.layers()[0].drain("near-0", Duration::ZERO);
        let pick = layered.picker().pick(Strategy::Random, None).map(|pick| pick.id().to_string());
        assert_eq!(pick.as_deref(), Some("distant-0"));
        layered.advance(Duration::from_secs(1));
        assert_eq!(layered.shares(), [0.0, 1.0]);
    }

    #[test]
    fn a_region_keeps_what_it_learnt_when_its_distance_changes() {
        let layered = layered(vec![layer("near", 2, 2), layer("distant", 2, 2)]);
        let mut picker = layered.picker();
        for _ in 0..10 {
            picker.pick(Strategy::RoundRobin, None);
        }
        layered.update(vec![
            Layer { distance: 9, ..layer("near", 2, 2) },
            Layer { distance: 1, ..layer("distant", 2, 2) },
        ]);
        let picks: Vec<u64> = layered
            .layers()
            .iter()
            .map(|layer| layer.report().targets.iter().map(|target| target.picks).sum())
            .collect();
        assert_eq!(picks, [0, 10], "of `near`, which is last now");
        assert!(picker.pick(Strategy::RoundRobin, None).is_some());
        assert!(layered.is_moving());
    }

    #[test]
    fn the_farthest_layers_are_joined() {
        let far = |number: usize| Layer { distance: 1, ..layer(&format!("{number:03}"), 1, 1) };
        let layered = layered((0..100).map(far).collect());
        assert_eq!(layered.layers().len(), LAYERS_MAX);
        let mut picker = layered.picker();
        let mut picked: Vec<_> = (0..5_000)
            .filter_map(|_| picker.pick(Strategy::RoundRobin, None))
            .map(|pick| pick.id().to_string())
            .collect();
        picked.sort_unstable();
        picked.dedup();
        assert_eq!(picked.len(), 100);
    }
}
