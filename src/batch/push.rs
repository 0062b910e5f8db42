//! Pushing to a Pushgateway.

use crate::Registry;
use crate::exposition::{ContentType, Format};
use crate::name::{self, NameError, NameRules};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use std::fmt;
use std::io::Read as _;
use std::time::Duration;
use ureq::http::Response;
use ureq::typestate::WithBody;
use ureq::{Agent, Body, RequestBuilder};

/// Sends the page of a registry to a [Pushgateway](https://github.com/prometheus/pushgateway).
///
/// For jobs that end before Prometheus scrapes them. A group of metrics, which has the
/// job's name and the labels of [`grouping`](Self::grouping), remains on the gateway
/// until it is replaced or deleted. Each call opens a connection of its own and blocks
/// until the gateway has answered.
///
/// URLs begin with `http://`. For `https://`, add the crate `ureq` 3 with its feature
/// `rustls` or `native-tls` to your program. Proxies are taken from the environment
/// (`HTTP_PROXY`, `NO_PROXY`).
///
/// ```no_run
/// use stethoscope::{Registry, batch::Pushgateway};
///
/// let registry = Registry::new();
/// registry.gauge("backup_finished_timestamp_seconds", "Time of the last backup.")?
///     .set_to_current_time();
/// Pushgateway::new("http://pushgateway.example:9091", "backup")
///     .grouping("instance", "db/1")
///     .push(&registry)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Pushgateway {
    url: String,
    job: String,
    grouping: Vec<(String, String)>,
    authorization: Option<String>,
    timeout: Duration,
}

/// Without the password.
impl fmt::Debug for Pushgateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pushgateway")
            .field("url", &self.url)
            .field("job", &self.job)
            .field("grouping", &self.grouping)
            .finish_non_exhaustive()
    }
}

impl Pushgateway {
    /// Describes a group of a gateway. `url` is that of the gateway, for example
    /// `http://localhost:9091`.
    #[must_use]
    pub fn new(url: &str, job: &str) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            job: job.to_owned(),
            grouping: Vec::new(),
            authorization: None,
            timeout: Duration::from_secs(10),
        }
    }

    /// Adds a label to the group's key. The gateway sets it on all metrics of the group.
    /// The value may be any text.
    #[must_use]
    pub fn grouping(mut self, label: &str, value: &str) -> Self {
        self.grouping.push((label.to_owned(), value.to_owned()));
        self
    }

    /// Sends a user name and a password (HTTP basic authentication).
    #[must_use]
    pub fn basic_auth(mut self, user: &str, password: &str) -> Self {
        let credentials = BASE64_STANDARD.encode(format!("{user}:{password}"));
        self.authorization = Some(format!("Basic {credentials}"));
        self
    }

    /// Sets the time that a call may take, 10 seconds if it is not set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Replaces all metrics of the group by those of the registry (PUT).
    ///
    /// # Errors
    /// If the key is invalid, or the gateway cannot be reached or refuses the page.
    pub fn push(&self, registry: &Registry) -> Result<(), PushError> {
        self.send(registry, |agent, url| agent.put(url))
    }

    /// Adds the metrics of the registry to the group, replacing those of the same names
    /// (POST).
    ///
    /// # Errors
    /// As for [`push`](Self::push).
    pub fn add(&self, registry: &Registry) -> Result<(), PushError> {
        self.send(registry, |agent, url| agent.post(url))
    }

    /// Deletes the group from the gateway, whether it exists or not.
    ///
    /// # Errors
    /// As for [`push`](Self::push).
    pub fn delete(&self) -> Result<(), PushError> {
        let mut request = self.agent().delete(self.group_url()?);
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        accepted(request.call())
    }

    fn send(
        &self,
        registry: &Registry,
        method: impl FnOnce(&Agent, String) -> RequestBuilder<WithBody>,
    ) -> Result<(), PushError> {
        let content_type = ContentType::from(Format::Text);
        let mut request =
            method(&self.agent(), self.group_url()?).header("Content-Type", content_type.header());
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        accepted(request.send(registry.scraper().scrape(content_type)))
    }

    fn agent(&self) -> Agent {
        Agent::config_builder()
            .timeout_global(Some(self.timeout))
            .http_status_as_error(false)
            .build()
            .into()
    }

    /// Returns the URL of the group: `…/metrics/job/JOB/LABEL/VALUE…`.
    fn group_url(&self) -> Result<String, PushError> {
        if self.job.is_empty() {
            return Err(PushError::EmptyJob);
        }
        let mut url = format!("{}/metrics", self.url);
        push_label(&mut url, "job", &self.job);
        for (index, (label, value)) in self.grouping.iter().enumerate() {
            let earlier = &self.grouping[..index];
            if label == "job" || earlier.iter().any(|(other, _)| other == label) {
                let label = label.clone();
                return Err(PushError::DuplicateLabel { label });
            }
            name::check_label_name(label, NameRules::Classic).map_err(|error| {
                let label = label.clone();
                PushError::Label { label, error }
            })?;
            push_label(&mut url, label, value);
        }
        Ok(url)
    }
}

/// Appends `/label/value`. A value with characters that have a meaning in paths is
/// encoded in base64, as the gateway allows.
fn push_label(url: &mut String, label: &str, value: &str) {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-:".contains(&byte);
    let encoded = match value {
        // The gateway's form of an empty value.
        "" => "=".to_owned(),
        value if value.bytes().all(is_plain) => {
            url.extend(["/", label, "/", value]);
            return;
        }
        value => BASE64_URL_SAFE.encode(value),
    };
    url.extend(["/", label, "@base64/", &encoded]);
}

/// The most bytes of a refusal that are read.
const MAX_MESSAGE: u64 = 4096;

fn accepted(result: Result<Response<Body>, ureq::Error>) -> Result<(), PushError> {
    let response = result.map_err(|error| PushError::Transport(Box::new(error)))?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let mut message = Vec::new();
    let reader = response.into_body().into_reader();
    // What could be read of it is better than nothing.
    let _ = reader.take(MAX_MESSAGE).read_to_end(&mut message);
    Err(PushError::Refused {
        status: status.as_u16(),
        message: String::from_utf8_lossy(&message).trim().to_owned(),
    })
}

/// The reason why a push failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum PushError {
    /// The name of the job is empty.
    EmptyJob,
    /// The name of a grouping label is not a classic label name, or reserved.
    Label {
        /// The label.
        label: String,
        /// The fault.
        error: NameError,
    },
    /// A grouping label is given twice, or is `job`.
    DuplicateLabel {
        /// The label.
        label: String,
    },
    /// The gateway cannot be reached, or did not answer in time, or the URL is invalid.
    Transport(Box<dyn std::error::Error + Send + Sync>),
    /// The gateway has refused the request.
    Refused {
        /// The status of the response.
        status: u16,
        /// The beginning of its body, which says why.
        message: String,
    },
}

impl fmt::Display for PushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyJob => f.write_str("a job must have a name"),
            Self::Label { label, error } => write!(f, "grouping label {label:?}: {error}"),
            Self::DuplicateLabel { label } => {
                write!(
                    f,
                    "grouping label {label:?} is given twice: give each label once"
                )
            }
            Self::Transport(error) => write!(f, "cannot reach the Pushgateway: {error}"),
            Self::Refused { status, message } => {
                write!(f, "the Pushgateway answered {status}: {message}")
            }
        }
    }
}

impl std::error::Error for PushError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Label { error, .. } => Some(error),
            Self::Transport(error) => Some(error.as_ref()),
            _ => None,
        }
    }
}
