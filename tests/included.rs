//! One registry on the pages of several others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use stethoscope::exposition::Format;
use stethoscope::registry::RegisterErrorKind;
use stethoscope::{Registry, Scraper};

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

fn page(scraper: &mut Scraper) -> String {
    let page = scraper.scrape(Format::Text);
    let lines = std::str::from_utf8(page).expect("a page is UTF-8").lines();
    lines
        .filter(|line| !line.starts_with('#'))
        .collect::<Vec<_>>()
        .join(";")
}

#[test]
fn what_is_included_stands_behind_on_each_page() -> Result {
    let (shared, first, second) = (Registry::new(), Registry::new(), Registry::new());
    let threads = shared.gauge("threads", "Threads.")?;
    first.gauge("first", "First.")?;
    second.gauge("second", "Second.")?;
    first.include(&shared);
    second.include(&shared);
    let (mut of_first, mut of_second) = (first.scraper(), second.scraper());

    assert_eq!(page(&mut of_first), "first 0;threads 0");
    threads.set(4);
    assert_eq!(page(&mut of_first), "first 0;threads 4");
    assert_eq!(page(&mut of_second), "second 0;threads 4");
    assert_eq!(page(&mut shared.scraper()), "threads 4");
    assert!(
        first
            .scraper()
            .scrape(Format::OpenMetrics)
            .ends_with(b"threads 4\n# EOF\n")
    );
    Ok(())
}

#[test]
fn a_scraper_sees_what_comes_and_goes_in_either_registry() -> Result {
    let (shared, server) = (Registry::new(), Registry::new());
    let mut scraper = server.scraper();
    server.include(&shared);
    assert_eq!(page(&mut scraper), "");

    let rows = shared.counter_family("rows_total", "Rows.", ["table"])?;
    rows.with(["a"])?.inc();
    assert_eq!(page(&mut scraper), "rows_total{table=\"a\"} 1");
    rows.with(["b"])?;
    assert_eq!(
        page(&mut scraper),
        "rows_total{table=\"a\"} 1;rows_total{table=\"b\"} 0"
    );
    rows.remove(["a"]);
    server.gauge("clients", "Clients.")?;
    assert_eq!(page(&mut scraper), "clients 0;rows_total{table=\"b\"} 0");

    assert!(server.exclude(&shared));
    assert_eq!(page(&mut scraper), "clients 0");
    assert!(!server.exclude(&shared));
    Ok(())
}

#[test]
fn a_name_is_never_twice_on_a_page() -> Result {
    let (server, first, second) = (Registry::new(), Registry::new(), Registry::new());
    server.gauge("rows_total", "A gauge.")?;
    first.counter("rows", "A counter.")?;
    first.gauge("depth", "Of the first.")?.set(1);
    second.gauge("depth", "Of the second.")?.set(2);
    // Claims `rows_count`, `rows_sum` and `rows` itself.
    first
        .family::<stethoscope::cell::Quantile>("rows", "A summary.")
        .register_single()?;
    second.gauge("rows_count", "A gauge.")?;
    server.include(&first);
    server.include(&second);

    let shown = page(&mut server.scraper());
    let mut names: Vec<&str> = shown
        .split(';')
        .map(|line| line.split([' ', '{']).next().unwrap_or_default())
        .collect();
    // One line for each quantile.
    names.dedup();
    assert_eq!(
        names,
        ["rows_total", "depth", "rows", "rows_sum", "rows_count"]
    );
    assert!(shown.contains("depth 1"));

    // What was in the way goes: the other comes.
    first.unregister("depth");
    assert!(page(&mut server.scraper()).contains("depth 2"));
    // Within a registry a clash is still refused.
    let error = second.gauge("depth", "Again.").unwrap_err();
    assert!(matches!(error.kind, RegisterErrorKind::Clash { .. }));
    Ok(())
}

#[test]
fn including_twice_oneself_or_each_other_shows_nothing_twice() -> Result {
    let (first, second) = (Registry::new(), Registry::new());
    first.gauge("first", "First.")?;
    second.gauge("second", "Second.")?;
    for _ in 0..2 {
        first.include(&second);
        first.include(&first);
        second.include(&first);
    }
    assert_eq!(page(&mut first.scraper()), "first 0;second 0");
    assert_eq!(page(&mut second.scraper()), "second 0;first 0");
    Ok(())
}

#[test]
fn the_hooks_of_an_included_registry_run_once_a_scrape() -> Result {
    let (shared, server) = (Registry::new(), Registry::new());
    let runs = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&runs);
    shared.on_scrape(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    server.include(&shared);
    let mut scraper = server.scraper();
    page(&mut scraper);
    page(&mut scraper);
    assert_eq!(runs.load(Ordering::Relaxed), 2);
    Ok(())
}

#[test]
fn an_included_registry_may_have_names_that_need_quotes() -> Result {
    let (shared, server) = (Registry::new(), Registry::new());
    shared.with_utf8_names().gauge("größe", "Size.")?.set(3);
    server.gauge("clients", "Clients.")?;
    server.include(&shared);
    assert_eq!(page(&mut server.scraper()), "clients 0;gr__e 3");
    Ok(())
}
