//! `stethoscope bench`, as it is run: against our own endpoint, and against
//! servers that say what they like.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};

use stethoscope::Registry;
use stethoscope::endpoint::{self, Endpoint};

fn bench(arguments: &[&str]) -> Output {
    bench_for("200ms", arguments)
}

/// The time for a run that can be compared: it needs a hundred scrapes on a busy
/// machine.
const COMPARABLE: &str = "3s";

fn bench_for(time: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stethoscope"));
    command.args(["bench", "--for", time]).args(arguments);
    command.output().unwrap()
}

fn out(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {error}", output.status);
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Asserts that it can't begin, and gives back the one word about it.
fn refused(arguments: &[&str]) -> String {
    let output = bench(arguments);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn endpoint() -> Endpoint {
    let registry = Registry::new();
    let family = registry
        .counter_family("requests_total", "Requests.", ["path"])
        .unwrap();
    for n in 0..100 {
        family.with([format!("/path/{n}").as_str()]).unwrap();
    }
    let cpu = registry
        .float_gauge("process_cpu_seconds_total", "Processor time.")
        .unwrap();
    registry.on_scrape(move || cpu.add(0.001));
    endpoint::serve(&registry, "127.0.0.1:0").unwrap()
}

/// A server that sends `answers` one after another, the last again and again,
/// each on a connection of its own.
fn saying(answers: Vec<Vec<u8>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // It goes with the test's process.
    std::thread::spawn(move || {
        let mut answers = answers.into_iter().peekable();
        let mut answer = Vec::new();
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let _ = client.read(&mut [0; 4096]);
            if let Some(next) = answers.next() {
                answer = next;
            }
            let _ = client.write_all(&answer);
        }
    });
    address
}

fn answer(headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{headers}\r\n\r\n{body}").into_bytes()
}

const TEXT: &str = "Content-Type: text/plain; version=0.0.4";

#[test]
fn report_shows_cost_of_a_scrape() {
    let endpoint = endpoint();
    let url = endpoint.local_addr().unwrap().to_string();
    for arguments in [
        vec![&*url],
        vec![&*url, "--gzip"],
        vec![&*url, "--rate", "50"],
    ] {
        let report = out(&bench(&arguments));
        assert!(
            report.starts_with(&format!("http://{url}/metrics\n")),
            "{report}"
        );
        for word in [
            "101 samples of 2 families",
            "plain",
            "compressed",
            "median",
            "99.9 %",
            "worst",
            "first byte",
            "parsing",
            "a scrape",
            "│█",
        ] {
            assert!(report.contains(word), "{word} in {report}");
        }
        assert!(!report.contains("FAILED"), "{report}");
    }
}

#[test]
fn two_endpoints_are_compared() {
    let (first, second) = (endpoint(), endpoint());
    let [first, second] = [&first, &second].map(|e| e.local_addr().unwrap().to_string());
    let report = out(&bench(&[&first, "--against", &second]));
    assert!(
        report.contains(&first) && report.contains(&second),
        "{report}"
    );
    let (_, comparison) = report
        .split_once("the second as a multiple of the first")
        .unwrap();
    assert!(
        comparison.contains("median") && comparison.contains("samples            1.00"),
        "{comparison}"
    );
}

#[test]
fn json_report_has_all_fields() {
    let endpoint = endpoint();
    let url = endpoint.local_addr().unwrap().to_string();
    let json = out(&bench(&[&url, "--against", &url, "--json"]));
    let json = json.trim();
    assert!(
        json.starts_with("{\"targets\":[{\"url\":\"http://") && json.ends_with('}'),
        "{json}"
    );
    for key in [
        "\"samples\":101",
        "\"failed\":0",
        "\"p99\":",
        "\"first_byte_share\":0.",
        "\"median_ratio\":",
        "\"server_cpu_seconds_per_scrape\":0.00",
    ] {
        assert!(json.contains(key), "{key} in {json}");
    }
    assert_eq!(json.matches('{').count(), json.matches('}').count());
    assert!(!json.contains("NaN") && !json.contains("inf"), "{json}");
}

#[test]
fn every_framing_of_a_body_is_read() {
    let page = "a 1\nb 2\n";
    let chunks = "4;x=y\r\na 1\n\r\n4\r\nb 2\n\r\n0\r\nTrailer: x\r\n\r\n";
    for answer in [
        answer(&format!("{TEXT}\r\nContent-Length: 8"), page),
        answer(&format!("{TEXT}\r\nTransfer-Encoding: chunked"), chunks),
        answer(TEXT, page),
    ] {
        let address = saying(vec![answer]).to_string();
        let report = out(&bench(&[&address]));
        assert!(report.contains("2 samples of 0 families"), "{report}");
        assert!(
            report.contains("8 plain; the server does not compress"),
            "{report}"
        );
    }
}

#[test]
fn unusable_endpoint_is_refused_with_reason() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    assert!(refused(&[&address]).contains("no server listens at this address"));

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    assert!(refused(&[&address, "--timeout", "100ms"]).contains("after 100ms"));

    let endpoint = endpoint();
    let url = format!("http://{}/elsewhere", endpoint.local_addr().unwrap());
    assert!(refused(&[&url]).contains("answered 404: are the metrics at another path?"));

    for (answer, word) in [
        (
            answer(
                "Content-Type: text/html\r\nContent-Length: 15",
                "<html>no</html>",
            ),
            "not with metrics",
        ),
        (
            answer(&format!("{TEXT}\r\nContent-Length: 100"), "a 1\n"),
            "closed before",
        ),
        (
            answer(
                &format!("{TEXT}\r\nContent-Length: 4\r\nContent-Encoding: gzip"),
                "a 1\n",
            ),
            "gzip",
        ),
        (
            answer(
                &format!("{TEXT}\r\nContent-Length: 4\r\nContent-Encoding: br"),
                "\u{1}\u{2}\u{3}\n",
            ),
            "the Content-Encoding \"br\", which was not asked for: the Prometheus server \
             decodes only gzip",
        ),
        (
            answer(&format!("{TEXT}\r\nContent-Length: 99999999999"), ""),
            "larger than",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), "not valid HTTP"),
        (
            b"HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n".to_vec(),
            "answered 503",
        ),
        (Vec::new(), "closed before"),
    ] {
        let error = refused(&[&saying(vec![answer]).to_string()]);
        assert!(error.contains(word), "{word} in {error}");
    }
    assert!(refused(&["https://localhost/metrics"]).contains("only http"));
    assert!(refused(&["localhost:1", "--rate", "0"]).contains("above 0"));
    assert!(refused(&["localhost:1", "--timeout", "1d"]).contains("500ms"));
}

#[test]
fn changed_responses_are_counted_as_failures() {
    let text = answer(&format!("{TEXT}\r\nContent-Length: 4"), "a 1\n");
    let other = answer(
        "Content-Type: application/openmetrics-text; version=1.0.0\r\nContent-Length: 10",
        "a 1\n# EOF\n",
    );
    let fails = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec();
    // Two probes, then the scrapes.
    let address = saying(vec![text.clone(), text.clone(), text, fails, other]).to_string();
    let output = bench(&[&address]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(
        report.contains("FAILED       1 time: answered 500"),
        "{report}"
    );
    assert!(report.contains("the Content-Type changed from text/plain; version=0.0.4 to application/openmetrics-text"), "{report}");
}

#[test]
#[cfg(target_os = "linux")]
fn unwritable_report_exits_without_panic() {
    let endpoint = endpoint();
    let url = endpoint.local_addr().unwrap().to_string();
    for json in [None, Some("--json")] {
        let writing_to = |out: std::process::Stdio| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_stethoscope"));
            command.args(["bench", "--for", "20ms", &url]).args(json);
            command.stdout(out).output().unwrap()
        };
        let full = std::fs::File::create("/dev/full").unwrap();
        let output = writing_to(full.into());
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains("could not be written: No space"), "{error}");

        let (_, nobody_reads) = std::io::pipe().unwrap();
        let output = writing_to(nobody_reads.into());
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*error), (Some(141), ""));
    }
}

#[test]
fn failed_scrapes_are_paced() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        // Two probes and a scrape; then nobody listens.
        for client in listener.incoming().take(3) {
            let mut client = client.unwrap();
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all(&answer(&format!("{TEXT}\r\nContent-Length: 4"), "a 1\n"));
        }
    });
    let output = bench(&[&address, "--json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report = String::from_utf8(output.stdout).unwrap();
    let (_, failed) = report.split_once("\"failed\":").unwrap();
    let failed: u32 = failed.split(',').next().unwrap().parse().unwrap();
    // Pauses of 10, 20, 40, 80 and 160 ms fill 200 ms, and there is a probe at the
    // end.
    assert!((1..=6).contains(&failed), "{report}");
}

/// A file of this test's own.
fn path(name: &str) -> String {
    format!("{}/{name}", env!("CARGO_TARGET_TMPDIR"))
}

#[test]
fn saved_run_is_a_baseline() {
    let endpoint = endpoint();
    let address = endpoint.local_addr().unwrap().to_string();
    let (saved, plot) = (path("run.json"), path("run.svg"));
    out(&bench_for(COMPARABLE, &[&address, "--save", &saved]));
    let report = out(&bench_for(
        COMPARABLE,
        &[
            &address,
            "--baseline",
            &saved,
            "--fail-above",
            "100000%",
            "--plot",
            &plot,
        ],
    ));
    let (_, comparison) = report.split_once("against the baseline").unwrap();
    assert!(comparison.contains("verdict      passed"), "{comparison}");
    assert!(!comparison.contains("NOTE"), "{comparison}");
    let plot = std::fs::read_to_string(plot).unwrap();
    assert_eq!(plot.matches("<path").count(), 2, "{plot}");
    assert!(plot.contains("baseline: http://"), "{plot}");
}

#[test]
fn cost_surely_above_the_limit_exits_1() {
    let endpoint = endpoint();
    let address = endpoint.local_addr().unwrap().to_string();
    let saved = path("fast.json");
    out(&bench_for(COMPARABLE, &[&address, "--save", &saved]));
    // As if scrapes had taken a thousandth of the time.
    let text = std::fs::read_to_string(&saved).unwrap();
    let (head, times) = text.split_once("\"seconds\":[").unwrap();
    let times = times.trim_end().trim_end_matches("]}").split(',');
    let faster = times.map(|time| (time.parse::<f64>().unwrap() / 1000.0).to_string());
    let faster = faster.collect::<Vec<_>>().join(",");
    std::fs::write(&saved, format!("{head}\"seconds\":[{faster}]}}\n")).unwrap();
    let arguments = [&address, "--baseline", &saved, "--fail-above", "10%"];
    let output = bench_for(COMPARABLE, &arguments);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(
        report.contains("verdict      FAILED: surely more than +10.0 %"),
        "{report}"
    );
    let output = bench_for(COMPARABLE, &[&arguments[..], &["--json"]].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let json = String::from_utf8(output.stdout).unwrap();
    assert!(
        json.contains("\"fail_above\":0.1,\"verdict\":\"above\"}"),
        "{json}"
    );
    // Without a limit nothing fails.
    out(&bench_for("100ms", &[&address, "--baseline", &saved]));
}

#[test]
fn unusable_baseline_is_refused() {
    let endpoint = endpoint();
    let address = endpoint.local_addr().unwrap().to_string();
    let saved = path("other.json");
    for content in [
        "",
        "[]",
        "{\"stethoscope_bench\":99}",
        "{\"stethoscope_bench\":1,\"url\":1}",
    ] {
        std::fs::write(&saved, content).unwrap();
        let error = refused(&[&address, "--baseline", &saved]);
        assert!(error.contains("not a saved run"), "{error}");
    }
    assert!(refused(&[&address, "--baseline", &path("missing")]).contains("No such file"));
    assert!(refused(&[&address, "--fail-above", "10%"]).contains("--baseline"));
}

#[test]
fn endless_head_and_large_page_are_refused() {
    let head = format!("HTTP/1.1 200 OK\r\n{}", "X-More: and more\r\n".repeat(8000));
    let error = refused(&[&saying(vec![head.into_bytes()]).to_string()]);
    assert!(
        error.contains("head of the server's response") || error.contains("not valid HTTP"),
        "{error}"
    );
    let page = "a 1\n".repeat(1000);
    let length = format!("{TEXT}\r\nContent-Length: 4000");
    for response in [answer(&length, &page), answer(TEXT, &page)] {
        let error = refused(&[&saying(vec![response]).to_string(), "--max-page", "1KiB"]);
        let why = "larger than 1 KiB (see --max-page)";
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn redirect_is_followed() {
    let endpoint = endpoint();
    let address = endpoint.local_addr().unwrap();
    let redirect = format!(
        "HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: http://{address}/metrics\r\n\
         Content-Length: 0\r\n\r\n"
    );
    let from = saying(vec![redirect.into_bytes()]).to_string();
    let output = bench(&[&from]);
    let report = out(&output);
    assert!(
        report.starts_with(&format!("http://{address}/metrics\n")),
        "{report}"
    );
    assert!(report.contains("101 samples of 2 families"), "{report}");
    let warning = String::from_utf8(output.stderr).unwrap();
    let expected = format!("http://{from}/metrics: warning: redirected to http://{address}/");
    assert!(warning.starts_with(&expected), "{warning}");
}

#[test]
fn interim_responses_are_skipped() {
    let interim = b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec();
    let page = answer(&format!("{TEXT}\r\nContent-Length: 4"), "a 1\n");
    let address = saying(vec![[interim, page].concat()]).to_string();
    let report = out(&bench(&[&address]));
    assert!(report.contains("1 sample of 0 families"), "{report}");
}

#[test]
fn empty_page_is_refused() {
    let empty = answer(&format!("{TEXT}\r\nContent-Length: 0"), "");
    let error = refused(&[&saying(vec![empty.clone()]).to_string()]);
    assert!(error.ends_with("/metrics: the page is empty\n"), "{error}");
    let page = answer(&format!("{TEXT}\r\nContent-Length: 4"), "a 1\n");
    let output = bench(&[&saying(vec![page.clone(), page.clone(), page, empty]).to_string()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report = String::from_utf8(output.stdout).unwrap();
    let counted = |word: &str| report.contains(&format!(" {word}: the page is empty"));
    assert!(counted("time") || counted("times"), "{report}");
}

#[test]
fn file_that_cannot_be_written_is_found_first() {
    // Nobody listens here, which is found later.
    let address = "127.0.0.1:1";
    for option in ["--plot", "--save"] {
        for (file, why) in [("no such directory/x", "No such file"), ("", "directory")] {
            let file = path(file);
            let error = refused(&[address, option, &file]);
            assert!(error.contains(&file) && error.contains(why), "{error}");
        }
        let (new, old) = (path("not-made"), path("not-changed"));
        std::fs::write(&old, "as it was").unwrap();
        for file in [&new, &old] {
            let error = refused(&[address, option, file]);
            assert!(error.contains("no server listens"), "{error}");
        }
        assert!(!std::fs::exists(&new).unwrap());
        assert_eq!(std::fs::read(&old).unwrap(), b"as it was");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn report_is_printed_before_a_file_fails() {
    let endpoint = endpoint();
    let address = endpoint.local_addr().unwrap().to_string();
    for option in ["--plot", "--save"] {
        let full = "/dev/full";
        let output = bench(&[&address, option, full]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let report = String::from_utf8(output.stdout).unwrap();
        assert!(report.contains("101 samples of 2 families"), "{report}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(
            error.contains(full) && error.contains("No space left"),
            "{error}"
        );
    }
}

#[test]
fn run_too_short_for_a_comparison_is_saved_with_a_warning() {
    let endpoint = endpoint();
    let address = endpoint.local_addr().unwrap().to_string();
    let saved = path("short.json");
    let output = bench(&[&address, "--rate", "20", "--save", &saved]);
    out(&output);
    let warning = String::from_utf8(output.stderr).unwrap();
    assert!(
        warning.contains("short.json: warning: this run has ")
            && warning.contains(" scrapes, too few for --baseline, which needs 100"),
        "{warning}"
    );
    // The report of a run that can't be compared is not lost.
    let output = bench(&[&address, "--rate", "20", "--baseline", &saved]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(report.contains("101 samples of 2 families"), "{report}");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("a comparison needs 100"), "{error}");
}
