//! The metrics of the endpoint itself.

use crate::cell::{Buckets, Counter, Gauge, Histogram};
use crate::endpoint::error_response::Status;
use crate::{Family, Handle, RegisterError, Registry};

/// The name and HELP text of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NameAndHelp {
    /// The name in the text formats: a counter's ends in `_total`.
    pub name: &'static str,
    /// The HELP text.
    pub help: &'static str,
}

const fn named(name: &'static str, help: &'static str) -> NameAndHelp {
    NameAndHelp { name, help }
}

/// A gauge: connections that are open.
pub const CONNECTIONS: NameAndHelp = named(
    "stethoscope_http_connections",
    "Connections open at the endpoint",
);
/// A counter: connections accepted.
pub const ACCEPTED: NameAndHelp = named(
    "stethoscope_http_connections_accepted_total",
    "Connections accepted by the endpoint",
);
/// A counter: connections handed to the host's own server.
pub const HANDED_OVER: NameAndHelp = named(
    "stethoscope_http_connections_handed_over_total",
    "Connections handed over because their request was not for the metrics",
);
/// A counter with the label `reason`: connections ended early, see [`DROP_REASONS`].
pub const DROPPED: NameAndHelp = named(
    "stethoscope_http_connections_dropped_total",
    "Connections ended by one of the endpoint's bounds",
);
/// A counter with the label `code`: responses by status code.
pub const RESPONSES: NameAndHelp = named(
    "stethoscope_http_responses_total",
    "Responses of the endpoint by status code",
);
/// A counter: bytes sent, heads and bodies.
pub const SENT: NameAndHelp = named(
    "stethoscope_http_sent_bytes_total",
    "Bytes of responses sent, heads included, compressed or not",
);
/// A histogram: time to make a page.
pub const PAGE_SECONDS: NameAndHelp = named(
    "stethoscope_http_page_seconds",
    "Time to make a page, hooks included",
);
/// A histogram: time from a whole request to the last byte of its response.
pub const RESPONSE_SECONDS: NameAndHelp = named(
    "stethoscope_http_response_seconds",
    "Time from a whole request to the last byte of its page, waiting included",
);

/// The value of the label `code` that is on the page before the first response.
pub const OK_CODE: &str = "200";

/// The values of the label `reason` of [`DROPPED`].
pub const DROP_REASONS: &[&str] = DropReason::LABELS;

/// The reason for which the endpoint ended a connection early. Named like the
/// [`Limits`](super::Limits) that bound it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DropReason {
    /// There were too many.
    Connections,
    HeaderTime,
    IdleTime,
    WriteTime,
    Pages,
    /// The process was short of file descriptors.
    Descriptors,
    /// The connection handler did not take it.
    HandOff,
}

impl DropReason {
    /// The values of the label `reason`, in the order above.
    const LABELS: &[&str] = &[
        "connections",
        "header_time",
        "idle_time",
        "write_time",
        "pages",
        "descriptors",
        "hand_off",
    ];
}

/// Handles of the endpoint's metrics. Those that are not on the page belong to a
/// registry that is never scraped.
pub(super) struct SelfMetrics {
    pub(super) connections: Handle<Gauge>,
    pub(super) accepted: Handle<Counter>,
    pub(super) handed_over: Handle<Counter>,
    /// Bytes of heads and bodies.
    pub(super) sent: Handle<Counter>,
    pub(super) page_seconds: Handle<Histogram>,
    pub(super) response_seconds: Handle<Histogram>,
    /// Indexed by [`DropReason`].
    dropped: Vec<Handle<Counter>>,
    responses: Family<Counter>,
    ok: Handle<Counter>,
    _registration: Registration,
}

/// The families that are on the registry's page. They are removed with the
/// endpoint, so that another can be started.
struct Registration {
    registry: Registry,
    names: Vec<&'static str>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        for name in &self.names {
            self.registry.unregister(name);
        }
    }
}

/// Registers each family on the page or in a registry that is never scraped.
struct Registrar<F> {
    registration: Registration,
    hidden: Registry,
    is_shown: F,
}

impl<F: Fn(&str) -> bool> Registrar<F> {
    fn register<T>(
        &mut self,
        NameAndHelp { name, help }: NameAndHelp,
        register: impl FnOnce(&Registry, &'static str, &'static str) -> Result<T, RegisterError>,
    ) -> Result<T, RegisterError> {
        if !(self.is_shown)(name) {
            return register(&self.hidden, name, help);
        }
        let registered = register(&self.registration.registry, name, help)?;
        self.registration.names.push(name);
        Ok(registered)
    }

    fn family(
        &mut self,
        named: NameAndHelp,
        label: &'static str,
    ) -> Result<Family<Counter>, RegisterError> {
        self.register(named, |registry, name, help| {
            registry.counter_family(name, help, [label])
        })
    }
}

fn seconds(
    registry: &Registry,
    name: &'static str,
    help: &'static str,
) -> Result<Handle<Histogram>, RegisterError> {
    let family = registry.family(name, help).unit("seconds");
    family.options(times()).register_single()
}

impl SelfMetrics {
    /// Registers the families. Those for which `shown` is false, by name, are
    /// counted without being on the page.
    pub(super) fn new(
        registry: &Registry,
        shown: impl Fn(&str) -> bool,
    ) -> Result<Self, RegisterError> {
        let mut registrar = Registrar {
            registration: Registration {
                registry: registry.clone(),
                names: Vec::new(),
            },
            hidden: Registry::new(),
            is_shown: shown,
        };
        let dropped = registrar.family(DROPPED, "reason")?;
        let responses = registrar.family(RESPONSES, "code")?;
        Ok(Self {
            connections: registrar.register(CONNECTIONS, Registry::gauge)?,
            accepted: registrar.register(ACCEPTED, Registry::counter)?,
            handed_over: registrar.register(HANDED_OVER, Registry::counter)?,
            sent: registrar.register(SENT, Registry::counter)?,
            page_seconds: registrar.register(PAGE_SECONDS, seconds)?,
            response_seconds: registrar.register(RESPONSE_SECONDS, seconds)?,
            dropped: DropReason::LABELS
                .iter()
                .map(|&reason| {
                    dropped
                        .with([reason])
                        .expect("a family has room for ten series")
                })
                .collect(),
            ok: responses
                .with([OK_CODE])
                .expect("a family has room for ten series"),
            responses,
            _registration: registrar.registration,
        })
    }

    pub(super) fn dropped(&self, reason: DropReason) {
        self.dropped[reason as usize].inc();
    }

    pub(super) fn responded(&self, status: Status) {
        if status == Status::OK {
            return self.ok.inc();
        }
        let mut code = itoa::Buffer::new();
        if let Ok(counter) = self.responses.with([code.format(status.0)]) {
            counter.inc();
        }
    }
}

/// Buckets from 16 us, for a small page, to 4 s, for an extraordinary one.
fn times() -> Buckets {
    Buckets::exponential(16e-6, 4.0, 10).expect("ascending")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_connection_is_counted_under_its_reason() {
        use DropReason::*;
        let reasons = [
            (Connections, "connections"),
            (HeaderTime, "header_time"),
            (IdleTime, "idle_time"),
            (WriteTime, "write_time"),
            (Pages, "pages"),
            (Descriptors, "descriptors"),
            (HandOff, "hand_off"),
        ];
        assert_eq!(reasons.len(), DropReason::LABELS.len());
        let registry = Registry::new();
        let metrics = SelfMetrics::new(&registry, |_| true).unwrap();
        for (times, (why, _)) in reasons.iter().enumerate() {
            (0..=times).for_each(|_| metrics.dropped(*why));
        }
        let page = page(&registry);
        for (times, (_, reason)) in reasons.iter().enumerate() {
            let line = format!("dropped_total{{reason=\"{reason}\"}} {}\n", times + 1);
            assert!(page.contains(&line), "{reason} in {page}");
        }
    }

    #[test]
    fn hidden_family_is_not_on_the_page() {
        let registry = Registry::new();
        let metrics = SelfMetrics::new(&registry, |name| name != SENT.name).unwrap();
        metrics.sent.inc();
        let page = page(&registry);
        assert!(
            !page.contains(SENT.name) && page.contains(ACCEPTED.name),
            "{page}"
        );
    }

    fn page(registry: &Registry) -> String {
        let page = registry
            .scraper()
            .scrape(crate::exposition::Format::Text)
            .to_vec();
        String::from_utf8(page).unwrap()
    }
}
