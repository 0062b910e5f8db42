//! Families whose labels are a type: label values cannot be missing or transposed.
//!
//! ```text
//! labels of enums and bools only      an array of handles, by the index of the label set
//! any other labels                    the table of an ordinary family
//! ```

use super::{Descriptor, Family, Handle, Metric, SeriesError};
use crate::fork::ForkSafeMutex;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

/// A type whose values are label values, such as an enum of methods.
///
/// Implemented for strings, integers, `bool`, and options of these: `None` is an empty
/// value, which Prometheus takes for no label. Derive it for enums of your own with the
/// feature `derive`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the value of a label",
    note = "use text, an integer, a `bool`, an `Option` of these, or an enum that derives \
            `stethoscope::LabelValue`"
)]
pub trait LabelValue {
    /// The number of values, if they are few.
    const COUNT: Option<usize> = None;

    /// Calls `read` with the value as text. Does not allocate.
    fn read<R>(&self, read: impl FnOnce(&str) -> R) -> R;

    /// Returns a number below [`COUNT`](Self::COUNT) that is different for each value,
    /// or 0 if the type has no count.
    #[inline]
    fn index(&self) -> usize {
        0
    }
}

/// A set of labels as a type: a struct with a field for each label.
///
/// Derive it with the feature `derive`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a set of labels",
    note = "derive `stethoscope::Labels` for a struct with a field for each label"
)]
pub trait Labels {
    /// The same labels with values borrowed for `'a`, if the type has a lifetime;
    /// otherwise the type itself.
    type Of<'a>: Labels;

    /// The names of the labels.
    const NAMES: &'static [&'static str];

    /// The number of label sets, if they are few.
    const COUNT: Option<usize>;

    /// Calls `read` with the values, in the order of [`NAMES`](Self::NAMES). Does not
    /// allocate.
    fn read<R>(&self, read: impl FnOnce(&[&str]) -> R) -> R;

    /// Returns a number below [`COUNT`](Self::COUNT) that is different for each label
    /// set, or 0 if the type has no count.
    fn index(&self) -> usize;
}

/// The most label sets that a family keeps in an array: 64 kB of handles.
const MAX_DENSE: usize = 4096;

/// Returns the number of label sets whose values have these numbers. `None` if one has
/// none, or the product is more than 4096. For implementations of
/// [`Labels::COUNT`].
#[must_use]
pub const fn count_label_sets(values: &[Option<usize>]) -> Option<usize> {
    let mut product = 1;
    let mut index = 0;
    while index < values.len() {
        match values[index] {
            Some(count) if count <= MAX_DENSE => product *= count,
            _ => return None,
        }
        if product > MAX_DENSE {
            return None;
        }
        index += 1;
    }
    Some(product)
}

/// A metric whose labels are the type `L`.
///
/// Clones are cheap and are the same family. Made by
/// [`FamilyBuilder::register_typed`](crate::registry::FamilyBuilder::register_typed).
///
/// If all labels are enums or bools, [`update`](Self::update) finds the series by an
/// array index: 1 ns. The series of such a family are never removed, and
/// [`FamilyBuilder::expire_after`](crate::registry::FamilyBuilder::expire_after) has no
/// effect on it.
///
#[cfg_attr(feature = "derive", doc = "```")]
#[cfg_attr(not(feature = "derive"), doc = "```ignore")]
/// use stethoscope::cell::Counter;
/// use stethoscope::{LabelValue, Labels, Registry, TypedFamily};
///
/// #[derive(Clone, Copy, LabelValue)]
/// #[label(rename_all = "UPPERCASE")]
/// enum Method {
///     Get,
///     Post,
/// }
///
/// #[derive(Labels)]
/// struct RequestLabels<'a> {
///     method: Method,
///     path: &'a str,
///     status: u16,
/// }
///
/// let registry = Registry::new();
/// let requests: TypedFamily<RequestLabels, Counter> = registry
///     .family("requests_total", "Requests.")
///     .register_typed()?;
/// let path = String::from("/");
/// let labels = RequestLabels { method: Method::Get, path: &path, status: 200 };
/// requests.update(&labels, Counter::inc)?;
///
/// let mut scraper = registry.scraper();
/// let page = scraper.scrape(stethoscope::exposition::Format::Text);
/// assert!(page.ends_with(b"requests_total{method=\"GET\",path=\"/\",status=\"200\"} 1\n"));
/// # let _ = Method::Post;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A label that is missing does not compile:
///
#[cfg_attr(feature = "derive", doc = "```compile_fail,E0063")]
#[cfg_attr(not(feature = "derive"), doc = "```ignore")]
/// # use stethoscope::cell::Counter;
/// # use stethoscope::{Labels, TypedFamily};
/// #[derive(Labels)]
/// struct RequestLabels {
///     cached: bool,
///     status: u16,
/// }
///
/// fn count(requests: &TypedFamily<RequestLabels, Counter>) {
///     requests.update(&RequestLabels { status: 200 }, Counter::inc);
/// }
/// ```
///
/// nor do labels that are transposed:
///
#[cfg_attr(feature = "derive", doc = "```compile_fail,E0308")]
#[cfg_attr(not(feature = "derive"), doc = "```ignore")]
/// # use stethoscope::cell::Counter;
/// # use stethoscope::{Labels, TypedFamily};
/// # #[derive(Labels)]
/// # struct RequestLabels {
/// #     cached: bool,
/// #     status: u16,
/// # }
/// fn count(requests: &TypedFamily<RequestLabels, Counter>) {
///     requests.update(&RequestLabels { status: true, cached: 200 }, Counter::inc);
/// }
/// ```
pub struct TypedFamily<L, C: Metric> {
    family: Family<C>,
    /// The series that were used through this family, by the index of their label set.
    /// None if label sets are not few.
    dense: Option<Arc<Dense<C>>>,
    labels: PhantomData<fn(L)>,
}

struct Dense<C> {
    series: Box<[OnceLock<Handle<C>>]>,
    /// Held while a handle is set: a forked child must not find that half done.
    setting: ForkSafeMutex<()>,
}

impl<L, C: Metric> Clone for TypedFamily<L, C> {
    fn clone(&self) -> Self {
        Self {
            family: self.family.clone(),
            dense: self.dense.clone(),
            labels: PhantomData,
        }
    }
}

impl<L, C: Metric> fmt::Debug for TypedFamily<L, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedFamily").field(&self.family).finish()
    }
}

impl<L: Labels, C: Metric> TypedFamily<L, C> {
    pub(crate) fn new(family: Family<C>) -> Self {
        let dense = L::COUNT.map(|count| Dense {
            series: (0..count).map(|_| OnceLock::new()).collect(),
            setting: ForkSafeMutex::new(()),
        });
        Self {
            family,
            dense: dense.map(Arc::new),
            labels: PhantomData,
        }
    }

    /// Updates the series with these labels, which is made if it does not exist.
    /// Returns the result of `update`.
    ///
    /// Finding takes no lock and does not allocate.
    ///
    /// # Errors
    /// If the family has reached its limit and has no overflow series.
    #[inline]
    pub fn update<R>(
        &self,
        labels: &L::Of<'_>,
        update: impl FnOnce(&C) -> R,
    ) -> Result<R, SeriesError> {
        let Some(dense) = &self.dense else {
            return labels.read(|values| self.family.update_values(values, update));
        };
        match dense.series.get(labels.index()).and_then(OnceLock::get) {
            Some(series) => Ok(update(series)),
            None => self.make(dense, labels).map(|series| update(&series)),
        }
    }

    /// Returns the series with these labels, which is made if it does not exist.
    ///
    /// # Errors
    /// As for [`update`](Self::update).
    #[inline]
    pub fn with(&self, labels: &L::Of<'_>) -> Result<Handle<C>, SeriesError> {
        let Some(dense) = &self.dense else {
            return labels.read(|values| self.family.with_values(values));
        };
        match dense.series.get(labels.index()).and_then(OnceLock::get) {
            Some(series) => Ok(series.clone()),
            None => self.make(dense, labels),
        }
    }

    /// Finds or makes a series, and keeps it in the array unless it stands for those
    /// beyond the limit.
    #[cold]
    fn make(&self, dense: &Dense<C>, labels: &L::Of<'_>) -> Result<Handle<C>, SeriesError> {
        labels.read(|values| {
            let series = self.family.with_values(values)?;
            let is_own = { series.0.labels.iter() }.eq(values.iter().copied());
            if is_own && let Some(slot) = dense.series.get(labels.index()) {
                let _setting = dense.setting.lock();
                slot.get_or_init(|| series.clone());
            }
            Ok(series)
        })
    }

    /// Removes a series. Returns true if it existed; false if all labels are enums or
    /// bools, whose series are never removed.
    pub fn remove(&self, labels: &L::Of<'_>) -> bool {
        labels.read(|values| self.family.remove(values))
    }

    /// Returns the number of series.
    #[must_use]
    pub fn len(&self) -> usize {
        self.family.len()
    }

    /// Returns true if there is no series.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.family.is_empty()
    }

    /// Returns the family's name, help, type, unit and labels.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        self.family.descriptor()
    }
}

/// Implements [`LabelValue`] for types that are text.
macro_rules! text {
    ($($text:ty),*) => {$(
        impl LabelValue for $text {
            #[inline]
            fn read<R>(&self, read: impl FnOnce(&str) -> R) -> R {
                read(self)
            }
        }
    )*};
}

text!(str, String, Box<str>, Arc<str>, Cow<'_, str>);

/// Implements [`LabelValue`] for integers.
macro_rules! integer {
    ($($integer:ty),*) => {$(
        impl LabelValue for $integer {
            #[inline]
            fn read<R>(&self, read: impl FnOnce(&str) -> R) -> R {
                read(itoa::Buffer::new().format(*self))
            }
        }
    )*};
}

integer!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize);

impl LabelValue for bool {
    const COUNT: Option<usize> = Some(2);

    #[inline]
    fn read<R>(&self, read: impl FnOnce(&str) -> R) -> R {
        read(if *self { "true" } else { "false" })
    }

    #[inline]
    fn index(&self) -> usize {
        usize::from(*self)
    }
}

impl<T: LabelValue + ?Sized> LabelValue for &T {
    const COUNT: Option<usize> = T::COUNT;

    #[inline]
    fn read<R>(&self, read: impl FnOnce(&str) -> R) -> R {
        (**self).read(read)
    }

    #[inline]
    fn index(&self) -> usize {
        (**self).index()
    }
}

impl<T: LabelValue> LabelValue for Option<T> {
    const COUNT: Option<usize> = match T::COUNT {
        Some(count) => Some(count + 1),
        None => None,
    };

    #[inline]
    fn read<R>(&self, read: impl FnOnce(&str) -> R) -> R {
        match self {
            Some(value) => value.read(read),
            None => read(""),
        }
    }

    #[inline]
    fn index(&self) -> usize {
        match (T::COUNT, self) {
            (Some(_), Some(value)) => value.index() + 1,
            _ => 0,
        }
    }
}
