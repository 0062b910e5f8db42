//! The endpoint as its clients see it, over real sockets on loopback.

mod bounds;
mod browser;
mod client;
#[path = "../support/directory.rs"]
mod directory;
mod documents;
mod fresh;
#[cfg(feature = "gzip")]
mod gzip;
mod handed_over;
mod hostile;
mod http;
mod pages;
mod refused;
mod running;
