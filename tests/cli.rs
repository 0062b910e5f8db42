//! `stethoscope check`, as scripts rely on it: exit codes, standard output, standard
//! error.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;

/// Runs `stethoscope check ARGUMENTS` with `page` on standard input.
fn check(arguments: &[&str], page: &[u8]) -> Output {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_stethoscope"))
        .env_clear()
        .arg("check")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tool starts");
    let mut input = tool.stdin.take().expect("a pipe");
    let page = page.to_owned();
    // It may stop reading at the first error.
    let feeder = thread::spawn(move || input.write_all(&page));
    let output = tool.wait_with_output().expect("the tool ends");
    let _ = feeder.join().expect("the feeder ends");
    output
}

/// Runs `stethoscope generate ARGUMENTS`.
fn generate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stethoscope"))
        .env_clear()
        .arg("generate")
        .args(arguments)
        .output()
        .expect("the tool runs")
}

#[test]
fn generated_pages_are_accepted_and_faulty_ones_refused() {
    for format in [
        "prometheus",
        "prometheus1",
        "openmetrics",
        "openmetrics-utf8",
        "openmetrics2",
        "protobuf",
    ] {
        for seed in ["1", "2", "18446744073709551615"] {
            let arguments = ["--seed", seed, "--format", format];
            let page = generate(&arguments);
            assert_eq!(code(&page), 0, "{}", stderr(&page));
            assert_eq!(stderr(&page), "");
            assert_eq!(generate(&arguments).stdout, page.stdout, "{seed}");
            let checked = check(&["--format", format, "-"], &page.stdout);
            assert_eq!(code(&checked), 0, "{}", stderr(&checked));

            let faulty = generate(&[&arguments[..], &["--invalid"]].concat());
            assert_eq!(code(&faulty), 0);
            assert_eq!(stderr(&faulty).lines().count(), 1, "{}", stderr(&faulty));
            let checked = check(&["--format", format, "-"], &faulty.stdout);
            assert_eq!(code(&checked), 1, "{seed} {}", stderr(&faulty));
        }
    }
    let pages = ["3", "4"].map(|seed| generate(&["--seed", seed]).stdout);
    assert_ne!(pages[0], pages[1]);
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A file of this test's own.
fn file(name: &str, content: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, content).expect("a file");
    path
}

/// Answers one request on loopback with a page; gives the URL and, later, the
/// request.
fn serve(content_type: &'static str, page: &'static str) -> (String, thread::JoinHandle<String>) {
    answer("200 OK", content_type, page)
}

fn answer(
    status: &'static str,
    content_type: &'static str,
    page: &'static str,
) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!(
        "http://{}/metrics",
        listener.local_addr().expect("an address")
    );
    let server = thread::spawn(move || {
        let (mut connection, _) = listener.accept().expect("a connection");
        let mut request = Vec::new();
        let mut bytes = [0; 1024];
        while !request.ends_with(b"\r\n\r\n") {
            let len = connection.read(&mut bytes).expect("a request");
            request.extend_from_slice(&bytes[..len]);
        }
        write!(
            connection,
            "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{page}",
            page.len()
        )
        .expect("an answer");
        String::from_utf8_lossy(&request).into_owned()
    });
    (url, server)
}

#[test]
fn accepted_page_exits_0_without_output() {
    let output = check(&["-"], b"# TYPE a gauge\na{b=\"c\"} 1\n");
    assert_eq!(
        (code(&output), stdout(&output), stderr(&output)),
        (0, "".into(), "".into())
    );
}

#[test]
fn refused_page_exits_1_and_shows_the_line() {
    let output = check(&["-"], b"a 1\nb{c=d} 1\n");
    assert_eq!(code(&output), 1);
    assert_eq!(
        stderr(&output),
        "standard input: line 2, column 5: a label value must be in double quotes\n\
         \x20 b{c=d} 1\n\
         \x20     ^\n"
    );
}

#[test]
fn unusable_arguments_exit_2() {
    for arguments in [
        &["--format", "xml", "-"][..],
        &[],
        &["--no-such-option", "-"],
        &["no such file"],
        &["."],
        &["https://localhost/metrics"],
        // Nobody listens on the port that means any.
        &["http://127.0.0.1:0/metrics"],
    ] {
        let output = check(arguments, b"");
        assert_eq!(code(&output), 2, "{arguments:?}");
        assert!(!stderr(&output).is_empty(), "{arguments:?}");
    }
}

#[test]
fn missing_page_or_server_exits_2_with_reason() {
    let (url, server) = answer("404 Not Found", "text/plain", "nothing");
    let output = check(&[&url], b"");
    server.join().expect("the server ends");
    let expected =
        format!("stethoscope: {url}: the server answered 404: are the metrics at another path?\n");
    assert_eq!((code(&output), stderr(&output)), (2, expected));
    // It has ended.
    let output = check(&[&url], b"");
    let expected =
        format!("stethoscope: {url}: connection refused: no server listens at this address\n");
    assert_eq!((code(&output), stderr(&output)), (2, expected));
}

#[test]
fn lenient_accepts_what_the_server_accepts() {
    let page = b"a 1\na 1";
    assert_eq!(code(&check(&["-"], page)), 1);
    assert_eq!(code(&check(&["--lenient", "-"], page)), 0);
}

#[test]
fn format_is_guessed_from_the_page() {
    let openmetrics = "# TYPE a counter\na_total 1 # {b=\"c\"} 1\n# EOF\n";
    assert_eq!(code(&check(&["-"], openmetrics.as_bytes())), 0);
    let path = file("openmetrics.txt", openmetrics);
    assert_eq!(code(&check(&[path.to_str().unwrap()], b"")), 0);
    let path = file("text.txt", "# a comment\n{\"a.b\"} 1\n");
    assert_eq!(code(&check(&[path.to_str().unwrap()], b"")), 0);
    // Said is said.
    let arguments = ["--format", "prometheus", path.to_str().unwrap()];
    assert_eq!(code(&check(&arguments, b"")), 1);
    assert_eq!(code(&check(&["--format", "openmetrics", "-"], b"a 1\n")), 1);
    assert_eq!(
        code(&check(&["--format", "prometheus1", "-"], b"{\"a.b\"} 1\n")),
        0
    );
}

#[test]
fn fetched_page_is_read_by_its_content_type() {
    let (url, server) = serve(
        "application/openmetrics-text; version=1.0.0; escaping=allow-utf-8",
        "# TYPE \"a.b\" gauge\n{\"a.b\"} 1\n# EOF\n",
    );
    let output = check(&[&url], b"");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let request = server.join().expect("a request").to_ascii_lowercase();
    assert!(
        request.contains("accept: application/openmetrics-text"),
        "{request}"
    );

    let (url, server) = serve("text/plain; version=0.0.4", "# EOF\n{\"a.b\"} 1\n");
    assert_eq!(code(&check(&[&url], b"")), 1);
    server.join().expect("a request");
}

#[test]
fn json_has_one_line_per_sample() {
    let page = "# TYPE a counter\na_total{b=\"\\\"\\\\\\n\u{1}\u{e9}\"} 1e6 1.5 # {t=\"u\"} 0.5 2\n\
                c NaN\n# EOF\n";
    let output = check(&["--json", "-"], page.as_bytes());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(
        stdout(&output),
        "{\"name\":\"a_total\",\"labels\":[[\"b\",\"\\\"\\\\\\u000a\\u0001\u{e9}\"]],\
         \"value\":\"1e+06\",\"timestamp_ms\":1500,\
         \"exemplar\":{\"value\":\"0.5\",\"labels\":[[\"t\",\"u\"]],\"timestamp_ms\":2000}}\n\
         {\"name\":\"c\",\"labels\":[],\"value\":\"NaN\"}\n"
    );
}

#[test]
fn json_value_reads_back_as_the_same_float() {
    for (value, shown) in [
        ("9007199254740993", "9.007199254740992e+15"),
        ("0.1", "0.1"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("123456789.12345678912345", "1.2345678912345679e+08"),
        ("4.9e-324", "5e-324"),
    ] {
        let output = check(&["--json", "-"], format!("a {value}\n").as_bytes());
        let line = format!("{{\"name\":\"a\",\"labels\":[],\"value\":\"{shown}\"}}\n");
        assert_eq!(stdout(&output), line);
        assert_eq!(value.parse::<f64>(), shown.parse::<f64>());
    }
}

#[test]
fn lints_are_printed_and_exit_0() {
    let page = b"# HELP a x\n# TYPE a counter\na 1\n";
    let output = check(&["--lint", "-"], page);
    assert_eq!(code(&output), 0);
    assert_eq!(
        stderr(&output),
        "standard input: warning: line 3, column 1: the name of a counter should end in _total: a\n\
         \x20 a 1\n\
         \x20 ^\n"
    );
}

#[test]
fn long_page_is_read_in_pieces() {
    let mut page = String::from("# TYPE a gauge\n");
    for series in 0..40_000 {
        page += &format!("a{{series=\"{series}\"}} {series}\n");
    }
    assert_eq!(code(&check(&["-"], page.as_bytes())), 0);
    page += "a{series=\"7\"} 7\n";
    let output = check(&["-"], page.as_bytes());
    assert_eq!(code(&output), 1);
    assert!(
        stderr(&output).contains("line 40002, column 1"),
        "{}",
        stderr(&output)
    );
}

/// The most memory that a process has had so far, in bytes.
#[cfg(target_os = "linux")]
fn peak(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kib.expect("a number of KiB") << 10
}

/// Feeds megabytes of page to a check of standard input, and says how much more
/// memory the last of them took than the first.
#[cfg(target_os = "linux")]
fn growth(arguments: &[&str], megabytes: usize) -> usize {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_stethoscope"))
        .args(["check", "--format", "openmetrics", "-"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the tool starts");
    let mut input = tool.stdin.take().expect("a pipe");
    let mut family = String::new();
    let mut fed = 0;
    let mut first = None;
    for number in 0.. {
        family.clear();
        family += &format!("# TYPE f{number} histogram\n");
        for series in 0..200 {
            let labels = format!("series=\"{series}\",text=\"as \\\"much\\\" as that\"");
            for (bound, count) in [("0.1", 0), ("2.5", series), ("+Inf", series + 1)] {
                family += &format!("f{number}_bucket{{{labels},le=\"{bound}\"}} {count}\n");
            }
            family += &format!("f{number}_count{{{labels}}} {}\n", series + 1);
            family += &format!("f{number}_sum{{{labels}}} 0.5\n");
        }
        input
            .write_all(family.as_bytes())
            .expect("it goes on reading");
        fed += family.len();
        if fed > 1 << 20 && first.is_none() {
            first = Some(peak(tool.id()));
        }
        if fed > megabytes << 20 {
            break;
        }
    }
    let last = peak(tool.id());
    input.write_all(b"# EOF\n").expect("it goes on reading");
    drop(input);
    assert!(tool.wait().expect("the tool ends").success());
    last - first.expect("more than a megabyte was fed")
}

#[test]
#[cfg(target_os = "linux")]
fn memory_does_not_grow_with_the_page() {
    for arguments in [&[][..], &["--lint"], &["--json"], &["--lenient"]] {
        let more = growth(arguments, 3);
        assert!(more < 3 << 18, "{arguments:?}: {more} bytes more");
    }
}

/// Starts `stethoscope ARGUMENTS`, with `page` on standard input, and these two
/// as its output.
#[cfg(target_os = "linux")]
fn ends_at(
    arguments: &[&str],
    page: &[u8],
    out: impl Into<Stdio>,
    error: impl Into<Stdio>,
) -> Output {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_stethoscope"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(out)
        .stderr(error)
        .spawn()
        .expect("the tool starts");
    // It may end before it has read all.
    let _ = tool.stdin.take().expect("a pipe").write_all(page);
    tool.wait_with_output().expect("the tool ends")
}

#[cfg(target_os = "linux")]
fn full() -> std::fs::File {
    std::fs::File::create("/dev/full").expect("a device that is always full")
}

/// A pipe that nobody reads.
#[cfg(target_os = "linux")]
fn gone() -> std::io::PipeWriter {
    std::io::pipe().expect("a pipe").1
}

#[cfg(target_os = "linux")]
const MANY_WARNINGS: &[u8] = b"# TYPE a counter\na 1\n# TYPE bC counter\nbC 2\n";

#[test]
#[cfg(target_os = "linux")]
fn unwritable_report_exits_2_with_reason() {
    for arguments in [
        &["check", "--json", "-"][..],
        &["check", "--help"],
        &["--version"],
    ] {
        let output = ends_at(arguments, b"a 1\n", full(), Stdio::piped());
        assert_eq!(code(&output), 2, "{arguments:?}");
        let expected = "stethoscope: the report could not be written: \
                        No space left on device (os error 28)\n";
        assert_eq!(stderr(&output), expected, "{arguments:?}");
    }
    for arguments in [
        &["check", "--lint", "-"][..],
        &["check", "no such file"],
        &["check"],
    ] {
        let output = ends_at(arguments, MANY_WARNINGS, Stdio::piped(), full());
        assert_eq!(code(&output), 2, "{arguments:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn closed_pipe_ends_the_program_quietly() {
    // An error in the page is not come to any more.
    let page = [b"a{b=\"c\"} 1\n".repeat(10_000), b"a b\n".to_vec()].concat();
    let arguments = ["check", "--lenient", "--json", "-"];
    let output = ends_at(&arguments, &page, gone(), Stdio::piped());
    assert_eq!((code(&output), stderr(&output)), (141, String::new()));
    for arguments in [&["check", "--lint", "-"][..], &["check", "no such file"]] {
        let output = ends_at(arguments, MANY_WARNINGS, Stdio::piped(), gone());
        assert_eq!((code(&output), stdout(&output)), (141, String::new()));
    }
}

/// A server that says this to its first client, and then holds its tongue until
/// the client has gone. Gives the URL.
fn saying(words: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let (mut connection, _) = listener.accept().expect("a connection");
        connection.write_all(words.as_bytes()).expect("a client");
        while connection.read(&mut [0; 1024]).is_ok_and(|len| len > 0) {}
    });
    format!("http://{address}/metrics")
}

#[test]
fn stalled_server_times_out() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n";
    for words in [String::new(), head.to_owned(), format!("{head}a 1\n")] {
        let url = saying(words);
        let output = check(&["--timeout", "200ms", &url], b"");
        let expected = format!(
            "stethoscope: {url}: timed out after 200ms waiting for the response (see --timeout)\n"
        );
        assert_eq!((code(&output), stderr(&output)), (2, expected));
    }
}

#[test]
fn trickling_server_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let server = thread::spawn(move || {
        let (mut connection, _) = listener.accept().expect("a connection");
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n";
        let mut sent = connection.write_all(head.as_bytes());
        while sent.is_ok() {
            thread::sleep(std::time::Duration::from_millis(20));
            sent = connection.write_all(b"\n");
        }
    });
    let output = check(&["--timeout", "200ms", &url], b"");
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("timed out after 200ms"));
    server.join().expect("its client goes");
}

#[test]
fn empty_page_is_refused() {
    for arguments in [
        &["-"][..],
        &["--lenient", "-"],
        &["--format", "openmetrics", "-"],
    ] {
        let output = check(arguments, b"");
        let expected = "standard input: the page is empty\n";
        assert_eq!((code(&output), &*stderr(&output)), (1, expected));
    }
    let path = file("empty.txt", "");
    assert_eq!(code(&check(&[path.to_str().unwrap()], b"")), 1);
    let (url, server) = serve("text/plain; version=0.0.4", "");
    assert_eq!(code(&check(&[&url], b"")), 1);
    server.join().expect("a request");
}

#[test]
fn page_without_samples_is_accepted_with_a_warning() {
    for page in ["\n", "# TYPE a gauge\n", "# EOF\n"] {
        let output = check(&["-"], page.as_bytes());
        let expected = "standard input: warning: the page contains no samples\n";
        assert_eq!(
            (code(&output), &*stderr(&output)),
            (0, expected),
            "{page:?}"
        );
    }
}

#[test]
fn unusable_response_exits_2_with_reason() {
    for (status, content_type, page, why) in [
        (
            "204 No Content",
            "text/plain",
            "",
            "the server answered 204, but a scrape needs 200",
        ),
        (
            "500 Oops",
            "text/plain",
            "no",
            "the server answered 500, but a scrape needs 200",
        ),
        (
            "200 OK",
            "Text/HTML; charset=utf-8",
            "",
            "the server answered with HTML (text/html), not with metrics: are they at another \
             path?",
        ),
    ] {
        let (url, server) = answer(status, content_type, page);
        let output = check(&[&url], b"");
        server.join().expect("a request");
        let expected = format!("stethoscope: {url}: {why}\n");
        assert_eq!((code(&output), stderr(&output)), (2, expected));
    }
}

#[test]
fn redirect_is_followed_and_named_in_errors() {
    let (there, server) = serve("text/plain", "a 1\n");
    let location = format!("Location: {there}");
    let redirect = |location: &str| {
        saying(format!(
            "HTTP/1.1 302 Found\r\n{location}\r\nContent-Length: 0\r\n\r\n"
        ))
    };
    let output = check(&["--json", &redirect(&location)], b"");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("\"a\""));
    server.join().expect("a request");
    // Nobody is there any more.
    let output = check(&[&redirect(&location)], b"");
    let told = format!(", redirected to {there}: connection refused");
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains(&told), "{}", stderr(&output));

    let output = check(&[&redirect("Location: https://localhost/x")], b"");
    let told = "redirect to https://localhost/x: https is not supported";
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains(told), "{}", stderr(&output));
}

#[test]
fn fault_of_a_whole_file_is_named() {
    for (page, why) in [
        (
            &b"# TYPE a gauge\r\na 1\r\n"[..],
            "this line ends with a carriage return",
        ),
        (b"a 1\r\n", "this line ends with a carriage return"),
        (
            b"a{b=\"c\"} 1 5\r\n",
            "this line ends with a carriage return",
        ),
        (b"\r\n", "this line ends with a carriage return"),
        (
            b"\xef\xbb\xbfa 1\n",
            "the page begins with a byte order mark",
        ),
        (b"\x1f\x8b\x08\0\0", "this is gzip, not text"),
        (b"{\n  \"a\": 1\n}\n", "this is JSON, not a metrics page"),
        (b"{ \"a\" :1}", "this is JSON, not a metrics page"),
        (b"[{\"a\":1}]\n", "this is JSON, not a metrics page"),
        (b"<!DOCTYPE html>\n", "this is HTML, not a metrics page"),
        (
            b"<?xml version=\"1.0\"?>\n",
            "this is XML or HTML, not a metrics page",
        ),
        // Something else is wrong before.
        (b"a{b=c} 1\r\n", "a label value must be in double quotes"),
    ] {
        for arguments in [
            &["-"][..],
            &["--format", "openmetrics", "-"],
            &["--lenient", "-"],
        ] {
            let output = check(arguments, page);
            assert_eq!(code(&output), 1);
            assert!(
                stderr(&output).starts_with("standard input: line 1, ")
                    && stderr(&output).contains(&format!(": {why}")),
                "{arguments:?}: {}",
                stderr(&output)
            );
        }
    }
}

#[test]
fn line_beyond_the_limit_shows_the_limit() {
    let output = check(&["-"], &[b'a'; (1 << 20) + 1]);
    assert_eq!(code(&output), 1);
    let expected = "\n  (the limit is 1 MiB; see --max-line)\n";
    let one = check(&["--max-memory", "1", "-"], b"a 1\n");
    let by_memory = "\n  (the limit is 1 byte; see --max-memory)\n";
    assert!(stderr(&one).ends_with(by_memory), "{one:?}");
    assert!(stderr(&output).ends_with(expected), "{}", stderr(&output));
}

#[test]
fn url_without_scheme_is_recognised() {
    let output = check(&["localhost:1/metrics"], b"");
    let expected = "stethoscope: localhost:1/metrics: No such file or directory (os error 2); \
                    for a URL, write http://localhost:1/metrics\n";
    assert_eq!((code(&output), &*stderr(&output)), (2, expected));
    assert!(!stderr(&check(&["no such file"], b"")).contains("http"));
}

#[test]
fn falling_buckets_cause_a_warning() {
    let page = "# HELP a x\n# TYPE a histogram\na_bucket{le=\"1.0\"} 5\na_bucket{le=\"+Inf\"} 3\n";
    let output = check(&["--lint", "-"], page.as_bytes());
    assert_eq!(code(&output), 0);
    let place = "standard input: warning: line 4, column 21: a bucket counts all";
    assert!(stderr(&output).starts_with(place), "{}", stderr(&output));
}

/// Answers one request with these headers and this body. Returns the URL and, later,
/// the request.
fn respond(headers: &str, body: &[u8]) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut response =
        format!("HTTP/1.1 200 OK\r\n{headers}Connection: close\r\n\r\n").into_bytes();
    response.extend_from_slice(body);
    let server = thread::spawn(move || {
        let (mut connection, _) = listener.accept().expect("a connection");
        let mut request = Vec::new();
        let mut bytes = [0; 1024];
        while !request.ends_with(b"\r\n\r\n") {
            let len = connection.read(&mut bytes).expect("a request");
            request.extend_from_slice(&bytes[..len]);
        }
        // The client may stop reading early.
        let _ = connection.write_all(&response);
        String::from_utf8_lossy(&request).into_owned()
    });
    (format!("http://{address}/metrics"), server)
}

fn gzip(page: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(page).expect("a Vec takes all");
    encoder.finish().expect("a Vec takes all")
}

const TEXT: &str = "Content-Type: text/plain; version=0.0.4\r\n";
const GZIP: &str = "Content-Encoding: gzip\r\n";

#[test]
fn url_is_requested_as_prometheus_does() {
    for (arguments, accept, encoding) in [
        (&[][..], "escaping=allow-utf-8;q=0.6", "gzip"),
        (&["--as", "3"], "escaping=allow-utf-8;q=0.6", "gzip"),
        (
            &["--as", "2.42"],
            "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "gzip",
        ),
        (&["--plain"], "escaping=allow-utf-8;q=0.6", "identity"),
        (
            &["--format", "prometheus"],
            "text/plain; version=0.0.4",
            "gzip",
        ),
    ] {
        let (url, server) = respond(TEXT, b"a 1\n");
        let output = check(&[arguments, &[&url]].concat(), b"");
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let request = server.join().expect("a request");
        assert!(request.contains(accept), "{request}");
        assert!(
            request.contains(&format!("Accept-Encoding: {encoding}\r\n")),
            "{request}"
        );
    }
}

#[test]
fn gzip_response_is_decompressed_and_judged() {
    let (url, server) = respond(&format!("{TEXT}{GZIP}"), &gzip(b"a 1\nb 2\n"));
    let output = check(&["--json", &url], b"");
    assert_eq!((code(&output), stdout(&output).lines().count()), (0, 2));
    server.join().expect("a request");
    let (url, server) = respond(&format!("{TEXT}{GZIP}"), &gzip(b"a 1\nb{c=d} 2\n"));
    let output = check(&[&url], b"");
    assert_eq!(code(&output), 1);
    assert!(
        stderr(&output).contains("line 2, column 5"),
        "{}",
        stderr(&output)
    );
    server.join().expect("a request");
}

#[test]
fn page_that_is_long_once_decompressed_times_out() {
    // It is received at once: the client takes 256 KiB at a time.
    let body = gzip(&b"a 1\n".repeat(1 << 20)).repeat(40);
    assert!(body.len() < 256 << 10, "{}", body.len());
    let headers = format!("{TEXT}Content-Encoding: gzip\r\n");
    let output = check(
        &[
            "--lenient",
            "--timeout",
            "100ms",
            &respond(&headers, &body).0,
        ],
        b"",
    );
    assert_eq!(code(&output), 2);
    assert!(
        stderr(&output).contains("timed out after 100ms"),
        "{output:?}"
    );
}

#[test]
fn compressed_file_is_refused_with_reason() {
    let output = check(&["-"], &gzip(b"a 1\n"));
    assert_eq!(code(&output), 1);
    assert!(
        stderr(&output).contains("the page is compressed: decompress it"),
        "{output:?}"
    );
}

#[test]
fn broken_gzip_response_is_refused_with_reason() {
    let lines = (0..300).map(|series| format!("a{{b=\"{series}\"}} 1\n"));
    let page = lines.collect::<String>().into_bytes();
    let good = gzip(&page);
    let mut bad_checksum = good.clone();
    let at = bad_checksum.len() - 8;
    bad_checksum[at] ^= 1;
    let plain_length = format!("Content-Length: {}\r\n", page.len());
    let short_length = "Content-Length: 20\r\n".to_owned();
    for (length, body, why) in [
        (String::new(), page.clone(), "but is not compressed"),
        (String::new(), gzip(&good), "compressed twice"),
        (String::new(), bad_checksum, "corrupt"),
        (
            String::new(),
            [&good[..], b"xx"].concat(),
            "bytes that are not gzip follow",
        ),
        (String::new(), good[..good.len() - 4].to_vec(), "cut short"),
        (plain_length, good.clone(), "Content-Length"),
        (short_length, good.clone(), "Content-Length"),
    ] {
        let (url, server) = respond(&format!("{TEXT}{GZIP}{length}"), &body);
        let output = check(&[&url], b"");
        server.join().expect("a request");
        let error = stderr(&output);
        assert_eq!(code(&output), 1, "{why}: {error}");
        assert!(
            error.contains(why) && error.contains("fails this scrape"),
            "{why}: {error}"
        );
    }
    let (url, server) = respond(&format!("{TEXT}Content-Encoding: br\r\n"), b"a 1\n");
    let output = check(&[&url], b"");
    server.join().expect("a request");
    assert_eq!(code(&output), 1);
    assert!(
        stderr(&output).contains("decodes only gzip"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn content_type_is_judged_for_each_server() {
    for (header, problem) in [
        ("", "no Content-Type"),
        ("Content-Type: text/plain, version=0.0.4\r\n", "malformed"),
        (
            "Content-Type: application/octet-stream\r\n",
            "not one of a metrics page",
        ),
    ] {
        for (arguments, expected) in [(&[][..], 1), (&["--as", "3"], 1), (&["--as", "2.42"], 0)] {
            let (url, server) = respond(header, b"a 1\n");
            let output = check(&[arguments, &[&url]].concat(), b"");
            server.join().expect("a request");
            let error = stderr(&output);
            assert_eq!(code(&output), expected, "{header} {arguments:?}: {error}");
            assert!(error.contains(problem), "{error}");
            assert_eq!(
                error.contains("fallback_scrape_protocol"),
                expected == 1,
                "{error}"
            );
        }
    }
}

#[test]
fn json_and_protobuf_responses_are_named() {
    for (content_type, word) in [
        ("application/json", "JSON"),
        ("application/problem+json; charset=utf-8", "JSON"),
        (
            "application/vnd.google.protobuf; encoding=delimited",
            "protobuf",
        ),
    ] {
        let (url, server) = respond(&format!("Content-Type: {content_type}\r\n"), b"{}");
        let output = check(&[&url], b"");
        server.join().expect("a request");
        assert_eq!(code(&output), 2);
        assert!(stderr(&output).contains(word), "{}", stderr(&output));
    }
}

#[test]
fn leading_blanks_are_judged_for_each_server() {
    for (arguments, expected, is_warned) in [
        (&[][..], 0, false),
        (&["--lint"], 0, true),
        (&["--lenient"], 0, true),
        (&["--as", "3"], 0, true),
        (&["--as", "2.42"], 1, true),
    ] {
        let output = check(&[arguments, &["-"]].concat(), b"# HELP a x\n  a 1\n");
        assert_eq!(code(&output), expected, "{arguments:?}");
        let said = stderr(&output).contains("blanks before a sample");
        assert_eq!(said, is_warned, "{arguments:?}: {}", stderr(&output));
    }
    for server in ["2.42", "3"] {
        let output = check(&["--as", server, "-"], b"a 1 -5\n");
        assert_eq!(code(&output), 1, "{server}");
    }
}

#[test]
fn lints_are_grouped_and_counted() {
    let mut page = String::new();
    for number in 0..20 {
        page += &format!("# TYPE a{number} counter\na{number} 1\n");
    }
    let output = check(&["--lint", "-"], page.as_bytes());
    let error = stderr(&output);
    assert_eq!(code(&output), 0);
    assert!(
        error.contains(
            "warning, 20 times: the name of a counter should end in _total\n  line 2: a0\n"
        ),
        "{error}"
    );
    assert_eq!(error.matches("no help text").count(), 1, "{error}");
    assert!(error.lines().count() < 20, "{error}");
    let output = check(&["--lint", "--all", "-"], page.as_bytes());
    assert_eq!(stderr(&output).matches("no help text: a").count(), 20);
    let histogram = |bounds: [&str; 3]| {
        let mut page = "# HELP h x\n# TYPE h histogram\n".to_owned();
        for series in 0..50 {
            for bound in bounds {
                page += &format!("h_bucket{{a=\"{series}\",le=\"{bound}\"}} 1\n");
            }
        }
        page
    };
    // The clients of Go and Rust, and those of Python, in text.
    for bounds in [["1", "2", "+Inf"], ["1.0", "2.0", "+Inf"]] {
        let output = check(&["--lint", "--all", "-"], histogram(bounds).as_bytes());
        assert_eq!(stderr(&output), "");
    }
    let histogram = histogram(["1.", "2.00", "+Inf"]);
    let output = check(&["--lint", "--all", "-"], histogram.as_bytes());
    assert_eq!(
        stderr(&output).matches("warning").count(),
        1,
        "{}",
        stderr(&output)
    );
    let output = check(&["--lint", "--as", "3", "-"], histogram.as_bytes());
    assert_eq!(stderr(&output), "");
}

#[test]
fn refusal_names_the_format_and_its_reason() {
    let (url, server) = respond(
        "Content-Type: application/openmetrics-text; version=1.0.0\r\n",
        b"a 1\n",
    );
    let output = check(&[&url], b"");
    server.join().expect("a request");
    let expected = "(read strictly as OpenMetrics 1.0 because of its Content-Type; see --format)\n";
    assert!(stderr(&output).ends_with(expected), "{}", stderr(&output));
    let page = b"# TYPE a counter\na_total 1 # {b=\"c\"} 1\n";
    let output = check(&["-"], page);
    let error = stderr(&output);
    assert!(error.contains("only OpenMetrics has"), "{error}");
    assert!(
        error.contains("text 1.0.0 because it does not end with # EOF"),
        "{error}"
    );
    let output = check(&["--format", "prometheus", "--lenient", "-"], page);
    assert!(stderr(&output).contains("leniently as text 0.0.4 because of --format"));
}

#[test]
fn openmetrics_with_utf8_names_has_a_format() {
    let page = b"# TYPE \"a.b\" gauge\n{\"a.b\",\"c.d\"=\"e\"} 1\n# EOF\n";
    assert_eq!(
        code(&check(&["--format", "openmetrics-utf8", "-"], page)),
        0
    );
    assert_eq!(code(&check(&["--format", "openmetrics", "-"], page)), 1);
    for page in [
        &page[..],
        b"# HELP \"a.b\" c\n# EOF\n",
        b"{\"a.b\"} 1\n# EOF\n",
        b"a{b=\"\\\"\",\"c.d\"=\"e\"} 1\n# EOF\n",
        b"# TYPE a counter\na_total{b=\"c\"} 1 # {\"d.e\"=\"f\"} 1\n# EOF\n",
    ] {
        assert_eq!(code(&check(&["-"], page)), 0);
    }
    let wrong = check(&["-"], b"{\"a.b\"} 1\n\n# EOF\n");
    assert!(
        stderr(&wrong).contains("OpenMetrics 1.0 with UTF-8 names"),
        "{wrong:?}"
    );
    // Quotes in values are not names.
    let plain = check(&["-"], b"a{b=\"{\\\",\"} 1\n\n# EOF\n");
    assert!(
        stderr(&plain).contains("as OpenMetrics 1.0 because"),
        "{plain:?}"
    );
}

#[test]
fn openmetrics2_has_a_format_and_is_recognised() {
    let page = b"# HELP a Waited.\n# TYPE a histogram\n\
                 a{b=\"\\\" st@\"} {count:3,sum:4.5,schema:0,zero_threshold:0.5,zero_count:0,\
                 positive_spans:[0:3],positive_buckets:[2,0,1],bucket:[1.0:2,+Inf:3]} \
                 st@5.5 # {} 1 2 # {c=\"d\"} 3 4\n# EOF\n";
    for arguments in [
        &["--json", "-"][..],
        &["--json", "--lint", "-"],
        &["--json", "--format", "openmetrics2", "-"],
    ] {
        let output = check(arguments, page);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "{\"name\":\"a\",\"labels\":[[\"b\",\"\\\" st@\"]],\"histogram\":\
             {\"count\":\"3\",\"sum\":\"4.5\",\"schema\":0,\"zero_threshold\":\"0.5\",\
             \"zero_count\":\"0\",\"negative\":[],\"positive\":[[0,\"2\"],[2,\"1\"]],\
             \"buckets\":[[\"1.0\",\"2\"],[\"+Inf\",\"3\"]]},\"start_timestamp_ms\":5500,\
             \"exemplars\":[{\"value\":\"1\",\"labels\":[],\"timestamp_ms\":2000},\
             {\"value\":\"3\",\"labels\":[[\"c\",\"d\"]],\"timestamp_ms\":4000}]}\n"
        );
    }
    let first = check(&["--format", "openmetrics", "-"], page);
    assert_eq!(code(&first), 1);
    assert!(
        stderr(&first).contains("OpenMetrics 2.0"),
        "{}",
        stderr(&first)
    );
    let faulty = check(&["-"], b"# TYPE a counter\na{b=\"x st@1\"} 1 st@x\n# EOF\n");
    assert_eq!(code(&faulty), 1);
    let shown = stderr(&faulty);
    assert!(shown.contains("invalid start time"), "{shown}");
    // No released server reads it.
    let server = check(&["--as", "3", "-"], page);
    assert_eq!(code(&server), 1);
    assert!(
        stderr(&server).contains("OpenMetrics 2.0"),
        "{}",
        stderr(&server)
    );
    let blank = check(&["-"], b"a {count:1,sum:1,quantile:[]}  1\n# EOF\n");
    let shown = stderr(&blank);
    assert!(
        shown.contains("as OpenMetrics 2.0 because of a line"),
        "{shown}"
    );
    // A label value alone does not make it one.
    let text = check(&["-"], b"a{b=\"x st@1 {count:\"} 1 y\n");
    assert!(stderr(&text).contains("as text 1.0.0"), "{}", stderr(&text));
    let summary = b"# TYPE a summary\na {count:1,sum:2,quantile:[0.5:NaN]}\n# EOF\n";
    let output = check(&["--json", "-"], summary);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "{\"name\":\"a\",\"labels\":[],\"summary\":\
         {\"count\":\"1\",\"sum\":\"2\",\"quantiles\":[[\"0.5\",\"NaN\"]]}}\n"
    );
}

#[test]
fn line_limit_is_an_option() {
    let long = format!("a{{b=\"{}\"}} 1\n", "x".repeat(2 << 20));
    assert_eq!(code(&check(&["-"], long.as_bytes())), 1);
    assert_eq!(
        code(&check(&["--max-line", "3MiB", "-"], long.as_bytes())),
        0
    );
    // The server has no limit.
    assert_eq!(code(&check(&["--lenient", "-"], long.as_bytes())), 0);
    let output = check(&["--lenient", "--max-line", "1KiB", "-"], long.as_bytes());
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("the limit is 1 KiB; see --max-line"));
}

#[test]
fn memory_is_bounded_against_a_hostile_page() {
    let mut page = String::new();
    for number in 0..200_000 {
        page += &format!("# TYPE a{number} histogram\n");
    }
    let output = check(&["--max-memory", "4MiB", "-"], page.as_bytes());
    let error = stderr(&output);
    assert_eq!(code(&output), 1);
    assert!(
        error.contains("memory limit") && error.contains("see --max-memory"),
        "{error}"
    );
    assert_eq!(
        code(&check(
            &["--max-memory", "4MiB", "--lenient", "-"],
            page.as_bytes()
        )),
        0
    );
}

#[test]
fn endless_head_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let server = thread::spawn(move || {
        let (mut connection, _) = listener.accept().expect("a connection");
        let mut sent = connection.write_all(b"HTTP/1.1 200 OK\r\n");
        while sent.is_ok() {
            sent = connection.write_all(&b"X-More: and more\r\n".repeat(64));
        }
    });
    let output = check(&[&url], b"");
    server.join().expect("its client goes");
    assert_eq!(code(&output), 2);
    let error = stderr(&output);
    assert!(
        error.contains("head of the server's response") || error.contains("not valid HTTP"),
        "{error}"
    );
}

#[test]
fn no_control_character_reaches_the_terminal() {
    let odd = "\u{1b}[31m\u{9b}\u{202e}\u{2066}\u{200b}\u{7f}";
    let page = format!(
        "# HELP {odd}\n# TYPE a counter\na{{b=\"{odd}\",cD=\"1\"}} 1\nb{{c=\"{odd}\",d=e}} 1\n"
    );
    let location = format!("Location: http://127.0.0.1:1/{odd}\r\n");
    let outputs = [
        check(&["--lint", "--all", "-"], page.as_bytes()),
        check(&["--lint", "-"], page.as_bytes()),
        check(
            &["--json", "--lenient", "-"],
            format!("a{{b=\"{odd}\"}} 1\n").as_bytes(),
        ),
        check(
            &[&saying(format!(
                "HTTP/1.1 302 Found\r\n{location}Content-Length: 0\r\n\r\n"
            ))],
            b"",
        ),
        check(
            &[&respond(&format!("Content-Type: {odd}\r\n"), b"a 1\n").0],
            b"",
        ),
        check(
            &[&respond(&format!("{TEXT}Content-Encoding: {odd}\r\n"), b"a 1\n").0],
            b"",
        ),
        check(&[odd], b""),
    ];
    for output in outputs {
        for text in [stdout(&output), stderr(&output)] {
            let is_odd = |c: char| c != '\n' && stethoscope::exposition::parser::is_unprintable(c);
            assert!(!text.contains(is_odd), "{text:?}");
        }
    }
}

#[test]
fn text_from_elsewhere_begins_no_line() {
    let one = "{\"a\\nforged\"} 1\n";
    let two = format!("{one}{{\"b\\nforged\"}} 1\n");
    let lint = ["--format", "prometheus1", "--lint", "-"];
    for (output, subject) in [
        (check(&lint, one.as_bytes()), "a\u{b7}forged"),
        (check(&lint, two.as_bytes()), "b\u{b7}forged"),
        (check(&["no\nforged"], b""), "no\\nforged"),
        (
            check(&[file("bad\nforged", "a").to_str().unwrap()], b""),
            "bad\\nforged",
        ),
    ] {
        let error = stderr(&output);
        assert!(error.contains(subject), "{error}");
        assert!(!error.contains("\nforged"), "{error}");
    }
}

#[test]
fn histogram_error_in_a_stream_names_line_and_series() {
    let mut page = "# TYPE a histogram\n".to_owned();
    for series in 0..3000 {
        let count = if series == 23 { 7 } else { 2 };
        page += &format!("a_bucket{{x=\"{series}\",le=\"+Inf\"}} 2\na_sum{{x=\"{series}\"}} 1\n");
        page += &format!("a_count{{x=\"{series}\"}} {count}\n");
    }
    let output = check(&["-"], page.as_bytes());
    assert_eq!(code(&output), 1);
    let error = stderr(&output);
    assert!(
        error.contains("line 73, column 1") && error.contains("a{x=\"23\"}"),
        "{error}"
    );
}

/// Runs `check --as SERVER` on a response with this Content-Type.
fn check_as(server: &str, content_type: &str, page: &str) -> Output {
    let (url, answered) = respond(
        &format!("Content-Type: {content_type}\r\n"),
        page.as_bytes(),
    );
    let output = check(&["--as", server, &url], b"");
    answered.join().expect("a request");
    output
}

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Pages that Prometheus 3 accepts, each with its Content-Type, and whether
/// Prometheus 2.42 does. Each verdict of 2.42 was taken from that server.
const ACCEPTED_BY_3: [(&str, &str, bool); 22] = [
    (
        OPENMETRICS,
        "# TYPE a gauge\na 1 # {t=\"x\"} 1\n# EOF\n",
        false,
    ),
    (
        OPENMETRICS,
        "# TYPE a unknown\na 1 5 # {t=\"x\"} 1\n# EOF\n",
        false,
    ),
    (
        OPENMETRICS,
        "# TYPE a info\na_info{b=\"c\"} 1 # {} 1\n# EOF\n",
        false,
    ),
    (
        OPENMETRICS,
        "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_count 1 # {} 1\n# EOF\n",
        false,
    ),
    (
        OPENMETRICS,
        "# TYPE a counter\na_total 1\na_created 1 # {} 1\n# EOF\n",
        false,
    ),
    (OPENMETRICS, "a_total 1 # {t=\"x\",} 1\n# EOF\n", false),
    (OPENMETRICS, "a_total 1 # {\"t\"=\"x\"} 1\n# EOF\n", false),
    (OPENMETRICS, "a{x=\"1\",} 1\n# EOF\n", false),
    (OPENMETRICS, "{\"a.b\"} 1\n# EOF\n", false),
    (OPENMETRICS, "# UNIT \"a_b\" b\na_b 1\n# EOF\n", false),
    (TEXT_TYPE, "{\"a.b\"} 1\n", false),
    (TEXT_TYPE, "{\"a\",b=\"c\"} 1\n", false),
    (TEXT_TYPE, "# TYPE \"a.b\" gauge\na 1\n", false),
    (TEXT_TYPE, "# HELP   \"a.b\" x\na 1\n", false),
    (TEXT_TYPE, "a{b=\"c\" , \"l.x\"=\"1\"} 1\n", false),
    (
        OPENMETRICS,
        "# TYPE a counter\na_total 1 # {t=\"x\"} 1\n# EOF\n",
        true,
    ),
    (OPENMETRICS, "a_total 1 # {} 1\n# EOF\n", true),
    (
        OPENMETRICS,
        "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1 # {t=\"}\"} 1\n# EOF\n",
        true,
    ),
    (OPENMETRICS, "a{x=\"\\\"{b\",y=\",}\"} 1\n# EOF\n", true),
    (TEXT_TYPE, "a{x=\"1\" , } 1\n", true),
    (TEXT_TYPE, "a{x = \"\\\\\",y= \"\"} 1\n", true),
    (TEXT_TYPE, "# HELP a \"quoted\"\na 1\n", true),
];

const TEXT_TYPE: &str = "text/plain; version=0.0.4";

#[test]
fn check_as_2_42_refuses_what_only_prometheus_3_accepts() {
    for (content_type, page, accepted_by_2) in ACCEPTED_BY_3 {
        let output = check_as("3", content_type, page);
        assert_eq!(code(&output), 0, "{page} {}", stderr(&output));
        let output = check_as("2.42", content_type, page);
        let error = stderr(&output);
        assert_eq!(code(&output), i32::from(!accepted_by_2), "{page} {error}");
        let says_why = error.contains(": Prometheus 2") && error.contains("line ");
        assert_eq!(says_why, !accepted_by_2, "{page} {error}");
    }
}

#[test]
fn other_content_types_are_text_for_2_42() {
    for content_type in [
        "application/json",
        "text/html",
        "application/openmetrics-text; version",
    ] {
        let output = check_as("2.42", content_type, "a 1\n");
        let error = stderr(&output);
        assert_eq!(code(&output), 0, "{content_type} {error}");
        assert!(
            error.contains("Prometheus 2 reads the page as text"),
            "{error}"
        );
        assert_eq!(code(&check_as("2.42", content_type, "<html>\n")), 1);
        assert_ne!(code(&check_as("3", content_type, "a 1\n")), 0);
    }
}

#[test]
fn content_encoding_in_capitals_is_not_decoded() {
    let headers = format!("{TEXT}Content-Encoding: GZIP\r\n");
    for (arguments, body, expected) in [
        (&[][..], gzip(b"a 1\n"), 1),
        (&["--as", "3"], gzip(b"a 1\n"), 1),
        (&["--as", "2.42"], gzip(b"a 1\n"), 1),
        (&["--as", "2.42"], b"a 1\n".to_vec(), 0),
    ] {
        let (url, server) = respond(&headers, &body);
        let output = check(&[arguments, &[&url]].concat(), b"");
        server.join().expect("a request");
        let error = stderr(&output);
        assert_eq!(code(&output), expected, "{arguments:?} {error}");
        assert!(
            error.contains("\"GZIP\", which is not spelled \"gzip\""),
            "{error}"
        );
    }
}

#[test]
fn interim_responses_are_skipped() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\n\
                   HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\na 1\n";
    let output = check(&["--json", &saying(format!("{interim}{last}"))], b"");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("\"a\""));
    let output = check(&[&saying(interim.repeat(3) + last)], b"");
    assert_eq!(code(&output), 2);
    assert!(
        stderr(&output).contains("not valid HTTP"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn ambiguous_content_length_is_refused() {
    let response = |lengths: &str, body: &str| {
        saying(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{lengths}\r\n{body}"
        ))
    };
    for (lengths, why) in [
        (
            "Content-Length: 4\r\nContent-Length: 5\r\n",
            "two Content-Length headers, \"4\" and \"5\"",
        ),
        ("Content-Length: 4, 4\r\n", "\"4, 4\" is not a number"),
        ("Content-Length: +4\r\n", "\"+4\" is not a number"),
    ] {
        let output = check(&[&response(lengths, "a 1\n")], b"");
        assert_eq!(code(&output), 2);
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
    }
    let same = "Content-Length: 4\r\ncontent-length: 4\r\n";
    assert_eq!(code(&check(&[&response(same, "a 1\n")], b"")), 0);
    // The length is that of the chunks.
    let chunked = "Content-Length: 9\r\nContent-Length: 8\r\nTransfer-Encoding: chunked\r\n";
    let url = response(chunked, "4\r\na 1\n\r\n0\r\n\r\n");
    assert_eq!(code(&check(&[&url], b"")), 0);
}

#[test]
fn every_part_of_a_gzip_response_is_read() {
    let body = [gzip(b""), gzip(b"a 1\n"), gzip(b""), gzip(b"b 2\n")].concat();
    let (url, server) = respond(&format!("{TEXT}{GZIP}"), &body);
    let output = check(&["--json", &url], b"");
    server.join().expect("a request");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stdout(&output).lines().count(), 2);
}

#[test]
fn long_names_are_cut_in_messages() {
    let name = "a".repeat(500_000);
    let page = format!("# TYPE {name} histogram\n{name}_bucket{{le=\"1\"}} 1\n{name}_count 1\n");
    for (arguments, expected) in [
        (&["--lint", "-"][..], 1),
        (&["--lint", "--lenient", "-"], 0),
    ] {
        let output = check(arguments, page.as_bytes());
        let error = stderr(&output);
        assert_eq!(code(&output), expected);
        assert!(
            error.contains("aaa…") && error.len() < 2000,
            "{}",
            error.len()
        );
    }
}

#[test]
fn openmetrics_without_its_end_is_recognised() {
    let says = |page: &str| {
        let output = check(&["--lint", "-"], page.as_bytes());
        stderr(&output).contains("looks like OpenMetrics, but its last line is not # EOF")
    };
    for page in [
        "a 1\n# eof\n",
        "a 1\n# EOF \n",
        "a 1\n# EOF\nb 2\n",
        "# UNIT a_seconds seconds\na_seconds 1\n",
        "# UNIT a_seconds seconds\n# TYPE a_seconds unknown\n",
        "a_total 1 # {} 1\n",
    ] {
        assert!(says(page), "{page}");
    }
    for page in ["a 1\n", "# the EOF\na 1\n", "a 1\n# EOF\n", "a b\n"] {
        assert!(!says(page), "{page}");
    }
}
