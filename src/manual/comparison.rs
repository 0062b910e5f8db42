//! Other crates beside this one: what each has, what it costs to compile, and what this
//! one leaves out.
//!
//! # Features
//!
//! P: `prometheus` 0.14, C: `prometheus-client` 0.25, X: `metrics` with `metrics-exporter-prometheus` 0.18, M:
//! `measured` 0.0.25, F: `fastmetrics` 0.7, O: `opentelemetry-prometheus` 0.33. "x" is yes, "(x)" is in part or by
//! another crate, and nothing is no. From the sources of those versions, November 2026; corrections are welcome.
//!
//! | on the page | here | P | C | X | M | F | O |
//! |---|---|---|---|---|---|---|---|
//! | text 0.0.4 | x | x | | x | x | x | x |
//! | OpenMetrics 1.0 | x | | x | | | x | |
//! | OpenMetrics 2.0, the release candidate | x | | | | | | |
//! | protobuf | x | x | x | x | | x | (x) |
//! | native histograms | x | | x | x | | | |
//! | formats by the Accept header | x | | | (x) | | x | |
//! | compressed | x | | | | | | |
//! | UTF-8 names, and escaping of them | x | | | | | x | |
//! | exemplars | x | | x | | | x | |
//! | start times (`_created`) | x | | | | | x | |
//! | info | x | | x | | | x | |
//! | state set | x | | | | | x | |
//! | gauge histogram | | | | | | x | |
//! | quantiles over a window | x | | | x | | (x) | |
//! | a warm scrape does not allocate | x | | | | x | | |
//!
//! | in the program | here | P | C | X | M | F | O |
//! |---|---|---|---|---|---|---|---|
//! | labels as types | x | (x) | x | | x | x | |
//! | label sets that differ under one name | x | | x | x | | | x |
//! | statics without initialisation | x | | | | | x | |
//! | a registry for the process | | x | | x | | x | x |
//! | get or register | x | | | x | | | x |
//! | prefixes and constant labels | x | x | x | (x) | x | x | (x) |
//! | values computed at a scrape | x | x | x | | x | x | x |
//! | remove a series | x | x | x | | (x) | | |
//! | remove series by part of their labels | x | | | | | | |
//! | remove series that no longer change | x | | | x | | | |
//! | a cap on series | x | | | | | | x |
//! | unregister a family | x | x | | | | | |
//! | updates without contention between threads | x | (x) | | | | | |
//! | samples as data | x | x | | | | | x |
//! | metrics that outlive the process | x | | | | | | |
//!
//! | besides | here | P | C | X | M | F | O |
//! |---|---|---|---|---|---|---|---|
//! | HTTP listener | x | | | x | | | |
//! | layer for tower | x | | | (x) | | | |
//! | metrics of the process | x | x | | (x) | (x) | | |
//! | push gateway | x | x | | x | | | |
//! | textfile, written atomically | x | | | | | | |
//! | macros of the crate `metrics` | x | (x) | | x | | | |
//! | OpenTelemetry's interface | | | | | | | x |
//! | parser, validator and linter of pages | x | | | | | | |
//! | assertions for tests | x | | | (x) | | | |
//! | generated pages for fuzzers | x | | | | | | |
//!
//! Notes: P has labels as types in `prometheus-static-metric`, and cells local to a thread that must be flushed. X
//! answers in text or in protobuf. C and F have protobuf as a feature that runs a code generator when they are built.
//! The times of each are in `benches/README.md` in the repository.
//!
//! # Compile time and size
//!
//! `make bench-hello` compiles a program that counts one job and prints its page, in release, from its dependencies on.
//! Sizes are of stripped binaries, beyond that of an empty program. Two shared cores, otherwise at rest, November 2026:
//!
//! | | wall, s | processor, s | crates | KiB |
//! |---|---|---|---|---|
//! | this crate | 7.6 | 12.4 | 4 | 360 |
//! | this crate, feature `http`, which the program does not use | 13.0 | 22.7 | 13 | 369 |
//! | `prometheus` | 19.6 | 36.3 | 23 | 322 |
//! | `prometheus`, without protobuf | 5.3 | 9.6 | 17 | 185 |
//! | `prometheus-client` | 3.7 | 6.1 | 15 | 19 |
//! | `metrics-exporter-prometheus`, without a listener | 13.0 | 23.2 | 38 | 381 |
//! | `measured` | 6.5 | 12.1 | 26 | 21 |
//! | `fastmetrics` | 3.9 | 6.6 | 13 | 163 |
//! | `opentelemetry-prometheus` | 13.1 | 24.9 | 32 | 832 |
//!
//! The engine is larger than `prometheus-client` and `measured`, which print a page and little else.
//!
//! # No global registry
//!
//! `prometheus` and the exporter of `metrics` have a registry for the process, and macros that register there. This
//! crate has none, for three reasons.
//!
//! - **Tests run in parallel, in one process.** Two tests that count the same event in a global registry see each
//!   other's counts, and a test that resets or unregisters disturbs the others. A registry for each thread would be no
//!   way out: counts of threads that a test starts would go elsewhere, silently.
//! - **A library that registers globally decides for its user** which page shows its metrics, under which names, and
//!   that they cannot be there twice. With a registry as an argument, the user says so
//!   ([`embedding`](super::embedding)).
//! - **It is one line where it is wanted**, and then it is visibly the program's own:
//!
//! ```
//! use std::sync::LazyLock;
//! use stethoscope::Registry;
//! use stethoscope::cell::Counter;
//!
//! static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::new);
//! static JOBS: Counter = Counter::new();
//!
//! REGISTRY.register("jobs_total", "Jobs.", &JOBS)?;
//! JOBS.inc();
//! # Ok::<(), stethoscope::RegisterError>(())
//! ```
//!
//! The macros of the crate `metrics` are global by their nature. There, `metrics::with_local_recorder` keeps tests
//! apart, as far as they run on one thread.
//!
//! # No reader for OpenTelemetry
//!
//! The SDK of OpenTelemetry keeps the values in maps of its own, and hands them to a reader as a tree of vectors that
//! it makes for each collection. A bridge would have to look up each series in that tree, and to copy its value into a
//! cell, before this crate could print it. `cargo bench --bench opentelemetry` in `benches/rivals` measures the least
//! that this costs, in one run, for 3,500 lines of which all have changed, on two shared cores (November 2026):
//!
//! | | time | allocations |
//! |---|---|---|
//! | this crate, the whole page | 57 us | 0 |
//! | the SDK, until a reader has its data | 469 us | 7,526 |
//! | `opentelemetry-prometheus`, the whole page | 24 ms | |
//!
//! So a bridge would take eight times what this crate's page costs before it could print a byte, with allocations and
//! with the SDK's locks: this crate exists to avoid both. The SDK also lets others write readers only under its feature
//! `experimental_metrics_custom_reader`. Programs that need both can register here what is hot, and serve the SDK's
//! page beside this one.
//!
//! # OpenMetrics 2.0 by request
//!
//! The specification is a release candidate, 2.0.0-rc0 (March 2026), which reserves the right to break compatibility.
//! So its pages are sent only where the program [switches them on](crate::exposition::Offer::with_openmetrics2), and
//! only to scrapers that ask for `version=2.0.0`. Everywhere else such a scraper gets the next format of its Accept
//! header, and text 0.0.4 if there is none: never a page that claims a version which it does not have.
