//! Times contestants in turn, within one process.
//!
//! The machine drifts: its clock, its neighbours, its caches. Timing one
//! contestant after the other would put the drift into the ratios; here each
//! round times everyone, each starting a round in turn, and a ratio is the
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

/// Something that is timed: made ready, then run.
pub struct Turn<'a> {
    /// Not timed.
    pub prepare: Box<dyn FnMut(usize) + 'a>,
    /// Timed.
    pub run: Box<dyn FnMut() + 'a>,
}

/// How often something is timed.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Everyone has one turn in each.
    pub rounds: usize,
    /// In a turn: the first is told apart, the median of the others is taken.
    /// What takes less than a microsecond needs dozens, or the branches that the
    /// others have made the processor forget are all that is timed.
    pub runs: usize,
}

/// Gives everyone a turn, in every round.
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

/// Lets glibc keep what is freed, as it does in a process that has been running
/// for a while: those who allocate for each page would otherwise, if their
/// blocks happen to be the last of the heap, give their memory back to the
/// system and ask for it again each time, and take four times as long.
fn settle_the_allocator() {
    // Freeing a block of its own mapping raises both thresholds to its size;
    // beyond 32 MiB it does not.
    drop(black_box(vec![0u8; 31 << 20]));
}

/// What reading the clock twice takes: as much as a tenth of the shortest runs.
fn clock_cost() -> f64 {
    let times: Vec<f64> = (0..1_000)
        .map(|_| nanoseconds(black_box(Instant::now()).elapsed()))
        .collect();
    median(&times)
}

fn nanoseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e9
}

/// The median of the values; NaN of none.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

/// The median over the rounds of `of` in units of `to`.
pub fn ratio(of: &[f64], to: &[f64]) -> f64 {
    let ratios: Vec<f64> = of.iter().zip(to).map(|(of, to)| of / to).collect();
    median(&ratios)
}

/// A time in the unit that fits it.
pub fn readable(nanoseconds: f64) -> String {
    match nanoseconds {
        n if n < 1e4 => format!("{n:.0} ns"),
        n if n < 1e7 => format!("{:.1} us", n / 1e3),
        n => format!("{:.1} ms", n / 1e6),
    }
}
