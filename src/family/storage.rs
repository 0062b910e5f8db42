//! The storage of a series' cell: in the series itself, or in a segment.

pub(super) use stored::{FamilyStorage, Storage};

/// Without the feature `segment`: the cell itself.
#[cfg(not(all(feature = "segment", target_os = "linux", not(loom))))]
mod stored {
    use crate::family::{Descriptor, Metric, Shared};
    use std::marker::PhantomData;
    use std::ops::Deref;

    pub(in crate::family) struct Storage<C>(C);

    impl<C> Deref for Storage<C> {
        type Target = C;

        #[inline]
        fn deref(&self) -> &C {
            &self.0
        }
    }

    impl<C> Storage<C> {
        pub(in crate::family) fn remove(&self) {}
    }

    pub(in crate::family) struct FamilyStorage<C>(PhantomData<fn() -> C>);

    impl<C: Metric> FamilyStorage<C> {
        pub(in crate::family) fn new(_: &Descriptor, _: &Shared) -> Self {
            Self(PhantomData)
        }

        pub(in crate::family) fn new_cell(&self, options: &C::Options) -> Option<C> {
            Some(C::from_options(options))
        }

        pub(in crate::family) fn store(
            &self,
            cell: Option<C>,
            options: &C::Options,
            _ordinal: u64,
            _created: f64,
            _labels: &[&str],
        ) -> Storage<C> {
            Storage(cell.unwrap_or_else(|| C::from_options(options)))
        }
    }
}

/// With the feature `segment`: the cell itself, or a reference to words of a segment.
#[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
mod stored {
    use crate::cell::{Placed, Placement};
    use crate::family::{Descriptor, Metric, Shared};
    use crate::segment::{Place, PlacedFamily, Segment};
    use std::ops::Deref;
    use std::ptr::NonNull;
    use std::sync::Arc;

    pub(in crate::family) struct Storage<C> {
        /// INVARIANT: what it refers to is valid for as long as `place` exists. It is
        /// dropped before.
        cell: CellStorage<C>,
        place: Option<Place>,
    }

    enum CellStorage<C> {
        Here(C),
        Inside(NonNull<C>),
    }

    // SAFETY: the pointer is a shared reference in all but its lifetime.
    #[allow(unsafe_code)]
    unsafe impl<C: Send + Sync> Send for CellStorage<C> {}
    // SAFETY: as above.
    #[allow(unsafe_code)]
    unsafe impl<C: Send + Sync> Sync for CellStorage<C> {}

    impl<C> Deref for Storage<C> {
        type Target = C;

        #[inline]
        #[allow(unsafe_code)]
        fn deref(&self) -> &C {
            match &self.cell {
                CellStorage::Here(cell) => cell,
                // SAFETY: the invariant of `cell`.
                CellStorage::Inside(cell) => unsafe { cell.as_ref() },
            }
        }
    }

    impl<C> Storage<C> {
        /// Removes the series from the segment. The cell remains usable.
        pub(in crate::family) fn remove(&self) {
            if let Some(place) = &self.place {
                place.remove();
            }
        }
    }

    /// The part of a family that makes the storage of its series.
    pub(in crate::family) struct FamilyStorage<C: Metric> {
        segment: Option<Segment>,
        /// `None` if the cells cannot be in a segment, the labels differ from series to
        /// series, or the family did not fit.
        placed: Option<(Arc<PlacedFamily>, Placement<C>)>,
    }

    impl<C: Metric> FamilyStorage<C> {
        pub(in crate::family) fn new(descriptor: &Descriptor, shared: &Shared) -> Self {
            let segment = shared.segment.get().cloned();
            let placed = segment.as_ref().and_then(|segment| {
                let placement = C::placement().filter(|_| !descriptor.mixed)?;
                let family = segment.add_family(descriptor, placement.encoding, placement.parts)?;
                Some((family, placement))
            });
            Self { segment, placed }
        }

        /// Makes a cell, unless it is better made under the family's mutex.
        pub(in crate::family) fn new_cell(&self, options: &C::Options) -> Option<C> {
            match self.placed {
                Some(_) => None,
                None => Some(C::from_options(options)),
            }
        }

        /// Stores `cell`. Without one, makes it, in the segment if it fits.
        pub(in crate::family) fn store(
            &self,
            cell: Option<C>,
            options: &C::Options,
            ordinal: u64,
            created: f64,
            labels: &[&str],
        ) -> Storage<C> {
            if cell.is_none()
                && let Some((family, placement)) = &self.placed
                && let Some((place, cell)) =
                    place(family, placement, options, ordinal, created, labels)
            {
                return Storage {
                    cell,
                    place: Some(place),
                };
            }
            if let Some(segment) = &self.segment {
                segment.count_unplaced();
            }
            Storage {
                cell: CellStorage::Here(cell.unwrap_or_else(|| C::from_options(options))),
                place: None,
            }
        }

        /// Removes the family from the segment.
        pub(in crate::family) fn remove(&self) {
            if let Some((family, _)) = &self.placed {
                family.remove();
            }
        }
    }

    /// Makes a cell in a segment. `None` if it does not fit.
    #[allow(unsafe_code)]
    fn place<C: Metric>(
        family: &Arc<PlacedFamily>,
        placement: &Placement<C>,
        options: &C::Options,
        ordinal: u64,
        created: f64,
        labels: &[&str],
    ) -> Option<(Place, CellStorage<C>)> {
        let (place, cell) = family.place(ordinal, created, labels, |words| {
            // SAFETY: the words begin a cache line, are zero, and are as many as the
            // placement says: the segment makes them so. They are this series' for as
            // long as `place` exists, which is kept beside the cell.
            unsafe { (placement.place)(options, words) }
        })?;
        let cell = match cell {
            Placed::Inside(cell) => CellStorage::Inside(cell),
            Placed::Beside(cell) => CellStorage::Here(cell),
        };
        Some((place, cell))
    }
}
