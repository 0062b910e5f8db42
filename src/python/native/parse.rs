//! `stethoscope.parse`: a page as Python's objects, for those who test pages.
//!
//! ```text
//! page ──> parser, validator ──> Families ──> list[Family]
//!               └── Error ──> ParseError        └── Sample, Exemplar
//! ```
//!
//! The results are defined in Python, in `stethoscope/_parsed.py`. Making it
//! takes nearly all of the time, and the GIL, which is therefore kept.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString, PyTuple, PyType};
use std::collections::HashMap;
use stethoscope::MetricType;
use stethoscope::exposition::parser::{
    self, Error, Event, Mode, Options, ParsedExemplar, ParsedLabels, Sample, Timestamp,
};
use stethoscope::exposition::validate::Validator;
use stethoscope::exposition::{ContentType, Format};

/// Read a page. Return its families, in their order, each with its samples.
///
/// `format` is "prometheus" (text 0.0.4), "prometheus1" (text 1.0.0), "openmetrics"
/// (1.0), or the `Content-Type` that the page came with. By default it is OpenMetrics
/// if the page ends in `# EOF`, and otherwise text 1.0.0, which includes 0.0.4.
///
/// A strict reading follows the standard to the letter, down to the buckets of
/// histograms; `lenient` accepts what the Prometheus server accepts, even a family
/// whose samples are in several places. Lines may have `max_line` bytes, by default
/// 1 MiB, or 2 GiB if `lenient`. A page whose check takes more than `max_memory`
/// bytes is refused.
///
/// Names stay as they are on the page. A sample belongs to the family of its name;
/// else to the one above it whose type has samples of its suffix, as histograms have
/// `_bucket`; else to one of its own, of type "unknown".
///
/// Raises `ParseError`, a `ValueError`, for a page that is refused, and `ValueError`
/// for an unknown format. The GIL is held, since making Python objects needs it: for
/// about two milliseconds per 3,500 samples.
#[pyfunction]
#[pyo3(signature = (page, format = "auto", *, lenient = false, max_line = None, max_memory = None))]
pub(super) fn parse<'py>(
    py: Python<'py>,
    page: &Bound<'py, PyAny>,
    format: &str,
    lenient: bool,
    max_line: Option<usize>,
    max_memory: Option<usize>,
) -> PyResult<Bound<'py, PyList>> {
    let page = Page::given(page)?;
    let mut options = options(format, page.bytes())?;
    if lenient {
        options = options.with_mode(Mode::Lenient);
    }
    if let Some(max_line) = max_line {
        options = options.with_max_line(max_line);
    }
    if let Some(max_memory) = max_memory {
        options = options.with_max_memory(max_memory);
    }
    let mut families = Families::new(py, options.format)?;
    let mut validator = Validator::new(options);
    let mut parser = parser::parse(page.bytes(), options);
    while let Some(next) = parser.next_ref() {
        let seen = next.and_then(|(line, event)| {
            validator.visit(line, &event)?;
            Ok(event)
        });
        families.add(seen.map_err(|error| refused(py, &page, error))?)?;
    }
    let end = validator.end();
    end.map_err(|error| refused(py, &page, error))?;
    families.finish()
}

/// The page that the caller gave.
enum Page {
    Text(PyBackedStr),
    Bytes(PyBackedBytes),
}

impl Page {
    fn given(page: &Bound<'_, PyAny>) -> PyResult<Self> {
        if page.is_instance_of::<PyString>() {
            return page.extract().map(Self::Text);
        }
        page.extract().map(Self::Bytes).map_err(|_| {
            let kind = page.get_type();
            PyTypeError::new_err(format!("a page must be str or bytes, not {kind}"))
        })
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// Python's index of the character at this byte.
    fn index(&self, offset: usize) -> usize {
        let is_first = |byte: &&u8| (**byte & 0xc0) != 0x80;
        match self {
            Self::Text(text) => text.as_bytes()[..offset].iter().filter(is_first).count(),
            Self::Bytes(_) => offset,
        }
    }
}

/// The parser options for the name of a format or a `Content-Type`.
fn options(format: &str, page: &[u8]) -> PyResult<Options> {
    Ok(Options::strict(match format {
        "auto" => Format::guess(page),
        "prometheus" => Format::Text,
        "prometheus1" => Format::Text1,
        "openmetrics" => Format::OpenMetrics,
        header if is_of_metrics(header) => {
            let content_type = ContentType::from_header(header);
            if content_type.format == Format::OpenMetrics2 {
                return Err(PyValueError::new_err(
                    "this function does not read OpenMetrics 2.0: ask for version=1.0.0, or \
                     read the page with \"stethoscope check --json\"",
                ));
            }
            return Ok(content_type.into());
        }
        _ => {
            let error = format!(
                "unknown format {format:?}: expected \"auto\", \"prometheus\", \"prometheus1\", \
                 \"openmetrics\" or the Content-Type of a page, such as \"text/plain\""
            );
            return Err(PyValueError::new_err(error));
        }
    }))
}

/// Returns true for the Content-Type of a page in one of the text formats.
fn is_of_metrics(header: &str) -> bool {
    let media_type = header.split(';').next().unwrap_or_default().trim();
    ["text/plain", "application/openmetrics-text"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(media_type))
}

/// A type that is defined in Python: its module and its name.
struct PythonType(&'static str, &'static str, PyOnceLock<Py<PyType>>);

impl PythonType {
    const fn new(module: &'static str, name: &'static str) -> Self {
        Self(module, name, PyOnceLock::new())
    }

    fn get<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyType>> {
        self.2.import(py, self.0, self.1)
    }
}

static FAMILY: PythonType = PythonType::new("stethoscope._parsed", "Family");
static SAMPLE: PythonType = PythonType::new("stethoscope._parsed", "Sample");
static EXEMPLAR: PythonType = PythonType::new("stethoscope._parsed", "Exemplar");
static PARSE_ERROR: PythonType = PythonType::new("stethoscope._errors", "ParseError");

#[cold]
fn refused(py: Python<'_>, page: &Page, error: Error) -> PyErr {
    let place = error.position(page.bytes());
    let arguments = (
        error.kind().to_string(),
        page.index(error.offset()),
        place.line,
        place.column,
        error.display_in(page.bytes()).to_string(),
    );
    match PARSE_ERROR.get(py) {
        Ok(kind) => PyErr::from_type(kind.clone(), arguments),
        Err(error) => error,
    }
}

/// The families of a page, in the order in which it begins them.
struct Families<'py> {
    format: Format,
    found: Vec<Family<'py>>,
    by_name: HashMap<String, usize>,
    /// The name of the last sample, and whose it is.
    last: Option<(Bound<'py, PyString>, String, usize)>,
    makes: Makes<'py>,
}

struct Family<'py> {
    name: String,
    kind: MetricType,
    help: String,
    unit: String,
    samples: Bound<'py, PyList>,
}

impl<'py> Families<'py> {
    fn new(py: Python<'py>, format: Format) -> PyResult<Self> {
        Ok(Self {
            format,
            found: Vec::new(),
            by_name: HashMap::new(),
            last: None,
            makes: Makes::new(py)?,
        })
    }

    fn add(&mut self, event: Event<'_, &Sample<'_>>) -> PyResult<()> {
        match event {
            Event::Help { name, text } => self.declare(&name).help = text.into_owned(),
            Event::Type { name, metric_type } => self.declare(&name).kind = metric_type,
            Event::Unit { name, unit } => self.declare(&name).unit = unit.to_owned(),
            Event::Sample(sample) => return self.sample(sample),
            _ => {}
        }
        Ok(())
    }

    /// The family that a line of metadata is about.
    fn declare(&mut self, name: &str) -> &mut Family<'py> {
        self.last = None;
        let at = self.of_name(name);
        &mut self.found[at]
    }

    fn of_name(&mut self, name: &str) -> usize {
        if let Some(&at) = self.by_name.get(name) {
            return at;
        }
        self.by_name.insert(name.to_owned(), self.found.len());
        self.found.push(Family {
            name: name.to_owned(),
            kind: MetricType::Unknown,
            help: String::new(),
            unit: String::new(),
            samples: PyList::empty(self.makes.py),
        });
        self.found.len() - 1
    }

    /// Returns the family of a sample's name: the one with that name, or else one
    /// whose type has such a suffix, or else a new one without metadata.
    fn of_sample(&mut self, name: &str) -> usize {
        if let Some(&at) = self.by_name.get(name) {
            return at;
        }
        let declared = name.rfind('_').and_then(|underscore| {
            let (family, suffix) = name.split_at(underscore);
            let at = *self.by_name.get(family)?;
            let mut suffixes = self.found[at]
                .kind
                .sample_suffixes(self.format == Format::OpenMetrics);
            suffixes.any(|other| other == suffix).then_some(at)
        });
        declared.unwrap_or_else(|| self.of_name(name))
    }

    fn sample(&mut self, sample: &Sample<'_>) -> PyResult<()> {
        let name = sample.name();
        let (shared, _, at) = match self.last.take() {
            Some(last) if last.1 == name => self.last.insert(last),
            _ => {
                let at = self.of_sample(&name);
                let shared = PyString::new(self.makes.py, &name);
                self.last.insert((shared, name.into_owned(), at))
            }
        };
        let made = self.makes.sample(shared, sample)?;
        self.found[*at].samples.append(made)
    }

    fn finish(self) -> PyResult<Bound<'py, PyList>> {
        let py = self.makes.py;
        let class = FAMILY.get(py)?;
        let made = self.found.into_iter().map(|family| {
            let Family {
                name,
                kind,
                help,
                unit,
                samples,
            } = family;
            // The word of OpenMetrics, whatever the format of the page.
            let kind = kind.type_word(true);
            self.makes
                .new
                .call1((class, (name, kind, help, unit, samples)))
        });
        PyList::new(py, made.collect::<PyResult<Vec<_>>>()?)
    }
}

/// Makes Python's samples.
struct Makes<'py> {
    py: Python<'py>,
    sample: Bound<'py, PyType>,
    exemplar: Bound<'py, PyType>,
    /// `tuple.__new__`, which named tuples are made by in half the time that
    /// calling them takes.
    new: Bound<'py, PyAny>,
    /// A page has few names of labels, and has each of them often.
    names: HashMap<String, Bound<'py, PyString>>,
}

impl<'py> Makes<'py> {
    fn new(py: Python<'py>) -> PyResult<Self> {
        Ok(Self {
            py,
            sample: SAMPLE.get(py)?.clone(),
            exemplar: EXEMPLAR.get(py)?.clone(),
            new: py.get_type::<PyTuple>().getattr(intern!(py, "__new__"))?,
            names: HashMap::new(),
        })
    }

    fn sample(
        &mut self,
        name: &Bound<'py, PyString>,
        sample: &Sample<'_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let labels = self.labels(sample.labels())?;
        let timestamp = sample.timestamp().map(Timestamp::seconds);
        let exemplar = sample.exemplar().map(|exemplar| self.exemplar(&exemplar));
        let fields = (
            name,
            labels,
            sample.value(),
            timestamp,
            exemplar.transpose()?,
        );
        self.new.call1((&self.sample, fields))
    }

    fn exemplar(&mut self, exemplar: &ParsedExemplar<'_>) -> PyResult<Bound<'py, PyAny>> {
        let labels = self.labels(exemplar.labels())?;
        let fields = (labels, exemplar.value(), exemplar.timestamp());
        self.new.call1((&self.exemplar, fields))
    }

    fn labels(&mut self, labels: ParsedLabels<'_, '_>) -> PyResult<Bound<'py, PyDict>> {
        let made = PyDict::new(self.py);
        for label in labels {
            let name = match self.names.get(&*label.name) {
                Some(name) => name,
                None => {
                    let name = PyString::new(self.py, &label.name);
                    self.names.entry(label.name.into_owned()).or_insert(name)
                }
            };
            made.set_item(name, &*label.value)?;
        }
        Ok(made)
    }
}
