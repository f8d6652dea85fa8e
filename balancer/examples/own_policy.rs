//! Balances by a closure: of several printers, it picks the one with the most paper.
//!
//! `cargo run -p hobnob-balancer --example own_policy`

use hobnob_balancer::{Balancer, Config, Target};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

struct Printer {
    name: &'static str,
    sheets: AtomicU32,
}

fn main() {
    let printer = |name: &'static str, sheets| Target {
        id: name.into(),
        weight: 1,
        item: Printer { name, sheets: AtomicU32::new(sheets) },
    };
    let balancer = Balancer::new(Config::default());
    balancer.update(vec![printer("hall", 3), printer("library", 5), printer("cellar", 4)]);

    let mut picker = balancer.picker();
    for page in 1..=6 {
        let most_paper = picker.pick_with(|printers| {
            (0..printers.len()).max_by_key(|&i| printers[i].item().sheets.load(Relaxed))
        });
        if let Some(printer) = most_paper {
            printer.sheets.fetch_sub(1, Relaxed);
            println!("page {page} on {}", printer.name);
        }
    }
}
