//! Gives memory back when the need for it has gone.

/// Uses in a window.
const WINDOW: u32 = 16;
/// A buffer up to this size is never worth giving back.
const SMALL: usize = 64 * 1024;
/// A buffer is given back if its capacity is more than this many times the need.
/// Writers reserve by an upper bound, about three times the shortest lines: a
/// smaller factor would have buffers given back and made again.
const SLACK: usize = 4;

/// The greatest of the latest 16 to 32 values.
#[derive(Debug, Default)]
pub(crate) struct HighWater {
    this_window: usize,
    last_window: usize,
    uses: u32,
}

impl HighWater {
    pub(crate) fn record(&mut self, value: usize) {
        self.this_window = self.this_window.max(value);
        self.uses += 1;
        if self.uses == WINDOW {
            self.uses = 0;
            self.last_window = std::mem::take(&mut self.this_window);
        }
    }

    pub(crate) fn get(&self) -> usize {
        self.this_window.max(self.last_window)
    }

    /// Frees the buffer if it is much larger than its latest contents were.
    pub(crate) fn trim(&self, buffer: &mut Vec<u8>) {
        if buffer.capacity() > SMALL.max(SLACK * self.get()) {
            *buffer = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn high_water_is_forgotten_after_two_windows() {
        let mut high_water = HighWater::default();
        high_water.record(1000);
        for _ in 0..WINDOW {
            high_water.record(10);
            assert_eq!(high_water.get(), 1000);
        }
        (0..2 * WINDOW).for_each(|_| high_water.record(10));
        assert_eq!(high_water.get(), 10);
    }

    #[test]
    fn buffer_is_freed_when_it_is_much_too_large() {
        let mut high_water = HighWater::default();
        let mut buffer = Vec::with_capacity(1 << 20);
        high_water.record(1 << 19);
        high_water.trim(&mut buffer);
        assert!(buffer.capacity() >= 1 << 20, "it is within the slack");
        (0..2 * WINDOW).for_each(|_| high_water.record(100));
        high_water.trim(&mut buffer);
        assert_eq!(buffer.capacity(), 0);
        let mut small = Vec::with_capacity(SMALL);
        high_water.trim(&mut small);
        assert!(small.capacity() >= SMALL, "it is small anyway");
    }
}
