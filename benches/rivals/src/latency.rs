//! Times of many single updates: counted by size, read as percentiles, drawn.

use std::fmt::Write;
use std::time::Duration;

/// Bins of an octave: a time is told to within 1/32 of it.
const BINS: usize = 32;

/// How often each latency was seen, from a nanosecond to hours.
pub struct Latencies {
    bins: Vec<u64>,
    worst: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            bins: vec![0; 64 * BINS],
            worst: 0,
        }
    }
}

impl Latencies {
    pub fn record(&mut self, latency: Duration) {
        let nanoseconds = latency.as_nanos() as u64;
        self.bins[bin(nanoseconds)] += 1;
        self.worst = self.worst.max(nanoseconds);
    }

    /// Takes over what another has seen.
    pub fn add(&mut self, other: &Self) {
        for (mine, others) in self.bins.iter_mut().zip(&other.bins) {
            *mine += others;
        }
        self.worst = self.worst.max(other.worst);
    }

    pub fn count(&self) -> u64 {
        self.bins.iter().sum()
    }

    /// The share of latencies above so many nanoseconds, to within their bin.
    pub fn above(&self, nanoseconds: u64) -> f64 {
        let above: u64 = self.bins[bin(nanoseconds) + 1..].iter().sum();
        above as f64 / self.count() as f64
    }

    /// The latency, in nanoseconds, that this share of all did not exceed.
    pub fn at(&self, share: f64) -> u64 {
        let rank = (share * self.count() as f64).ceil() as u64;
        let mut seen = 0;
        let bin = self.bins.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        // The greatest of its bin, but for the very last.
        bin.map_or(0, |bin| (first(bin + 1) - 1).min(self.worst))
    }
}

/// The bin of a time: those below `BINS` each have their own.
fn bin(nanoseconds: u64) -> usize {
    let octave = (nanoseconds | BINS as u64).ilog2() - BINS.ilog2();
    octave as usize * BINS + (nanoseconds >> octave) as usize
}

/// The least time of a bin.
fn first(bin: usize) -> u64 {
    match bin.checked_sub(2 * BINS) {
        None => bin as u64,
        Some(above) => ((BINS + above % BINS) as u64) << (above / BINS + 1),
    }
}

/// Curves of one panel, by name.
pub type Panel<'a> = (&'a str, Vec<(&'a str, Latencies)>);

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 380.0;
/// The least and the greatest latency shown, in decades of nanoseconds.
const DECADES: (f64, f64) = (1.0, 8.0);
/// The greatest share shown: 1 - 10^-6.
const NINES: f64 = 6.0;

const COLOURS: [&str; 11] = [
    "#d62728", "#ff7f0e", "#e377c2", "#1f77b4", "#17becf", "#2ca02c", "#98df8a", "#9467bd",
    "#8c564b", "#bcbd22", "#7f7f7f",
];

/// Panels of a row.
const COLUMNS: usize = 3;

/// Latency over the share of updates, both on logarithmic scales.
pub fn plot(panels: &[Panel]) -> String {
    let columns = panels.len().min(COLUMNS) as f64;
    let width = columns * WIDTH + 190.0;
    let height = panels.len().div_ceil(COLUMNS) as f64 * (HEIGHT + 90.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let names = names(panels);
    for (index, (title, curves)) in panels.iter().enumerate() {
        let left = 60.0 + (index % COLUMNS) as f64 * WIDTH;
        let top = 40.0 + (index / COLUMNS) as f64 * (HEIGHT + 90.0);
        panel(&mut svg, [left, top], title, curves, &names);
    }
    for (place, name) in names.iter().enumerate() {
        let y = 50.0 + 20.0 * place as f64;
        let x = columns * WIDTH + 20.0;
        let colour = COLOURS[place % COLOURS.len()];
        line(
            &mut svg,
            &format!("<path d=\"M{x} {y}h20\" stroke=\"{colour}\" stroke-width=\"2\"/>"),
        );
        text(&mut svg, x + 26.0, y + 4.0, "start", name);
    }
    svg.push_str("</svg>\n");
    svg
}

/// Each name once, the clock alone at the end: a name has its colour by its place.
fn names<'a>(panels: &[Panel<'a>]) -> Vec<&'a str> {
    let mut names = Vec::new();
    for (name, _) in panels.iter().flat_map(|(_, curves)| curves) {
        if !names.contains(name) {
            names.push(*name);
        }
    }
    names.sort_by_key(|name| *name == "no update");
    names
}

fn panel(
    svg: &mut String,
    [left, top]: [f64; 2],
    title: &str,
    curves: &[(&str, Latencies)],
    names: &[&str],
) {
    let wide = WIDTH - 80.0;
    let x = |nines: f64| left + wide * nines / NINES;
    let y = |nanoseconds: f64| {
        let place = (nanoseconds.max(1.0).log10() - DECADES.0) / (DECADES.1 - DECADES.0);
        top + HEIGHT * (1.0 - place.clamp(0.0, 1.0))
    };
    text(svg, left + wide / 2.0, top - 16.0, "middle", title);
    for decade in DECADES.0 as i32..=DECADES.1 as i32 {
        let at = y(10f64.powi(decade));
        line(
            svg,
            &format!("<path d=\"M{left} {at}h{wide}\" stroke=\"#ddd\"/>"),
        );
        let label = match decade {
            0..3 => format!("{} ns", 10i64.pow(decade as u32)),
            3..6 => format!("{} us", 10i64.pow(decade as u32 - 3)),
            _ => format!("{} ms", 10i64.pow(decade as u32 - 6)),
        };
        text(svg, left - 6.0, at + 4.0, "end", &label);
    }
    for (nines, label) in ["0", "90", "99", "99.9", "99.99", "99.999", "99.9999"]
        .iter()
        .enumerate()
    {
        let at = x(nines as f64);
        line(
            svg,
            &format!("<path d=\"M{at} {top}v{HEIGHT}\" stroke=\"#ddd\"/>"),
        );
        text(svg, at, top + HEIGHT + 16.0, "middle", label);
    }
    text(
        svg,
        left + wide / 2.0,
        top + HEIGHT + 34.0,
        "middle",
        "% of the updates took at most",
    );
    for (name, latencies) in curves {
        let place = names.iter().position(|known| known == name);
        let colour = COLOURS[place.expect("a name of a panel") % COLOURS.len()];
        let mut path = String::new();
        for step in 0..=(NINES * 20.0) as usize {
            let nines = step as f64 / 20.0;
            let share = 1.0 - 10f64.powf(-nines);
            // What fewer than ten updates stand for is not drawn.
            if latencies.count() as f64 * (1.0 - share) < 10.0 {
                break;
            }
            let latency = latencies.at(share.max(0.01)) as f64;
            let verb = if path.is_empty() { 'M' } else { 'L' };
            write!(path, "{verb}{:.1} {:.1}", x(nines), y(latency)).expect("a String takes all");
        }
        let thick = if name.starts_with("stethoscope") {
            2.5
        } else {
            1.2
        };
        line(
            svg,
            &format!(
                "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{thick}\"/>"
            ),
        );
    }
}

fn line(svg: &mut String, element: &str) {
    svg.push_str(element);
    svg.push('\n');
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    line(
        svg,
        &format!("<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{text}</text>"),
    );
}
