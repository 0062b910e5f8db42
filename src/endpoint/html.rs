//! The metrics as a person reads them in a browser: a table for each family.
//!
//! Made from the text page, line by line. It needs nothing from elsewhere, runs
//! no script, and every byte of the page that could be markup is escaped.

/// What a browser may do with our pages: show them, in the style they bring.
pub(super) const SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

const HEAD: &str = "<!DOCTYPE html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Metrics</title>
<meta name=\"viewport\" content=\"width=device-width\">
<style>
:root{color-scheme:light dark}
body{font:15px/1.4 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem}
h2{font:600 1rem ui-monospace,monospace;margin:2rem 0 0}
h2 small{font-weight:400;opacity:.6}
p{margin:.2rem 0;opacity:.8}
table{border-collapse:collapse;width:100%;font:13px/1.5 ui-monospace,monospace}
td{border-top:1px solid #8884;padding:.1rem .5rem;overflow-wrap:anywhere}
td+td{text-align:right;white-space:nowrap}
</style></head><body>
<h1>Metrics</h1>
";
const FOOT: &str = "</body></html>\n";

/// The page at `/` of an endpoint that has its address to itself.
pub(super) const INDEX: &str = "<!DOCTYPE html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Metrics</title>
<meta name=\"viewport\" content=\"width=device-width\">
<style>:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:40rem;padding:0 1rem}</style>
</head><body>
<h1>Metrics</h1>
<p>This process is listened to by stethoscope. Its metrics are at <a href=\"/metrics\">/metrics</a>:
for a Prometheus server in the text format or OpenMetrics, whichever it asks for, and for a browser as tables.</p>
<p><code>/metrics?name[]=<i>family</i></code> has that family only, and may name several.</p>
</body></html>
";

/// The same for who does not read HTML.
pub(super) const INDEX_TEXT: &str = "The metrics of this process are at /metrics.\n\
    /metrics?name[]=FAMILY has that family only, and may name several.\n";

/// Appends a text page as HTML.
pub(super) fn render(text_page: &[u8], into: &mut Vec<u8>) {
    into.extend_from_slice(HEAD.as_bytes());
    // A family's HELP comes before its TYPE, and is shown behind it.
    let mut help: &[u8] = b"";
    let mut family: &[u8] = b"";
    let mut in_table = false;
    for line in text_page.split(|byte| *byte == b'\n') {
        if let Some(rest) = line.strip_prefix(b"# HELP ") {
            help = split_at_space(rest).1;
        } else if let Some(rest) = line.strip_prefix(b"# TYPE ") {
            let kind;
            (family, kind) = split_at_space(rest);
            end_table(&mut in_table, into);
            into.extend_from_slice(b"<h2>");
            escape(family, into);
            into.extend_from_slice(b" <small>");
            escape(kind, into);
            into.extend_from_slice(b"</small></h2><p>");
            escape(std::mem::take(&mut help), into);
            into.extend_from_slice(b"</p>\n");
        } else if let Some(space) = line.iter().rposition(|byte| *byte == b' ') {
            into.extend_from_slice(if in_table {
                b"<tr><td>"
            } else {
                b"<table><tr><td>"
            });
            in_table = true;
            // What a series' name has in common with its family's needs no
            // telling again.
            let series = &line[..space];
            escape(series.strip_prefix(family).unwrap_or(series), into);
            into.extend_from_slice(b"</td><td>");
            escape(&line[space + 1..], into);
            into.extend_from_slice(b"</td></tr>\n");
        }
    }
    end_table(&mut in_table, into);
    into.extend_from_slice(FOOT.as_bytes());
}

fn end_table(in_table: &mut bool, into: &mut Vec<u8>) {
    if std::mem::take(in_table) {
        into.extend_from_slice(b"</table>\n");
    }
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

    fn rendered(page: &str) -> String {
        let mut html = Vec::new();
        render(page.as_bytes(), &mut html);
        let html = String::from_utf8(html).unwrap();
        let body = html.strip_prefix(HEAD).unwrap().strip_suffix(FOOT).unwrap();
        body.to_owned()
    }

    #[test]
    fn each_family_has_its_table() {
        assert_eq!(
            rendered(
                "# HELP a_total First.\n# TYPE a_total counter\na_total{x=\"1\"} 2\na_total{x=\"y z\"} 3\n\
                 # HELP b Second.\n# TYPE b histogram\nb_count 0\n# TYPE c gauge\nc NaN\n"
            ),
            "<h2>a_total <small>counter</small></h2><p>First.</p>\n\
             <table><tr><td>{x=&quot;1&quot;}</td><td>2</td></tr>\n\
             <tr><td>{x=&quot;y z&quot;}</td><td>3</td></tr>\n</table>\n\
             <h2>b <small>histogram</small></h2><p>Second.</p>\n\
             <table><tr><td>_count</td><td>0</td></tr>\n</table>\n\
             <h2>c <small>gauge</small></h2><p></p>\n\
             <table><tr><td></td><td>NaN</td></tr>\n</table>\n"
        );
        assert_eq!(rendered(""), "");
    }

    #[test]
    fn nothing_on_a_page_becomes_markup() {
        let attack = "<script>alert('x')</script>&\"";
        let html = rendered(&format!(
            "# HELP a {attack}\n# TYPE a {attack}\na{{x=\"{attack}\"}} {attack}\n{attack}\n"
        ));
        let ours = [
            "<h2>", "</h2>", "<small>", "</small>", "<p>", "</p>", "<table>", "</table>", "<tr>",
            "</tr>", "<td>", "</td>",
        ];
        let rest = ours.iter().fold(html, |html, tag| html.replace(tag, ""));
        assert!(!rest.contains(['<', '>', '\'']), "{rest}");
        assert!(rest.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;"));
    }
}
