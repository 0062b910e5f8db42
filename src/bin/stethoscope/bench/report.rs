//! The report: as text for people and as JSON for scripts.

use super::Target;
use super::baseline::Comparison;
use crate::json::{number, string};
use crate::units::readable;
use std::fmt::Write as _;

/// The quantiles reported: their names in JSON and in text, and the shares.
const QUANTILES: [(&str, &str, f64); 6] = [
    ("min", "best", 0.0),
    ("p50", "median", 0.5),
    ("p90", "90 %", 0.9),
    ("p99", "99 %", 0.99),
    ("p999", "99.9 %", 0.999),
    ("max", "worst", 1.0),
];
/// The rows and columns of a histogram.
const ROWS: usize = 12;
const COLUMNS: usize = 44;

/// The scrapes of one target, summed up.
struct TargetSummary {
    /// Sorted.
    times: Vec<f64>,
    first_byte_share: f64,
    mean_bytes: f64,
    a_second: f64,
    cpu_a_scrape: Option<f64>,
}

impl TargetSummary {
    fn of(target: &Target) -> Self {
        let scrapes = &target.scrapes;
        let mut times: Vec<f64> = scrapes.iter().map(|a| a.whole.as_secs_f64()).collect();
        let whole: f64 = times.iter().sum();
        let first_byte: f64 = scrapes.iter().map(|a| a.first_byte.as_secs_f64()).sum();
        let bytes: f64 = scrapes.iter().map(|a| a.bytes as f64).sum();
        times.sort_by(f64::total_cmp);
        let count = times.len() as f64;
        Self {
            first_byte_share: first_byte / whole,
            mean_bytes: bytes / count,
            a_second: count / target.elapsed.as_secs_f64(),
            // The last probe is a scrape, too.
            cpu_a_scrape: target.cpu.map(|cpu| cpu / (count + 1.0)),
            times,
        }
    }

    /// NaN if no scrape was answered.
    fn quantile(&self, share: f64) -> f64 {
        let last = self.times.len().saturating_sub(1) as f64;
        self.times
            .get((last * share).round() as usize)
            .copied()
            .unwrap_or(f64::NAN)
    }
}

pub(super) fn text(
    targets: &[Target],
    gzip: bool,
    rate: Option<f64>,
    comparison: Option<&Comparison>,
) -> String {
    let mut text = String::new();
    let summaries: Vec<TargetSummary> = targets.iter().map(TargetSummary::of).collect();
    for (target, summary) in targets.iter().zip(&summaries) {
        one(&mut text, target, summary, gzip, rate).expect("a String takes all");
    }
    if let [first, second] = &summaries[..] {
        compare(&mut text, (&targets[0], first), (&targets[1], second))
            .expect("a String takes all");
    }
    if let Some(comparison) = comparison {
        text += &comparison.text();
    }
    text
}

fn one(
    text: &mut String,
    target: &Target,
    summary: &TargetSummary,
    gzip: bool,
    rate: Option<f64>,
) -> std::fmt::Result {
    writeln!(text, "{}", target.url.text)?;
    page_lines(text, target)?;
    if !summary.times.is_empty() {
        scrape_lines(text, target, summary, gzip)?;
    }
    cost_lines(text, target, summary)?;
    for (why, times) in &target.failures {
        let times = counted(*times, "time", "times");
        writeln!(text, "  FAILED       {times}: {why}")?;
    }
    if let Some(rate) = rate.filter(|rate| summary.a_second < *rate) {
        writeln!(text, "  TOO SLOW     for {rate} scrapes a second")?;
    }
    text.push('\n');
    histogram(text, &summary.times)
}

/// Writes what a page holds, and its size.
fn page_lines(text: &mut String, target: &Target) -> std::fmt::Result {
    let page = &target.page;
    let samples = counted(page.samples, "sample", "samples");
    let families = counted(page.families, "family", "families");
    let content_type = target.first.content_type.as_deref();
    let content_type = content_type.unwrap_or("no Content-Type");
    writeln!(
        text,
        "  page         {samples} of {families}, {content_type}"
    )?;
    if target.samples_at_end != page.samples {
        let samples = counted(target.samples_at_end, "sample", "samples");
        writeln!(text, "               {samples} at the end")?;
    }
    let plain = grouped(page.bytes as f64);
    let Some(compressed) = target.compressed else {
        return writeln!(
            text,
            "  bytes        {plain} plain; the server does not compress"
        );
    };
    let share = compressed as f64 / page.bytes as f64 * 100.0;
    let compressed = grouped(compressed as f64);
    writeln!(
        text,
        "  bytes        {plain} plain, {compressed} compressed ({share:.1} %)"
    )
}

/// Writes how many scrapes were answered, and how fast.
fn scrape_lines(
    text: &mut String,
    target: &Target,
    summary: &TargetSummary,
    gzip: bool,
) -> std::fmt::Result {
    let count = grouped(summary.times.len() as f64);
    let compressed = match gzip && target.first.is_gzip() {
        true => " compressed",
        false => "",
    };
    let scrapes = grouped(summary.a_second);
    let samples = grouped(summary.a_second * target.page.samples as f64);
    writeln!(
        text,
        "  scrapes      {count}{compressed} answered; {scrapes} a second back to back, \
         {samples} samples a second"
    )?;
    text.push_str("  latency     ");
    for (_, name, share) in QUANTILES {
        write!(text, " {name} {}  ", readable(summary.quantile(share)))?;
    }
    text.truncate(text.trim_end().len());
    let share = summary.first_byte_share * 100.0;
    writeln!(text, "\n  first byte   after {share:.0} % of it")
}

/// Writes the time that a scrape takes to parse, and to serve.
fn cost_lines(text: &mut String, target: &Target, summary: &TargetSummary) -> std::fmt::Result {
    let parsing = readable(target.page.parse.as_secs_f64());
    writeln!(text, "  parsing      {parsing} in this tool")?;
    match summary.cpu_a_scrape.map(readable) {
        Some(cpu) => writeln!(
            text,
            "  server's cpu {cpu} a scrape, including everything else it did"
        ),
        None => writeln!(
            text,
            "  server's cpu unknown: the page has no process_cpu_seconds_total"
        ),
    }
}

/// Draws the times in rows of equal factors.
fn histogram(text: &mut String, times: &[f64]) -> std::fmt::Result {
    let (Some(&least), Some(&most)) = (times.first(), times.last()) else {
        return Ok(());
    };
    let factor = (most / least).powf(1.0 / ROWS as f64).max(1.05);
    let mut counts = [0usize; ROWS];
    for time in times {
        let row = ((time / least).ln() / factor.ln()) as usize;
        counts[row.min(ROWS - 1)] += 1;
    }
    let last = counts.iter().rposition(|count| *count > 0).unwrap_or(0);
    let largest = counts.iter().max().copied().unwrap_or(1).max(1);
    for (row, count) in counts[..=last].iter().enumerate() {
        let from = least * factor.powi(row as i32);
        writeln!(
            text,
            "  {:>9} │{} {}",
            readable(from),
            bar(*count, largest),
            grouped(*count as f64)
        )?;
    }
    text.push('\n');
    Ok(())
}

/// Draws a bar in eighths of a column. A count above 0 is always visible.
fn bar(count: usize, largest: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (count * COLUMNS * 8).div_ceil(largest);
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

fn compare(
    text: &mut String,
    (first_target, first): (&Target, &TargetSummary),
    (second_target, second): (&Target, &TargetSummary),
) -> std::fmt::Result {
    writeln!(text, "the second as a multiple of the first")?;
    let mut ratio = |name: &str, of: f64, to: f64| {
        if of.is_finite() && to.is_finite() && to > 0.0 {
            writeln!(text, "  {name:<14} {:>8.2}", of / to)
        } else {
            Ok(())
        }
    };
    for (_, name, share) in QUANTILES {
        ratio(name, second.quantile(share), first.quantile(share))?;
    }
    ratio("bytes", second.mean_bytes, first.mean_bytes)?;
    ratio(
        "samples",
        second_target.page.samples as f64,
        first_target.page.samples as f64,
    )?;
    let cpu = |summary: &TargetSummary| summary.cpu_a_scrape.unwrap_or(f64::NAN);
    ratio("server's cpu", cpu(second), cpu(first))
}

pub(super) fn json(targets: &[Target], gzip: bool, comparison: Option<&Comparison>) -> String {
    let mut text = String::from("{\"targets\":[");
    for (index, target) in targets.iter().enumerate() {
        let separator = if index == 0 { "" } else { "," };
        text.push_str(separator);
        one_json(&mut text, target, gzip).expect("a String takes all");
    }
    text.push(']');
    if let [first, second] = targets {
        let (first, second) = (TargetSummary::of(first), TargetSummary::of(second));
        let ratio = second.quantile(0.5) / first.quantile(0.5);
        write!(text, ",\"median_ratio\":{}", number(ratio)).expect("a String takes all");
    }
    if let Some(comparison) = comparison {
        write!(text, ",\"baseline\":{}", comparison.json()).expect("a String takes all");
    }
    text.push('}');
    text
}

fn one_json(text: &mut String, target: &Target, gzip: bool) -> std::fmt::Result {
    let (page, summary) = (&target.page, TargetSummary::of(target));
    let content_type = target.first.content_type.as_deref().unwrap_or_default();
    let compressed = target.compressed.map_or(f64::NAN, |bytes| bytes as f64);
    let failed: usize = target.failures.iter().map(|(_, times)| times).sum();
    let cpu = summary.cpu_a_scrape.unwrap_or(f64::NAN);
    let seconds = QUANTILES.map(|(name, _, share)| {
        let seconds = number(summary.quantile(share));
        format!("\"{name}\":{seconds}")
    });
    let failures: Vec<String> = (target.failures.iter())
        .map(|(why, times)| format!("{{\"why\":{},\"times\":{times}}}", string(why)))
        .collect();
    let mut separator = '{';
    let mut field = |name: &str, json: &str| {
        write!(text, "{separator}\"{name}\":{json}")?;
        separator = ',';
        Ok(())
    };
    field("url", &string(&target.url.text))?;
    field("content_type", &string(content_type))?;
    field("gzip", &(gzip && target.first.is_gzip()).to_string())?;
    field("families", &page.families.to_string())?;
    field("samples", &page.samples.to_string())?;
    field("samples_at_end", &target.samples_at_end.to_string())?;
    let (plain, compressed) = (page.bytes, number(compressed));
    let bytes = format!("{{\"plain\":{plain},\"compressed\":{compressed}}}");
    field("bytes", &bytes)?;
    field("scrapes", &summary.times.len().to_string())?;
    field("failed", &failed.to_string())?;
    field("scrapes_per_second", &number(summary.a_second))?;
    let samples = summary.a_second * page.samples as f64;
    field("samples_per_second", &number(samples))?;
    field("seconds", &format!("{{{}}}", seconds.join(",")))?;
    field("first_byte_share", &number(summary.first_byte_share))?;
    field("parse_seconds", &number(page.parse.as_secs_f64()))?;
    field("server_cpu_seconds_per_scrape", &number(cpu))?;
    field("failures", &format!("[{}]", failures.join(",")))?;
    text.push('}');
    Ok(())
}

/// Writes a number and the word for one thing or for several.
fn counted(number: usize, one: &str, many: &str) -> String {
    let word = if number == 1 { one } else { many };
    format!("{} {word}", grouped(number as f64))
}

/// Writes a whole number in groups of three digits.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at) % 3 == 0 && digit.is_ascii_digit() {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_groups_and_units() {
        assert_eq!(grouped(0.4), "0");
        assert_eq!(grouped(999.0), "999");
        assert_eq!(grouped(1_234_567.0), "1,234,567");
        let families = |number| counted(number, "family", "families");
        assert_eq!(
            (&*families(1), &*families(1_000)),
            ("1 family", "1,000 families")
        );
        assert_eq!(readable(9.5e-8), "95 ns");
        assert_eq!(readable(0.000_123_4), "123 us");
        assert_eq!(readable(0.0123), "12.30 ms");
        assert_eq!(readable(75.0), "75.00 s");
    }

    #[test]
    fn histogram_counts_every_scrape_once() {
        for times in [
            vec![1e-3],
            vec![1e-3; 100],
            (1..=100).map(|n| f64::from(n) * 1e-4).collect(),
        ] {
            let mut text = String::new();
            histogram(&mut text, &times).unwrap();
            let counted = |line: &str| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap();
            let total: usize = text
                .lines()
                .filter(|line| !line.is_empty())
                .map(counted)
                .sum();
            assert_eq!(total, times.len(), "{text}");
        }
        let mut text = String::new();
        histogram(&mut text, &[]).unwrap();
        assert_eq!(text, "");
    }
}
