//! Many seeds on many cores. One seed is one run on one thread; the workers take seeds from one
//! counter, and what came of them is put together in the order of the seeds, so that nothing that
//! is told depends on how many workers there were.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use crate::failure::Failure;
use crate::marks::{Mark, MarkSet};
use crate::rig::Rig;
use crate::swarm::play_seed;
use crate::tally::Tally;
use crate::world::Habits;

/// What came of many seeds.
#[derive(Debug)]
pub(crate) struct Fleet {
    /// All of them together, up to the first failure.
    pub(crate) tally: Tally,
    /// How many there were.
    pub(crate) seeds: u64,
    /// How many seeds reached each mark, by its place in [`Mark::ALL`].
    pub(crate) reached: Vec<u64>,
    /// The lowest seed that failed.
    pub(crate) failed: Option<(u64, Box<Failure>)>,
}

/// How a fleet sails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Orders {
    /// Threads.
    pub(crate) jobs: usize,
    /// The most commands of a seed; none for as many as it has a mind to.
    pub(crate) steps: Option<u32>,
    /// What is deliberately wrong.
    pub(crate) rig: Rig,
}

/// Seeds that a worker takes at a time: enough for the taking to cost nothing.
const BATCH: u64 = 8;

struct Report {
    seed: u64,
    tally: Tally,
    failure: Option<Box<Failure>>,
}

impl Fleet {
    fn new() -> Self {
        Self { tally: Tally::default(), seeds: 0, reached: vec![0; Mark::ALL.len()], failed: None }
    }

    /// The marks that any seed reached.
    #[must_use]
    pub(crate) const fn marks(&self) -> MarkSet {
        self.tally.marks
    }

    /// Plays these seeds. `seen` is told of each, in order, and says whether to go on.
    #[must_use]
    pub(crate) fn sail(
        seeds: Range<u64>,
        orders: Orders,
        mut seen: impl FnMut(&Self) -> bool,
    ) -> Self {
        let next = AtomicU64::new(seeds.start);
        let end = AtomicU64::new(seeds.end);
        let mut fleet = Self::new();
        thread::scope(|scope| {
            let (send, receive) = mpsc::channel();
            for _ in 0..orders.jobs.max(1) {
                let (next, end, send) = (&next, &end, send.clone());
                scope.spawn(move || work(next, end, orders, &send));
            }
            drop(send);
            // What came early waits here for those before it.
            let mut early = BTreeMap::new();
            let mut due = seeds.start;
            for reports in receive {
                early.extend(reports.into_iter().map(|report| (report.seed, report)));
                while let Some(report) = early.remove(&due) {
                    due += 1;
                    if fleet.failed.is_some() {
                        continue;
                    }
                    fleet.take(report);
                    if !seen(&fleet) || fleet.failed.is_some() {
                        end.fetch_min(due, Ordering::Relaxed);
                    }
                }
            }
        });
        fleet
    }

    fn take(&mut self, report: Report) {
        self.seeds += 1;
        self.tally.add(&report.tally);
        for (count, &mark) in self.reached.iter_mut().zip(Mark::ALL) {
            *count += u64::from(report.tally.marks.has(mark));
        }
        self.failed = report.failure.map(|failure| (report.seed, failure));
    }
}

/// A worker: takes seeds, a few at a time, until there are none. Those at hand when a seed fails
/// are finished, since a lower one may fail too.
fn work(next: &AtomicU64, end: &AtomicU64, orders: Orders, send: &mpsc::Sender<Vec<Report>>) {
    loop {
        let first = next.fetch_add(BATCH, Ordering::Relaxed);
        let reports: Vec<Report> = (first..first.saturating_add(BATCH))
            .take_while(|&seed| seed < end.load(Ordering::Relaxed))
            .map(|seed| play(seed, end, orders))
            .collect();
        if reports.is_empty() || send.send(reports).is_err() {
            return;
        }
    }
}

fn play(seed: u64, end: &AtomicU64, orders: Orders) -> Report {
    let habits = Habits::of(seed);
    let length = orders.steps.unwrap_or(habits.length);
    let run = play_seed(seed, &habits, length, orders.rig);
    let failure = run.verdict.err();
    if failure.is_some() {
        end.fetch_min(seed + 1, Ordering::Relaxed);
    }
    Report { seed, tally: run.judge.tally, failure }
}

/// Does `work` for every number below `count` on so many threads; what came of it, in order.
#[must_use]
pub(crate) fn in_order<T: Send>(
    count: usize,
    jobs: usize,
    work: impl Fn(usize) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let mut done = BTreeMap::new();
    thread::scope(|scope| {
        let (send, receive) = mpsc::channel();
        for _ in 0..jobs.clamp(1, count.max(1)) {
            let (next, work, send) = (&next, &work, send.clone());
            scope.spawn(move || {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    if place >= count || send.send((place, work(place))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        done.extend(receive);
    });
    done.into_values().collect()
}
