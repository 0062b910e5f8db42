//! The number of stripes of a striped or sharded cell.
//!
//! The stripe with index n belongs to the thread with
//! [slot](crate::sync::thread_slot) n, which writes to it with a plain load and
//! store: without a locked instruction, and without competing for its cache line.
//! Threads whose slot is beyond the stripes share others, with atomic additions.
//! When a thread ends, its slot and stripes go to the next thread that asks.

// The atomic of `std`, also under loom: models need not order a cached constant.
use std::sync::atomic::AtomicUsize;
use std::thread::available_parallelism;

use crate::sync::{MAX_EXCLUSIVE_SLOTS, Ordering};

/// Returns the number of stripes of a cell: two for each thread that can run at
/// once, since more threads than that often write by turns. A power of two from
/// 4 to 64.
pub(super) fn stripes() -> usize {
    // Not a `OnceLock`: a child that was forked while it is being set would wait for
    // it forever.
    static STRIPES: AtomicUsize = AtomicUsize::new(0);
    // Relaxed, both: every thread finds the same number.
    match STRIPES.load(Ordering::Relaxed) {
        0 => {
            let threads = available_parallelism().map_or(1, |threads| threads.get());
            let stripes = (2 * threads)
                .next_power_of_two()
                .clamp(4, MAX_EXCLUSIVE_SLOTS);
            STRIPES.store(stripes, Ordering::Relaxed);
            stripes
        }
        stripes => stripes,
    }
}
