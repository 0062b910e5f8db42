//! Saved runs, and the comparison of a run with an earlier one.
//!
//! The ratio of two medians comes with an interval that covers what noise can do:
//!
//! - Scrapes that follow one another are alike, so each run is cut into blocks of
//!   successive scrapes. Resampling the blocks with replacement, many times for both
//!   runs, gives the distribution of the ratio (a block bootstrap).
//! - The machine may have been faster or slower during the earlier run. A fixed
//!   calculation is timed beside each run, and the interval is widened by the ratio
//!   of its times.
//!
//! A verdict needs the whole interval on one side of the limit. If it is on both,
//! the result is undecided, which is not a failure.

use super::Target;
use crate::json::{number, string};
use crate::units::readable;
use crate::{UsageError, output};
use serde_json::Value;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// The blocks that a run is cut into.
const BLOCKS: usize = 20;
/// The scrapes that a run needs to be compared.
const MIN_SCRAPES: usize = 5 * BLOCKS;
/// The number of resamplings.
const RESAMPLINGS: usize = 2000;
/// The share of resampled ratios outside the interval, on each side.
const OUTSIDE: f64 = 0.005;
/// The version of the file format.
const VERSION: u64 = 1;

/// A run: what a later one is compared with.
pub(super) struct Run {
    pub(super) url: String,
    content_type: String,
    gzip: bool,
    samples: usize,
    /// The time of a fixed calculation beside the run, in seconds.
    calibration: f64,
    /// The latencies in seconds, in the order of the scrapes.
    pub(super) seconds: Vec<f64>,
}

impl Run {
    pub(super) fn of(target: &Target, gzip: bool, calibration: Duration) -> Self {
        let seconds = target
            .scrapes
            .iter()
            .map(|scrape| scrape.whole.as_secs_f64());
        Self {
            url: target.url.text.clone(),
            content_type: target.first.content_type.clone().unwrap_or_default(),
            gzip: gzip && target.first.is_gzip(),
            samples: target.page.samples,
            calibration: calibration.as_secs_f64(),
            seconds: seconds.collect(),
        }
    }

    /// Saves the run, and warns if it is too short for a comparison.
    pub(super) fn save(&self, path: &Path) -> Result<(), UsageError> {
        if self.seconds.len() < MIN_SCRAPES {
            output::eprintln(format_args!(
                "{}: warning: this run has {} scrapes, too few for --baseline, which needs \
                 {MIN_SCRAPES}: use a longer --for",
                path.display(),
                self.seconds.len()
            ));
        }
        let seconds: Vec<String> = self.seconds.iter().map(|&time| number(time)).collect();
        let text = format!(
            "{{\"stethoscope_bench\":{VERSION},\"url\":{},\"content_type\":{},\"gzip\":{},\
             \"samples\":{},\"calibration_seconds\":{},\"seconds\":[{}]}}\n",
            string(&self.url),
            string(&self.content_type),
            self.gzip,
            self.samples,
            number(self.calibration),
            seconds.join(",")
        );
        replace(path, &text)
            .map_err(|error| UsageError::new(format!("{}: {error}", path.display())))
    }

    pub(super) fn load(path: &Path) -> Result<Self, UsageError> {
        let unusable = |why: &str| UsageError::new(format!("{}: {why}", path.display()));
        let text = fs::read_to_string(path).map_err(|error| unusable(&error.to_string()))?;
        let value: Value = serde_json::from_str(&text)
            .map_err(|error| unusable(&format!("not a saved run: {error}")))?;
        if value["stethoscope_bench"] != VERSION {
            return Err(unusable(
                "not a saved run of this version: expected a file of bench --save",
            ));
        }
        let invalid = || unusable("not a saved run: a field is missing or invalid");
        let times = value["seconds"].as_array().ok_or_else(invalid)?;
        let positive = |time: &Value| time.as_f64().filter(|time| *time > 0.0);
        let seconds: Option<Vec<f64>> = times.iter().map(positive).collect();
        Ok(Self {
            url: value["url"].as_str().ok_or_else(invalid)?.to_owned(),
            content_type: (value["content_type"].as_str().ok_or_else(invalid)?).to_owned(),
            gzip: value["gzip"].as_bool().ok_or_else(invalid)?,
            samples: value["samples"].as_u64().ok_or_else(invalid)? as usize,
            calibration: positive(&value["calibration_seconds"]).ok_or_else(invalid)?,
            seconds: seconds.ok_or_else(invalid)?,
        })
    }
}

/// Times a fixed calculation: the shortest of some runs, which interruptions by
/// other programs do not lengthen.
pub(super) fn calibrate() -> Duration {
    let once = || {
        let begun = Instant::now();
        let mut state = black_box(1u64);
        for _ in 0..500_000 {
            state = splitmix(&mut state);
        }
        black_box(state);
        begun.elapsed()
    };
    (0..20).map(|_| once()).min().unwrap_or_default()
}

/// The splitmix64 generator of pseudo-random numbers.
fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Above,
    Below,
    Undecided,
}

/// A run compared with an earlier one.
pub(super) struct Comparison {
    /// The medians of the earlier run and of this one, in seconds.
    medians: [f64; 2],
    /// The machine's slowness now as a multiple of then.
    machine: f64,
    ratio: f64,
    low: f64,
    high: f64,
    limit: Option<f64>,
    /// The differences that make the runs unlike each other.
    differences: Vec<String>,
}

impl Comparison {
    /// Compares a run with an earlier one. `limit` is the increase allowed.
    pub(super) fn new(earlier: &Run, now: &Run, limit: Option<f64>) -> Result<Self, UsageError> {
        for (run, which) in [(earlier, "the baseline"), (now, "this run")] {
            if run.seconds.len() < MIN_SCRAPES {
                return Err(UsageError::new(format!(
                    "{which} has {} scrapes, but a comparison needs {MIN_SCRAPES}: use a longer \
                     --for",
                    run.seconds.len()
                )));
            }
        }
        let medians = [median(&earlier.seconds), median(&now.seconds)];
        let machine = now.calibration / earlier.calibration;
        let (low, high) = interval(&earlier.seconds, &now.seconds);
        let mut differences = Vec::new();
        let mut differ = |what: &str, was: String, is: String| {
            if was != is {
                // A file may say anything.
                let was = output::one_line(&was);
                differences.push(format!("{what}: {was}, now {is}"));
            }
        };
        differ("URL", earlier.url.clone(), now.url.clone());
        differ(
            "Content-Type",
            earlier.content_type.clone(),
            now.content_type.clone(),
        );
        differ("gzip", earlier.gzip.to_string(), now.gzip.to_string());
        differ(
            "samples",
            earlier.samples.to_string(),
            now.samples.to_string(),
        );
        Ok(Self {
            medians,
            machine,
            ratio: medians[1] / medians[0],
            // A slower machine may explain a slower endpoint, a faster one a faster.
            low: low / machine.max(1.0),
            high: high / machine.min(1.0),
            limit,
            differences,
        })
    }

    fn verdict(&self) -> Verdict {
        let limit = 1.0 + self.limit.unwrap_or(0.0);
        if self.low > limit {
            Verdict::Above
        } else if self.high <= limit {
            Verdict::Below
        } else {
            Verdict::Undecided
        }
    }

    /// Returns true if the cost is surely above the limit, and there is a limit.
    pub(super) fn is_above(&self) -> bool {
        self.limit.is_some() && self.verdict() == Verdict::Above
    }

    fn describe(&self) -> String {
        let percent = |ratio: f64| format!("{:+.1} %", (ratio - 1.0) * 100.0);
        match (self.verdict(), self.limit) {
            (Verdict::Above, Some(limit)) => format!(
                "FAILED: surely more than {} slower, at least {}",
                percent(1.0 + limit),
                percent(self.low)
            ),
            (Verdict::Below, Some(limit)) => format!("passed: at most {}", percent(1.0 + limit)),
            (Verdict::Undecided, Some(limit)) => format!(
                "undecided: the noise is too large to tell whether it is above {}; use a longer \
                 --for",
                percent(1.0 + limit)
            ),
            (Verdict::Above, None) => format!("slower, at least {}", percent(self.low)),
            (Verdict::Below, None) => format!("faster, at least {}", percent(self.high)),
            (Verdict::Undecided, None) => "no difference beyond the noise".to_owned(),
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = "against the baseline\n".to_owned();
        for difference in &self.differences {
            _ = writeln!(text, "  NOTE         the runs differ in {difference}");
        }
        let [was, is] = self.medians.map(readable);
        _ = writeln!(text, "  median       {was}, now {is}");
        _ = writeln!(
            text,
            "  ratio        {:.3}, between {:.3} and {:.3} (99 %)",
            self.ratio, self.low, self.high
        );
        _ = writeln!(
            text,
            "  machine      a fixed calculation takes {:.3} times as long as then",
            self.machine
        );
        _ = writeln!(text, "  verdict      {}", self.describe());
        text
    }

    pub(super) fn json(&self) -> String {
        let verdict = match self.verdict() {
            Verdict::Above => "above",
            Verdict::Below => "below",
            Verdict::Undecided => "undecided",
        };
        format!(
            "{{\"median_seconds\":{},\"ratio\":{},\"low\":{},\"high\":{},\"machine\":{},\
             \"fail_above\":{},\"verdict\":\"{verdict}\"}}",
            number(self.medians[0]),
            number(self.ratio),
            number(self.low),
            number(self.high),
            number(self.machine),
            self.limit.map_or("null".to_owned(), number),
        )
    }
}

fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Returns the interval of the ratio of medians, by a block bootstrap.
fn interval(earlier: &[f64], now: &[f64]) -> (f64, f64) {
    // The median of a resample is approximated by that of its blocks' medians, which
    // makes thousands of resamples cheap.
    let block_medians = |times: &[f64]| -> Vec<f64> {
        let len = times.len() / BLOCKS;
        times.chunks_exact(len).map(median).collect()
    };
    let (earlier, now) = (block_medians(earlier), block_medians(now));
    let mut state = 1;
    let mut resampled = |blocks: &[f64]| {
        let mut pick = || blocks[(splitmix(&mut state) % blocks.len() as u64) as usize];
        median(&(0..blocks.len()).map(|_| pick()).collect::<Vec<f64>>())
    };
    let mut ratios: Vec<f64> = (0..RESAMPLINGS)
        .map(|_| resampled(&now) / resampled(&earlier))
        .collect();
    ratios.sort_by(f64::total_cmp);
    let at = |share: f64| ratios[((RESAMPLINGS - 1) as f64 * share).round() as usize];
    (at(OUTSIDE), at(1.0 - OUTSIDE))
}

/// Writes a file anew: the one before stays if that fails halfway.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    // A link, a pipe and a device stay what they are.
    if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        return fs::write(path, text);
    }
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!(".{}", std::process::id()));
    // The file may be writable where its directory is not.
    let Ok(mut file) = File::create_new(&unfinished) else {
        return fs::write(path, text);
    };
    let written = { file.write_all(text.as_bytes()) }.and_then(|()| fs::rename(&unfinished, path));
    if written.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_replaced_also_where_none_can_be_made_beside_it() {
        let directory = std::env::temp_dir().join(format!("replace-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        // Nothing can be added to the second name.
        for name in ["short".to_owned(), "x".repeat(255)] {
            let path = directory.join(name);
            for text in ["one", "other"] {
                replace(&path, text).unwrap();
                assert_eq!(fs::read_to_string(&path).unwrap(), text);
            }
        }
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 2);
        fs::remove_dir_all(&directory).unwrap();
    }

    /// A run whose latencies are `base` with noise that drifts from block to block.
    fn run(base: f64, noise: f64, seed: u64, calibration: f64) -> Run {
        let mut state = seed;
        let mut drift = 0.0;
        let seconds = (0..2000).map(|index| {
            let unit = splitmix(&mut state) as f64 / u64::MAX as f64;
            if index % 50 == 0 {
                drift = noise * (unit - 0.5);
            }
            base * (1.0 + drift + 0.1 * unit)
        });
        Run {
            url: "http://host/metrics".to_owned(),
            content_type: "text/plain".to_owned(),
            gzip: false,
            samples: 10,
            calibration,
            seconds: seconds.collect(),
        }
    }

    fn compare(earlier: &Run, now: &Run, limit: f64) -> Verdict {
        let comparison = Comparison::new(earlier, now, Some(limit)).expect("enough scrapes");
        comparison.verdict()
    }

    #[test]
    fn noise_alone_never_fails_a_run() {
        for seed in 1..200 {
            let (earlier, now) = (run(1e-3, 0.5, seed, 1.0), run(1e-3, 0.5, seed + 1000, 1.0));
            assert_ne!(compare(&earlier, &now, 0.1), Verdict::Above, "{seed}");
        }
    }

    #[test]
    fn slower_endpoint_fails_above_the_limit() {
        let (earlier, now) = (run(1e-3, 0.1, 1, 1.0), run(1.5e-3, 0.1, 2, 1.0));
        assert_eq!(compare(&earlier, &now, 0.1), Verdict::Above);
        assert_eq!(compare(&earlier, &now, 0.9), Verdict::Below);
        assert_eq!(compare(&now, &earlier, 0.1), Verdict::Below);
    }

    #[test]
    fn slower_machine_leaves_the_verdict_undecided() {
        let (earlier, now) = (run(1e-3, 0.1, 1, 1.0), run(1.5e-3, 0.1, 2, 1.5));
        assert_eq!(compare(&earlier, &now, 0.1), Verdict::Undecided);
    }

    #[test]
    fn short_run_can_not_be_compared() {
        let mut short = run(1e-3, 0.1, 1, 1.0);
        short.seconds.truncate(MIN_SCRAPES - 1);
        assert!(Comparison::new(&short, &run(1e-3, 0.1, 2, 1.0), None).is_err());
    }
}
