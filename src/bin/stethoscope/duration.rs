//! Times as they are given on the command line.

use std::time::Duration;

/// `10s`, `500ms`, `2m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let unit_at = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit {
        "ms" => 1e-3,
        "s" | "" => 1.0,
        "m" => 60.0,
        _ => return Err("say it in ms, s or m, like 500ms, 10s or 2m".to_owned()),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| "say how many, like 10s".to_owned())?;
    let duration = Duration::try_from_secs_f64(number * seconds);
    match duration {
        // Sums of times beyond that need not fit anything.
        Ok(duration) if duration > A_YEAR => Err("it must be no longer than a year".to_owned()),
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("it must be longer than nothing".to_owned()),
    }
}

const A_YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_with_their_unit() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("0.5m"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["", "s", "0s", "-1s", "1h", "1e99m", "1e15s", "NaNs"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
