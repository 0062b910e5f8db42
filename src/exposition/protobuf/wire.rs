//! The wire format of protocol buffers, as far as a page needs it.

/// The number of a field, and how its value is written.
#[derive(Clone, Copy)]
pub(super) struct Key(u8);

impl Key {
    pub(super) const fn varint(field: u8) -> Self {
        Self::new(field, 0)
    }

    pub(super) const fn double(field: u8) -> Self {
        Self::new(field, 1)
    }

    /// A string, a message or a packed list.
    pub(super) const fn bytes(field: u8) -> Self {
        Self::new(field, 2)
    }

    const fn new(field: u8, wire_type: u8) -> Self {
        assert!(field < 16, "the key must fit into a byte");
        Self(field << 3 | wire_type)
    }

    pub(super) fn push(self, into: &mut Vec<u8>) {
        into.push(self.0);
    }
}

/// Bytes of a length that is written after the message: the most that all decoders
/// accept.
pub(super) const PADDED: usize = 5;

/// Bytes of a number that is patched in place: enough for 64 bits.
pub(super) const COUNT_LEN: usize = 10;

pub(super) fn push_varint(mut value: u64, into: &mut Vec<u8>) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

/// Returns a signed number as it is written: small absolute values are short.
pub(super) fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

/// Fills the array with a number, 7 bits in each byte.
fn padded<const N: usize>(mut value: u64) -> [u8; N] {
    let mut bytes = [0; N];
    for (index, byte) in bytes.iter_mut().enumerate() {
        let more = if index + 1 < N { 0x80 } else { 0 };
        *byte = (value & 0x7f) as u8 | more;
        value >>= 7;
    }
    bytes
}

/// Returns a count in the form that is patched in place.
///
/// Its low 56 bits are moved apart in halves: two groups of 28 bits, then four of 14, then
/// eight of 7, each in a byte of its own.
#[inline]
pub(super) fn count_bytes(value: u64) -> [u8; COUNT_LEN] {
    let mut low = value & 0x00ff_ffff_ffff_ffff;
    for (kept, moved, by) in [
        (0x0000_0000_0fff_ffff, 0x00ff_ffff_f000_0000, 4),
        (0x0000_3fff_0000_3fff, 0x0fff_c000_0fff_c000, 2),
        (0x007f_007f_007f_007f, 0x3f80_3f80_3f80_3f80, 1),
    ] {
        low = low & kept | (low & moved) << by;
    }
    let mut bytes = [0; COUNT_LEN];
    bytes[..8].copy_from_slice(&(low | 0x8080_8080_8080_8080).to_le_bytes());
    bytes[8] = (value >> 56) as u8 | 0x80;
    bytes[9] = (value >> 63) as u8;
    bytes
}

pub(super) fn push_field_varint(field: u8, value: u64, into: &mut Vec<u8>) {
    Key::varint(field).push(into);
    push_varint(value, into);
}

/// Returns the bytes of a double. Every NaN is written alike: one of them means to
/// Prometheus that the series has ended.
#[inline]
pub(super) fn double_bytes(value: f64) -> [u8; 8] {
    let value = if value.is_nan() { f64::NAN } else { value };
    value.to_le_bytes()
}

pub(super) fn push_field_double(field: u8, value: f64, into: &mut Vec<u8>) {
    Key::double(field).push(into);
    into.extend_from_slice(&double_bytes(value));
}

pub(super) fn push_field_bytes(field: u8, value: &[u8], into: &mut Vec<u8>) {
    Key::bytes(field).push(into);
    push_varint(value.len() as u64, into);
    into.extend_from_slice(value);
}

/// Appends a message in a field, or a packed list, of which `fill` appends the
/// content.
pub(super) fn push_message(field: u8, into: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    Key::bytes(field).push(into);
    push_delimited(into, fill);
}

/// Appends the length of what `fill` appends, then that.
pub(super) fn push_delimited(into: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = begin_delimited(into);
    fill(into);
    finish_delimited(start, into);
}

/// Reserves the length of a message; returns where the message begins.
pub(super) fn begin_delimited(into: &mut Vec<u8>) -> usize {
    into.extend_from_slice(&padded::<PADDED>(0));
    into.len()
}

/// Writes the length of a message that ends here, and begins at `start`.
pub(super) fn finish_delimited(start: usize, into: &mut [u8]) {
    let len = (into.len() - start) as u64;
    into[start - PADDED..start].copy_from_slice(&padded::<PADDED>(len));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padded_numbers_have_the_bits_of_the_short_ones() {
        for value in [0, 1, 127, 128, 1 << 34, u64::MAX >> 1, u64::MAX] {
            let mut short = Vec::new();
            push_varint(value, &mut short);
            let padded = count_bytes(value);
            for (index, byte) in padded.iter().enumerate() {
                let bits = short.get(index).map_or(0, |byte| byte & 0x7f);
                assert_eq!(byte & 0x7f, bits, "{value}");
                assert_eq!(byte & 0x80 != 0, index + 1 < COUNT_LEN, "{value}");
            }
        }
    }

    #[test]
    fn zigzag_numbers_signed_ones_by_their_absolute_value() {
        let numbers = [0, -1, 1, -2, 2, i64::MAX, i64::MIN];
        let expected = [0, 1, 2, 3, 4, u64::MAX - 1, u64::MAX];
        assert_eq!(numbers.map(zigzag), expected);
    }
}
