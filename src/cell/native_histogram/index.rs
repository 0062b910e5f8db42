//! The index of a value's bucket.
//!
//! The bucket with index `i` of schema `s` holds the values above `2^((i-1)/2^s)`,
//! up to and including `2^(i/2^s)`. The index is computed for the finest schema,
//! 8, from the exponent and the 256 bounds between 1 and 2: the highest 9 bits of the
//! fraction divide the numbers into intervals with at most one bound each. A table
//! has a word for each interval, whose sum with the other bits of the fraction carries
//! into its high bits just where the fraction is above the bound:
//!
//! ```text
//! bits        52 ....... 43 │ 42 ............... 0
//! word      bounds before   │ 2^43 - 1 - the bound
//! fraction                  │ the low bits
//! ```
//!
//! One load and one addition: a table of bounds beside one of their numbers took two
//! loads that wait for each other. A coarser schema merges pairs of buckets, so its
//! index is a shift away. There is no logarithm, which would be wrong by one bucket at
//! some bounds, and no loop.

/// The finest schema that servers accept.
pub(super) const MAX_SCHEMA: i32 = 8;
/// The coarsest schema that servers accept.
pub(super) const MIN_SCHEMA: i32 = -4;

/// The greatest absolute value that is counted in the zero bucket.
pub(super) const ZERO_THRESHOLD: f64 = f64::from_bits((1023 - 128) << 52);

/// Buckets of schema 8 between one power of two and the next.
const PER_OCTAVE: usize = 1 << MAX_SCHEMA;
const FRACTION_BITS: u32 = f64::MANTISSA_DIGITS - 1;
/// Bits of a fraction that select an interval.
const INTERVAL_BITS: u32 = 9;

/// Bits of a fraction within an interval.
const INSIDE_BITS: u32 = FRACTION_BITS - INTERVAL_BITS;
const INSIDE: u64 = (1 << INSIDE_BITS) - 1;

/// The fractions of the bounds `2^(k/256)`, and one above all fractions.
static BOUNDS: [u64; PER_OCTAVE + 1] = bounds();
/// For each interval, the number of bounds below its beginning, and what is missing from
/// the bound inside to its end.
static INTERVALS: [u64; 1 << INTERVAL_BITS] = intervals();

/// Computes the bounds from square roots of 2, in fixed point with 62 fractional
/// bits: 10 more than a double has.
const fn bounds() -> [u64; PER_OCTAVE + 1] {
    const POINT: u32 = 62;
    let mut bounds = [1 << POINT; PER_OCTAVE + 1];
    let mut root: u128 = 2 << POINT;
    let mut bit = PER_OCTAVE / 2;
    while bit > 0 {
        root = (root << POINT).isqrt();
        let mut k = 0;
        while k < PER_OCTAVE {
            if k & bit != 0 {
                bounds[k] = ((bounds[k] as u128 * root) >> POINT) as u64;
            }
            k += 1;
        }
        bit /= 2;
    }
    let excess = POINT - FRACTION_BITS;
    let mut k = 0;
    while k < PER_OCTAVE {
        bounds[k] = (bounds[k] - (1 << POINT) + (1 << (excess - 1))) >> excess;
        k += 1;
    }
    bounds[PER_OCTAVE] = u64::MAX;
    bounds
}

const fn intervals() -> [u64; 1 << INTERVAL_BITS] {
    let bounds = bounds();
    let mut intervals = [0; 1 << INTERVAL_BITS];
    let mut below = 0;
    let mut interval = 0;
    while interval < intervals.len() {
        let start = (interval as u64) << INSIDE_BITS;
        while bounds[below] < start {
            below += 1;
        }
        // Without a bound inside, nothing carries.
        let missing = match bounds[below] - start {
            inside @ ..=INSIDE => INSIDE - inside,
            _ => 0,
        };
        intervals[interval] = (below as u64) << INSIDE_BITS | missing;
        interval += 1;
    }
    intervals
}

/// Returns the index in schema 8 of a finite number above the zero threshold, and
/// `None` for others.
#[inline]
pub(super) fn finest_of_usual(value: f64) -> Option<i32> {
    // In one comparison: the bits of positive numbers are in their order, below those of
    // infinity, NaN and negative numbers.
    const ABOVE_ZERO: u64 = ZERO_THRESHOLD.to_bits() + 1;
    const USUAL: u64 = f64::INFINITY.to_bits() - ABOVE_ZERO;
    let bits = value.to_bits();
    (bits.wrapping_sub(ABOVE_ZERO) < USUAL).then(|| finest_of_bits(bits))
}

/// Returns the index of a positive number in schema 8. The number is normal or
/// infinite; infinity is in the bucket after that of the greatest finite number.
pub(super) fn finest(value: f64) -> i32 {
    // Infinity has the bits of 2^1024, which would be the bound of that bucket.
    finest_of_bits(value.to_bits()) + i32::from(value == f64::INFINITY)
}

#[inline]
fn finest_of_bits(bits: u64) -> i32 {
    let octave = (bits >> FRACTION_BITS) as i32 - 1023;
    let interval = (bits >> INSIDE_BITS) as usize % INTERVALS.len();
    let below = (INTERVALS[interval] + (bits & INSIDE)) >> INSIDE_BITS;
    octave * PER_OCTAVE as i32 + below as i32
}

/// Returns the index of the bucket that holds bucket `index` in a schema that is
/// coarser by `steps`.
#[inline]
pub(super) fn coarser(index: i32, steps: u32) -> i32 {
    // Rounded up, since a bucket includes its upper bound.
    (index + ((1 << steps) - 1)) >> steps
}

/// Returns the upper bound of a bucket.
pub(super) fn upper_bound(schema: i32, index: i32) -> f64 {
    let (octave, fraction) = if schema <= 0 {
        (i64::from(index) << -schema, 0)
    } else {
        let per_octave = 1 << schema;
        let k = index.rem_euclid(per_octave) << (MAX_SCHEMA - schema);
        (i64::from(index.div_euclid(per_octave)), BOUNDS[k as usize])
    };
    match octave {
        1024.. => f64::INFINITY,
        -1022.. => f64::from_bits(((octave + 1023) as u64) << FRACTION_BITS | fraction),
        // Below the zero threshold, where no bucket is.
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_the_roots_of_two() {
        for (k, fraction) in BOUNDS[..PER_OCTAVE].iter().enumerate() {
            let bound = f64::from_bits(1023 << FRACTION_BITS | fraction);
            let expected = (k as f64 / PER_OCTAVE as f64).exp2();
            assert!((bound - expected).abs() <= f64::EPSILON, "{k}: {bound}");
        }
        assert!(BOUNDS.is_sorted_by(|a, b| a < b));
        assert_eq!(BOUNDS[0], 0);
        assert_eq!(
            BOUNDS[PER_OCTAVE / 2],
            2f64.sqrt().to_bits() & ((1 << 52) - 1)
        );
    }

    #[test]
    fn interval_has_at_most_one_bound() {
        let interval = |bound: &u64| bound >> (FRACTION_BITS - INTERVAL_BITS);
        let intervals: Vec<u64> = BOUNDS[..PER_OCTAVE].iter().map(interval).collect();
        assert!(intervals.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn bucket_includes_its_upper_bound() {
        for schema in MIN_SCHEMA..=MAX_SCHEMA {
            let steps = (MAX_SCHEMA - schema) as u32;
            let index = |value| coarser(finest(value), steps);
            let first = index(ZERO_THRESHOLD.next_up());
            for i in first..index(f64::MAX) {
                let bound = upper_bound(schema, i);
                assert_eq!(index(bound), i, "schema {schema}");
                assert_eq!(index(bound.next_up()), i + 1, "schema {schema}");
            }
            assert_eq!(upper_bound(schema, index(f64::MAX)), f64::INFINITY);
            assert_eq!(index(f64::INFINITY), index(f64::MAX) + 1, "schema {schema}");
        }
    }
}
