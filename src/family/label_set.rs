//! The argument of a look-up: label values in any form of a list of strings.

use smallvec::SmallVec;

/// A list of label values: an array, a slice or a vector of `&str` or `String`,
/// by value or by reference. `()` is the empty list, of a family without labels.
///
/// ```
/// # let registry = stethoscope::Registry::new();
/// let requests = registry.counter_family("requests_total", "Requests.", ["method", "code"])?;
/// let code = String::from("200");
/// requests.with(["GET", "200"])?.inc();
/// requests.with(["GET", &code])?.inc();
/// requests.with([String::from("GET"), code])?.inc();
/// requests.with(vec!["GET", "200"])?.inc();
/// assert_eq!(requests.with(&["GET", "200"][..])?.get(), 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a list of label values",
    note = "pass an array, slice or vector of `&str` or `String`"
)]
pub trait LabelSet {
    /// Calls `read` with the values, in the order of the family's label names.
    fn read<R>(&self, read: impl FnOnce(&[&str]) -> R) -> R;
}

impl LabelSet for () {
    #[inline]
    fn read<R>(&self, read: impl FnOnce(&[&str]) -> R) -> R {
        read(&[])
    }
}

impl<S: AsRef<str>, const N: usize> LabelSet for [S; N] {
    #[inline]
    fn read<R>(&self, read: impl FnOnce(&[&str]) -> R) -> R {
        read(&self.each_ref().map(S::as_ref))
    }
}

impl<S: AsRef<str>> LabelSet for [S] {
    #[inline]
    fn read<R>(&self, read: impl FnOnce(&[&str]) -> R) -> R {
        let values: SmallVec<[&str; 8]> = self.iter().map(S::as_ref).collect();
        read(&values)
    }
}

impl<S: AsRef<str>> LabelSet for Vec<S> {
    #[inline]
    fn read<R>(&self, read: impl FnOnce(&[&str]) -> R) -> R {
        self.as_slice().read(read)
    }
}

impl<L: LabelSet + ?Sized> LabelSet for &L {
    #[inline]
    fn read<R>(&self, read: impl FnOnce(&[&str]) -> R) -> R {
        (**self).read(read)
    }
}
