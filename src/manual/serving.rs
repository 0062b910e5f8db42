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
//! endpoint.shutdown();
//! endpoint.join()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It answers HTTP/1.0 and 1.1, in the format and compression that the `Accept` headers ask for. `?name[]=a&name[]=b`
//! selects families, and browsers get tables. Connections, request heads, waiting time and pages are bounded by
//! [`Limits`](crate::endpoint::Limits).
//!
//! # Your own server
//!
//! [`Responder`](crate::endpoint::Responder) turns the headers of a request into a status, headers and a body, and leaves
//! the HTTP to you. The examples `axum` and `hyper` are complete programs.
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
//! # Neither
//!
//! A [`Scraper`](crate::Scraper) writes pages without HTTP: to a file, a pipe, or a message of your own protocol.
