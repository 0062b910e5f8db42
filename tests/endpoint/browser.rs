//! What a person with a browser sees.

use crate::client::{Client, registry, serve};

const BROWSER: &str =
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";

#[test]
fn a_browser_gets_the_metrics_as_tables_and_a_scraper_never_does() {
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
    assert!(page.body.contains("<td>42</td>"));
    assert!(page.body.contains("A &lt;b&gt; &amp; more."));
    assert!(!page.body.contains("<script"), "{}", page.body);
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
fn the_root_says_what_is_here() {
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
