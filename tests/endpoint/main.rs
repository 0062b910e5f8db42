//! What a client of the endpoint relies on, over real sockets on loopback.

mod bounds;
mod client;
mod fresh;
mod handed_over;
mod http;
mod refused;
mod running;
