//! The value of an info metric: its labels carry the information, the number
//! is 1.

use super::Cell;

/// Always 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info;

impl Info {
    /// Creates the value.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Cell for Info {
    type Options = ();

    fn from_options((): &()) -> Self {
        Self
    }

    fn width((): &()) -> usize {
        1
    }

    fn read(&self, into: &mut [u64]) {
        into[0] = 1;
    }

    #[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
    fn placement() -> Option<super::Placement<Self>> {
        Some(super::Placement {
            encoding: super::Encoding::One,
            parts: 1,
            place: |(), _| super::Placed::Beside(Self),
        })
    }
}
