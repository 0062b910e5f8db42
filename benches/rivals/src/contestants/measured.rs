//! measured: dense families, with label values known in advance as enums and
//! interned strings. It has no faster form.

use super::Contestant;
use crate::workload::*;
use lasso::{Rodeo, RodeoReader};
use measured::metric::LabelId;
use measured::metric::MetricFamilyEncoding;
use measured::metric::group::Encoding;
use measured::metric::histogram::Thresholds;
use measured::metric::name::{MetricName, Total};
use measured::text::TextEncoder;
use measured::{CounterVec, FixedCardinalityLabel, FloatGaugeVec, HistogramVec, LabelGroup};

#[derive(Clone, Copy, FixedCardinalityLabel)]
#[label(rename_all = "SHOUTY-KEBAB-CASE")]
enum Method {
    Get,
    Post,
    Put,
    Delete,
}

#[derive(Clone, Copy, FixedCardinalityLabel)]
enum Status {
    Ok = 200,
    Found = 302,
    NotFound = 404,
    TooManyRequests = 429,
    InternalServerError = 500,
}

#[derive(Clone, Copy, FixedCardinalityLabel)]
#[label(rename_all = "snake_case")]
enum State {
    Executing,
    Memory,
    Waiting,
    Released,
    Erred,
}

#[derive(Clone, Copy, LabelGroup)]
#[label(set = RequestSet)]
struct Request<'a> {
    method: Method,
    #[label(fixed_with = RodeoReader)]
    route: &'a str,
    status: Status,
}

#[derive(Clone, Copy, LabelGroup)]
#[label(set = LoadSet)]
struct Load<'a> {
    #[label(fixed_with = RodeoReader)]
    worker: &'a str,
    state: State,
}

#[derive(Clone, Copy, LabelGroup)]
#[label(set = DurationSet)]
struct Duration<'a> {
    method: Method,
    #[label(fixed_with = RodeoReader)]
    route: &'a str,
}

struct Measured {
    counters: CounterVec<RequestSet>,
    counter_ids: Vec<LabelId<RequestSet>>,
    gauges: FloatGaugeVec<LoadSet>,
    gauge_ids: Vec<LabelId<LoadSet>>,
    histograms: HistogramVec<DurationSet, { BOUNDS.len() }>,
    histogram_ids: Vec<LabelId<DurationSet>>,
    encoder: TextEncoder<Vec<u8>>,
}

fn interned<'a>(values: impl Iterator<Item = &'a String>) -> RodeoReader {
    let rodeo: Rodeo = values.collect();
    rodeo.into_reader()
}

fn method(text: &str) -> Method {
    match text {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        _ => Method::Delete,
    }
}

fn status(text: &str) -> Status {
    match text {
        "200" => Status::Ok,
        "302" => Status::Found,
        "404" => Status::NotFound,
        "429" => Status::TooManyRequests,
        _ => Status::InternalServerError,
    }
}

fn state(text: &str) -> State {
    match text {
        "executing" => State::Executing,
        "memory" => State::Memory,
        "waiting" => State::Waiting,
        "released" => State::Released,
        _ => State::Erred,
    }
}

pub(super) fn build(workload: &Workload) -> Box<dyn Contestant> {
    let counters = CounterVec::dense_with_label_set(RequestSet::new(interned(
        workload.counters.iter().map(|[_, route, _]| route),
    )));
    let gauges = FloatGaugeVec::dense_with_label_set(LoadSet::new(interned(
        workload.gauges.iter().map(|[worker, _]| worker),
    )));
    let histograms = HistogramVec::dense_with_label_set_and_metadata(
        DurationSet::new(interned(workload.histograms.iter().map(|[_, route]| route))),
        Thresholds::with_buckets(BOUNDS),
    );
    let mut measured = Measured {
        counter_ids: workload
            .counters
            .iter()
            .map(|[m, route, s]| {
                counters.with_labels(Request {
                    method: method(m),
                    route,
                    status: status(s),
                })
            })
            .collect(),
        gauge_ids: workload
            .gauges
            .iter()
            .map(|[worker, s]| {
                gauges.with_labels(Load {
                    worker,
                    state: state(s),
                })
            })
            .collect(),
        histogram_ids: workload
            .histograms
            .iter()
            .map(|[m, route]| {
                histograms.with_labels(Duration {
                    method: method(m),
                    route,
                })
            })
            .collect(),
        counters,
        gauges,
        histograms,
        encoder: TextEncoder::new(Vec::new()),
    };
    // A dense family has room for every combination; a cell is made when it is
    // first asked for.
    for id in &measured.counter_ids {
        measured.counters.get_metric(*id);
    }
    for id in &measured.gauge_ids {
        measured.gauges.get_metric(*id);
    }
    for id in &measured.histogram_ids {
        measured.histograms.get_metric(*id);
    }
    measured.encoder.writer.clear();
    Box::new(measured)
}

impl Contestant for Measured {
    fn apply(&mut self, changes: &Changes) {
        for &(index, step) in &changes.counters {
            self.counters
                .get_metric(self.counter_ids[index])
                .inc_by(step);
        }
        for &(index, value) in &changes.gauges {
            self.gauges.get_metric(self.gauge_ids[index]).set(value);
        }
        for &(index, value) in &changes.histograms {
            self.histograms
                .get_metric(self.histogram_ids[index])
                .observe(value);
        }
    }

    fn encode(&mut self) {
        let encoder = &mut self.encoder;
        encoder.writer.clear();
        let counter = MetricName::from_str(COUNTER).with_suffix(Total);
        encoder
            .write_help(&counter, COUNTER_HELP)
            .expect("a Vec takes all");
        self.counters
            .collect_family_into(counter, encoder)
            .expect("a Vec takes all");
        let gauge = MetricName::from_str(GAUGE);
        encoder
            .write_help(gauge, GAUGE_HELP)
            .expect("a Vec takes all");
        self.gauges
            .collect_family_into(gauge, encoder)
            .expect("a Vec takes all");
        let histogram = MetricName::from_str(HISTOGRAM);
        encoder
            .write_help(histogram, HISTOGRAM_HELP)
            .expect("a Vec takes all");
        self.histograms
            .collect_family_into(histogram, encoder)
            .expect("a Vec takes all");
        encoder.flush().expect("a Vec takes all");
    }

    fn drop_handles(&mut self) {
        (self.counter_ids, self.gauge_ids, self.histogram_ids) = Default::default();
    }

    fn page(&mut self) -> &[u8] {
        &self.encoder.writer
    }
}
