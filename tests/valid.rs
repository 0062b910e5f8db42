//! Registered families give pages that a strict reader accepts, in every format and
//! escaping. Families that would not are refused when they are registered.

use stethoscope::MetricType;
use stethoscope::cell::{
    Buckets, Cell, Counter, Gauge, Info, Number, Quantile, QuantileOptions, StateSet, States,
};
use stethoscope::exposition::validate::validate;
use stethoscope::exposition::{ContentType, Escaping, Format};
use stethoscope::family::{Metric, Shape};
use stethoscope::registry::RegisterErrorKind;
use stethoscope::{RegisterError, Registry};

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

const ESCAPINGS: [Escaping; 4] = [
    Escaping::Underscores,
    Escaping::AllowUtf8,
    Escaping::Dots,
    Escaping::Values,
];

fn page(registry: &Registry, content_type: impl Into<ContentType>) -> String {
    let page = registry.scraper().scrape(content_type).to_vec();
    String::from_utf8(page).expect("a page is UTF-8")
}

/// The page in OpenMetrics, after a strict reader has taken it in every format
/// and escaping.
fn valid(registry: &Registry) -> String {
    for format in [Format::Text, Format::Text1, Format::OpenMetrics] {
        for escaping in ESCAPINGS {
            let content_type = ContentType::new(format, escaping);
            let page = page(registry, content_type);
            // Text 0.0.4 has no names in quotes: it is written with underscores.
            validate(&page, content_type).unwrap_or_else(|error| {
                panic!("{content_type:?}: {}\n{page}", error.display_in(&page))
            });
        }
    }
    page(registry, Format::OpenMetrics)
}

fn kind<T>(result: std::result::Result<T, RegisterError>) -> RegisterErrorKind {
    result.err().expect("it is refused").kind().clone()
}

#[test]
fn counter_is_unknown_in_openmetrics_if_another_family_has_a_name_reserved_for_it() -> Result {
    let registry = Registry::new();
    registry.histogram("h", "", Buckets::default())?;
    registry.counter("h_bucket_total", "")?;
    registry.counter("h_created", "")?;
    registry.counter("x", "")?;
    registry.gauge("x_created", "")?;
    registry.counter("y", "")?;
    registry.counter("y_created", "")?;
    let page = valid(&registry);
    for unknown in ["h_bucket", "h_created", "x", "y_created"] {
        let expected = format!("# TYPE {unknown}_total unknown\n{unknown}_total 0\n");
        assert!(page.contains(&expected), "{page}");
    }
    assert!(page.contains("# TYPE x_created gauge\n"), "{page}");
    assert!(page.contains("# TYPE y counter\n"), "{page}");
    // The text format reserves no names.
    let text = self::page(&registry, Format::Text);
    assert_eq!(text.matches(" counter\n").count(), 5, "{text}");
    Ok(())
}

#[test]
fn names_that_histograms_and_summaries_require_are_refused() -> Result {
    let registry = Registry::new();
    registry.histogram("h", "", Buckets::default())?;
    registry.family::<Quantile>("s", "").register_single()?;
    registry
        .family::<Counter>("c", "")
        .created_timestamps()
        .register_single()?;
    for (taken, by) in [
        ("h_bucket", "h"),
        ("h_created", "h"),
        ("s_created", "s"),
        ("c_created", "c_total"),
    ] {
        let error = registry.gauge(taken, "").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "cannot register {taken:?}: the name {taken:?} is taken by the family {by:?}: \
                 rename one, or unregister the other"
            )
        );
    }
    registry.gauge("s_bucket", "")?;
    valid(&registry);
    let registry = Registry::new();
    registry.gauge("h_created", "")?;
    assert!(registry.histogram("h", "", Buckets::default()).is_err());
    Ok(())
}

#[test]
fn names_that_an_escaping_writes_alike_are_refused() -> Result {
    let registry = Registry::new().with_utf8_names();
    registry.gauge("a.b", "")?;
    for alike in ["a_b", "a_dot_b", "U__a_2e_b", "a-b"] {
        let error = kind(registry.gauge(alike, ""));
        assert!(
            matches!(&error, RegisterErrorKind::NameTaken { by, .. } if by == "a.b"),
            "{alike}: {error:?}"
        );
    }
    // A counter can do without its name without suffix, which the gauge has.
    registry.counter("a_b", "")?;
    registry.counter("a_dot_b", "")?;
    registry.counter("c.d", "")?;
    registry.gauge("U__c_2e_d_created", "")?;
    valid(&registry);
    let said = |escaping| {
        let format = Format::OpenMetrics;
        page(&registry, ContentType::new(format, escaping))
    };
    assert!(said(Escaping::Underscores).contains("# TYPE a_b_total unknown\n"));
    assert!(said(Escaping::Underscores).contains("# TYPE a_dot_b counter\n"));
    assert!(said(Escaping::Dots).contains("# TYPE a_b counter\n"));
    assert!(said(Escaping::Dots).contains("# TYPE a_dot_b_total unknown\n"));
    assert!(said(Escaping::Dots).contains("# TYPE c_dot_d counter\n"));
    assert!(said(Escaping::Values).contains("# TYPE U__c_2e_d_total unknown\n"));
    assert!(said(Escaping::AllowUtf8).contains("# TYPE \"c.d\" counter\n"));
    Ok(())
}

#[test]
fn included_families_that_an_escaping_writes_alike_are_left_out() -> Result {
    let registry = Registry::new().with_utf8_names();
    registry.gauge("a.b", "")?;
    let other = Registry::new();
    other.gauge("U__a_2e_b", "")?.set(7);
    other.gauge("b", "")?;
    registry.include(&other);
    assert_eq!(registry.left_out(), ["U__a_2e_b"]);
    let page = valid(&registry);
    assert!(page.starts_with("# TYPE a_b gauge\na_b 0\n"), "{page}");
    assert!(page.ends_with("# TYPE b gauge\nb 0\n# EOF\n"), "{page}");
    Ok(())
}

#[test]
fn state_set_name_must_be_a_label_name_in_every_escaping() -> Result {
    let states = |registry: &Registry, name: &str, labels: &[&str]| {
        let family = registry.family::<StateSet>(name, "").states(["on", "off"]);
        let family = family.labels(labels.iter().copied()).register()?;
        family.with(labels).expect("a value for each label");
        Ok::<(), RegisterError>(())
    };
    let registry = Registry::new();
    for name in ["a:b", "__a"] {
        let refused = kind(states(&registry, name, &[]));
        assert_eq!(refused, RegisterErrorKind::StateLabel, "{name}");
    }
    let utf8 = registry.with_utf8_names();
    for name in ["a:b", "__a", "1 2", "_a.b", "été"] {
        let refused = kind(states(&utf8, name, &[]));
        assert_eq!(refused, RegisterErrorKind::StateLabel, "{name}");
    }
    for label in ["a_b", "a.b", "a_dot_b", "U__a_2e_b"] {
        let refused = kind(states(&utf8, "a.b", &[label]));
        assert!(
            matches!(refused, RegisterErrorKind::Label { .. }),
            "{label}: {refused:?}"
        );
    }
    states(&utf8, "a.b", &["a.c"])?;
    states(&utf8, "größe", &["x"])?;
    states(&registry, "_x", &["on"])?;
    let page = valid(&registry);
    assert!(page.contains("a_b{a_c=\"a.c\",a_b=\"on\"} 0\n"), "{page}");
    Ok(())
}

#[test]
fn labels_that_an_escaping_writes_alike_are_refused() -> Result {
    let registry = Registry::new().with_utf8_names();
    for alike in ["x_y", "x_dot_y", "U__x_2e_y", "x:y"] {
        let refused = kind(registry.gauge_family("g", "", ["x.y", alike]));
        assert!(
            matches!(refused, RegisterErrorKind::DuplicateLabel { .. }),
            "{alike}: {refused:?}"
        );
    }
    registry
        .gauge_family("g", "", ["x.y", "xy"])?
        .with(["", ""])?;
    valid(&registry);
    Ok(())
}

#[test]
fn escaped_label_never_begins_with_two_underscores() -> Result {
    // Readers reserve such labels for themselves.
    let registry = Registry::new().with_utf8_names();
    let labels = ["été", "東京", "_a.b", "1 2"];
    for (at, label) in labels.into_iter().enumerate() {
        registry
            .gauge_family(&format!("g{at}"), "", [label])?
            .with([label])?;
    }
    let page = valid(&registry);
    assert!(page.contains("g0{_t_=\"été\"} 0\n"), "{page}");
    assert!(page.contains("g1{_=\"東京\"} 0\n"), "{page}");
    Ok(())
}

#[test]
fn unit_is_shown_only_if_openmetrics_allows_it() -> Result {
    let registry = Registry::new();
    let states = registry
        .family::<StateSet>("a_seconds", "")
        .states(["x"])
        .unit("seconds");
    assert_eq!(
        kind(states.register_single()),
        RegisterErrorKind::UnitNotAllowed
    );
    let info = registry.family::<Info>("a_seconds", "").unit("seconds");
    assert_eq!(
        kind(info.register_single()),
        RegisterErrorKind::UnitNotAllowed
    );

    let utf8 = registry.with_utf8_names();
    let gauge = |name: &str, unit: &str| {
        let family = utf8.family::<Gauge>(name, "").unit(unit);
        family.register_single()
    };
    let error = gauge("x_größe", "größe").unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot register \"x_größe\": invalid unit \"größe\": expected letters, digits and underscores"
    );
    gauge("größe_a_b", "a_b")?;
    gauge("länge_m", "m")?;
    gauge("plain_a_b", "a_b")?;
    valid(&registry);
    let units = |escaping| {
        let format = Format::OpenMetrics;
        let page = page(&registry, ContentType::new(format, escaping));
        let units = page.lines().filter(|line| line.starts_with("# UNIT "));
        units.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        units(Escaping::Underscores),
        [
            "# UNIT gr__e_a_b a_b",
            "# UNIT l_nge_m m",
            "# UNIT plain_a_b a_b"
        ]
    );
    // If escaping changes the end of the name, no unit is shown.
    assert_eq!(
        units(Escaping::Dots),
        ["# UNIT l__nge__m m", "# UNIT plain_a_b a_b"]
    );
    Ok(())
}

#[test]
fn quantile_shown_as_a_gauge_has_no_created_timestamp() -> Result {
    let registry = Registry::new();
    registry
        .family::<Quantile>("q", "")
        .created_timestamps()
        .as_gauge()
        .register_single()?;
    assert_eq!(valid(&registry), "# TYPE q gauge\nq NaN\n# EOF\n");
    Ok(())
}

#[test]
fn histogram_with_negative_bounds_has_no_sum_in_openmetrics() -> Result {
    let registry = Registry::new();
    let buckets = Buckets::new([-1.0, 1.0])?;
    let family = registry.histogram_family("t", "", ["x"], buckets)?;
    let cold = family.with(["a"])?;
    cold.observe(-3.0);
    cold.observe(0.0);
    family.with(["b"])?.observe(2.0);
    assert_eq!(
        valid(&registry),
        "# TYPE t histogram\n\
         t_bucket{x=\"a\",le=\"-1.0\"} 1\n\
         t_bucket{x=\"a\",le=\"1.0\"} 2\n\
         t_bucket{x=\"a\",le=\"+Inf\"} 2\n\
         t_bucket{x=\"b\",le=\"-1.0\"} 0\n\
         t_bucket{x=\"b\",le=\"1.0\"} 0\n\
         t_bucket{x=\"b\",le=\"+Inf\"} 1\n\
         # EOF\n"
    );
    let text = page(&registry, Format::Text);
    assert!(
        text.contains("t_sum{x=\"a\"} -3\nt_count{x=\"a\"} 2\n"),
        "{text}"
    );
    Ok(())
}

#[test]
fn number_of_states_must_match_the_options() -> Result {
    let registry = Registry::new();
    for count in [1, 2, 4] {
        let family = registry.family::<StateSet>("s", "").states(["x", "y", "z"]);
        let family = family.options(States::new(count)?);
        assert_eq!(
            kind(family.register_single()),
            RegisterErrorKind::Width {
                shown: 3,
                read: count
            }
        );
    }
    let family = registry.family::<StateSet>("s", "").states(["x", "y", "z"]);
    family.options(States::new(3)?).register_single()?.select(2);
    valid(&registry);
    Ok(())
}

/// A cell that describes itself as its options say.
struct Custom {
    width: usize,
}

#[derive(Clone)]
struct CustomOptions {
    width: usize,
    shape: Shape,
}

impl Default for CustomOptions {
    fn default() -> Self {
        Self {
            width: 0,
            shape: Shape::Single(Number::U64),
        }
    }
}

impl Cell for Custom {
    type Options = CustomOptions;

    fn from_options(options: &CustomOptions) -> Self {
        Self {
            width: options.width,
        }
    }

    fn width(options: &CustomOptions) -> usize {
        options.width
    }

    fn read(&self, into: &mut [u64]) {
        assert_eq!(into.len(), self.width);
    }
}

impl Metric for Custom {
    const TYPE: MetricType = MetricType::Histogram;

    fn shape(options: &CustomOptions) -> Shape {
        options.shape.clone()
    }
}

#[test]
fn custom_cell_must_read_as_many_numbers_as_its_lines_show() -> Result {
    let registry = Registry::new();
    let register = |width, shape| {
        let options = CustomOptions { width, shape };
        registry
            .family::<Custom>("h", "")
            .options(options)
            .register_single()
    };
    let histogram = |bounds: &[f64]| Shape::Histogram {
        bounds: bounds.to_vec(),
    };
    for (width, bounds) in [(0, &[][..]), (1, &[]), (2, &[1.0]), (4, &[1.0])] {
        let refused = kind(register(width, histogram(bounds)));
        assert!(
            matches!(refused, RegisterErrorKind::Width { .. }),
            "{refused:?}"
        );
    }
    let wrong = [
        (1, Shape::Single(Number::U64)),
        (4, histogram(&[2.0, 1.0])),
        (3, histogram(&[f64::INFINITY])),
        (3, histogram(&[f64::NAN])),
        (
            3,
            Shape::Summary {
                quantiles: vec![0.5],
                signed: false,
            },
        ),
    ];
    for (width, shape) in wrong {
        let refused = kind(register(width, shape.clone()));
        assert_eq!(refused, RegisterErrorKind::Shape, "{shape:?}");
    }
    register(4, histogram(&[1.0, 2.0]))?;
    valid(&registry);
    Ok(())
}

#[test]
fn summary_of_negative_values_is_a_gauge_in_openmetrics() -> Result {
    let registry = Registry::new();
    let options = QuantileOptions::builder([0.0, 1.0])
        .negative_values()
        .build()?;
    let change = registry
        .family::<Quantile>("change", "")
        .options(options)
        .created_timestamps()
        .register_single()?;
    change.observe(-4.0);
    let shown = valid(&registry);
    let lines: Vec<_> = shown.lines().collect();
    let [head, least, greatest, "# EOF"] = lines[..] else {
        panic!("{shown}");
    };
    assert_eq!(head, "# TYPE change gauge");
    assert!(least.starts_with("change{quantile=\"0.0\"} -"), "{shown}");
    assert!(
        greatest.starts_with("change{quantile=\"1.0\"} -"),
        "{shown}"
    );
    let text = page(&registry, Format::Text);
    assert!(text.starts_with("# TYPE change summary\n"), "{text}");
    assert!(text.ends_with("change_sum -4\nchange_count 1\n"), "{text}");
    Ok(())
}

#[test]
fn gauge_shows_the_quantile_of_negative_values() -> Result {
    let registry = Registry::new();
    let options = QuantileOptions::builder([0.5]).negative_values().build()?;
    let median = registry
        .family::<Quantile>("change", "")
        .options(options)
        .as_gauge()
        .register_single()?;
    median.observe(-3.0);
    let page = valid(&registry);
    assert!(page.starts_with("# TYPE change gauge\nchange -"), "{page}");
    Ok(())
}
