//! Cells that hold a row of numbers as it was collected elsewhere.

use super::{Row, Table};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex};
use stethoscope::cell::{Cell, Exemplar, Number};
use stethoscope::family::{Metric, Shape};
use stethoscope::{Family, Handle, MetricType, RegisterError, Registry};

/// A family of snapshots, whatever its type is.
pub(super) trait Repeated: Send + fmt::Debug {
    /// Shows these rows; with `more`, beside those of the update before.
    fn update(&mut self, rows: Vec<Row>, more: bool);
}

/// Registers a family for the table, whose rows are still to come.
pub(super) fn register(
    registry: &Registry,
    table: &Table,
) -> Result<Box<dyn Repeated>, RegisterError> {
    Ok(match table.metric_type {
        MetricType::Counter => Box::new(Series::<OfCounter>::register(registry, table)?),
        MetricType::Gauge => Box::new(Series::<OfGauge>::register(registry, table)?),
        MetricType::Histogram => Box::new(Series::<OfHistogram>::register(registry, table)?),
        MetricType::Summary => Box::new(Series::<OfSummary>::register(registry, table)?),
        MetricType::Info => Box::new(Series::<OfInfo>::register(registry, table)?),
        MetricType::StateSet => Box::new(Series::<OfStateSet>::register(registry, table)?),
        _ => Box::new(Series::<OfUnknown>::register(registry, table)?),
    })
}

/// A type of metric, and what the numbers of a row mean to it.
trait Kind: Send + Sync + 'static {
    const TYPE: MetricType;

    fn shape(layout: &Layout) -> Shape;

    /// How many of a row's first numbers may have an exemplar.
    fn exemplars(_: &Layout) -> usize {
        0
    }
}

macro_rules! kinds {
    ($($kind:ident: $metric_type:ident, $shape:expr, $exemplars:expr;)*) => {$(
        struct $kind;

        impl Kind for $kind {
            const TYPE: MetricType = MetricType::$metric_type;

            fn shape(layout: &Layout) -> Shape {
                let shape: fn(&Layout) -> Shape = $shape;
                shape(layout)
            }

            fn exemplars(layout: &Layout) -> usize {
                let exemplars: fn(&Layout) -> usize = $exemplars;
                if layout.exemplars { exemplars(layout) } else { 0 }
            }
        }
    )*};
}

kinds! {
    OfCounter: Counter, |_| Shape::Single(Number::F64), |_| 1;
    OfGauge: Gauge, |_| Shape::Single(Number::F64), |_| 0;
    OfUnknown: Unknown, |_| Shape::Single(Number::F64), |_| 0;
    OfInfo: Info, |_| Shape::Single(Number::F64), |_| 0;
    OfHistogram: Histogram,
        |layout| Shape::Histogram { bounds: layout.bounds.clone() },
        |layout| layout.bounds.len() + 1;
    OfSummary: Summary,
        |layout| Shape::Summary { quantiles: layout.bounds.clone(), signed: false },
        |_| 0;
    OfStateSet: StateSet, |layout| Shape::StateSet { states: layout.states.clone() }, |_| 0;
}

/// The parts that the rows of a table have in common.
#[derive(Debug, Default)]
struct Layout {
    bounds: Vec<f64>,
    states: Vec<String>,
    exemplars: bool,
}

impl Layout {
    fn width(&self, metric_type: MetricType) -> usize {
        match metric_type {
            MetricType::Histogram | MetricType::Summary => self.bounds.len() + 2,
            MetricType::StateSet => self.states.len(),
            _ => 1,
        }
    }
}

/// The options of a family of snapshots.
struct Options<K>(Arc<Layout>, PhantomData<K>);

impl<K> Clone for Options<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0), PhantomData)
    }
}

impl<K> Default for Options<K> {
    fn default() -> Self {
        Self(Arc::default(), PhantomData)
    }
}

thread_local! {
    /// The row of the series that is about to be made on this thread, so that
    /// no scrape ever sees it empty.
    static FIRST_ROW: RefCell<Option<Row>> = const { RefCell::new(None) };
}

/// A row of numbers that is replaced as a whole.
///
/// There are two copies, and readers read the one that was published last. It
/// is written again only by the second publication after that, so a reading is
/// torn only if it lasts for a whole round, and then it is repeated.
#[derive(Debug)]
struct Snapshot<K> {
    copies: [Box<[AtomicU64]>; 2],
    /// How often a row was published; its last bit says which copy is read.
    published: AtomicUsize,
    created: Option<f64>,
    /// By number. Read only where no writer is at it.
    exemplars: Box<[Mutex<Option<Box<Exemplar>>>]>,
    kind: PhantomData<K>,
}

/// How often a torn reading is repeated.
const TRIES: usize = 8;

impl<K: Kind> Snapshot<K> {
    /// Publishes a row. Only the thread that collects calls this.
    fn publish(&self, row: &mut Row) {
        // Relaxed: this thread alone writes it.
        let next = self.published.load(Ordering::Relaxed) + 1;
        // Release: a reader that sees one of the stores below sees that this
        // copy's publication is over.
        fence(Ordering::Release);
        for (to, from) in self.copies[next & 1].iter().zip(&row.numbers) {
            to.store(*from, Ordering::Relaxed);
        }
        // Release: pairs with the Acquire in `read`.
        self.published.store(next, Ordering::Release);
        for (index, exemplar) in row.exemplars.drain(..) {
            if let Some(place) = self.exemplars.get(index) {
                *place
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(exemplar);
            }
        }
    }
}

impl<K: Kind> Cell for Snapshot<K> {
    type Options = Options<K>;

    fn from_options(options: &Options<K>) -> Self {
        let numbers = || {
            let width = Self::width(options);
            (0..width).map(|_| AtomicU64::new(0)).collect()
        };
        let mut first = FIRST_ROW.with_borrow_mut(Option::take).unwrap_or_default();
        let snapshot = Self {
            copies: [numbers(), numbers()],
            published: AtomicUsize::new(0),
            created: first.created,
            exemplars: (0..Self::exemplars(options))
                .map(|_| Mutex::default())
                .collect(),
            kind: PhantomData,
        };
        snapshot.publish(&mut first);
        snapshot
    }

    fn width(options: &Options<K>) -> usize {
        options.0.width(K::TYPE)
    }

    fn read(&self, into: &mut [u64]) {
        // Acquire: pairs with the Release in `publish`.
        let mut published = self.published.load(Ordering::Acquire);
        for _ in 0..TRIES {
            for (to, from) in into.iter_mut().zip(&self.copies[published & 1]) {
                *to = from.load(Ordering::Relaxed);
            }
            // Acquire: pairs with the Release fence in `publish`.
            fence(Ordering::Acquire);
            let now = self.published.load(Ordering::Acquire);
            if now == published {
                return;
            }
            published = now;
        }
    }

    fn exemplars(options: &Options<K>) -> usize {
        K::exemplars(&options.0)
    }

    fn exemplar(&self, index: usize, into: &mut Exemplar) -> bool {
        // A scrape waits for nobody: it does without one that is being replaced.
        let Some(Ok(exemplar)) = self.exemplars.get(index).map(Mutex::try_lock) else {
            return false;
        };
        match &*exemplar {
            Some(exemplar) => {
                *into = **exemplar;
                true
            }
            None => false,
        }
    }

    fn created(&self) -> Option<f64> {
        self.created
    }
}

impl<K: Kind> Metric for Snapshot<K> {
    const TYPE: MetricType = K::TYPE;

    fn shape(options: &Options<K>) -> Shape {
        K::shape(&options.0)
    }
}

/// The series of one table.
struct Series<K: Kind> {
    family: Family<Snapshot<K>>,
    /// With the round that last brought a row of each.
    shown: HashMap<Vec<String>, (Handle<Snapshot<K>>, u64)>,
    round: u64,
}

impl<K: Kind> fmt::Debug for Series<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Series")
            .field("family", &self.family)
            .finish_non_exhaustive()
    }
}

impl<K: Kind> Series<K> {
    fn register(registry: &Registry, table: &Table) -> Result<Self, RegisterError> {
        let layout = Arc::new(Layout {
            bounds: table.bounds.clone(),
            states: table.states.clone(),
            exemplars: table.exemplars,
        });
        let mut family = registry
            .family::<Snapshot<K>>(&table.name, &table.help)
            .options(Options(layout, PhantomData))
            .labels(table.label_names.iter().map(String::as_str));
        if !table.unit.is_empty() {
            family = family.unit(&table.unit);
        }
        if table.created {
            family = family.created_timestamps();
        }
        Ok(Self {
            family: family.register()?,
            shown: HashMap::new(),
            round: 0,
        })
    }

    fn make(&mut self, row: Row) {
        let labels = row.labels.clone();
        let values: Vec<&str> = labels.iter().map(String::as_str).collect();
        FIRST_ROW.set(Some(row));
        let made = self.family.with(&values[..]);
        FIRST_ROW.set(None);
        let cell = made.expect("as many values as labels, and no cap on the series");
        self.shown.insert(labels, (cell, self.round));
    }

    fn remove(&mut self, labels: &[String]) {
        let values: Vec<&str> = labels.iter().map(String::as_str).collect();
        self.family.remove(&values[..]);
        self.shown.remove(labels);
    }
}

impl<K: Kind> Repeated for Series<K> {
    fn update(&mut self, rows: Vec<Row>, more: bool) {
        self.round += u64::from(!more);
        for mut row in rows {
            match self.shown.get_mut(&row.labels) {
                Some((cell, round)) if cell.created == row.created => {
                    // A series that is there twice shows its first value.
                    if *round != self.round {
                        *round = self.round;
                        cell.publish(&mut row);
                    }
                }
                // Made again in the other library, it is another series here too.
                Some(_) => {
                    self.remove(&row.labels);
                    self.make(row);
                }
                None => self.make(row),
            }
        }
        let gone: Vec<Vec<String>> = self
            .shown
            .iter()
            .filter(|(_, (_, round))| *round != self.round)
            .map(|(labels, _)| labels.clone())
            .collect();
        for labels in gone {
            self.remove(&labels);
        }
    }
}
