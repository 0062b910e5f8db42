//! The series that the benchmarks register, and the values that they count.
//!
//! Three families: counters with three labels, gauges of floats with two,
//! histograms of twelve buckets with two. Values are small integers, large ones
//! and floats of many digits. Everything is a function of the series' index and
//! the number of the round: every contestant sees the same.

/// Finite bounds: 15 lines a histogram, with `+Inf`, `_sum` and `_count`.
pub const BOUNDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];
/// Lines that one histogram makes.
pub const LINES_A_HISTOGRAM: usize = BOUNDS.len() + 3;

pub const COUNTER: &str = "http_server_requests";
pub const COUNTER_HELP: &str = "Requests answered, by method, route and status.";
pub const GAUGE: &str = "worker_task_load_ratio";
pub const GAUGE_HELP: &str = "Load of each worker by the state of its tasks.";
pub const HISTOGRAM: &str = "http_request_duration_seconds";
pub const HISTOGRAM_HELP: &str = "Time from the request to the last byte of its answer.";

pub const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
pub const STATUSES: [&str; 5] = ["200", "302", "404", "429", "500"];
pub const STATES: [&str; 5] = ["executing", "memory", "waiting", "released", "erred"];

/// The one of `all` that is equal: for crates that take `&'static str` labels.
pub fn known(all: &[&'static str], value: &str) -> &'static str {
    all.iter()
        .find(|known| **known == value)
        .expect("a value of the workload")
}

/// How many series of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub counters: usize,
    pub gauges: usize,
    pub histograms: usize,
}

impl Shape {
    /// About `lines` lines, mixed as the 3,500 of a large process.
    pub const fn of_lines(lines: usize) -> Self {
        Self {
            counters: lines * 2 / 7,
            gauges: lines * 2 / 7,
            histograms: lines / 35,
        }
    }

    pub const fn lines(self) -> usize {
        self.counters + self.gauges + self.histograms * LINES_A_HISTOGRAM
    }
}

/// The label values of every series.
pub struct Workload {
    /// Method, route, status.
    pub counters: Vec<[String; 3]>,
    /// Worker, state.
    pub gauges: Vec<[String; 2]>,
    /// Method, route.
    pub histograms: Vec<[String; 2]>,
}

impl Workload {
    pub fn new(shape: Shape) -> Self {
        let route = |index: usize| format!("/api/v1/items/{index}/parts");
        let counter = |index: usize| {
            [
                METHODS[index % 4].to_owned(),
                route(index / 20),
                STATUSES[index / 4 % 5].to_owned(),
            ]
        };
        let gauge = |index: usize| {
            let worker = index / 5;
            [
                format!(
                    "tcp://10.0.{}.{}:{}",
                    worker >> 8 & 255,
                    worker & 255,
                    40_000 + (worker >> 16)
                ),
                STATES[index % 5].to_owned(),
            ]
        };
        let histogram = |index: usize| [METHODS[index % 4].to_owned(), route(index / 4)];
        Self {
            counters: (0..shape.counters).map(counter).collect(),
            gauges: (0..shape.gauges).map(gauge).collect(),
            histograms: (0..shape.histograms).map(histogram).collect(),
        }
    }

    pub fn shape(&self) -> Shape {
        Shape {
            counters: self.counters.len(),
            gauges: self.gauges.len(),
            histograms: self.histograms.len(),
        }
    }

    /// The changes that bring every series to its first value, of mixed sizes.
    pub fn first_values(&self) -> Changes {
        let mut first = Changes::default();
        for index in 0..self.counters.len() {
            let step = match index % 2 {
                0 => scatter(index, 0) % 1_000,
                _ => scatter(index, 0) % 1_000_000_000_000,
            };
            first.counters.push((index, step));
        }
        for index in 0..self.gauges.len() {
            first.gauges.push((index, gauge_value(index, 0)));
        }
        for index in 0..self.histograms.len() {
            for at in 0..1 + scatter(index, 1) as usize % 200 {
                let spread = (scatter(index, at + 2) >> 11) as f64 / (1u64 << 53) as f64;
                first.histograms.push((index, spread * spread * 6.0));
            }
        }
        first
    }

    /// The changes of one round: of every value, of one in a hundred lines, of
    /// none.
    pub fn changes(&self, rate: Rate, round: usize) -> Changes {
        let every = match rate {
            Rate::All => 1,
            Rate::Percent => 100,
            Rate::Nothing => return Changes::default(),
        };
        let some = |count: usize| (round % every..count).step_by(every);
        Changes {
            counters: some(self.counters.len())
                .map(|index| (index, 1 + scatter(index, round) % 1_000))
                .collect(),
            gauges: some(self.gauges.len())
                .map(|index| (index, gauge_value(index, round + 1)))
                .collect(),
            // In the lowest bucket: every line of the histogram changes.
            histograms: some(self.histograms.len())
                .map(|index| {
                    (
                        index,
                        0.001 * (1.0 + (scatter(index, round) % 997) as f64) / 1_000.0,
                    )
                })
                .collect(),
        }
    }
}

/// How much changes between one scrape and the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    All,
    Percent,
    Nothing,
}

/// Updates, by the index of the series.
#[derive(Clone, Default)]
pub struct Changes {
    /// Add this.
    pub counters: Vec<(usize, u64)>,
    /// Set to this.
    pub gauges: Vec<(usize, f64)>,
    /// Observe this.
    pub histograms: Vec<(usize, f64)>,
}

fn gauge_value(index: usize, round: usize) -> f64 {
    let bits = scatter(index, round);
    match index % 6 {
        0 | 1 => (bits % 1_000) as f64,
        2 | 3 => (bits % 1_000_000_000_000) as f64,
        _ => (bits >> 11) as f64 / (1u64 << 53) as f64 * 100.0,
    }
}

/// A fixed number that looks random, of two.
fn scatter(a: usize, b: usize) -> u64 {
    // The finaliser of splitmix64.
    let mut bits = (a as u64) << 32 ^ (b as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}
