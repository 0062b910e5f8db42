//! Input for generated pages.

/// Bytes that differ in every seed.
pub(crate) fn bytes(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let words = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        state ^ (state >> 29)
    });
    words.take(1024).flat_map(u64::to_le_bytes).collect()
}
