//! The pages for people, also in a real browser.

use crate::client::{Client, registry, serve};
use crate::directory::Directory;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use stethoscope::endpoint::Endpoint;

const BROWSER: &str =
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";

#[test]
fn browser_gets_tables_and_scraper_gets_text() {
    let registry = registry();
    let family = registry
        .gauge_family("hostile", "A <b> & more.", ["label"])
        .unwrap();
    family.with(["<script>alert(1)</script>"]).unwrap().set(7);
    let endpoint = serve(&registry);
    let mut client = Client::of(&endpoint);

    let page = client.ask("/metrics", BROWSER);
    assert_eq!(
        page.header("Content-Type"),
        Some("text/html; charset=utf-8")
    );
    assert!(
        page.body
            .contains("<h2>answer <small>gauge</small></h2><p>To everything.</p>")
    );
    assert!(page.body.contains("<td data-value=\"42\">42</td>"));
    assert!(page.body.contains("A &lt;b&gt; &amp; more."));
    // The page's own script, and none that a label brought.
    assert_eq!(page.body.matches("<script").count(), 1);
    assert!(!page.body.contains("<script>alert"));
    let policy = page.header("Content-Security-Policy").unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");

    let chosen = client.ask("/metrics?name[]=answer", BROWSER);
    assert!(chosen.body.contains("answer") && !chosen.body.contains("hostile"));

    for accept in [
        "*/*",
        "text/plain",
        "text/html;q=0.1, text/plain;q=0.2",
        "text/*",
        "image/png",
    ] {
        let page = client.ask("/metrics", &format!("Accept: {accept}"));
        assert!(
            page.header("Content-Type")
                .unwrap()
                .starts_with("text/plain; version=0.0.4"),
            "{accept}"
        );
        assert!(page.body.starts_with("# HELP"), "{accept}");
    }
}

#[test]
fn root_links_to_the_metrics() {
    let endpoint = serve(&registry());
    let mut client = Client::of(&endpoint);
    let page = client.ask("/", BROWSER);
    assert_eq!(
        (page.code, page.header("Content-Type")),
        (200, Some("text/html; charset=utf-8"))
    );
    assert!(page.body.contains("href=\"/metrics\""));
    let page = client.get("/");
    assert_eq!(
        (page.code, page.header("Content-Type")),
        (200, Some("text/plain; charset=utf-8"))
    );
    assert!(page.body.contains("/metrics"));
}

/// The page after its scripts have run for this many (virtual) milliseconds, and what the
/// browser has logged. None, after saying so, where no browser is installed.
fn browse(endpoint: &Endpoint, path: &str, milliseconds: u32) -> Option<(String, String)> {
    let url = format!("http://{}{path}", endpoint.local_addr().unwrap());
    let port = endpoint.local_addr().unwrap().port();
    let profile = Directory::new(&format!("browser-{port}"));
    let output = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--enable-logging=stderr",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--virtual-time-budget={milliseconds}"))
        .arg(url)
        .stdin(Stdio::null())
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) if std::env::var_os("CI").is_none() => {
            eprintln!("NOT RUN: chromium cannot be started ({error}): apt-get install chromium");
            return None;
        }
        Err(error) => panic!("chromium cannot be started, and must be where CI is set: {error}"),
    };
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Some((text(&output.stdout), text(&output.stderr)))
}

/// The opening tag of a family's section.
fn section<'a>(page: &'a str, family: &str) -> &'a str {
    let start = page
        .find(&format!("<section id=\"{family}\""))
        .unwrap_or_else(|| panic!("no section {family}: {page}"));
    &page[start..start + page[start..].find('>').unwrap()]
}

#[test]
fn chromium_filters_refreshes_and_marks_moving_values() {
    let registry = registry();
    let histogram =
        registry.histogram("sizes", "Of things.", stethoscope::cell::Buckets::default());
    histogram.unwrap().observe(3.0);
    let moving = registry.counter("moving_total", "It grows.").unwrap();
    let endpoint = serve(&registry);
    let done = AtomicBool::new(false);
    let browsed = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                moving.inc();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let browsed = browse(&endpoint, "/metrics#grows", 9_000);
        done.store(true, Relaxed);
        browsed
    });
    let Some((page, log)) = browsed else {
        return;
    };
    assert!(!log.contains("Content Security Policy"), "{log}");
    assert!(page.contains("<header>"), "{page}");
    assert!(!section(&page, "moving_total").contains("hidden"), "{page}");
    assert!(section(&page, "answer").contains("hidden"), "{page}");
    assert!(page.contains("<span id=\"shown\">1</span>"), "{page}");
    assert_eq!(page.matches("class=\"moved\"").count(), 1, "{page}");
    assert!(page.contains("data-moved=\"+"), "{page}");
    assert!(page.contains("<span id=\"state\">as of "), "{page}");
    assert!(page.contains("<td class=\"bar\"><i style=\"width:100.0%\"></i></td>"));
    let order: Vec<_> = page.split("<section id=\"").skip(1).collect();
    assert_eq!(order.len(), 3);
    assert!(order.is_sorted());
}

#[test]
fn chromium_runs_nothing_that_a_label_brings() {
    let registry = registry();
    let family = registry.gauge_family("hostile", "<script>document.title='run'</script>", ["x"]);
    let attack = "\"><img src=x onerror=\"document.title='run'\">";
    family.unwrap().with([attack]).unwrap().set(7);
    let endpoint = serve(&registry);
    let Some((page, log)) = browse(&endpoint, "/metrics", 6_000) else {
        return;
    };
    assert!(page.contains("<title>Metrics</title>"), "{page}");
    assert!(!page.contains("<img"), "{page}");
    // Nothing was even tried.
    assert!(!log.contains("Content Security Policy"), "{log}");
}
