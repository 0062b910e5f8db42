//! Registries that are included in the pages of others.

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
fn included_families_follow_those_of_each_page() -> Result {
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
fn scraper_sees_changes_in_either_registry() -> Result {
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
fn page_never_shows_a_name_twice() -> Result {
    let (server, first, second) = (Registry::new(), Registry::new(), Registry::new());
    server.gauge("rows_total", "A gauge.")?;
    first.counter("rows", "A counter.")?;
    first.gauge("depth", "Of the first.")?.set(1);
    second.gauge("depth", "Of the second.")?.set(2);
    // Requires `rows_count`, `rows_sum` and `rows`.
    first
        .family::<stethoscope::cell::Quantile>("rows", "A summary.")
        .register_single()?;
    second.gauge("rows_count", "A gauge.")?;
    server.include(&first);
    server.include(&second);

    let left_out = ["rows_total", "depth", "rows_count"];
    let shown = page(&mut server.scraper());
    let mut names: Vec<&str> = shown
        .split(';')
        .map(|line| line.split([' ', '{']).next().unwrap_or_default())
        .collect();
    // The quantiles and the families that are left out have a line each.
    names.dedup();
    assert_eq!(
        names,
        [
            "rows_total",
            "stethoscope_family_left_out",
            "depth",
            "rows",
            "rows_sum",
            "rows_count"
        ]
    );
    assert!(shown.contains("depth 1"));
    assert_eq!(server.left_out(), left_out);
    for name in left_out {
        let line = format!("stethoscope_family_left_out{{family=\"{name}\"}} 1");
        assert!(shown.contains(&line), "{shown}");
    }

    // When the family in the way is unregistered, the other is shown.
    let mut scraper = server.scraper();
    first.unregister("depth");
    let shown = page(&mut scraper);
    assert!(shown.contains("depth 2"), "{shown}");
    assert!(!shown.contains("family=\"depth\""), "{shown}");
    first.unregister("rows");
    server.unregister("rows_total");
    let shown = page(&mut scraper);
    assert!(!shown.contains("left_out"), "{shown}");
    // Within a registry the second family of a name is refused.
    let error = second.gauge("depth", "Again.").unwrap_err();
    assert_eq!(*error.kind(), RegisterErrorKind::AlreadyRegistered);
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
fn hooks_of_an_included_registry_run_once_per_scrape() -> Result {
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
fn included_registry_may_have_utf8_names() -> Result {
    let (shared, server) = (Registry::new(), Registry::new());
    shared.with_utf8_names().gauge("größe", "Size.")?.set(3);
    server.gauge("clients", "Clients.")?;
    server.include(&shared);
    assert_eq!(page(&mut server.scraper()), "clients 0;gr__e 3");
    Ok(())
}

#[test]
fn inclusion_is_transitive() -> Result {
    let registries = [(); 4].map(|()| Registry::new());
    for (n, registry) in registries.iter().enumerate() {
        registry.gauge(&format!("g{n}"), "")?;
    }
    // A diamond, and a cycle.
    registries[0].include(&registries[1]);
    registries[0].include(&registries[2]);
    registries[1].include(&registries[3]);
    registries[2].include(&registries[3]);
    registries[3].include(&registries[0]);
    let mut scraper = registries[0].scraper();
    assert_eq!(page(&mut scraper), "g0 0;g1 0;g3 0;g2 0");
    registries[3].gauge("g4", "")?.set(4);
    assert_eq!(page(&mut scraper), "g0 0;g1 0;g3 0;g4 4;g2 0");
    assert_eq!(registries[0].left_out(), [""; 0]);
    Ok(())
}

#[test]
fn included_families_have_the_namespace_and_labels_of_the_view() -> Result {
    let (library, app, server) = (Registry::new(), Registry::new(), Registry::new());
    let hits = library.counter_family("hits_total", "Hits.", ["cache"])?;
    hits.with(["a"])?.inc();
    app.with_namespace("lib").include(&library);
    let labels = [("app", "blue")];
    server
        .with_namespace("app")
        .with_const_labels(labels)
        .include(&app);

    let mut scraper = server.scraper();
    assert_eq!(
        page(&mut scraper),
        "app_lib_hits_total{app=\"blue\",cache=\"a\"} 1"
    );
    assert_eq!(page(&mut app.scraper()), "lib_hits_total{cache=\"a\"} 1");
    hits.with(["b"])?.inc_by(2);
    assert_eq!(
        page(&mut scraper),
        "app_lib_hits_total{app=\"blue\",cache=\"a\"} 1;app_lib_hits_total{app=\"blue\",cache=\"b\"} 2"
    );
    assert!(
        scraper
            .scrape(Format::OpenMetrics)
            .starts_with(b"# TYPE app_lib_hits counter\n")
    );
    // The same registry may be shown under several names.
    server.include(&library);
    assert_eq!(page(&mut scraper).matches("hits_total").count(), 4);
    assert!(server.exclude(&app));
    assert!(server.exclude(&library));
    assert_eq!(page(&mut scraper), "");
    Ok(())
}

#[test]
fn included_family_that_the_labels_make_invalid_is_left_out() -> Result {
    let (library, server) = (Registry::new(), Registry::new());
    library.gauge_family("g", "", ["app"])?.with(["x"])?;
    library.gauge("h", "")?;
    server
        .with_const_labels([("app", "blue")])
        .include(&library);
    assert_eq!(server.left_out(), ["g"]);
    assert_eq!(
        page(&mut server.scraper()),
        "stethoscope_family_left_out{family=\"g\"} 1;h{app=\"blue\"} 0"
    );
    Ok(())
}

#[test]
fn hook_that_scrapes_its_own_registry_gets_a_page_without_hooks() -> Result {
    let registry = Registry::new();
    let runs = registry.counter("runs_total", "")?;
    let inner = registry.clone();
    let pages = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&pages);
    registry.on_scrape(move || {
        runs.inc();
        seen.lock().unwrap().push(page(&mut inner.scraper()));
        assert_eq!(inner.gather().len(), 1);
    });
    let mut scraper = registry.scraper();
    assert_eq!(page(&mut scraper), "runs_total 1");
    assert_eq!(page(&mut scraper), "runs_total 2");
    assert_eq!(*pages.lock().unwrap(), ["runs_total 1", "runs_total 2"]);
    Ok(())
}

#[test]
fn hooks_run_again_after_one_has_panicked() -> Result {
    let registry = Registry::new();
    let runs = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&runs);
    registry.on_scrape(move || {
        assert_ne!(counted.fetch_add(1, Ordering::Relaxed), 0, "on purpose");
    });
    let scrape = || registry.scraper().scrape(Format::Text).len();
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(scrape)).unwrap_err();
    scrape();
    assert_eq!(runs.load(Ordering::Relaxed), 2);
    Ok(())
}
