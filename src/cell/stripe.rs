//! How many stripes a striped or sharded cell has, and which is whose.
//!
//! Stripe n belongs to the thread with [`thread_number`](crate::sync::thread_number)
//! n, which writes to it with a plain load and store: no locked instruction, and
//! no cache line that another writer wants. Threads whose number is beyond the
//! stripes share what every such cell has beside them, with atomic additions.
//! When a thread ends, its number, and the stripes with it, go to the next
//! thread that asks.

use std::sync::OnceLock;
use std::thread::available_parallelism;

use crate::sync::OWN_NUMBERS;

/// The stripes of a cell: two for each thread that can run at once, for there
/// are often more that write by turns; a power of two from 4 to 64.
pub(super) fn stripes() -> usize {
    static STRIPES: OnceLock<usize> = OnceLock::new();
    *STRIPES.get_or_init(|| {
        let threads = available_parallelism().map_or(1, |threads| threads.get());
        (2 * threads).next_power_of_two().clamp(4, OWN_NUMBERS)
    })
}
