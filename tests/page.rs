//! The content of pages: names, labels, metadata, order, in every format.

#[path = "support/page.rs"]
mod support;

use support::page;

use stethoscope::cell::{
    Buckets, Counter, ExemplarLabels, FloatGauge, Histogram, Quantile, QuantileOptions,
    WithExemplars,
};
use stethoscope::exposition::{ContentType, Escaping, Format};
use stethoscope::registry::RegisterErrorKind;
use stethoscope::{Registry, SeriesError};

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

#[test]
fn an_empty_registry_gives_an_empty_page() {
    let registry = Registry::new();
    assert_eq!(page(&registry, Format::Text), "");
    assert_eq!(page(&registry, Format::Text1), "");
    assert_eq!(page(&registry, Format::OpenMetrics), "# EOF\n");
}

#[test]
fn counter_suffix_follows_the_format() -> Result {
    for name in ["requests", "requests_total"] {
        let registry = Registry::new();
        registry.counter(name, "Requests.")?.inc_by(7);
        assert_eq!(
            page(&registry, Format::Text),
            "# HELP requests_total Requests.\n# TYPE requests_total counter\nrequests_total 7\n"
        );
        assert_eq!(
            page(&registry, Format::Text1),
            page(&registry, Format::Text)
        );
        assert_eq!(
            page(&registry, Format::OpenMetrics),
            "# TYPE requests counter\n# HELP requests Requests.\nrequests_total 7\n# EOF\n"
        );
    }
    Ok(())
}

#[test]
fn an_info_is_a_gauge_of_one_in_text() -> Result {
    let registry = Registry::new();
    registry.info("python", "Platform.", [("major", "3"), ("minor", "11")])?;
    assert_eq!(
        page(&registry, Format::Text),
        "# HELP python_info Platform.\n# TYPE python_info gauge\npython_info{major=\"3\",minor=\"11\"} 1\n"
    );
    assert_eq!(
        page(&registry, Format::OpenMetrics),
        "# TYPE python info\n# HELP python Platform.\npython_info{major=\"3\",minor=\"11\"} 1\n# EOF\n"
    );
    Ok(())
}

#[test]
fn openmetrics_shows_the_unit() -> Result {
    let registry = Registry::new();
    registry
        .family::<FloatGauge>("latency_seconds", "")
        .unit("seconds")
        .register_single()?
        .set(0.5);
    registry
        .family::<Counter>("sent_bytes_total", "")
        .unit("bytes")
        .register_single()?;
    assert_eq!(
        page(&registry, Format::OpenMetrics),
        "# TYPE latency_seconds gauge\n# UNIT latency_seconds seconds\nlatency_seconds 0.5\n\
         # TYPE sent_bytes counter\n# UNIT sent_bytes bytes\nsent_bytes_total 0\n# EOF\n"
    );
    let error = registry
        .family::<Counter>("sent", "")
        .unit("bytes")
        .register()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot register \"sent_total\": the name must end in the unit: \"_bytes\""
    );
    Ok(())
}

#[test]
fn help_is_verbatim_and_label_values_may_be_anything() -> Result {
    let registry = Registry::new();
    let help = "Two\nlines, a \\ and a \"word\".";
    let gauges = registry.gauge_family("g", help, ["v"])?;
    for value in ["plain", "", "a\"b\\c\nd", "😀", "\0", "a,b={}"] {
        gauges.with([value])?.set(1);
    }
    let samples = "g{v=\"plain\"} 1\ng{v=\"\"} 1\ng{v=\"a\\\"b\\\\c\\nd\"} 1\n\
                   g{v=\"😀\"} 1\ng{v=\"\0\"} 1\ng{v=\"a,b={}\"} 1\n";
    assert_eq!(
        page(&registry, Format::Text),
        format!("# HELP g Two\\nlines, a \\\\ and a \"word\".\n# TYPE g gauge\n{samples}")
    );
    assert_eq!(
        page(&registry, Format::OpenMetrics),
        format!(
            "# TYPE g gauge\n# HELP g Two\\nlines, a \\\\ and a \\\"word\\\".\n{samples}# EOF\n"
        )
    );
    Ok(())
}

#[test]
fn constant_labels_and_namespaces_come_first() -> Result {
    let registry = Registry::new();
    let view = registry
        .with_namespace("app")
        .with_const_labels([("cluster", "blue")]);
    view.gauge_family("tasks", "", ["state"])?
        .with(["idle"])?
        .set(2);
    view.gauge("up", "")?.set(1);
    assert_eq!(
        page(&registry, Format::Text),
        "# TYPE app_tasks gauge\napp_tasks{cluster=\"blue\",state=\"idle\"} 2\n\
         # TYPE app_up gauge\napp_up{cluster=\"blue\"} 1\n"
    );
    Ok(())
}

#[test]
fn families_and_series_stay_in_order() -> Result {
    let registry = Registry::new();
    let b = registry.gauge_family("b", "", ["x"])?;
    let a = registry.gauge_family("a", "", ["x"])?;
    a.with(["1"])?;
    b.with(["2"])?;
    b.with(["1"])?;
    a.with(["0"])?;
    let mut scraper = registry.scraper();
    let expected =
        "# TYPE b gauge\nb{x=\"2\"} 0\nb{x=\"1\"} 0\n# TYPE a gauge\na{x=\"1\"} 0\na{x=\"0\"} 0\n";
    assert_eq!(scraper.scrape(Format::Text), expected.as_bytes());
    a.with(["9"])?;
    assert_eq!(
        scraper.scrape(Format::Text),
        format!("{expected}a{{x=\"9\"}} 0\n").as_bytes()
    );
    Ok(())
}

#[test]
fn a_family_without_series_is_not_on_the_page() -> Result {
    let registry = Registry::new();
    let family = registry.gauge_family("g", "Help.", ["x"])?;
    assert_eq!(page(&registry, Format::Text), "");
    family.with(["1"])?;
    assert_ne!(page(&registry, Format::Text), "");
    family.remove(["1"]);
    assert_eq!(page(&registry, Format::Text), "");
    Ok(())
}

#[test]
fn a_page_is_appended_to_what_is_in_the_buffer() -> Result {
    let registry = Registry::new();
    let gauge = registry.gauge("g", "Help.")?;
    let mut scraper = registry.scraper();
    let mut buffer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    let head = buffer.len();
    for value in [1, 22, 333, 4, i64::MIN] {
        gauge.set(value);
        buffer.truncate(head);
        // A capacity of just what is there: the page has to grow it.
        buffer.shrink_to_fit();
        scraper.scrape_into(Format::Text, &mut buffer);
        let expected =
            format!("HTTP/1.1 200 OK\r\n\r\n# HELP g Help.\n# TYPE g gauge\ng {value}\n");
        assert_eq!(String::from_utf8_lossy(&buffer), expected);
    }
    Ok(())
}

#[test]
fn one_scraper_serves_all_formats_in_turn() -> Result {
    let registry = Registry::new();
    let counter = registry.counter("c", "")?;
    let mut scraper = registry.scraper();
    for count in 1..=3 {
        counter.inc();
        let text = format!("# TYPE c_total counter\nc_total {count}\n");
        assert_eq!(scraper.scrape(Format::Text), text.as_bytes());
        let openmetrics = format!("# TYPE c counter\nc_total {count}\n# EOF\n");
        assert_eq!(scraper.scrape(Format::OpenMetrics), openmetrics.as_bytes());
    }
    Ok(())
}

#[test]
fn only_the_wanted_families_are_written() -> Result {
    let registry = Registry::new();
    registry.gauge("a", "")?;
    registry.counter("b", "")?;
    let mut page = Vec::new();
    registry
        .scraper()
        .scrape_only(Format::Text, |name| name == "b_total", &mut page);
    assert_eq!(page, b"# TYPE b_total counter\nb_total 0\n");
    Ok(())
}

#[test]
fn clashes_are_refused_with_both_names() -> Result {
    let registry = Registry::new();
    registry.counter("x", "")?;
    for error in [
        registry.counter("x_total", "").unwrap_err(),
        registry.gauge("x_total", "").unwrap_err(),
    ] {
        assert_eq!(*error.kind(), RegisterErrorKind::AlreadyRegistered);
        assert_eq!(error.family(), "x_total");
    }
    let error = registry.histogram("x", "", Buckets::default());
    assert!(error.is_ok(), "the counter gives way");
    let error = registry.gauge("x_count", "").unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot register \"x_count\": the name \"x_count\" is taken by the family \"x\": \
         rename one, or unregister the other"
    );
    assert!(registry.unregister("x"));
    assert!(registry.unregister("x_total"));
    assert!(!registry.unregister("x_total"));
    registry.gauge("x_total", "")?;
    Ok(())
}

#[test]
fn a_gauge_may_have_a_counters_bare_name() -> Result {
    // Dask has such pairs. In OpenMetrics the counter's sample must then be
    // told otherwise, for two families of one name would be refused.
    for gauge_first in [false, true] {
        let registry = Registry::new();
        let mut scraper = registry.scraper();
        if gauge_first {
            registry.gauge("x", "")?;
            registry.counter("x", "")?;
        } else {
            registry.counter("x", "")?;
            scraper.scrape(Format::OpenMetrics);
            registry.gauge("x", "")?;
        }
        let page = String::from_utf8(scraper.scrape(Format::OpenMetrics).to_vec())?;
        assert!(page.contains("# TYPE x gauge\nx 0\n"), "{page}");
        assert!(
            page.contains("# TYPE x_total unknown\nx_total 0\n"),
            "{page}"
        );
        registry.unregister("x");
        let page = String::from_utf8(scraper.scrape(Format::OpenMetrics).to_vec())?;
        assert_eq!(page, "# TYPE x counter\nx_total 0\n# EOF\n");
    }
    Ok(())
}

#[test]
fn bad_names_and_labels_are_refused() {
    let registry = Registry::new();
    let refused = |name: &str, labels: &[&str]| {
        registry
            .counter_family(name, "", labels.iter().copied())
            .unwrap_err()
            .to_string()
    };
    assert!(refused("", &[]).contains("cannot be empty"));
    assert!(refused("a b", &[]).contains("' ' at byte 1"));
    assert!(refused("a", &["x-y"]).contains("label \"x-y\": invalid character '-' at byte 1"));
    assert!(refused("a", &["__name__"]).contains("reserved"));
    assert!(refused("a", &["x", "x"]).contains("given twice"));
    let labelled = registry.with_const_labels([("x", "1")]);
    assert!(
        labelled
            .counter_family("a", "", ["x"])
            .unwrap_err()
            .to_string()
            .contains("twice")
    );
    // Nothing was registered by any of these.
    assert_eq!(page(&registry, Format::OpenMetrics), "# EOF\n");
}

#[test]
fn the_number_of_values_is_the_number_of_labels() -> Result {
    let registry = Registry::new();
    let family = registry.gauge_family("g", "", ["a", "b"])?;
    let error = family.with(["1"]).unwrap_err();
    assert_eq!(
        error,
        SeriesError::LabelCount {
            expected: 2,
            found: 1
        }
    );
    assert_eq!(error.to_string(), "expected 2 label values, found 1");
    assert!(family.get(["1", "2", "3"]).is_none());
    Ok(())
}

#[test]
fn utf8_names_are_quoted_or_escaped_as_negotiated() -> Result {
    let registry = Registry::new();
    registry.gauge("plain", "")?.set(1);
    let view = registry.with_utf8_names();
    view.gauge_family("http.größe", "Bytes.", ["zone.a", "b"])?
        .with(["x", "y"])?
        .set(2);
    view.gauge("a \"b\"", "")?.set(3);
    let page = |format, escaping| page(&registry, ContentType::new(format, escaping));

    let quoted = "# TYPE plain gauge\nplain 1\n\
         # HELP \"http.größe\" Bytes.\n# TYPE \"http.größe\" gauge\n\
         {\"http.größe\",\"zone.a\"=\"x\",b=\"y\"} 2\n\
         # TYPE \"a \\\"b\\\"\" gauge\n{\"a \\\"b\\\"\"} 3\n";
    assert_eq!(page(Format::Text1, Escaping::AllowUtf8), quoted);

    let underscores = "# TYPE plain gauge\nplain 1\n\
         # HELP http_gr__e Bytes.\n# TYPE http_gr__e gauge\nhttp_gr__e{zone_a=\"x\",b=\"y\"} 2\n\
         # TYPE a__b_ gauge\na__b_ 3\n";
    for format in [Format::Text, Format::Text1] {
        assert_eq!(page(format, Escaping::Underscores), underscores);
    }
    // Text 0.0.4 knows no quotes around names.
    assert_eq!(page(Format::Text, Escaping::AllowUtf8), underscores);
    assert!(
        page(Format::OpenMetrics, Escaping::Values)
            .contains("U__http_2e_gr_f6__df_e{U__zone_2e_a=\"x\",b=\"y\"} 2\n")
    );
    assert!(page(Format::OpenMetrics, Escaping::Dots).contains("{zone_dot_a=\"x\",b=\"y\"} 2\n"));
    Ok(())
}

#[test]
fn names_equal_under_some_escaping_clash() -> Result {
    let registry = Registry::new().with_utf8_names();
    registry.gauge("a.b", "")?;
    assert!(registry.gauge("a_b", "").is_err());
    assert!(registry.gauge_family("c", "", ["x.y", "x_y"]).is_err());
    Ok(())
}

#[test]
fn hooks_run_before_the_cells_are_read() -> Result {
    let registry = Registry::new();
    let gauge = registry.gauge("g", "")?;
    let families = registry.clone();
    let hook = registry.on_scrape(move || {
        gauge.set(gauge.get() + 1);
        // What a hook registers is on the very page.
        let _ = families.gauge("late", "");
    });
    let mut scraper = registry.scraper();
    let first = "# TYPE g gauge\ng 1\n# TYPE late gauge\nlate 0\n";
    assert_eq!(scraper.scrape(Format::Text), first.as_bytes());
    assert_eq!(
        scraper.scrape(Format::Text),
        first.replace("g 1", "g 2").as_bytes()
    );
    assert!(registry.remove_hook(hook));
    assert!(!registry.remove_hook(hook));
    assert_eq!(
        scraper.scrape(Format::Text),
        first.replace("g 1", "g 2").as_bytes()
    );
    Ok(())
}

#[test]
fn a_histogram_shows_canonical_bounds_its_sum_and_its_count() -> Result {
    let registry = Registry::new();
    let buckets = Buckets::new([0.00001, 0.5, 1.0, 1e6])?;
    let family = registry.histogram_family("h_seconds", "", ["x"], buckets)?;
    let histogram = family.with(["a"])?;
    for value in [0.25, 0.5, 2.0, 1e9] {
        histogram.observe(value);
    }
    let samples = "h_seconds_bucket{x=\"a\",le=\"1e-05\"} 0\nh_seconds_bucket{x=\"a\",le=\"0.5\"} 2\n\
                   h_seconds_bucket{x=\"a\",le=\"1.0\"} 2\nh_seconds_bucket{x=\"a\",le=\"1e+06\"} 3\n\
                   h_seconds_bucket{x=\"a\",le=\"+Inf\"} 4\nh_seconds_sum{x=\"a\"} 1000000002.75\n\
                   h_seconds_count{x=\"a\"} 4\n";
    // The Prometheus text format spells bounds as Go does.
    assert_eq!(
        page(&registry, Format::Text),
        format!("# TYPE h_seconds histogram\n{samples}").replace("le=\"1.0\"", "le=\"1\"")
    );
    assert_eq!(
        page(&registry, Format::OpenMetrics),
        format!("# TYPE h_seconds histogram\n{samples}# EOF\n")
    );
    let error = registry
        .histogram_family("i", "", ["le"], Buckets::default())
        .unwrap_err();
    assert!(
        error.to_string().contains("\"le\": the name is reserved"),
        "{error}"
    );
    assert!(
        registry.counter("h_seconds_sum", "").is_ok(),
        "its name is h_seconds_sum_total"
    );
    assert!(registry.gauge("h_seconds_sum", "").is_err());
    Ok(())
}

#[test]
fn quantiles_are_a_summary_or_a_gauge() -> Result {
    let registry = Registry::new();
    let options = QuantileOptions::new([0.5, 1.0])?;
    let summary = registry
        .family::<Quantile>("s", "")
        .options(options)
        .register_single()?;
    let empty =
        "# TYPE s summary\ns{quantile=\"0.5\"} NaN\ns{quantile=\"1\"} NaN\ns_sum 0\ns_count 0\n";
    assert_eq!(page(&registry, Format::Text), empty);
    summary.observe(2.0);
    let page_now = page(&registry, Format::Text);
    assert!(page_now.ends_with("s_sum 2\ns_count 1\n"), "{page_now}");

    let registry = Registry::new();
    let options = QuantileOptions::new([0.5])?;
    registry
        .family::<Quantile>("median", "")
        .options(options)
        .as_gauge()
        .register_single()?;
    assert_eq!(
        page(&registry, Format::Text),
        "# TYPE median gauge\nmedian NaN\n"
    );
    Ok(())
}

#[test]
fn creation_time_is_shown_in_openmetrics_only() -> Result {
    let registry = Registry::new();
    let family = registry
        .family::<Counter>("c", "")
        .labels(["x"])
        .created_timestamps()
        .register()?;
    family.with(["a"])?;
    family.with(["b"])?;
    assert!(!page(&registry, Format::Text).contains("_created"));
    let openmetrics = page(&registry, Format::OpenMetrics);
    let lines: Vec<&str> = openmetrics.lines().collect();
    let [_, a, a_created, b, b_created, _] = lines[..] else {
        panic!("{openmetrics}")
    };
    assert_eq!((a, b), ("c_total{x=\"a\"} 0", "c_total{x=\"b\"} 0"));
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)?
        .as_secs_f64();
    for (line, series) in [
        (a_created, "c_created{x=\"a\"} "),
        (b_created, "c_created{x=\"b\"} "),
    ] {
        let created: f64 = line.strip_prefix(series).expect(line).parse()?;
        assert!((now - 60.0..=now).contains(&created), "{line}");
    }
    Ok(())
}

#[test]
fn exemplars_follow_counters_and_buckets_in_openmetrics_only() -> Result {
    let registry = Registry::new();
    let counters = registry
        .family::<WithExemplars<Counter>>("c", "")
        .labels(["x"])
        .created_timestamps();
    let counters = counters.register()?;
    let buckets = Buckets::new([1.0])?;
    let histogram = registry
        .family::<WithExemplars<Histogram>>("h", "")
        .options(buckets)
        .register_single()?;
    let trace = ExemplarLabels::new([("trace", "a\"b"), ("n", "1")])?;
    counters.with(["plain"])?.inc();
    counters.with(["shown"])?.inc_by_with_exemplar(2, &trace);
    histogram.observe(0.5);
    histogram.observe_with_exemplar(7.5, &ExemplarLabels::new([])?);
    histogram.observe(9.0);

    let text = page(&registry, Format::Text);
    assert!(!text.contains(" # "), "{text}");
    assert!(text.contains("c_total{x=\"shown\"} 2\n"), "{text}");

    let mut scraper = registry.scraper();
    for _ in 0..2 {
        let page = String::from_utf8(scraper.scrape(Format::OpenMetrics).to_vec())?;
        let line = |prefix: &str| {
            page.lines()
                .find(|line| line.starts_with(prefix))
                .expect(&page)
        };
        assert_eq!(line("c_total{x=\"plain\"}"), "c_total{x=\"plain\"} 1");
        let shown = line("c_total{x=\"shown\"} 2 # {trace=\"a\\\"b\",n=\"1\"} 2 ");
        let seconds: f64 = shown.rsplit(' ').next().expect(shown).parse()?;
        assert!(seconds > 1.7e9, "{shown}");
        assert_eq!(line("h_bucket{le=\"1.0\"}"), "h_bucket{le=\"1.0\"} 1");
        assert!(line("h_bucket{le=\"+Inf\"}").starts_with("h_bucket{le=\"+Inf\"} 3 # {} 7.5 "));
        assert_eq!(line("h_count"), "h_count 3");
        assert!(line("c_created{x=\"shown\"} ").len() > 10);
        assert!(page.ends_with("# EOF\n"), "{page}");
    }
    // Another family has the counter's bare name: in OpenMetrics its samples are
    // then of unknown type, which have no exemplars.
    registry.gauge("c", "")?;
    assert!(page(&registry, Format::OpenMetrics).contains("c_total{x=\"shown\"} 2\n"));
    Ok(())
}
