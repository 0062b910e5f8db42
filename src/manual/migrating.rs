//! Coming from another crate: what each idiom becomes.
//!
//! The names on your pages stay as they are. Register the same names, labels and buckets, and dashboards keep working.
//!
//! # From `prometheus`
//!
//! | there | here |
//! |---|---|
//! | `IntCounter`, `Counter` | [`Counter`](crate::cell::Counter), [`FloatCounter`](crate::cell::FloatCounter) |
//! | `IntGauge`, `Gauge` | [`Gauge`](crate::cell::Gauge), [`FloatGauge`](crate::cell::FloatGauge) |
//! | `CounterVec`, `with_label_values(&[..])` | [`Family`](crate::Family), [`with([..])`](crate::Family::with) |
//! | `remove_label_values` | [`Family::remove`](crate::Family::remove) |
//! | `Registry::register(Box::new(..))` | [`registry.register(name, help, cell)`](crate::Registry::register), or created by the registry: `registry.counter(name, help)` |
//! | `TextEncoder`, `gather()` | [`Registry::scraper`](crate::Registry::scraper), kept between scrapes |
//! | `Histogram::start_timer` | [`Timer::start`](crate::cell::Timer::start) |
//! | `push_metrics(job, grouping, url, ..)` | [`Pushgateway`](crate::batch) (feature `push`) |
//! | `Collector` | [`Registry::on_scrape`](crate::Registry::on_scrape), or a cell of your own |
//!
//! A module with `lazy_static!` and `register_*!` keeps its statics. Cells without labels need no initialisation at all:
//!
//! ```text
//! lazy_static! {
//!     static ref REQUESTS: IntCounterVec =
//!         register_int_counter_vec!("requests_total", "Requests.", &["code"]).unwrap();
//!     static ref RESTARTS: IntCounter =
//!         register_int_counter!("restarts_total", "Restarts.").unwrap();
//! }
//! REQUESTS.with_label_values(&["200"]).inc();
//! RESTARTS.inc();
//! ```
//!
//! ```
//! use std::sync::LazyLock;
//! use stethoscope::cell::Counter;
//! use stethoscope::{Family, Registry};
//!
//! static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::new);
//! static REQUESTS: LazyLock<Family<Counter>> =
//!     LazyLock::new(|| REGISTRY.counter_family("requests_total", "Requests.", ["code"]).unwrap());
//!
//! static RESTARTS: Counter = Counter::new();
//!
//! REGISTRY.register("restarts_total", "Restarts.", &RESTARTS)?; // once, where the program starts
//! REQUESTS.with(["200"])?.inc();
//! RESTARTS.inc();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A series beyond `max_series`, or a wrong number of label values, is an error rather than a panic.
//!
//! # From `prometheus-client`
//!
//! | there | here |
//! |---|---|
//! | `Counter::default()`, then `registry.register(..)` | the same, with an `Arc` or a static; or `registry.counter(name, help)`, which returns a handle |
//! | `Family<Labels, Counter>`, `get_or_create(&labels)` | `registry.counter_family(name, help, [..])`, `with([..])` |
//! | `#[derive(EncodeLabelSet)]`, `#[derive(EncodeLabelValue)]` | `#[derive(Labels)]`, `#[derive(LabelValue)]` and a [`TypedFamily`](crate::TypedFamily) (feature `derive`) |
//! | the guard that `get_or_create` returns | a [`Handle`](crate::Handle): no lock, `Clone`, kept as long as you like |
//! | `Registry::sub_registry_with_prefix` | [`Registry::with_namespace`](crate::Registry::with_namespace) |
//! | `Unit::Seconds` | `.unit("seconds")` on the family's builder |
//! | `encode(&mut text, &registry)` | `scraper.scrape(Format::OpenMetrics)` |
//!
//! ```
//! use stethoscope::Registry;
//! use stethoscope::cell::{Buckets, Histogram};
//!
//! let registry = Registry::new();
//! let seconds = registry
//!     .with_namespace("http")
//!     .family::<Histogram>("request_seconds", "Time to answer.")
//!     .labels(["method"])
//!     .unit("seconds")
//!     .options(Buckets::exponential(0.005, 2.0, 10)?)
//!     .register()?;
//! seconds.with(["GET"])?.observe(0.012);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # From `metrics` with `metrics-exporter-prometheus`
//!
//! Dependencies, and your own code for as long as you like, keep the macros: with the feature `metrics`,
//! `bridge::Recorder` takes the exporter's place, and puts what they count beside what you register.
//!
//! ```text
//! PrometheusBuilder::new().install()?;          // there: a recorder and a server
//!
//! Recorder::new(&registry).install()?;          // here: the recorder,
//! let _endpoint = endpoint::serve(&registry, address)?;   // and the server
//! ```
//!
//! Two names change on such a page: counters end in `_total`, and histograms have buckets, not quantiles, unless
//! `Recorder::builder` says otherwise.
//!
//! The macros look metrics up by name at each call. Where that costs too much, keep a handle:
//!
//! | there | here |
//! |---|---|
//! | `describe_counter!(name, help)` | help is given when the family is registered |
//! | `counter!(name).increment(1)` | `counter.inc()` on a kept handle |
//! | `counter!(name, "code" => code)` | `family.update([code], Counter::inc)` |
//! | `histogram!` with configured buckets | `registry.histogram(name, help, buckets)` |
//! | `set_buckets_for_metric(Matcher::Suffix(..), ..)` | `Recorder::builder(..).histograms(Matcher::Suffix(..), buckets)` |
//! | `PrometheusBuilder::new().install()` | `endpoint::serve(&registry, address)` (feature `http`) |
//! | `PrometheusHandle::render()` | `scraper.scrape(Format::Text)` |
//! | `idle_timeout` | `.expire_after(age)` on the family's builder, or [`Family::remove_stale`](crate::Family::remove_stale) |
//!
//! ```
//! use stethoscope::Registry;
//! use stethoscope::cell::Counter;
//! use stethoscope::exposition::Format;
//!
//! let registry = Registry::new();
//! let requests = registry.counter_family("requests_total", "Requests.", ["code"])?;
//! requests.update(["200"], Counter::inc)?;
//! let mut scraper = registry.scraper();
//! assert!(scraper.scrape(Format::Text).ends_with(b"requests_total{code=\"200\"} 1\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
