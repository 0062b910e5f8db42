//! What the endpoint counts of itself.

use super::response::Status;
use crate::cell::{Buckets, Counter, Gauge, Histogram};
use crate::{Family, Handle, RegisterError, Registry};

/// Why a connection was ended before its client wanted. Named like the
/// [`Limits`](super::Limits) that bound it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dropped {
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
    const ALL: [(Dropped, &'static str); 7] = [
        (Dropped::Connections, "connections"),
        (Dropped::HeaderTime, "header_time"),
        (Dropped::IdleTime, "idle_time"),
        (Dropped::WriteTime, "write_time"),
        (Dropped::Pages, "pages"),
        (Dropped::Descriptors, "descriptors"),
        (Dropped::HandOff, "hand_off"),
    ];
}

/// The counters, on the page or not.
pub(super) struct Meters {
    pub(super) connections: Handle<Gauge>,
    pub(super) accepted: Handle<Counter>,
    pub(super) handed_over: Handle<Counter>,
    /// How long it took to make a page.
    pub(super) page_seconds: Handle<Histogram>,
    dropped: [Handle<Counter>; Dropped::ALL.len()],
    responses: Family<Counter>,
    ok: Handle<Counter>,
}

impl Meters {
    pub(super) fn new(registry: &Registry) -> Result<Self, RegisterError> {
        let dropped = registry.counter_family(
            "stethoscope_http_connections_dropped_total",
            "Connections ended by one of the endpoint's bounds.",
            ["reason"],
        )?;
        let responses = registry.counter_family(
            "stethoscope_http_responses_total",
            "Responses of the endpoint by status code.",
            ["code"],
        )?;
        let few = "a handful of series fits in any family";
        Ok(Self {
            connections: registry.gauge(
                "stethoscope_http_connections",
                "Connections open at the endpoint.",
            )?,
            accepted: registry.counter(
                "stethoscope_http_connections_accepted_total",
                "Connections accepted by the endpoint.",
            )?,
            handed_over: registry.counter(
                "stethoscope_http_connections_handed_over_total",
                "Connections handed over because their request was not for the metrics.",
            )?,
            page_seconds: registry
                .family(
                    "stethoscope_http_page_seconds",
                    "Time to make a page, hooks included.",
                )
                .unit("seconds")
                .options(page_times())
                .register_single()?,
            dropped: Dropped::ALL.map(|(_, reason)| dropped.with([reason]).expect(few)),
            ok: responses.with(["200"]).expect(few),
            responses,
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
fn page_times() -> Buckets {
    Buckets::exponential(16e-6, 4.0, 10).expect("ascending")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_counted_as_itself() {
        let registry = Registry::new();
        let meters = Meters::new(&registry).unwrap();
        for (why, _) in Dropped::ALL {
            meters.dropped(why);
        }
        let page = registry
            .scraper()
            .scrape(crate::exposition::Format::Text)
            .to_vec();
        let page = String::from_utf8(page).unwrap();
        for (_, reason) in Dropped::ALL {
            let line = format!("dropped_total{{reason=\"{reason}\"}} 1\n");
            assert!(page.contains(&line), "{reason} in {page}");
        }
    }
}
