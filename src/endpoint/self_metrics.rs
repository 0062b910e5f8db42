//! What the endpoint counts of itself.

use super::response::Status;
use crate::cell::{Buckets, Counter, Gauge, Histogram};
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

/// The status code that is on the page before the first response.
pub const OK_CODE: &str = "200";

/// The values of the label `reason` of [`DROPPED`].
pub const DROP_REASONS: &[&str] = Dropped::REASONS;

/// Why a connection was ended before its client wanted. Named like the
/// [`Limits`](super::Limits) that bound it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// For another, or at once, because there were too many.
    Connections,
    HeaderTime,
    IdleTime,
    WriteTime,
    Pages,
    /// The process had no file descriptor left for one more.
    Descriptors,
    /// The host behind a hand-off did not take it.
    HandOff,
}

impl Dropped {
    /// In words, in the order above.
    pub(crate) const REASONS: &[&str] = &[
        "connections",
        "header_time",
        "idle_time",
        "write_time",
        "pages",
        "descriptors",
        "hand_off",
    ];
}

/// The counters, on the page or not.
pub(super) struct Meters {
    pub(super) connections: Handle<Gauge>,
    pub(super) accepted: Handle<Counter>,
    pub(super) handed_over: Handle<Counter>,
    /// Of heads and bodies.
    pub(super) sent: Handle<Counter>,
    /// How long it took to make a page.
    pub(super) page_seconds: Handle<Histogram>,
    /// How long a client waited for one.
    pub(super) response_seconds: Handle<Histogram>,
    /// By place in [`Dropped::REASONS`].
    dropped: Vec<Handle<Counter>>,
    responses: Family<Counter>,
    ok: Handle<Counter>,
    _shown: Shown,
}

/// Those that are on the registry's page: they leave with the endpoint, so that
/// another can take its place.
struct Shown {
    registry: Registry,
    names: Vec<&'static str>,
}

impl Drop for Shown {
    fn drop(&mut self) {
        for name in &self.names {
            self.registry.unregister(name);
        }
    }
}

/// Where each is registered.
struct Places<F> {
    shown: Shown,
    hidden: Registry,
    is_shown: F,
}

impl<F: Fn(&str) -> bool> Places<F> {
    fn register<T>(
        &mut self,
        NameAndHelp { name, help }: NameAndHelp,
        register: impl FnOnce(&Registry, &'static str, &'static str) -> Result<T, RegisterError>,
    ) -> Result<T, RegisterError> {
        if !(self.is_shown)(name) {
            return register(&self.hidden, name, help);
        }
        let registered = register(&self.shown.registry, name, help)?;
        self.shown.names.push(name);
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

impl Meters {
    /// Those that are not `shown`, by name, are counted where nobody looks.
    pub(super) fn new(
        registry: &Registry,
        shown: impl Fn(&str) -> bool,
    ) -> Result<Self, RegisterError> {
        let mut places = Places {
            shown: Shown {
                registry: registry.clone(),
                names: Vec::new(),
            },
            hidden: Registry::new(),
            is_shown: shown,
        };
        let few = "a handful of series fits in any family";
        let dropped = places.family(DROPPED, "reason")?;
        let responses = places.family(RESPONSES, "code")?;
        Ok(Self {
            connections: places.register(CONNECTIONS, Registry::gauge)?,
            accepted: places.register(ACCEPTED, Registry::counter)?,
            handed_over: places.register(HANDED_OVER, Registry::counter)?,
            sent: places.register(SENT, Registry::counter)?,
            page_seconds: places.register(PAGE_SECONDS, seconds)?,
            response_seconds: places.register(RESPONSE_SECONDS, seconds)?,
            dropped: Dropped::REASONS
                .iter()
                .map(|&reason| dropped.with([reason]).expect(few))
                .collect(),
            ok: responses.with([OK_CODE]).expect(few),
            responses,
            _shown: places.shown,
        })
    }

    pub(super) fn dropped(&self, why: Dropped) {
        self.dropped[why as usize].inc();
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

/// From 16 us, a small page, to 4 s, an extraordinary one.
fn times() -> Buckets {
    Buckets::exponential(16e-6, 4.0, 10).expect("ascending")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_counted_as_itself() {
        use Dropped::*;
        let reasons = [
            (Connections, "connections"),
            (HeaderTime, "header_time"),
            (IdleTime, "idle_time"),
            (WriteTime, "write_time"),
            (Pages, "pages"),
            (Descriptors, "descriptors"),
            (HandOff, "hand_off"),
        ];
        assert_eq!(reasons.len(), Dropped::REASONS.len());
        let registry = Registry::new();
        let meters = Meters::new(&registry, |_| true).unwrap();
        for (times, (why, _)) in reasons.iter().enumerate() {
            (0..=times).for_each(|_| meters.dropped(*why));
        }
        let page = page(&registry);
        for (times, (_, reason)) in reasons.iter().enumerate() {
            let line = format!("dropped_total{{reason=\"{reason}\"}} {}\n", times + 1);
            assert!(page.contains(&line), "{reason} in {page}");
        }
    }

    #[test]
    fn what_is_not_shown_is_not_there_and_the_rest_is() {
        let registry = Registry::new();
        let meters = Meters::new(&registry, |name| name != SENT.name).unwrap();
        meters.sent.inc();
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
