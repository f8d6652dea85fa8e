//! Prefers the own zone, then the own datacenter, and spills over as targets go missing. A label selector comes first.
//!
//! `cargo run -p hobnob-balancer --example nearest_first`

use hobnob_balancer::{
    Config, Layered, Nearness, OVERPROVISIONING, Place, Prefer, Selector, SelectorError, Strategy,
    Target,
};
use std::{collections::BTreeMap, sync::Arc};

struct Instance {
    name: String,
    place: Place<'static>,
    labels: BTreeMap<&'static str, &'static str>,
    healthy: bool,
}

fn instances(unhealthy: usize) -> Vec<Instance> {
    let places = [("fra", "a"), ("fra", "b"), ("ams", "a")];
    let instance = |i: usize| {
        let (datacenter, zone) = places[i % 3];
        let tier = if i < 27 { "front" } else { "back" };
        Instance {
            name: format!("{datacenter}-{zone}-{i}"),
            place: Place { datacenter, zone },
            labels: BTreeMap::from([("app", "web"), ("tier", tier)]),
            healthy: !i.is_multiple_of(3) || i / 3 >= unhealthy,
        }
    };
    (0..30).map(instance).collect()
}

fn main() -> Result<(), SelectorError> {
    let selector: Selector = "app=web,tier in (front)".parse()?;
    let here = Place { datacenter: "fra", zone: "a" };
    let nearness = Nearness::listed(Prefer::Zone, ["ams".to_owned()]);
    let layered = Arc::new(Layered::new(&Config::default(), OVERPROVISIONING));
    let mut picker = layered.picker();

    for unhealthy in [0, 3, 6, 9] {
        let instances = instances(unhealthy);
        let selected = instances
            .iter()
            .filter(|instance| selector.matches(|name| instance.labels.get(name).copied()));
        layered.update(nearness.arrange(
            here,
            selected.map(|instance| {
                let id = instance.name.as_str().into();
                let target = Target { id, weight: 1, item: instance.place };
                (instance.place, 1, instance.healthy.then_some(target))
            }),
        ));

        let mut counts = BTreeMap::new();
        for _ in 0..1_000 {
            if let Some(pick) = picker.pick(Strategy::LeastConnections, None) {
                *counts.entry(format!("{}/{}", pick.datacenter, pick.zone)).or_insert(0) += 1;
            }
        }
        println!("{unhealthy} of 9 in the own zone unhealthy: {counts:?}");
    }
    Ok(())
}
