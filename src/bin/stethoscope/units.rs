//! Values with units: durations and sizes.

use std::time::Duration;

/// Parses `500ms`, `10s`, `2m` or `1h`. A number alone is in seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let invalid =
        |why: &str| format!("{why}: expected a time above zero, for example 500ms, 5s, 2m or 1h");
    let (number, unit) = split(text);
    let seconds = match unit {
        "ms" => 1e-3,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(invalid("unknown unit")),
    };
    let number: f64 = number.parse().map_err(|_| invalid("invalid number"))?;
    let duration = Duration::try_from_secs_f64(number * seconds);
    match duration {
        // Sums of longer times could overflow.
        Ok(duration) if duration > A_YEAR => Err(invalid("longer than a year")),
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(invalid("not above zero")),
    }
}

const A_YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Writes a time in seconds in the unit that fits it.
pub(super) fn readable(seconds: f64) -> String {
    let duration = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    match duration.as_nanos() {
        0..10_000 => format!("{seconds:.0} ns", seconds = seconds * 1e9),
        10_000..1_000_000 => format!("{:.0} us", seconds * 1e6),
        1_000_000..1_000_000_000 => format!("{:.2} ms", seconds * 1e3),
        _ => format!("{seconds:.2} s"),
    }
}

/// Writes a number of bytes in full, in the largest unit that has a whole number of them.
pub(super) fn bytes(number: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let whole = |(_, shift): &(&str, u32)| number.trailing_zeros() >= *shift;
    match (number, units.iter().find(|unit| whole(unit))) {
        (1, _) => "1 byte".to_owned(),
        (1.., Some((unit, shift))) => format!("{} {unit}", number >> shift),
        _ => format!("{number} bytes"),
    }
}

/// Parses a number of bytes: `4096`, `64KiB`, `1MiB` or `2GiB`.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let invalid = || {
        "invalid size: expected a number of bytes, KiB, MiB or GiB, for example 64MiB".to_owned()
    };
    let (number, unit) = split(text);
    let unit: u64 = match unit {
        "" | "B" => 1,
        "KiB" | "K" | "k" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        _ => return Err(invalid()),
    };
    let number: u64 = number.parse().map_err(|_| invalid())?;
    match number.checked_mul(unit) {
        Some(bytes) if bytes > 0 => Ok(bytes),
        _ => Err(invalid()),
    }
}

/// Splits a text at its first letter.
fn split(text: &str) -> (&str, &str) {
    let unit = text.find(|c: char| c.is_ascii_alphabetic());
    text.split_at(unit.unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("0.5m"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        assert_eq!(duration("5"), Ok(Duration::from_secs(5)));
        for wrong in ["", "s", "0s", "-1s", "1d", "1e99m", "1e15s", "NaNs"] {
            let error = duration(wrong).expect_err(wrong);
            assert!(error.contains("expected a time above zero"), "{error}");
        }
        assert!(duration("0").unwrap_err().starts_with("not above zero"));
    }

    #[test]
    fn bytes_are_written_in_full() {
        for (number, text) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1000, "1000 bytes"),
            (1 << 10, "1 KiB"),
            ((1 << 20) + (1 << 10), "1025 KiB"),
            (512 << 20, "512 MiB"),
            (2048 << 20, "2 GiB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn sizes_have_binary_units() {
        assert_eq!(size("100"), Ok(100));
        assert_eq!(size("2MiB"), Ok(2 << 20));
        assert_eq!(size("1G"), Ok(1 << 30));
        for wrong in ["", "0", "MiB", "1.5M", "-1", "1TB", "99999999999GiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
