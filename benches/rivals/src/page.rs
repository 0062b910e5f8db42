//! Whether a page shows what it must.
//!
//! Read here by the plainest code, not by stethoscope's own parser, which would
//! be judge in its own case. The workload has no character that is escaped.

use crate::workload::Model;

/// Panics unless `page` shows exactly the model's samples: as many lines, the
/// same names and labels, the same values. How a number is written, the order
/// of lines and labels, and metadata are each crate's own.
pub fn assert_shows(page: &[u8], model: &Model, whose: &str) {
    let page = std::str::from_utf8(page).expect("a page is UTF-8");
    let mut samples: Vec<(String, f64)> = page
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(sample)
        .collect();
    samples.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = model.samples();
    assert_eq!(samples.len(), expected.len(), "{whose}: lines");
    for (found, expected) in samples.iter().zip(&expected) {
        assert_eq!(found.0, expected.0, "{whose}");
        // Sums are added up in another order by those who shard them.
        let near = (found.1 - expected.1).abs() <= expected.1.abs() * 1e-12;
        assert!(near, "{whose}: {found:?} is not {}", expected.1);
    }
}

fn sample(line: &str) -> (String, f64) {
    assert!(!line.contains('\\'), "{line}");
    let (series, value) = line.rsplit_once(' ').expect("a value");
    let value = value.parse().expect("a number");
    let Some((name, labels)) = series.split_once('{') else {
        return (series.to_owned(), value);
    };
    let mut labels: Vec<String> = labels
        .strip_suffix('}')
        .expect("labels end")
        .split_terminator(',')
        .map(|label| {
            let (name, value) = label.split_once("=\"").expect("a label");
            let value = value.strip_suffix('"').expect("a label's value ends");
            match (name, value) {
                // Each crate writes bounds in its own way.
                ("le", "+Inf") => "le=inf".to_owned(),
                ("le", bound) => format!("le={}", bound.parse::<f64>().expect("a bound")),
                _ => format!("{name}={value}"),
            }
        })
        .collect();
    labels.sort_unstable();
    (format!("{name},{}", labels.join(",")), value)
}
