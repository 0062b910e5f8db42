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
/// URLs begin with `http://`, and redirects are not followed. For `https://`, add the
/// crate `ureq` 3 with its feature `rustls` or `native-tls` to your program. Proxies are
/// taken from the environment (`HTTP_PROXY`, `NO_PROXY`).
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

/// Without passwords, also where one was given in the URL, which is refused later.
impl fmt::Debug for Pushgateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pushgateway")
            .field("url", &without_secrets(&self.url))
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
    /// If the URL or the key is invalid, or the gateway cannot be reached, refuses the
    /// page or refers to another address.
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
        self.accepted(request.call())
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
        self.accepted(request.send(registry.scraper().scrape(content_type)))
    }

    fn agent(&self) -> Agent {
        Agent::config_builder()
            .timeout_global(Some(self.timeout))
            .http_status_as_error(false)
            // A redirected PUT or POST becomes a GET, whose success says nothing.
            .max_redirects(0)
            .build()
            .into()
    }

    /// Checks what the gateway has answered.
    fn accepted(&self, result: Result<Response<Body>, ureq::Error>) -> Result<(), PushError> {
        let response = result.map_err(|error| match error {
            ureq::Error::Timeout(_) => PushError::Timeout {
                after: self.timeout,
            },
            ureq::Error::TlsRequired => PushError::NoTls,
            error => PushError::Transport {
                url: self.url.clone(),
                error: Box::new(error),
            },
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        if status.is_redirection() {
            let location = response.headers().get("Location");
            let location = location.map(|location| String::from_utf8_lossy(location.as_bytes()));
            return Err(PushError::Redirected {
                status: status.as_u16(),
                location: location.map(|location| without_credentials(&location)),
            });
        }
        let mut message = Vec::new();
        let reader = response.into_body().into_reader();
        // A part of the message is better than none.
        let _ = reader.take(MAX_MESSAGE).read_to_end(&mut message);
        Err(PushError::Refused {
            status: status.as_u16(),
            message: String::from_utf8_lossy(&message).trim().to_owned(),
        })
    }

    /// Returns the URL of the group: `…/metrics/job/JOB/LABEL/VALUE…`.
    fn group_url(&self) -> Result<String, PushError> {
        check_url(&self.url)?;
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

/// Checks that a URL has a scheme and a host, and no credentials, query or fragment.
fn check_url(url: &str) -> Result<(), PushError> {
    if authority(url).1.contains('@') {
        return Err(PushError::CredentialsInUrl);
    }
    let rest = { url.strip_prefix("http://") }.or_else(|| url.strip_prefix("https://"));
    match rest {
        Some(rest) if has_host(url) && !rest.contains(['?', '#']) => Ok(()),
        _ => Err(PushError::Url {
            url: without_secrets(url),
        }),
    }
}

/// Returns a URL without a user name and a password. If no host can be told, they may
/// contain any character.
fn without_secrets(url: &str) -> String {
    match has_host(url) {
        true => without_credentials(url),
        false => without(authority(url).0, url.len(), url),
    }
}

/// Returns a URL without the user name and the password before its host.
fn without_credentials(url: &str) -> String {
    let (start, authority) = authority(url);
    without(start, start + authority.len(), url)
}

/// Returns a URL without the part from `start` to the last at sign before `end`.
fn without(start: usize, end: usize, url: &str) -> String {
    match url[start..end].rfind('@') {
        Some(at) => format!("{}{}", &url[..start], &url[start + at + 1..]),
        None => url.to_owned(),
    }
}

/// Returns true if there is a host, and a number where its port belongs, if it has one.
fn has_host(url: &str) -> bool {
    let (_, authority) = authority(url);
    let host = authority.rsplit('@').next().unwrap_or_default();
    match host.rsplit_once(':') {
        Some((_, port)) => port.ends_with(']') || port.parse::<u16>().is_ok(),
        None => !host.is_empty(),
    }
}

/// Returns the place of a URL's credentials, host and port, and their text.
fn authority(url: &str) -> (usize, &str) {
    let start = url.find("://").map_or(0, |scheme| scheme + 3);
    let len = url[start..].find(['/', '?', '#']);
    (start, &url[start..][..len.unwrap_or(url.len() - start)])
}

/// The reason why a push failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum PushError {
    /// The URL is not one of a gateway.
    Url {
        /// The URL.
        url: String,
    },
    /// The URL has a user name or a password.
    CredentialsInUrl,
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
    /// The gateway did not answer in time.
    Timeout {
        /// The time that the call might take.
        after: Duration,
    },
    /// The URL begins with `https://`, and the program has no TLS.
    NoTls,
    /// The gateway cannot be reached, or its answer is not HTTP.
    Transport {
        /// The URL of the gateway.
        url: String,
        /// The reason.
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer is a redirect, which is not followed.
    Redirected {
        /// The status of the response.
        status: u16,
        /// The address that it refers to.
        location: Option<String>,
    },
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
            Self::Url { url } => write!(
                f,
                "invalid URL {url:?}: expected that of a Pushgateway, for example \
                 \"http://localhost:9091\""
            ),
            Self::CredentialsInUrl => f.write_str(
                "the URL has a user name or a password: give them with basic_auth instead",
            ),
            Self::EmptyJob => f.write_str("the name of the job is empty: give the job a name"),
            Self::Label { label, error } => write!(f, "grouping label {label:?}: {error}"),
            Self::DuplicateLabel { label } => {
                write!(
                    f,
                    "grouping label {label:?} is given twice: give each label once"
                )
            }
            Self::Timeout { after } => write!(
                f,
                "the Pushgateway did not answer within {after:?}: check that it runs, or give it \
                 more time with timeout"
            ),
            Self::NoTls => f.write_str(
                "the program has no TLS for https://: add the crate ureq 3 with its feature rustls \
                 or native-tls to it",
            ),
            Self::Transport { url, error } => {
                write!(f, "cannot reach a Pushgateway at {url}: {error}")
            }
            Self::Redirected { status, location } => {
                write!(f, "the answer {status} is a redirect")?;
                if let Some(location) = location {
                    write!(f, " to {location:?}")?;
                }
                f.write_str(", which is not followed: give the URL of the Pushgateway itself")
            }
            Self::Refused { status, message } => {
                write!(f, "the Pushgateway answered {status}")?;
                if !message.is_empty() {
                    write!(f, ": {message}")?;
                }
                match status {
                    401 | 403 => f.write_str(" (are user name and password of basic_auth right?)"),
                    404 => f.write_str(
                        " (is it a Pushgateway, and does the URL end before \"/metrics\"?)",
                    ),
                    _ => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for PushError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Label { error, .. } => Some(error),
            Self::Transport { error, .. } => Some(error.as_ref()),
            _ => None,
        }
    }
}
