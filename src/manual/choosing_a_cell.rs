//! Cell types, and when to use each.
//!
//! | the value | cell | on the page |
//! |---|---|---|
//! | counts events | [`Counter`] | counter |
//! | adds up seconds, or another float | [`FloatCounter`] | counter |
//! | goes up and down, integral | [`Gauge`] | gauge |
//! | goes up and down, a float | [`FloatGauge`] | gauge |
//! | a distribution, to aggregate over processes | [`Histogram`] | histogram |
//! | a distribution whose bounds are not known | [`NativeHistogram`] | native histogram, or a histogram in text |
//! | quantiles of the last minutes, in this process | [`Quantile`] | summary |
//! | the maximum of the last minutes | [`WindowMax`] | gauge |
//! | which of a few states | [`StateSet`] | state set, or gauges in text 0.0.4 |
//! | a version, a build | [`Info`] | info, or a gauge of 1 |
//!
//! # Forms of one cell
//!
//! Start with the plain form. The others are for values that a profile shows to be contended or hot.
//!
//! | form | when | price |
//! |---|---|---|
//! | [`Counter`], [`Histogram`] | by default | threads that update at once share a cache line |
//! | [`StripedCounter`], [`ShardedHistogram`], [`ShardedNativeHistogram`] | several threads update the same series all the time | a cache line, or a histogram, for each thread |
//! | [`SingleWriter`] | one thread owns the value | updates go through the one [`Writer`] |
//! | [`WithExemplars`] | observations carry a trace ID | a slot for each bucket |
//!
//! ```
//! use stethoscope::Registry;
//! use stethoscope::cell::{Buckets, ShardedHistogram, StripedCounter};
//! use std::time::Duration;
//!
//! let registry = Registry::new();
//! let hits = registry
//!     .family::<StripedCounter>("cache_hits_total", "Cache hits.")
//!     .labels(["cache"])
//!     .register()?;
//! let waits = registry
//!     .family::<ShardedHistogram>("queue_wait_seconds", "Time in the queue.")
//!     .options(Buckets::exponential(0.001, 2.0, 12)?)
//!     .register_single()?;
//!
//! hits.with(["pages"])?.inc();
//! waits.observe(Duration::from_millis(3).as_secs_f64());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`StaticHistogram`](crate::cell::StaticHistogram) is a histogram whose bounds are constants, for statics.
//!
//! # Histogram or quantile
//!
//! Prefer a histogram: its buckets can be summed over processes, and Prometheus computes quantiles over any period from
//! them. A [`Quantile`] needs no bucket bounds and is accurate within 1 %, but its quantiles cannot be aggregated, and
//! describe only its own window.
//!
//! # A cell of your own
//!
//! Implement [`Cell`] for a type that holds atomics, and [`Metric`](crate::family::Metric) to say how it is shown. The
//! example `custom_collector` does, and also shows how to set values from elsewhere right before a scrape.
//!
//! [`Cell`]: crate::cell::Cell
//! [`NativeHistogram`]: crate::cell::NativeHistogram
//! [`ShardedNativeHistogram`]: crate::cell::ShardedNativeHistogram
//! [`Counter`]: crate::cell::Counter
//! [`FloatCounter`]: crate::cell::FloatCounter
//! [`FloatGauge`]: crate::cell::FloatGauge
//! [`Gauge`]: crate::cell::Gauge
//! [`Histogram`]: crate::cell::Histogram
//! [`Info`]: crate::cell::Info
//! [`Quantile`]: crate::cell::Quantile
//! [`ShardedHistogram`]: crate::cell::ShardedHistogram
//! [`SingleWriter`]: crate::cell::SingleWriter
//! [`StateSet`]: crate::cell::StateSet
//! [`StripedCounter`]: crate::cell::StripedCounter
//! [`WindowMax`]: crate::cell::WindowMax
//! [`WithExemplars`]: crate::cell::WithExemplars
//! [`Writer`]: crate::cell::Writer
