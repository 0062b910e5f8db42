//! Times contestants in turn, within one process.
//!
//! Machines drift: clock rates, neighbours, caches. Timing one contestant after
//! another would put the drift into the ratios. Here each round times every
//! contestant, starting with a different one each time, and a ratio is the
//! median of the rounds' ratios.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Times of one contestant, in nanoseconds, one a round.
#[derive(Clone, Default)]
pub struct Times {
    /// Right after the others had the caches.
    pub first: Vec<f64>,
    /// After a scrape of its own.
    pub warm: Vec<f64>,
}

/// One contestant's code: prepared, then timed.
pub struct Turn<'a> {
    /// Not timed.
    pub prepare: Box<dyn FnMut(usize) + 'a>,
    /// Timed.
    pub run: Box<dyn FnMut() + 'a>,
}

/// The number of measurements.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Rounds, in each of which every contestant has one turn.
    pub rounds: usize,
    /// Runs in a turn: the first is kept apart, and the median of the others is
    /// taken. Code that takes less than a microsecond needs dozens of runs;
    /// otherwise branches that the processor forgot during the other turns
    /// dominate.
    pub runs: usize,
}

/// Runs all rounds, and returns the times of each contestant.
///
/// `prepare` is called before each run, with a number that grows by one and is
/// the same for everyone. A quick run has fewer rounds.
pub fn round_robin(turns: &mut [Turn], effort: Effort) -> Vec<Times> {
    let Effort { rounds, runs } = effort;
    let rounds = crate::figures::rounds(rounds);
    settle_the_allocator();
    let clock = clock_cost();
    let mut times = vec![Times::default(); turns.len()];
    for round in 0..rounds {
        for place in 0..turns.len() {
            let index = (round + place) % turns.len();
            let turn = &mut turns[index];
            let mut run = |run| {
                (turn.prepare)(round * runs + run);
                let start = Instant::now();
                (turn.run)();
                (nanoseconds(start.elapsed()) - clock).max(0.0)
            };
            let first = run(0);
            let warm: Vec<f64> = (1..runs).map(run).collect();
            times[index].first.push(first);
            times[index].warm.push(median(&warm));
        }
    }
    times
}

/// Makes glibc keep freed memory, as it does in a process that has been running
/// for a while. Crates that allocate for each page would otherwise return
/// memory to the system and request it again each time, if their blocks happen
/// to be at the end of the heap, and take four times as long.
fn settle_the_allocator() {
    // Freeing a block of its own mapping raises both thresholds to its size;
    // beyond 32 MiB it does not.
    drop(black_box(vec![0u8; 31 << 20]));
}

/// Measures the cost of reading the clock twice: up to a tenth of the shortest runs.
fn clock_cost() -> f64 {
    let times: Vec<f64> = (0..1_000)
        .map(|_| nanoseconds(black_box(Instant::now()).elapsed()))
        .collect();
    median(&times)
}

fn nanoseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e9
}

/// The median of the values, or NaN if there are none.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

/// The median over the rounds of `of` divided by `to`.
pub fn ratio(of: &[f64], to: &[f64]) -> f64 {
    let ratios: Vec<f64> = of.iter().zip(to).map(|(of, to)| of / to).collect();
    median(&ratios)
}

/// Formats a time with a fitting unit.
pub fn readable(nanoseconds: f64) -> String {
    match nanoseconds {
        n if n < 1e4 => format!("{n:.0} ns"),
        n if n < 1e7 => format!("{:.1} us", n / 1e3),
        n => format!("{:.1} ms", n / 1e6),
    }
}
