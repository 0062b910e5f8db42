//! The least that a bridge from OpenTelemetry's SDK would cost: what the SDK takes to hand its
//! data to a reader, beside whole pages. 3,500 lines, all changed.

use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{InstrumentKind, ManualReader, Pipeline, Temporality};
use std::cell::RefCell;
use std::sync::{Arc, Weak};
use std::time::Duration;
use stethoscope_rivals::contestants::opentelemetry::Instruments;
use stethoscope_rivals::contestants::{STETHOSCOPE, build};
use stethoscope_rivals::counting::{self, Counting};
use stethoscope_rivals::figures::{record, rounds};
use stethoscope_rivals::round_robin::{Effort, Turn, median, ratio, readable, round_robin};
use stethoscope_rivals::{Rate, Shape, Workload};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A reader that the provider and this benchmark share.
#[derive(Clone, Debug)]
struct Shared(Arc<ManualReader>);

impl MetricReader for Shared {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, into: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(into)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}

fn main() {
    let workload = Workload::new(Shape::of_lines(3_500));
    let ours = RefCell::new(build(STETHOSCOPE, &workload));
    let exporter = RefCell::new(build("opentelemetry-prometheus 0.33", &workload));
    let reader = Shared(Arc::new(ManualReader::builder().build()));
    let instruments = Instruments::new(reader.clone(), &workload);
    let data = RefCell::new(ResourceMetrics::default());
    let collect = || reader.collect(&mut data.borrow_mut()).expect("data");
    instruments.apply(&workload.first_values());
    collect();
    instruments.apply(&workload.changes(Rate::All, 0));
    let ((), asked) = counting::count(collect);

    for contestant in [&ours, &exporter] {
        contestant.borrow_mut().apply(&workload.first_values());
        contestant.borrow_mut().encode();
    }
    let changes = |number| workload.changes(Rate::All, number + 1);
    let mut turns = [
        Turn {
            prepare: Box::new(|number| ours.borrow_mut().apply(&changes(number))),
            run: Box::new(|| ours.borrow_mut().encode()),
        },
        Turn {
            prepare: Box::new(|number| instruments.apply(&changes(number))),
            run: Box::new(collect),
        },
        Turn {
            prepare: Box::new(|number| exporter.borrow_mut().apply(&changes(number))),
            run: Box::new(|| exporter.borrow_mut().encode()),
        },
    ];
    let effort = Effort {
        rounds: 60,
        runs: 4,
    };
    let times = round_robin(&mut turns, effort);
    let names = [
        "stethoscope, the page",
        "the SDK's data alone",
        "opentelemetry-prometheus, the page",
    ];
    println!("3,500 lines, medians of {} rounds", rounds(effort.rounds));
    for (name, row) in names.iter().zip(&times) {
        record(
            "bridge from OpenTelemetry",
            name,
            "warm",
            median(&row.warm),
            "ns",
        );
        println!(
            "{name:<36}{:>12}{:>8.1} x ours",
            readable(median(&row.warm)),
            ratio(&row.warm, &times[0].warm),
        );
    }
    println!("allocations for the SDK's data: {}", asked.calls);
}
