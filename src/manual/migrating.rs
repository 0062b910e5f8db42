//! Coming from another crate: what each idiom becomes.
//!
//! Register the same names, labels and buckets, and dashboards keep working, except for the changed names that each
//! section lists. One rule holds for all: a counter's name ends in `_total` on every page, whether you give the suffix
//! or not.
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
//! A program with `lazy_static!` and `register_*!` keeps its statics. Cells without labels need no initialisation at
//! all. There:
//!
//! ```text
//! use lazy_static::lazy_static;
//! use prometheus::{Encoder, IntCounter, IntCounterVec, TextEncoder};
//! use prometheus::{register_int_counter, register_int_counter_vec};
//!
//! lazy_static! {
//!     static ref REQUESTS: IntCounterVec =
//!         register_int_counter_vec!("requests_total", "Requests.", &["code"]).unwrap();
//!     static ref RESTARTS: IntCounter = register_int_counter!("restarts_total", "Restarts.").unwrap();
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     REQUESTS.with_label_values(&["200"]).inc();
//!     RESTARTS.inc();
//!     let mut page = Vec::new();
//!     TextEncoder::new().encode(&prometheus::gather(), &mut page)?;
//!     print!("{}", String::from_utf8(page)?);
//!     Ok(())
//! }
//! ```
//!
//! Here:
//!
//! ```
//! use std::sync::LazyLock;
//! use stethoscope::{Family, Registry, cell::Counter, exposition::Format};
//!
//! static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::new);
//! static REQUESTS: LazyLock<Family<Counter>> =
//!     LazyLock::new(|| REGISTRY.counter_family("requests_total", "Requests.", ["code"]).unwrap());
//! static RESTARTS: Counter = Counter::new();
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     REGISTRY.register("restarts_total", "Restarts.", &RESTARTS)?;
//!     REQUESTS.with(["200"])?.inc();
//!     RESTARTS.inc();
//!     let mut scraper = REGISTRY.scraper(); // kept, if there is a next scrape
//!     print!("{}", str::from_utf8(scraper.scrape(Format::Text))?);
//!     # let page = str::from_utf8(scraper.scrape(Format::Text))?;
//!     # assert!(page.contains("\nrestarts_total 1\n") && page.ends_with("\nrequests_total{code=\"200\"} 1\n"));
//!     Ok(())
//! }
//! ```
//!
//! Two things differ on the page. A counter whose name lacks `_total` gets it: `IntCounter::new("retries", ..)` in the
//! namespace `app` is `app_retries` there and `app_retries_total` here, and queries have to be changed. And the bounds
//! of buckets from a million on, or below 0.0001, are spelled as Go spells them: `le="1e+06"`, not `le="1000000"`.
//!
//! ```
//! use stethoscope::{Registry, cell::Buckets, exposition::Format};
//!
//! let registry = Registry::new();
//! registry.with_namespace("app").counter("retries", "Retries.")?.inc(); // there: app_retries 1
//! registry.histogram("bytes", "Sizes.", Buckets::new([5e3, 1e6])?)?;
//! let mut scraper = registry.scraper();
//! let page = str::from_utf8(scraper.scrape(Format::Text))?;
//! assert!(page.contains("\napp_retries_total 1\n"));
//! assert!(page.contains("\nbytes_bucket{le=\"5000\"} 0\nbytes_bucket{le=\"1e+06\"} 0\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The crate has no registry of its own for the process; [why](super::comparison#no-global-registry).
//!
//! A series beyond `max_series`, or a wrong number of label values, is an error rather than a panic. A gauge that goes
//! up and down around a piece of code can be one line: [`queue.track()`](crate::cell::Gauge::track).
//!
//! # From `prometheus-client`
//!
//! | there | here |
//! |---|---|
//! | `Counter::default()`, then `registry.register(..)` | the same, with an `Arc` or a static; or `registry.counter(name, help)`, which returns a handle |
//! | `Family<Labels, Counter>`, `get_or_create(&labels)` | `registry.counter_family(name, help, [..])`, `with([..])` |
//! | `#[derive(EncodeLabelSet)]`, `#[derive(EncodeLabelValue)]` | `#[derive(Labels)]`, `#[derive(LabelValue)]` and a [`TypedFamily`](crate::TypedFamily) (feature `derive`) |
//! | the guard that `get_or_create` returns | a [`Handle`](crate::Handle): no lock, `Clone`, you may keep it |
//! | `Registry::sub_registry_with_prefix` | [`Registry::with_namespace`](crate::Registry::with_namespace) |
//! | `Unit::Seconds` | `.unit("seconds")` on the family's builder, and the name ends in it: there it is appended |
//! | `encode(&mut text, &registry)` | `scraper.scrape(Format::OpenMetrics)` |
//!
//! The names on the page are the same, with one exception: a counter registered as `requests_total` is
//! `requests_total_total` there, and `requests_total` here. HELP texts are yours as they are: there, each gets a full
//! stop at its end. The text format, which other readers get, spells bounds as Go does (`le="1"`), OpenMetrics as there
//! (`le="1.0"`).
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
//! Labels that are a type stay one (feature `derive`):
//!
//! ```
//! # #[cfg(feature = "derive")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use stethoscope::cell::Counter;
//! use stethoscope::{LabelValue, Labels, Metrics, Registry, TypedFamily};
//!
//! #[derive(Clone, Copy, LabelValue)] // there: EncodeLabelValue, Hash, PartialEq, Eq, Debug
//! #[label(rename_all = "UPPERCASE")]
//! enum Method {
//!     Get,
//!     Put,
//! }
//!
//! #[derive(Labels)] // there: EncodeLabelSet, and the same
//! struct Request<'a> {
//!     method: Method,
//!     path: &'a str,
//! }
//!
//! #[derive(Metrics)]
//! struct ServerMetrics {
//!     /// Requests answered.
//!     requests_total: TypedFamily<Request<'static>, Counter>,
//! }
//!
//! let registry = Registry::new();
//! let metrics = ServerMetrics::register(&registry)?;
//! let request = Request { method: Method::Get, path: "/" };
//! metrics.requests_total.with(&request)?.inc(); // there: get_or_create(&request), of owned strings
//! # let _ = Method::Put;
//! # let page = registry.scraper().scrape(stethoscope::exposition::Format::Text).to_vec();
//! # assert!(page.ends_with(b"\nrequests_total{method=\"GET\",path=\"/\"} 1\n"));
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "derive"))]
//! # fn main() {}
//! ```
//!
//! # From `metrics`
//!
//! Dependencies, and your own code for as long as you like, keep the macros. Only the recorder changes (feature
//! `metrics`), and what the macros count is beside what you register. The next section has the differences on the page:
//!
//! ```
//! # #[cfg(feature = "metrics")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use stethoscope::{Registry, bridge::Recorder, exposition::Format};
//!
//! let registry = Registry::new();
//! Recorder::new(&registry).install()?; // there: PrometheusBuilder::new().install_recorder()?
//! let restarts = registry.counter("restarts_total", "Restarts.")?;
//!
//! metrics::describe_counter!("requests", "Requests.");
//! metrics::counter!("requests", "code" => "200").increment(1);
//! restarts.inc();
//!
//! let mut scraper = registry.scraper();
//! let page = str::from_utf8(scraper.scrape(Format::Text))?; // there: handle.render()
//! assert!(page.contains("\nrequests_total{code=\"200\"} 1\n") && page.contains("\nrestarts_total 1\n"));
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "metrics"))]
//! # fn main() {}
//! ```
//!
//! The macros look metrics up by name at each call. Where that costs too much, keep a handle:
//!
//! | there | here |
//! |---|---|
//! | `describe_counter!(name, help)` | help is given when the family is registered |
//! | `counter!(name).increment(1)` | `counter.inc()` on a kept handle |
//! | `counter!(name, "code" => code)` | `family.update([code], Counter::inc)` |
//! | `histogram!(name).record(seconds)` | `histogram.observe(seconds)` |
//!
//! # From `metrics-exporter-prometheus`
//!
//! The page stays, but for three things: counters end in `_total`; histograms have buckets, not quantiles, unless
//! `Recorder::builder` says otherwise; and bounds from a million on, or below 0.0001, are spelled as Go spells them
//! (`le="1e+06"`).
//!
//! | there | here |
//! |---|---|
//! | `PrometheusBuilder::new().install()` | `Recorder::new(&registry).install()?`, and `endpoint::serve(&registry, address)?.detach()` (feature `http`), which also runs until the process ends |
//! | `PrometheusHandle::render()` | `scraper.scrape(Format::Text)` |
//! | `set_buckets(..)` | `Recorder::builder(&registry).default_histograms(..)` |
//! | `set_buckets_for_metric(Matcher::Suffix(..), ..)` | `Recorder::builder(..).histograms(Matcher::Suffix(..), buckets)` |
//! | `set_native_histogram_for_metric(..)` | the same, with `NativeHistogramOptions` |
//! | `set_quantiles` | the same, with `QuantileOptions` |
//! | `add_global_label` | [`Registry::with_const_labels`](crate::Registry::with_const_labels) |
//! | `idle_timeout` | `.expire_after(age)` on the family's builder, or [`Family::remove_stale`](crate::Family::remove_stale), for families that you register |
//! | `run_upkeep` | nothing: observations are in their buckets at once |
//! | `with_push_gateway` | [`Pushgateway`](crate::batch) (feature `push`) |
//!
//! ```
//! # #[cfg(all(feature = "metrics", feature = "http", target_os = "linux"))]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use stethoscope::bridge::{Matcher, Recorder};
//! use stethoscope::{Registry, cell::Buckets, endpoint};
//!
//! // There: PrometheusBuilder::new()
//! //     .set_buckets_for_metric(Matcher::Suffix("_bytes".into()), &[1e3, 1e6])?
//! //     .with_http_listener(address)
//! //     .install()?;
//! let registry = Registry::new();
//! Recorder::builder(&registry)
//!     .histograms(Matcher::Suffix("_bytes".into()), Buckets::new([1e3, 1e6])?)
//!     .install()?;
//! let server = endpoint::serve(&registry, "127.0.0.1:0")?; // keep it: dropping it stops the server
//! metrics::histogram!("sent_bytes").record(5e3);
//! # let page = registry.scraper().scrape(stethoscope::exposition::Format::Text).to_vec();
//! # assert!(std::str::from_utf8(&page)?.contains("sent_bytes_bucket{le=\"1e+06\"} 1\n"));
//! # server.shutdown();
//! # Ok(())
//! # }
//! # #[cfg(not(all(feature = "metrics", feature = "http", target_os = "linux")))]
//! # fn main() {}
//! ```
