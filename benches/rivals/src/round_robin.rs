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

/// Runs in a turn: the first is told apart, the median of the others is taken.
const RUNS: usize = 4;

/// Gives everyone a turn, in every round.
///
/// `prepare` is called before each run, with a number that grows by one and is
/// the same for everyone.
pub fn round_robin(turns: &mut [Turn], rounds: usize) -> Vec<Times> {
    let clock = clock_cost();
    let mut times = vec![Times::default(); turns.len()];
    for round in 0..rounds {
        for place in 0..turns.len() {
            let index = (round + place) % turns.len();
            let turn = &mut turns[index];
            let mut runs = [0.0; RUNS];
            for (run, time) in runs.iter_mut().enumerate() {
                (turn.prepare)(round * RUNS + run);
                let start = Instant::now();
                (turn.run)();
                *time = (nanoseconds(start.elapsed()) - clock).max(0.0);
            }
            let times = &mut times[index];
            times.first.push(runs[0]);
            times.warm.push(median(&runs[1..]));
        }
    }
    times
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
