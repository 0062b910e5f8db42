//! Huffman codes, and the block header that tells a reader of them
//! (RFC 1951, 3.2).

use super::bits::BitBuffer;

/// Literals, end of block, lengths.
pub(super) const LITERALS: usize = 286;
/// Distances.
pub(super) const DISTANCES: usize = 30;
/// The symbol that ends a block.
pub(super) const END_OF_BLOCK: usize = 256;
/// The symbol of the shortest match.
const FIRST_LENGTH: usize = 257;
/// The longest match.
pub(super) const MAX_MATCH: usize = 258;
/// The shortest distance that is coded here. Shorter ones, runs of a pattern of
/// at most four bytes, hardly exist on a page, and need a case of their own.
pub(super) const MIN_DISTANCE: u32 = 5;
/// The longest distance.
pub(super) const MAX_DISTANCE: u32 = 32_768;
/// The longest code of a literal or length: 15 is allowed, but two of 13 and
/// their length fit into 32 bits.
const MAX_LITERAL_CODE: u32 = 13;
const MAX_DISTANCE_CODE: u32 = 15;
/// The most bits of a distance, extra bits included.
pub(super) const MAX_DISTANCE_LEN: u32 = MAX_DISTANCE_CODE + 13;
/// The bytes that a value consists of.
pub(super) const VALUE_BYTES: &[u8] = b"0123456789.-+eNaInf";

/// Occurrences of each symbol on a page.
#[derive(Clone)]
pub(super) struct Counts {
    pub(super) literals: [u32; LITERALS],
    pub(super) distances: [u32; DISTANCES],
}

impl Counts {
    /// No occurrences.
    pub(super) fn new() -> Self {
        Self {
            literals: [0; LITERALS],
            distances: [0; DISTANCES],
        }
    }

    pub(super) fn literal(&mut self, byte: u8) {
        self.literals[usize::from(byte)] += 1;
    }

    pub(super) fn matched(&mut self, length: usize, distance: u32) {
        self.literals[length_symbol(length).0] += 1;
        self.distances[distance_symbol(distance).0] += 1;
    }

    /// Gives a code to symbols that may be needed though they did not occur.
    pub(super) fn at_least_once(&mut self, literals: impl IntoIterator<Item = u8>) {
        for byte in literals {
            let count = &mut self.literals[usize::from(byte)];
            *count = (*count).max(1);
        }
        self.literals[END_OF_BLOCK] = 1;
        // With what joins it, a value that repeats an earlier one is a match of
        // any length.
        for count in &mut self.literals[FIRST_LENGTH..] {
            *count = (*count).max(1);
        }
        let first = distance_symbol(MIN_DISTANCE).0;
        for count in &mut self.distances[first..] {
            *count = (*count).max(1);
        }
    }
}

/// A code and its length, and the extra bits of a length with it.
#[derive(Clone, Copy, Default)]
pub(super) struct Code {
    pub(super) bits: u32,
    pub(super) count: u32,
}

/// The code of distances that differ in their extra bits only.
#[derive(Clone, Copy, Default)]
struct FarCode {
    bits: u32,
    /// Number of bits without the extra bits.
    count: u8,
    /// Number of bits in all.
    len: u8,
    /// The bits of a distance less one that are extra bits.
    extra: u16,
}

/// The codes of a block.
pub(super) struct Codes {
    literal_lengths: [u8; LITERALS],
    distance_lengths: [u8; DISTANCES],
    literals: [Code; LITERALS],
    /// By length of the match, extra bits included.
    matches: [Code; MAX_MATCH + 1],
    distances: [Code; DISTANCES],
    /// Distances below [`NEAR`], extra bits included; packed as `pairs`.
    near: [u32; NEAR as usize],
    /// Distances from [`NEAR`] on, by the upper bits of the distance less one.
    far: [FarCode; (MAX_DISTANCE >> FAR_SHIFT) as usize],
    /// Two bytes of a value at a time, see [`pair_index`]: the bits of their
    /// codes and, in the upper five bits, how many they are.
    pairs: [u32; 1 << 10],
}

impl Codes {
    /// Codes for nothing, boxed because of their size.
    pub(super) fn new() -> Box<Self> {
        Box::new(Self {
            literal_lengths: [0; LITERALS],
            distance_lengths: [0; DISTANCES],
            literals: [Code::default(); LITERALS],
            matches: [Code::default(); MAX_MATCH + 1],
            distances: [Code::default(); DISTANCES],
            near: [0; NEAR as usize],
            far: [FarCode::default(); (MAX_DISTANCE >> FAR_SHIFT) as usize],
            pairs: [0; 1 << 10],
        })
    }

    /// Replaces the codes by the best for such a page. Allocates nothing.
    pub(super) fn train(&mut self, counts: &Counts) {
        code_lengths(
            &counts.literals,
            MAX_LITERAL_CODE,
            &mut self.literal_lengths,
        );
        code_lengths(
            &counts.distances,
            MAX_DISTANCE_CODE,
            &mut self.distance_lengths,
        );
        assign_codes(&self.literal_lengths, &mut self.literals);
        assign_codes(&self.distance_lengths, &mut self.distances);
        for length in 3..=MAX_MATCH {
            let (symbol, extra, extra_count) = length_symbol(length);
            let code = self.literals[symbol];
            self.matches[length] = Code {
                bits: code.bits | extra << code.count,
                // A symbol without code stays without.
                count: if code.count == 0 {
                    0
                } else {
                    code.count + extra_count
                },
            };
        }
        for distance in MIN_DISTANCE..NEAR {
            let (symbol, extra, extra_count) = distance_symbol(distance);
            let code = self.distances[symbol];
            let bits = code.bits | extra << code.count;
            self.near[distance as usize] = bits | (code.count + extra_count) << PACKED_BITS;
        }
        for (upper, far) in self.far.iter_mut().enumerate() {
            let (symbol, _, extra_count) = distance_symbol(((upper as u32) << FAR_SHIFT) + 1);
            let code = self.distances[symbol];
            *far = FarCode {
                bits: code.bits,
                count: code.count as u8,
                len: (code.count + extra_count) as u8,
                extra: (1 << extra_count) - 1,
            };
        }
        for &second in VALUE_BYTES {
            for &first in VALUE_BYTES {
                let bytes = u32::from(first) | u32::from(second) << 8;
                if are_plain(bytes) {
                    let (a, b) = (self.literal(first), self.literal(second));
                    self.pairs[pair_index(bytes)] =
                        a.bits | b.bits << a.count | (a.count + b.count) << PACKED_BITS;
                }
            }
        }
    }

    /// Bits that a page with these symbols takes, extra bits aside; `None` if a
    /// symbol has no code.
    pub(super) fn cost(&self, counts: &Counts) -> Option<u64> {
        let sum = |counts: &[u32], lengths: &[u8]| {
            counts
                .iter()
                .zip(lengths)
                .try_fold(0, |sum, (&count, &length)| {
                    let bits = u64::from(count) * u64::from(length);
                    (count == 0 || length > 0).then_some(sum + bits)
                })
        };
        Some(
            sum(&counts.literals, &self.literal_lengths)?
                + sum(&counts.distances, &self.distance_lengths)?,
        )
    }

    /// The code of a literal or of the end of the block; of length 0 if there is
    /// none.
    #[inline(always)]
    pub(super) fn literal(&self, byte: u8) -> Code {
        self.literals[usize::from(byte)]
    }

    pub(super) fn end_of_block(&self) -> Code {
        self.literals[END_OF_BLOCK]
    }

    /// The code of a match's length, of 3 to 258.
    #[inline(always)]
    pub(super) fn length(&self, length: usize) -> Code {
        self.matches[length]
    }

    /// The code of a distance, extra bits included; `None` for one that is too
    /// far or too near.
    #[inline(always)]
    pub(super) fn distance(&self, distance: u32) -> Option<(u64, u32)> {
        if let Some(&entry) = self.near.get(distance as usize) {
            // None has a code of length 0 but those that are too near.
            return (entry > 0).then_some(unpack(entry));
        }
        // Of no distance that is too far either.
        let less_one = distance - 1;
        let far = self.far.get((less_one >> FAR_SHIFT) as usize)?;
        let extra = less_one & u32::from(far.extra);
        let bits = u64::from(far.bits | extra << far.count);
        Some((bits, u32::from(far.len)))
    }

    /// The codes of two bytes of a value, the lowest of `bytes`; both are plain.
    #[inline(always)]
    pub(super) fn pair(&self, bytes: u32) -> (u64, u32) {
        unpack(self.pairs[pair_index(bytes)])
    }

    /// Appends the header of a block with these codes, which is not the last one.
    pub(super) fn write_header(&self, into: &mut BitBuffer) {
        let literals = used(&self.literal_lengths).max(257);
        let distances = used(&self.distance_lengths).max(1);
        let mut lengths = [0; LITERALS + DISTANCES];
        lengths[..literals].copy_from_slice(&self.literal_lengths[..literals]);
        lengths[literals..][..distances].copy_from_slice(&self.distance_lengths[..distances]);
        let lengths = &lengths[..literals + distances];

        let mut counts = [0; 19];
        for_each_run(lengths, |symbol, _, _| counts[symbol] += 1);
        let mut code_length_lengths = [0; 19];
        code_lengths(&counts, 7, &mut code_length_lengths);
        let mut codes = [Code::default(); 19];
        assign_codes(&code_length_lengths, &mut codes);
        let sent = CODE_LENGTH_ORDER
            .iter()
            .rposition(|&symbol| code_length_lengths[symbol] > 0)
            .map_or(4, |last| (last + 1).max(4));

        into.put(0b10 << 1, 3);
        into.put((literals - 257) as u64, 5);
        into.put((distances - 1) as u64, 5);
        into.put((sent - 4) as u64, 4);
        for &symbol in &CODE_LENGTH_ORDER[..sent] {
            into.put(u64::from(code_length_lengths[symbol]), 3);
        }
        for_each_run(lengths, |symbol, extra, extra_count| {
            let code = codes[symbol];
            into.put(u64::from(code.bits), code.count);
            into.put(u64::from(extra), extra_count);
        });
    }
}

/// Appends the last block, which consists of some ASCII text, with the codes that
/// need no header.
pub(super) fn write_last_block(text: &[u8], into: &mut BitBuffer) {
    into.put(0b1 | 0b01 << 1, 3);
    for &byte in text {
        debug_assert!(byte < 144, "codes of other bytes are longer");
        into.put(u64::from((0x30 + byte).reverse_bits()), 8);
    }
    into.put(0, 7);
}

/// Distances from here on are put together: with their extra bits, those below fit
/// into [`PACKED_BITS`].
const NEAR: u32 = 1024;

/// From [`NEAR`] on, distances less one that differ in so many lower bits only have the
/// same code.
const FAR_SHIFT: u32 = 7;

/// Bits of a code in a packed entry; the five above say how many they are.
const PACKED_BITS: u32 = 27;

#[inline(always)]
fn unpack(entry: u32) -> (u64, u32) {
    (
        u64::from(entry & ((1 << PACKED_BITS) - 1)),
        entry >> PACKED_BITS,
    )
}

/// Returns true if all of these are bytes of values that [`Codes::pair`] can tell
/// apart by their lower five bits: digits, point and signs.
#[inline(always)]
pub(super) fn are_plain(bytes: u32) -> bool {
    bytes & 0x4040_4040 == 0
}

#[inline(always)]
fn pair_index(bytes: u32) -> usize {
    (bytes & 0x1f | bytes >> 3 & 0x3e0) as usize
}

/// Returns the symbol of a match's length, its extra bits, and their number.
fn length_symbol(length: usize) -> (usize, u32, u32) {
    if length == MAX_MATCH {
        return (285, 0, 0);
    }
    let x = (length - 3) as u32;
    if x < 8 {
        return (FIRST_LENGTH + x as usize, 0, 0);
    }
    // Four symbols for each power of two.
    let extra_count = x.ilog2() - 2;
    let symbol = FIRST_LENGTH as u32 + 4 * extra_count + (x >> extra_count);
    (symbol as usize, x & ((1 << extra_count) - 1), extra_count)
}

/// Returns the symbol of a distance of at least [`MIN_DISTANCE`], its extra bits,
/// and their number.
#[inline(always)]
fn distance_symbol(distance: u32) -> (usize, u32, u32) {
    let x = distance - 1;
    // Two symbols for each power of two.
    let power = 31 - (x | 4).leading_zeros();
    let extra_count = power - 1;
    let symbol = 2 * power + ((x >> extra_count) & 1);
    // The mask is for the compiler: no distance has a higher symbol.
    let symbol = (symbol as usize).min(DISTANCES - 1);
    (symbol, x & ((1 << extra_count) - 1), extra_count)
}

/// Returns the number of lengths up to the last that is not 0.
fn used(lengths: &[u8]) -> usize {
    lengths
        .iter()
        .rposition(|&length| length > 0)
        .map_or(0, |last| last + 1)
}

/// The order in which the lengths of the code length codes are sent.
const CODE_LENGTH_ORDER: [usize; 19] = [
    16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
];

/// Calls `emit` with each symbol of the run-length encoded lengths, its extra
/// bits, and their number.
fn for_each_run(lengths: &[u8], mut emit: impl FnMut(usize, u32, u32)) {
    let mut rest = lengths;
    while let Some(&length) = rest.first() {
        let mut run = rest.iter().take_while(|&&other| other == length).count();
        rest = &rest[run..];
        if length == 0 {
            while run >= 11 {
                let taken = run.min(138);
                emit(18, taken as u32 - 11, 7);
                run -= taken;
            }
            if run >= 3 {
                emit(17, run as u32 - 3, 3);
                run = 0;
            }
        } else {
            emit(usize::from(length), 0, 0);
            run -= 1;
            while run >= 3 {
                let taken = run.min(6);
                emit(16, taken as u32 - 3, 2);
                run -= taken;
            }
        }
        for _ in 0..run {
            emit(usize::from(length), 0, 0);
        }
    }
}

/// Computes the lengths of the codes of symbols that occur so often. A symbol
/// that does not occur gets length 0.
fn code_lengths(counts: &[u32], max_length: u32, lengths: &mut [u8]) {
    lengths.fill(0);
    let mut symbols = [0u16; LITERALS];
    let mut used = 0;
    for (symbol, &count) in counts.iter().enumerate() {
        if count > 0 {
            symbols[used] = symbol as u16;
            used += 1;
        }
    }
    let symbols = &mut symbols[..used];
    if let [only] = symbols {
        lengths[usize::from(*only)] = 1;
    }
    if used < 2 {
        return;
    }
    symbols.sort_unstable_by_key(|&symbol| (counts[usize::from(symbol)], symbol));
    let mut of_length = lengths_histogram(symbols, counts, max_length);
    // The rarest symbols get the longest codes.
    let mut length = max_length as usize;
    for &symbol in symbols.iter() {
        while of_length[length] == 0 {
            length -= 1;
        }
        of_length[length] -= 1;
        lengths[usize::from(symbol)] = length as u8;
    }
}

/// Returns how many codes have each length, at most `max_length`. The symbols
/// are in order of their counts, and at least two.
fn lengths_histogram(symbols: &[u16], counts: &[u32], max_length: u32) -> [u32; 33] {
    // Leaves in ascending order, then the inner nodes as they are made, which is
    // in ascending order too: the two least of all are always at the front of one
    // of the two queues.
    let leaves = symbols.len();
    let nodes = 2 * leaves - 1;
    let mut weights = [0u64; 2 * LITERALS];
    let mut parents = [0u16; 2 * LITERALS];
    for (weight, &symbol) in weights.iter_mut().zip(symbols) {
        *weight = u64::from(counts[usize::from(symbol)]);
    }
    let (mut leaf, mut inner) = (0, leaves);
    for node in leaves..nodes {
        for _ in 0..2 {
            let take_leaf = leaf < leaves && (inner == node || weights[leaf] <= weights[inner]);
            let next = if take_leaf { &mut leaf } else { &mut inner };
            weights[node] += weights[*next];
            parents[*next] = node as u16;
            *next += 1;
        }
    }
    let mut of_length = [0u32; 33];
    let mut depths = [0u8; 2 * LITERALS];
    for node in (0..nodes - 1).rev() {
        depths[node] = depths[usize::from(parents[node])] + 1;
        if node < leaves {
            of_length[usize::from(depths[node]).min(max_length as usize)] += 1;
        }
    }
    // Cutting lengths made too many codes: until they fit, lengthen the longest
    // of those that can be lengthened.
    let max = max_length as usize;
    let mut taken: u64 = (1..=max)
        .map(|length| u64::from(of_length[length]) << (max - length))
        .sum();
    while taken > 1 << max {
        let length = (1..max).rev().find(|&length| of_length[length] > 0);
        let length = length.expect("there are fewer symbols than codes of the greatest length");
        of_length[max] -= 1;
        of_length[length] -= 1;
        of_length[length + 1] += 2;
        taken -= 1;
    }
    of_length
}

/// Assigns the canonical codes, first bit lowest.
fn assign_codes(lengths: &[u8], codes: &mut [Code]) {
    let mut next = [0u32; 17];
    let mut of_length = [0u32; 16];
    for &length in lengths {
        of_length[usize::from(length)] += 1;
    }
    of_length[0] = 0;
    for length in 1..16 {
        next[length + 1] = (next[length] + of_length[length]) << 1;
    }
    for (code, &length) in codes.iter_mut().zip(lengths) {
        let count = u32::from(length);
        *code = Code::default();
        if count > 0 {
            let bits = &mut next[usize::from(length)];
            code.bits = bits.reverse_bits() >> (32 - count);
            code.count = count;
            *bits += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn length_symbols_follow_the_standard() {
        for (length, expected) in [
            (3, (257, 0, 0)),
            (10, (264, 0, 0)),
            (11, (265, 0, 1)),
            (18, (268, 1, 1)),
            (19, (269, 0, 2)),
            (34, (272, 3, 2)),
            (257, (284, 30, 5)),
            (258, (285, 0, 0)),
        ] {
            assert_eq!(length_symbol(length), expected, "{length}");
        }
    }

    #[test]
    fn distance_symbols_follow_the_standard() {
        for (distance, expected) in [
            (5, (4, 0, 1)),
            (8, (5, 1, 1)),
            (9, (6, 0, 2)),
            (257, (16, 0, 7)),
            (24_576, (28, 8191, 13)),
            (32_768, (29, 8191, 13)),
        ] {
            assert_eq!(distance_symbol(distance), expected, "{distance}");
        }
    }

    #[test]
    fn rare_symbols_do_not_exceed_the_longest_code() {
        // Fibonacci numbers make the deepest trees.
        let mut counts = [0; 40];
        let (mut a, mut b) = (1u32, 1);
        for count in &mut counts {
            *count = a;
            (a, b) = (b, a.saturating_add(b));
        }
        let mut lengths = [0; 40];
        code_lengths(&counts, 7, &mut lengths);
        assert!(lengths.iter().all(|length| (1..=7).contains(length)));
        assert!(lengths.is_sorted_by(|a, b| a >= b));
        assert_full(&lengths);
    }

    fn assert_full(lengths: &[u8]) {
        let used = lengths.iter().filter(|&&length| length > 0);
        let taken: u32 = used.map(|length| 1 << (15 - length)).sum();
        assert_eq!(taken, 1 << 15, "every code means something");
    }

    proptest! {
        #[test]
        fn codes_are_complete_and_in_order_of_frequency(
            counts in proptest::collection::vec(0u32..1000, 2..286),
        ) {
            let mut lengths = vec![0; counts.len()];
            code_lengths(&counts, 13, &mut lengths);
            for (a, &count) in lengths.iter().zip(&counts) {
                prop_assert_eq!(*a > 0, count > 0);
                for (b, &other) in lengths.iter().zip(&counts) {
                    prop_assert!(count <= other || other == 0 || a <= b);
                }
            }
            if counts.iter().filter(|&&count| count > 0).count() > 1 {
                assert_full(&lengths);
            }
        }
    }
}
