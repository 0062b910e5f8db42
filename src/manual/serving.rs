//! Answering scrapes: with the listener, or from your own HTTP server.
//!
//! # The listener
//!
//! [`endpoint::serve`](crate::endpoint::serve) starts a thread with an event loop of its own (Linux). It never runs on
//! your threads and needs no async runtime. [`endpoint::Builder`](crate::endpoint::Builder) sets limits, Unix sockets,
//! documents beside the page, and what happens to requests for other paths.
//!
//! ```
//! use stethoscope::Registry;
//! use stethoscope::endpoint;
//!
//! let registry = Registry::new();
//! registry.gauge("threads", "Threads at work.")?.set(4);
//! let endpoint = endpoint::serve(&registry, "127.0.0.1:0")?;
//! println!("http://{}/metrics", endpoint.local_addr().unwrap());
//! // Dropping it stops the listener: keep it, or call `endpoint.detach()`.
//! endpoint.shutdown();
//! endpoint.join()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It answers HTTP/1.0 and 1.1, in the format and compression that the `Accept` headers ask for. `?name[]=a&name[]=b`
//! selects families, by the names of families or samples as any page shows them. More than 256 names get status 400,
//! and a request target longer than [`Limits::header_bytes`](crate::endpoint::Limits::header_bytes) gets 414. Browsers
//! get tables. A response to `HEAD` has a `Content-Length` if the length is known without making the page: for
//! documents and the index, not for the metrics. Connections, request heads, waiting time and pages are bounded by
//! [`Limits`](crate::endpoint::Limits).
//!
//! # Your own server
//!
//! [`Responder`](crate::endpoint::Responder) turns the headers of a request into a status, headers and a body, and
//! leaves the HTTP to you. The examples `axum` and `hyper` are complete programs.
//!
//! ```
//! use stethoscope::Registry;
//! use stethoscope::endpoint::{Responder, ScrapeRequest};
//!
//! let registry = Registry::new();
//! registry.gauge("threads", "Threads at work.")?.set(4);
//! let mut responder = Responder::new(&registry);
//! let request = ScrapeRequest::new("GET").accept("text/plain");
//! let response = responder.respond(&request);
//! assert_eq!(response.status(), 200);
//! assert!(response.body().ends_with(b"threads 4\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Native histograms
//!
//! Prometheus reads them from protobuf pages only, and asks for those if the scrape job has
//! `scrape_native_histograms: true`, or before version 3.8 if the server runs with
//! `--enable-feature=native-histograms`. The listener and the responder then send
//! [`Format::Protobuf`](crate::exposition::Format::Protobuf), with all other metrics as well. Every other reader gets
//! text.
//!
//! # OpenMetrics 2.0
//!
//! [`Format::OpenMetrics2`](crate::exposition::Format::OpenMetrics2) is the release candidate 2.0.0-rc0 of March 2026:
//! a histogram or a summary is one line, the time at which a series was made stands on it (`st@`, for families with
//! [created timestamps](crate::registry::FamilyBuilder::created_timestamps)), and so do all exemplars. Native
//! histograms have their buckets in text. The names of samples are those of text 0.0.4. No server reads it by default
//! (November 2026), and the standard may change before it is final, so it is off: switch it on with
//! [`Responder::openmetrics2`](crate::endpoint::Responder::openmetrics2),
//! [`Builder::openmetrics2`](crate::endpoint::Builder::openmetrics2) or, without HTTP,
//! [`Offer::with_openmetrics2`](crate::exposition::Offer::with_openmetrics2); in Python with `openmetrics2=True`, in
//! Dask with the setting `openmetrics2`. Scrapers whose Accept header names `version=2.0.0`, and weights it highest,
//! then get it.
//!
//! ```
//! use stethoscope::Registry;
//! use stethoscope::cell::Buckets;
//! use stethoscope::exposition::{Format, Offer};
//!
//! let registry = Registry::new();
//! let seconds = registry.histogram("wait_seconds", "Time in the queue.", Buckets::new([0.5, 1.0])?)?;
//! seconds.observe(0.75);
//!
//! let accept = "application/openmetrics-text;version=2.0.0,application/openmetrics-text;version=1.0.0;q=0.9";
//! let offer = Offer::new().with_openmetrics2(true);
//! let content_type = offer.negotiate(accept);
//! assert_eq!(content_type.format, Format::OpenMetrics2);
//! let page = registry.scraper().scrape(content_type).to_vec();
//! assert!(String::from_utf8(page)?.contains("wait_seconds {count:1,sum:0.75,bucket:[0.5:0,1.0:1,+Inf:1]}\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Without HTTP
//!
//! A [`Scraper`](crate::Scraper) writes pages without HTTP: to a file, a pipe, or a message of your own protocol.
