//! Draws the distributions of latencies as an SVG file.
//!
//! Each run is an outline of its histogram over a logarithmic axis of time, so that
//! the median and the tail of both can be compared by eye.

use super::Target;
use super::baseline::Run;
use crate::UsageError;
use crate::units::readable;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 20.0;
const RIGHT: f64 = 740.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 320.0;
const BINS: usize = 80;
const COLORS: [&str; 3] = ["#1f77b4", "#d62728", "#7f7f7f"];

/// A distribution to draw.
struct Curve {
    name: String,
    /// Sorted, in seconds.
    times: Vec<f64>,
    color: &'static str,
}

/// Draws the targets and the baseline.
pub(super) fn draw(
    path: &Path,
    targets: &[Target],
    baseline: Option<&Run>,
) -> Result<(), UsageError> {
    let mut runs: Vec<(String, Vec<f64>)> = Vec::new();
    for target in targets {
        let times = target
            .scrapes
            .iter()
            .map(|scrape| scrape.whole.as_secs_f64());
        runs.push((target.url.text.clone(), times.collect()));
    }
    if let Some(run) = baseline {
        runs.push((format!("baseline: {}", run.url), run.seconds.clone()));
    }
    let curves = runs.into_iter().zip(COLORS);
    let curves = curves.map(|((name, mut times), color)| {
        times.sort_by(f64::total_cmp);
        Curve { name, times, color }
    });
    let curves: Vec<Curve> = curves.filter(|curve| !curve.times.is_empty()).collect();
    fs::write(path, svg(&curves))
        .map_err(|error| UsageError::new(format!("{}: {error}", path.display())))
}

fn svg(curves: &[Curve]) -> String {
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    // The slowest thousandth would squeeze the rest together.
    let quantile = |curve: &Curve, share: f64| {
        curve.times[((curve.times.len() - 1) as f64 * share).round() as usize]
    };
    let least = curves.iter().map(|curve| curve.times[0]);
    let most = curves.iter().map(|curve| quantile(curve, 0.999));
    let (least, most) = (
        least.fold(f64::INFINITY, f64::min),
        most.fold(0.0, f64::max),
    );
    let axis = Axis::new(least, most);
    axis.draw(&mut text);
    let histograms: Vec<[f64; BINS]> = curves.iter().map(|curve| axis.histogram(curve)).collect();
    let highest = (histograms.iter().flatten()).fold(0.0, |a: f64, &b| a.max(b));
    for (index, (curve, shares)) in curves.iter().zip(&histograms).enumerate() {
        let y = |share: f64| BOTTOM - share / highest.max(f64::MIN_POSITIVE) * (BOTTOM - TOP);
        let mut outline = format!("M{LEFT:.1},{BOTTOM:.1}");
        for (bin, &share) in shares.iter().enumerate() {
            let (from, to) = (axis.bin(bin), axis.bin(bin + 1));
            _ = write!(outline, "L{from:.1},{y:.1}L{to:.1},{y:.1}", y = y(share));
        }
        _ = write!(outline, "L{RIGHT:.1},{BOTTOM:.1}Z");
        let Curve { name, color, .. } = curve;
        let median = quantile(curve, 0.5);
        let x = axis.x(median);
        let legend = 16.0 + 16.0 * index as f64;
        _ = write!(
            text,
            "<path d=\"{outline}\" fill=\"{color}\" fill-opacity=\"0.25\" stroke=\"{color}\"/>\n\
             <line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{BOTTOM}\" stroke=\"{color}\" \
             stroke-dasharray=\"4 3\"/>\n\
             <text x=\"{LEFT}\" y=\"{legend}\" fill=\"{color}\">{}: median {}, 99 % {}, {} \
             scrapes</text>\n",
            escaped(name),
            readable(median),
            readable(quantile(curve, 0.99)),
            curve.times.len(),
        );
    }
    text + "</svg>\n"
}

/// A logarithmic axis of time.
struct Axis {
    from: f64,
    to: f64,
}

impl Axis {
    fn new(least: f64, most: f64) -> Self {
        let least = if least.is_finite() { least } else { 1e-3 };
        Self {
            from: least.ln(),
            // Equal times still need an axis.
            to: most.max(least * 1.05).ln(),
        }
    }

    fn x(&self, time: f64) -> f64 {
        let share = (time.ln() - self.from) / (self.to - self.from);
        LEFT + share.clamp(0.0, 1.0) * (RIGHT - LEFT)
    }

    /// Returns the left edge of a bin.
    fn bin(&self, bin: usize) -> f64 {
        LEFT + (RIGHT - LEFT) * bin as f64 / BINS as f64
    }

    /// Returns the share of the scrapes in each bin. The last bin has all slower
    /// ones, too.
    fn histogram(&self, curve: &Curve) -> [f64; BINS] {
        let mut shares = [0.0; BINS];
        for &time in &curve.times {
            let bin = (self.x(time) - LEFT) / (RIGHT - LEFT) * BINS as f64;
            shares[(bin as usize).min(BINS - 1)] += 1.0 / curve.times.len() as f64;
        }
        shares
    }

    fn draw(&self, text: &mut String) {
        _ = writeln!(
            text,
            "<line x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{BOTTOM}\" y2=\"{BOTTOM}\" stroke=\"black\"/>"
        );
        for tick in 0..=6 {
            let time = (self.from + (self.to - self.from) * f64::from(tick) / 6.0).exp();
            let x = self.x(time);
            let anchor = match tick {
                0 => "start",
                6 => "end",
                _ => "middle",
            };
            _ = writeln!(
                text,
                "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
                BOTTOM + 18.0,
                readable(time)
            );
        }
    }
}

/// Escapes text for XML and drops what XML does not allow.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars().filter(|c| !c.is_control()) {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_stay_within_the_picture() {
        let curve = |times: &[f64], name: &str| Curve {
            name: name.to_owned(),
            times: times.to_vec(),
            color: COLORS[0],
        };
        for curves in [
            vec![],
            vec![curve(&[1e-3], "a<b>&c")],
            vec![
                curve(&[1e-4, 2e-4, 5.0], "first"),
                curve(&[1e-3, 1e-3, 1e-3], "second"),
            ],
        ] {
            let drawn = svg(&curves);
            assert_eq!(drawn.matches("<path").count(), curves.len());
            assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
            assert!(!drawn.contains("<b>"), "{drawn}");
        }
    }
}
