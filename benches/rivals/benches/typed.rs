//! The look-up of a counter by labels that are a type, with the count, in one run.

use stethoscope::cell::Counter;
use stethoscope::{Family, Handle, Registry, TypedFamily};
use stethoscope_rivals::figures::{record, rounds};
use stethoscope_rivals::round_robin::{Effort, Turn, median, ratio, round_robin};

const UNFAIR: &str = "\
What is unfair, and to whom:
- Each figure holds the loop, which reads the labels from an array, and the count: the handle's
  row is both without a look-up.
- measured's dense form is the only peer here that indexes an array.
";

/// Our labels: of enums, and of an enum and a number.
mod ours {
    use stethoscope::{LabelValue, Labels};

    #[derive(Clone, Copy, LabelValue)]
    pub enum Method {
        Get,
        Put,
        Post,
        Delete,
    }

    #[derive(Clone, Copy, LabelValue)]
    pub enum Outcome {
        Hit,
        Miss,
        Error,
    }

    #[derive(Clone, Copy, Labels)]
    pub struct Lookup {
        pub method: Method,
        pub outcome: Outcome,
    }

    #[derive(Clone, Copy, Labels)]
    pub struct Numbered {
        pub method: Method,
        pub code: u16,
    }

    pub const METHODS: [Method; 4] = [Method::Get, Method::Put, Method::Post, Method::Delete];
    pub const OUTCOMES: [Outcome; 3] = [Outcome::Hit, Outcome::Miss, Outcome::Error];
}

/// The same for measured.
mod theirs {
    use measured::{FixedCardinalityLabel, LabelGroup};

    #[derive(Clone, Copy, FixedCardinalityLabel)]
    pub enum Method {
        Get,
        Put,
        Post,
        Delete,
    }

    #[derive(Clone, Copy, FixedCardinalityLabel)]
    pub enum Outcome {
        Hit,
        Miss,
        Error,
    }

    #[derive(Clone, Copy, LabelGroup)]
    #[label(set = LookupSet)]
    pub struct Lookup {
        pub method: Method,
        pub outcome: Outcome,
    }

    pub const METHODS: [Method; 4] = [Method::Get, Method::Put, Method::Post, Method::Delete];
    pub const OUTCOMES: [Outcome; 3] = [Outcome::Hit, Outcome::Miss, Outcome::Error];
}

const MEASURED: &str = "measured, dense, enums";
const KEYS: usize = 4_096;
const UPDATES: usize = 4 * KEYS;

/// A loop of updates, each with the number of a key.
fn updates<'a>(update: impl Fn(usize) + 'a) -> Box<dyn Fn() + 'a> {
    Box::new(move || (0..UPDATES).for_each(|index| update(index % KEYS)))
}

fn main() {
    println!("{UNFAIR}");
    let registry = Registry::new();
    let handle: Handle<Counter> = registry.counter("handle", "").expect("a family");
    let dense: TypedFamily<ours::Lookup, Counter> = registry
        .family("dense", "")
        .register_typed()
        .expect("a family");
    let numbered: TypedFamily<ours::Numbered, Counter> = registry
        .family("numbered", "")
        .register_typed()
        .expect("a family");
    let untyped: Family<Counter> = registry
        .counter_family("untyped", "", ["method", "outcome"])
        .expect("a family");
    let measured = measured::CounterVec::<theirs::LookupSet>::dense();

    // An order that no branch predictor learns.
    let order = |index: usize| index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
    let of = |index: usize| (order(index) % 4, order(index) / 4 % 3);
    let keys = || (0..KEYS).map(of);
    let lookups: Vec<ours::Lookup> = keys()
        .map(|(m, o)| ours::Lookup {
            method: ours::METHODS[m],
            outcome: ours::OUTCOMES[o],
        })
        .collect();
    let numbers: Vec<ours::Numbered> = keys()
        .map(|(m, o)| ours::Numbered {
            method: ours::METHODS[m],
            code: 200 + o as u16,
        })
        .collect();
    let texts: Vec<[&str; 2]> = keys()
        .map(|(m, o)| {
            [
                ["get", "put", "post", "delete"][m],
                ["hit", "miss", "error"][o],
            ]
        })
        .collect();
    let measureds: Vec<theirs::Lookup> = keys()
        .map(|(m, o)| theirs::Lookup {
            method: theirs::METHODS[m],
            outcome: theirs::OUTCOMES[o],
        })
        .collect();

    let rows = [
        ("handle, no look-up", updates(|_| handle.inc())),
        (
            "typed, enums",
            updates(|i| {
                dense.update(&lookups[i], Counter::inc).expect("no limit");
            }),
        ),
        (MEASURED, updates(|i| measured.inc(measureds[i]))),
        (
            "typed, enum and integer",
            updates(|i| {
                numbered
                    .update(&numbers[i], Counter::inc)
                    .expect("no limit");
            }),
        ),
        (
            "untyped, two strings",
            updates(|i| {
                untyped.update(texts[i], Counter::inc).expect("no limit");
            }),
        ),
    ];
    let mut turns: Vec<Turn> = rows
        .iter()
        .map(|(_, run)| Turn {
            prepare: Box::new(|_| {}),
            run: Box::new(run),
        })
        .collect();
    let effort = Effort {
        rounds: 60,
        runs: 6,
    };
    let times = round_robin(&mut turns, effort);
    let peer = rows
        .iter()
        .position(|(name, _)| *name == MEASURED)
        .expect("a row");
    println!("ns an update, medians of {} rounds", rounds(effort.rounds));
    for ((name, _), row) in rows.iter().zip(&times) {
        let time = median(&row.warm) / UPDATES as f64;
        record("typed labels", name, "update", time, "ns");
        let to_measured = ratio(&row.warm, &times[peer].warm);
        println!("{name:<28}{time:>8.2}{to_measured:>8.2} x measured");
    }
}
