//! The metrics as a page for people: the families in order, with a table each.
//!
//! The page is made from the text page, line by line. It loads nothing from elsewhere,
//! and each byte of a metric that could be markup is escaped. All values are on it
//! without any script; the script adds a filter box, refreshes the values and marks those
//! that have changed. The security policy admits this one script by its hash, and
//! connections to this server only.

use std::io::Write as _;

/// The permissions of our pages in a browser: their own style and script, and requests to
/// the server that they come from.
pub(super) const SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; \
    script-src 'sha256-iBnzYDLvaavNK/EDX/lM0az7snTB1oOyWXqBwgfgs4Q='; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const SCRIPT: &str = include_str!("html.js");

const HEAD: &str = "<!DOCTYPE html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Metrics</title>
<meta name=\"viewport\" content=\"width=device-width\">
<style>
:root{color-scheme:light dark}
body{font:15px/1.4 system-ui,sans-serif;margin:0 auto;max-width:64rem;padding:0 1rem 2rem}
header{position:sticky;top:0;background:Canvas;padding:.6rem 0;border-bottom:1px solid #8884}
header[hidden]{display:none}
input[type=search]{font:inherit;width:20rem;max-width:100%}
label{margin-right:1rem}
h2{font:600 1rem ui-monospace,monospace;margin:1.5rem 0 0;overflow-wrap:anywhere}
h2 small{font-weight:400;opacity:.6}
p{margin:.2rem 0;opacity:.8}
table{border-collapse:collapse;width:100%;font:13px/1.5 ui-monospace,monospace}
td{border-top:1px solid #8884;padding:.1rem .5rem;overflow-wrap:anywhere}
td+td{text-align:right;white-space:nowrap;width:10rem}
.group td{font-weight:600}
.bar{width:50%;padding:0 .5rem;vertical-align:middle}
.bar i{display:block;height:.8em;background:#4a8fe7;min-width:1px}
.moved{background:#f5b40040}
.moved::before{content:attr(data-moved);opacity:.6;margin-right:.8em;font-size:85%}
</style></head><body>
<h1>Metrics</h1>
<header hidden><label>Filter <input id=\"query\" type=\"search\" autofocus
 placeholder=\"words of a name or help\"></label>
<label><input id=\"live\" type=\"checkbox\" checked> refresh</label>
<small><span id=\"shown\"></span> families <span id=\"state\"></span></small></header>
<main>
";
const FOOT: &str = "</main>\n<script>";
const END: &str = "</script>\n</body></html>\n";

/// The page at `/` of an endpoint that has an address to itself.
pub(super) const INDEX: &str = "<!DOCTYPE html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Metrics</title>
<meta name=\"viewport\" content=\"width=device-width\">
<style>:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:40rem;padding:0 1rem}</style>
</head><body>
<h1>Metrics</h1>
<p>This process serves its metrics with stethoscope, at <a href=\"/metrics\">/metrics</a>:
for a Prometheus server in the text format or OpenMetrics, as it asks, and for a browser as tables.</p>
<p><code>/metrics?name[]=<i>family</i></code> returns only that family, and can be given several times.</p>
</body></html>
";

/// The same page for clients that do not accept HTML.
pub(super) const INDEX_TEXT: &str = "The metrics of this process are at /metrics.\n\
    /metrics?name[]=FAMILY returns only that family, and can be given several times.\n";

/// Appends a text page as HTML.
pub(super) fn render(text_page: &[u8], into: &mut Vec<u8>) {
    into.extend_from_slice(HEAD.as_bytes());
    let mut families = families(text_page);
    families.sort_by_key(|family| family.name);
    for family in &families {
        family.render(into);
    }
    for part in [FOOT, SCRIPT, END] {
        into.extend_from_slice(part.as_bytes());
    }
}

/// A family of a text page.
#[derive(Default)]
struct FamilyRows<'a> {
    name: &'a [u8],
    kind: &'a [u8],
    help: &'a [u8],
    samples: Vec<SampleRow<'a>>,
}

/// A line of a text page that has a value.
struct SampleRow<'a> {
    /// Name and labels.
    series: &'a [u8],
    value: &'a [u8],
}

/// Splits a text page into its families.
fn families(text_page: &[u8]) -> Vec<FamilyRows<'_>> {
    let mut families: Vec<FamilyRows<'_>> = Vec::new();
    // The HELP of a family comes before its TYPE.
    let mut help: &[u8] = b"";
    for line in text_page.split(|byte| *byte == b'\n') {
        if let Some(rest) = line.strip_prefix(b"# HELP ") {
            help = split_at_space(rest).1;
        } else if let Some(rest) = line.strip_prefix(b"# TYPE ") {
            let (name, kind) = split_at_space(rest);
            families.push(FamilyRows {
                name,
                kind,
                help: std::mem::take(&mut help),
                samples: Vec::new(),
            });
        } else if let Some(space) = line.iter().rposition(|byte| *byte == b' ') {
            if families.is_empty() {
                families.push(FamilyRows::default());
            }
            let sample = SampleRow {
                series: &line[..space],
                value: &line[space + 1..],
            };
            families
                .last_mut()
                .expect("one was pushed if there was none")
                .samples
                .push(sample);
        }
    }
    families
}

impl FamilyRows<'_> {
    fn render(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(b"<section id=\"");
        escape(self.name, into);
        into.extend_from_slice(b"\"><div><h2>");
        escape(self.name, into);
        into.extend_from_slice(b" <small>");
        escape(self.kind, into);
        into.extend_from_slice(b"</small></h2><p>");
        escape(self.help, into);
        into.extend_from_slice(b"</p></div>\n<table>");
        let mut histogram = HistogramRows::default();
        for sample in &self.samples {
            // The name of a series begins with that of its family.
            let series = sample
                .series
                .strip_prefix(self.name)
                .unwrap_or(sample.series);
            match BucketRow::of(series, sample.value) {
                Some((labels, bucket)) => histogram.add(labels, bucket, into),
                None => {
                    histogram.finish(into);
                    write_row(series, sample.value, into);
                }
            }
        }
        histogram.finish(into);
        into.extend_from_slice(b"</table></section>\n");
    }
}

/// A bucket of a histogram: its upper bound as text, and its cumulative count.
struct BucketRow<'a> {
    bound: &'a [u8],
    count: f64,
}

impl<'a> BucketRow<'a> {
    /// Reads a series `_bucket{...,le="1"}`: the labels around `le`, and the bucket.
    fn of(series: &'a [u8], value: &[u8]) -> Option<([&'a [u8]; 2], Self)> {
        let labels = series.strip_prefix(b"_bucket{")?;
        // In the value of another label, a quote has a backslash before it.
        let pattern = b"le=\"";
        let start = (0..labels.len())
            .find(|&at| labels[at..].starts_with(pattern) && (at == 0 || labels[at - 1] == b','))?;
        let bound_start = start + pattern.len();
        let length = labels[bound_start..]
            .iter()
            .position(|byte| *byte == b'"')?;
        let bound = &labels[bound_start..bound_start + length];
        let before = labels[..start].strip_suffix(b",").unwrap_or(b"");
        let after = labels[bound_start + length + 1..].strip_suffix(b"}")?;
        let count = std::str::from_utf8(value).ok()?.parse().ok()?;
        Some(([before, after], Self { bound, count }))
    }
}

/// The buckets of one histogram, collected until it is complete: the bars are as long as
/// the fullest bucket allows.
#[derive(Default)]
struct HistogramRows<'a> {
    labels: [&'a [u8]; 2],
    buckets: Vec<BucketRow<'a>>,
}

impl<'a> HistogramRows<'a> {
    fn add(&mut self, labels: [&'a [u8]; 2], bucket: BucketRow<'a>, into: &mut Vec<u8>) {
        if labels != self.labels {
            self.finish(into);
            self.labels = labels;
        }
        self.buckets.push(bucket);
    }

    /// Writes the collected buckets, with the number of observations in each.
    fn finish(&mut self, into: &mut Vec<u8>) {
        if self.buckets.is_empty() {
            return;
        }
        into.extend_from_slice(b"<tr class=\"group\"><td colspan=\"3\">buckets");
        let [before, after] = self.labels;
        if !before.is_empty() || !after.is_empty() {
            into.extend_from_slice(b" {");
            escape(before, into);
            escape(
                if before.is_empty() {
                    after.strip_prefix(b",").unwrap_or(after)
                } else {
                    after
                },
                into,
            );
            into.push(b'}');
        }
        into.extend_from_slice(b"</td></tr>\n");
        let counts = || {
            let mut below = 0.0;
            self.buckets.iter().map(move |bucket| {
                let count = bucket.count - below;
                below = bucket.count;
                count
            })
        };
        let fullest = counts().fold(0.0, f64::max);
        for (bucket, count) in self.buckets.iter().zip(counts()) {
            into.extend_from_slice("<tr><td>≤ ".as_bytes());
            escape(bucket.bound, into);
            // Writing to a vector cannot fail.
            let _ = write!(
                into,
                "</td><td data-value=\"{count}\">{count}</td><td class=\"bar\">"
            );
            if count > 0.0 {
                // Infinite counts, which only a page of somebody else has.
                let share = count / fullest;
                let width = if share.is_nan() { 100.0 } else { 100.0 * share };
                let _ = write!(into, "<i style=\"width:{width:.1}%\"></i>");
            }
            into.extend_from_slice(b"</td></tr>\n");
        }
        self.buckets.clear();
    }
}

fn write_row(series: &[u8], value: &[u8], into: &mut Vec<u8>) {
    into.extend_from_slice(b"<tr><td>");
    escape(series, into);
    into.extend_from_slice(b"</td><td data-value=\"");
    escape(value, into);
    into.extend_from_slice(b"\">");
    escape(value, into);
    into.extend_from_slice(b"</td></tr>\n");
}

fn split_at_space(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|byte| *byte == b' ') {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, b""),
    }
}

fn escape(text: &[u8], into: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'<' => into.extend_from_slice(b"&lt;"),
            b'>' => into.extend_from_slice(b"&gt;"),
            b'&' => into.extend_from_slice(b"&amp;"),
            b'"' => into.extend_from_slice(b"&quot;"),
            b'\'' => into.extend_from_slice(b"&#39;"),
            _ => into.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn rendered(page: &str) -> String {
        let mut html = Vec::new();
        render(page.as_bytes(), &mut html);
        let html = String::from_utf8(html).unwrap();
        let end = format!("{FOOT}{SCRIPT}{END}");
        let body = html.strip_prefix(HEAD).unwrap().strip_suffix(&end).unwrap();
        body.to_owned()
    }

    #[test]
    fn families_are_sorted_and_have_a_table_each() {
        assert_eq!(
            rendered(
                "# HELP b Second.\n# TYPE b summary\nb_count 0\n\
                 # HELP a_total First.\n# TYPE a_total counter\na_total{x=\"1\"} 2\na_total{x=\"y z\"} 3\n\
                 # TYPE c gauge\nc NaN\n"
            ),
            "<section id=\"a_total\"><div><h2>a_total <small>counter</small></h2><p>First.</p></div>\n\
             <table><tr><td>{x=&quot;1&quot;}</td><td data-value=\"2\">2</td></tr>\n\
             <tr><td>{x=&quot;y z&quot;}</td><td data-value=\"3\">3</td></tr>\n</table></section>\n\
             <section id=\"b\"><div><h2>b <small>summary</small></h2><p>Second.</p></div>\n\
             <table><tr><td>_count</td><td data-value=\"0\">0</td></tr>\n</table></section>\n\
             <section id=\"c\"><div><h2>c <small>gauge</small></h2><p></p></div>\n\
             <table><tr><td></td><td data-value=\"NaN\">NaN</td></tr>\n</table></section>\n"
        );
        assert_eq!(rendered(""), "");
    }

    #[test]
    fn histogram_has_a_bar_for_each_bucket() {
        let html = rendered(
            "# TYPE h histogram\n\
             h_bucket{x=\"a,le=\\\"\",le=\"0.5\"} 1\nh_bucket{x=\"a,le=\\\"\",le=\"+Inf\"} 5\n\
             h_sum{x=\"a,le=\\\"\"} 9\nh_count{x=\"a,le=\\\"\"} 5\n\
             h_bucket{le=\"0.5\",x=\"b\"} 0\nh_bucket{le=\"+Inf\",x=\"b\"} 0\n",
        );
        let bar = |bound: &str, count: u32, bar: &str| {
            format!(
                "<tr><td>≤ {bound}</td><td data-value=\"{count}\">{count}</td>\
                 <td class=\"bar\">{bar}</td></tr>\n"
            )
        };
        let first = "<tr class=\"group\"><td colspan=\"3\">buckets {x=&quot;a,le=\\&quot;&quot;}</td></tr>\n";
        assert!(html.contains(&format!(
            "{first}{}{}",
            bar("0.5", 1, "<i style=\"width:25.0%\"></i>"),
            bar("+Inf", 4, "<i style=\"width:100.0%\"></i>")
        )));
        assert!(html.contains("<tr><td>_sum{x=&quot;a,le=\\&quot;&quot;}</td>"));
        let second = "<tr class=\"group\"><td colspan=\"3\">buckets {x=&quot;b&quot;}</td></tr>\n";
        assert!(
            html.contains(&format!(
                "{second}{}{}",
                bar("0.5", 0, ""),
                bar("+Inf", 0, "")
            )),
            "{html}"
        );
    }

    #[test]
    fn histogram_without_labels_and_with_odd_counts_is_rendered() {
        let html = rendered(
            "# TYPE h histogram\nh_bucket{le=\"1\"} NaN\nh_bucket{le=\"2\"} -3\nh_bucket{le=\"+Inf\"} 1e400\n",
        );
        assert!(html.contains("<td colspan=\"3\">buckets</td>"));
        assert_eq!(html.matches("<td class=\"bar\">").count(), 3);
        assert!(!html.contains("width:NaN"), "{html}");
        // Not a bucket of this family, or not a number.
        let html = rendered("# TYPE g gauge\ng_bucket{x=\"1\"} 3\ng_bucket{le=\"1\"} many\n");
        assert!(!html.contains("bar"), "{html}");
    }

    #[test]
    fn nothing_on_a_page_becomes_markup() {
        let attack = "<script>alert('x')</script>&\"";
        let html = rendered(&format!(
            "# HELP a {attack}\n# TYPE a {attack}\na{{x=\"{attack}\"}} {attack}\n{attack}\n\
             a_bucket{{{attack},le=\"<i>\"}} 4\n"
        ));
        for part in html.split('<').skip(1) {
            let tag = part
                .split_once('>')
                .unwrap_or_else(|| panic!("unclosed tag: {part}"))
                .0;
            let name = tag.trim_start_matches('/').split(' ').next().unwrap();
            let ours = [
                "section", "div", "h2", "small", "p", "table", "tr", "td", "i",
            ];
            assert!(ours.contains(&name), "{tag}");
        }
        assert!(html.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;"));
    }

    #[test]
    fn security_policy_admits_the_script() {
        // coreutils and openssl are not dependencies of the crate: only of this test.
        let mut child = Command::new("sh")
            .args(["-c", "openssl dgst -sha256 -binary | openssl base64 -A"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(SCRIPT.as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let hash = String::from_utf8(output.stdout).unwrap();
        assert!(
            SECURITY_POLICY.contains(&format!("'sha256-{hash}'")),
            "the script has changed: its hash is {hash}"
        );
        assert!(!SCRIPT.contains("</script"));
    }
}
