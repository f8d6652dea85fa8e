//! The console of an agent of a large catalog: the time until a page has all of it, and what the agent takes for pages while others change.

mod page;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::registry::{RegistryBenchError, catalog};
use super::row::{Goal, Row};
use super::socket::SocketBenchError;
use super::socket::load::{CHANGES_PER_SECOND, share_while};
use crate::processes::{Fleet, ProcessError};
use page::Page;

/// Instances in the catalog.
const INSTANCES: usize = 10_000;
/// Instances that change in turn.
const CHANGING: usize = 500;
/// Pages that are open at once.
const PAGES: [usize; 3] = [0, 1, 10];
/// Times that a page is opened.
const OPENINGS: usize = 5;
/// The agent that is looked at, and the one that registers.
const LOOKED_AT: usize = 0;
const REGISTERS: usize = 1;

/// Why the console could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConsoleBenchError {
    /// The catalog could not be filled.
    #[error(transparent)]
    Catalog(#[from] RegistryBenchError),
    /// An agent failed.
    #[error(transparent)]
    Agent(#[from] ProcessError),
    /// Changes could not be made.
    #[error(transparent)]
    Changes(#[from] SocketBenchError),
    /// The stream of a page broke.
    #[error("the stream of a page failed: {0}")]
    Page(#[from] io::Error),
}

/// Measures an agent of the binary `hobnob`, for so long with each number of pages. `told` hears how far it is.
///
/// # Errors
/// The agent cannot be started or asked.
pub fn measure(
    hobnob: &Path,
    lasts: Duration,
    mut told: impl FnMut(&str),
) -> Result<Vec<Row>, ConsoleBenchError> {
    let mut fleet = Fleet::new(hobnob)?.with("HOBNOB_HTTP", "127.0.0.1:0");
    fleet.start(None)?;
    let at = fleet.door(LOOKED_AT, "http")?;
    fleet = fleet.without("HOBNOB_HTTP");
    catalog::fill(&mut fleet, INSTANCES, &mut told)?;
    told("a page that opens");
    let mut rows = opening(at)?;
    for pages in PAGES {
        told(&format!("{CHANGES_PER_SECOND} changes a second, {pages} pages"));
        rows.extend(with_pages(&fleet, at, pages, lasts)?);
    }
    Ok(rows)
}

/// The time until a page has everything.
fn opening(at: SocketAddr) -> io::Result<Vec<Row>> {
    let (mut first, mut whole, mut bytes) = (Duration::MAX, Duration::MAX, 0);
    for _ in 0..OPENINGS {
        let since = Instant::now();
        let mut page = Page::open(at)?;
        bytes = page.next()?.data.len();
        first = first.min(since.elapsed());
        bytes += page.read_instances()?;
        whole = whole.min(since.elapsed());
    }
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    let note = format!("the best of {OPENINGS}");
    let what = format!("a page opens: {INSTANCES} instances are told");
    Ok(vec![
        Row::new("a page opens: the agent itself is told", ms(first), "ms").note(&note),
        Row::new(what, ms(whole), "ms").note(&note),
        Row::new("a page opens: bytes that it reads", bytes as f64, "B"),
    ])
}

/// What the agent takes while another one changes instances and these pages look on.
fn with_pages(
    fleet: &Fleet,
    at: SocketAddr,
    pages: usize,
    lasts: Duration,
) -> Result<Vec<Row>, ConsoleBenchError> {
    let open = || -> io::Result<Page> {
        let mut page = Page::open(at)?;
        page.read_instances()?;
        Ok(page)
    };
    let opened = (0..pages).map(|_| open()).collect::<io::Result<Vec<_>>>()?;
    let (events, bytes, ends) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let mut api = fleet.connect(REGISTERS)?;
    let share = thread::scope(|scope| -> Result<f64, ConsoleBenchError> {
        let look_on = |mut page: Page| -> io::Result<()> {
            while !ends.load(Ordering::Relaxed) {
                let event = page.next()?;
                events.fetch_add(1, Ordering::Relaxed);
                bytes.fetch_add(event.data.len() as u64, Ordering::Relaxed);
            }
            Ok(())
        };
        let looking: Vec<_> =
            opened.into_iter().map(|page| scope.spawn(move || look_on(page))).collect();
        let change = |number: usize| change(pages * 1_000 + number / CHANGING, number % CHANGING);
        let share = share_while(fleet.pid(LOOKED_AT), &mut api, change, lasts);
        ends.store(true, Ordering::Relaxed);
        for page in looking {
            page.join().expect("a page does not panic")?;
        }
        Ok(share?)
    })?;
    let what = format!("processor, {CHANGES_PER_SECOND} changes/s, {pages} pages");
    let row = Row::new(what, share, "%");
    let mut rows = vec![if pages == 1 { row.goal(Goal::AtMost(5.0)) } else { row }];
    if pages > 0 {
        let of_a_page =
            |all: AtomicU64| all.into_inner() as f64 / pages as f64 / lasts.as_secs_f64();
        rows.push(Row::new("the same: events of a page", of_a_page(events), "/s"));
        rows.push(Row::new("the same: bytes of a page", of_a_page(bytes), "B/s"));
    }
    Ok(rows)
}

/// One of the instances that change, with the port of this round.
fn change(round: usize, instance: usize) -> Value {
    let (id, port) = (format!("changing-{instance}"), 10_000 + round);
    json!({ "register": { "service": "changing", "id": id, "port": port } })
}
