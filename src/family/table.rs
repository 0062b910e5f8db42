//! The table behind a family's look-ups: found without a lock, changed under
//! one.
//!
//! Open addressing over pointers to entries. A reader announces itself in a
//! stripe of [`Readers`], probes, uses the entry or takes a count of its own on
//! the entry's `Arc`, and leaves. Nobody ever waits for a reader, so no code can
//! deadlock on one. Writers (serialised by the family's mutex) unlink an entry
//! first and free it only when every stripe has been seen empty since: whoever
//! could still hold the bare pointer had announced itself before, and is gone.

#![allow(unsafe_code)]

use crate::label::Key;
use crate::sync::{Arc, AtomicPtr, AtomicUsize, OWN_NUMBERS, Ordering, Padded, dekker_fence};
use std::ops::Deref;
use std::ptr;

/// What a table holds: anything that knows its hash and its key.
pub(crate) trait Entry {
    fn hash(&self) -> u64;
    fn is(&self, key: &Key<'_>) -> bool;
}

/// How many look-ups are under way, in stripes so that threads do not meet on
/// a cache line. One for all families of a registry.
pub(crate) struct Readers {
    /// One for each number that a thread may have to itself, then two sets of
    /// those that the others share.
    stripes: [Padded<AtomicUsize>; STRIPES],
    /// The set, 0 or 1, that who comes now enters. While there is always somebody
    /// in some stripe of it, those of the other become empty.
    open_set: Padded<AtomicUsize>,
}

// Loom, which takes them in all orders, gets the fewest.
const OWN: usize = if cfg!(loom) { 1 } else { OWN_NUMBERS };
const SHARED: usize = if cfg!(loom) { 1 } else { 8 };
const STRIPES: usize = OWN + 2 * SHARED;

impl Readers {
    pub(crate) fn new() -> Self {
        Self {
            stripes: std::array::from_fn(|_| Padded(AtomicUsize::new(0))),
            open_set: Padded(AtomicUsize::new(0)),
        }
    }

    /// Keeps the entries that can be reached from now on from being freed, until
    /// the reader is dropped. `thread` is the [number](crate::sync::thread_number)
    /// of this thread.
    #[inline]
    pub(crate) fn enter(&self, thread: usize) -> Reader<'_> {
        let own = thread < OWN;
        let stripe = match own {
            true => thread,
            // Relaxed: which of the two it is matters only for how soon
            // something is freed.
            false => OWN + self.open_set.0.load(Ordering::Relaxed) * SHARED + thread % SHARED,
        };
        let stripe = &self.stripes[stripe].0;
        // SeqCst: the store of the reader's half of a Dekker pair with `Grace`.
        // Either the writer that unlinked an entry sees this reader, or this
        // reader, whose loads from the table are SeqCst too, sees it unlinked.
        stripe.fetch_add(1, Ordering::SeqCst);
        dekker_fence();
        Reader { stripe, own }
    }

    /// Sends who comes now to the other set of stripes, if nobody is left there.
    fn change_sets(&self) {
        // Relaxed, all: as in `enter`. Two writers, of two families, may well
        // change at once.
        let open = self.open_set.0.load(Ordering::Relaxed);
        let closed = &self.stripes[OWN + (1 - open) * SHARED..][..SHARED];
        if closed
            .iter()
            .all(|stripe| stripe.0.load(Ordering::Relaxed) == 0)
        {
            self.open_set.0.store(1 - open, Ordering::Relaxed);
        }
    }

    /// A grace period that begins now, after what was unlinked so far.
    fn grace(&self) -> Grace {
        // SeqCst: the writer's half of the pair in `enter`. The unlinking stores
        // come before it, the loads in `Grace::is_over` behind.
        crate::sync::fence(Ordering::SeqCst);
        Grace {
            not_seen_empty: ALL,
        }
    }
}

/// A look-up that is under way.
pub(crate) struct Reader<'a> {
    stripe: &'a AtomicUsize,
    /// Whether no other thread writes to the stripe.
    own: bool,
}

impl Drop for Reader<'_> {
    #[inline]
    fn drop(&mut self) {
        // Release, both: pairs with the SeqCst load in `Grace::is_over`; all
        // that was read through the table happens before the free.
        if self.own {
            // Relaxed: only this thread writes to it, or did so before it gave
            // its number back. A look-up within this one has left again.
            let under_way = self.stripe.load(Ordering::Relaxed);
            self.stripe.store(under_way - 1, Ordering::Release);
        } else {
            self.stripe.fetch_sub(1, Ordering::Release);
        }
    }
}

/// A bit for each stripe that has not been seen empty since a grace period
/// began.
struct Grace {
    not_seen_empty: u128,
}

const ALL: u128 = u128::MAX >> (u128::BITS as usize - STRIPES);

impl Grace {
    fn is_over(&mut self, readers: &Readers) -> bool {
        for (index, stripe) in readers.stripes.iter().enumerate() {
            let bit = 1 << index;
            // SeqCst: the load of the Dekker pair; it also acquires what the
            // readers that left have released.
            if self.not_seen_empty & bit != 0 && stripe.load(Ordering::SeqCst) == 0 {
                self.not_seen_empty &= !bit;
            }
        }
        if self.not_seen_empty >> OWN != 0 {
            readers.change_sets();
        }
        self.not_seen_empty == 0
    }
}

/// The part that readers see.
pub(crate) struct Table<T> {
    /// Never null. Replaced as a whole when it grows or is cleaned.
    slots: AtomicPtr<Slots<T>>,
}

pub(crate) struct Slots<T> {
    /// A power of two of them; at least a quarter are null, so probing ends.
    entries: Box<[AtomicPtr<T>]>,
}

/// The part that only writers see; lives in the family's mutex.
pub(crate) struct Upkeep<T> {
    /// Entries in the table.
    len: usize,
    /// Entries and tombstones.
    used: usize,
    /// Unlinked, waiting for the grace period beside them.
    closed: Vec<Retired<T>>,
    grace: Grace,
    /// Unlinked since that grace period began.
    open: Vec<Retired<T>>,
}

/// Something that a reader may still be looking at.
#[expect(dead_code, reason = "held only to be dropped, when no reader is left")]
pub(crate) enum Retired<T> {
    Entry(Arc<T>),
    Slots(Box<Slots<T>>),
}

/// Where an entry was: probing goes on behind it.
fn tombstone<T>() -> *mut T {
    ptr::without_provenance_mut(1)
}

fn is_entry<T>(pointer: *mut T) -> bool {
    !pointer.is_null() && pointer != tombstone()
}

impl<T> Slots<T> {
    fn boxed(capacity: usize) -> Box<Self> {
        let entries = (0..capacity)
            .map(|_| AtomicPtr::new(ptr::null_mut()))
            .collect();
        Box::new(Self { entries })
    }

    /// The slots in the order in which `hash` tries them.
    #[inline]
    fn probe(&self, hash: u64) -> impl Iterator<Item = &AtomicPtr<T>> {
        let mask = self.entries.len() - 1;
        let start = hash as usize;
        (0..self.entries.len()).map(move |step| &self.entries[start.wrapping_add(step) & mask])
    }
}

impl<T: Entry> Table<T> {
    pub(crate) fn new() -> (Self, Upkeep<T>) {
        let slots = AtomicPtr::new(Box::into_raw(Slots::boxed(8)));
        let grace = Grace { not_seen_empty: 0 };
        (
            Self { slots },
            Upkeep {
                len: 0,
                used: 0,
                closed: Vec::new(),
                grace,
                open: Vec::new(),
            },
        )
    }

    /// The entry of `key`, if there is one. Takes no lock, allocates nothing.
    ///
    /// `_reader` must be of the [`Readers`] that `reclaim` is given.
    #[inline]
    pub(crate) fn find<'r>(
        &'r self,
        _reader: &'r Reader<'_>,
        key: &Key<'_>,
    ) -> Option<Found<'r, T>> {
        // SeqCst: see `Readers::enter`. It also pairs with the Release in
        // `rebuild`: the slots are seen as they were filled.
        let slots = self.slots.load(Ordering::SeqCst);
        // SAFETY: `slots` came from `Box::into_raw` and is freed only after a
        // grace period, which the reader holds open, or by `drop`, which has
        // `&mut self`.
        let slots = unsafe { &*slots };
        for slot in slots.probe(key.hash) {
            // SeqCst: see `Readers::enter`. It also pairs with the Release in
            // `insert`: the entry is seen as it was made.
            let pointer = slot.load(Ordering::SeqCst);
            if pointer.is_null() {
                return None;
            }
            if pointer == tombstone() {
                continue;
            }
            // SAFETY: a pointer in a slot came from `Arc::into_raw`; the count
            // that the table owns is dropped only after a grace period, which
            // the reader holds open.
            let entry = unsafe { &*pointer };
            if entry.is(key) {
                return Some(Found { entry, pointer });
            }
        }
        None
    }

    /// Links `entry`, whose key must not be in the table.
    pub(crate) fn insert(&self, upkeep: &mut Upkeep<T>, entry: Arc<T>) {
        // SAFETY: writers are serialised by the mutex that `upkeep` lives in,
        // and only writers replace the slots.
        let mut slots = unsafe { &*self.slots.load(Ordering::Relaxed) };
        if (upkeep.used + 1) * 4 > slots.entries.len() * 3 {
            self.rebuild(upkeep, (upkeep.len + 1) * 2);
            // SAFETY: as above.
            slots = unsafe { &*self.slots.load(Ordering::Relaxed) };
        }
        for slot in slots.probe(entry.hash()) {
            // Relaxed: only writers change slots, and they are serialised.
            let old = slot.load(Ordering::Relaxed);
            if !is_entry(old) {
                // Release: pairs with the Acquire in `find`.
                slot.store(Arc::into_raw(entry).cast_mut(), Ordering::Release);
                upkeep.len += 1;
                upkeep.used += usize::from(old.is_null());
                return;
            }
        }
        unreachable!("a quarter of the slots is always free");
    }

    /// Unlinks `entry`; a look-up that found it goes on undisturbed.
    pub(crate) fn remove(&self, upkeep: &mut Upkeep<T>, entry: &Arc<T>) {
        // SAFETY: as in `insert`.
        let slots = unsafe { &*self.slots.load(Ordering::Relaxed) };
        let pointer = Arc::as_ptr(entry).cast_mut();
        for slot in slots.probe(entry.hash()) {
            let found = slot.load(Ordering::Relaxed);
            if found.is_null() {
                return;
            }
            if found == pointer {
                slot.store(tombstone(), Ordering::Release);
                upkeep.len -= 1;
                // SAFETY: what stood in the slot came from `Arc::into_raw` in
                // `insert`, and the slot no longer holds its count.
                let entry = unsafe { Arc::from_raw(found) };
                upkeep.open.push(Retired::Entry(entry));
                return;
            }
        }
    }

    /// Moves the entries into new slots, without the tombstones.
    #[cold]
    fn rebuild(&self, upkeep: &mut Upkeep<T>, room: usize) {
        let old = self.slots.load(Ordering::Relaxed);
        let slots = Slots::<T>::boxed(room.next_power_of_two().max(8));
        // SAFETY: as in `insert`.
        for slot in &unsafe { &*old }.entries {
            let entry = slot.load(Ordering::Relaxed);
            if is_entry(entry) {
                // SAFETY: an entry in a slot is alive: the slot owns a count.
                let hash = unsafe { &*entry }.hash();
                let free = slots
                    .probe(hash)
                    .find(|slot| slot.load(Ordering::Relaxed).is_null());
                // The count moves with the pointer.
                free.expect("the new slots have room")
                    .store(entry, Ordering::Relaxed);
            }
        }
        upkeep.used = upkeep.len;
        // Release: pairs with the Acquire in `find`.
        self.slots.store(Box::into_raw(slots), Ordering::Release);
        // SAFETY: `old` came from `Box::into_raw`; nobody else frees it.
        upkeep
            .open
            .push(Retired::Slots(unsafe { Box::from_raw(old) }));
    }

    /// Gives what no look-up can see any more, to be dropped when the lock is no
    /// longer held. Never waits: what is still in sight is tried again at the
    /// next call.
    #[must_use]
    pub(crate) fn reclaim(&self, upkeep: &mut Upkeep<T>, readers: &Readers) -> Vec<Retired<T>> {
        let mut unseen = Vec::new();
        // Twice: what has just been unlinked is mostly out of sight at once.
        for _ in 0..2 {
            if upkeep.closed.is_empty() {
                if upkeep.open.is_empty() {
                    break;
                }
                std::mem::swap(&mut upkeep.closed, &mut upkeep.open);
                upkeep.grace = readers.grace();
            }
            if !upkeep.grace.is_over(readers) {
                break;
            }
            unseen.append(&mut upkeep.closed);
        }
        unseen
    }
}

/// An entry, for as long as its reader is there.
pub(crate) struct Found<'r, T> {
    entry: &'r T,
    /// To the same, as it came from its `Arc`.
    pointer: *const T,
}

impl<T> Found<'_, T> {
    /// The entry, to be kept.
    #[inline]
    pub(crate) fn keep(self) -> Arc<T> {
        // SAFETY: the pointer came from `Arc::into_raw`, and the table's own
        // count keeps the entry alive while the reader is there: longer than
        // until the new count is taken.
        unsafe {
            Arc::increment_strong_count(self.pointer);
            Arc::from_raw(self.pointer)
        }
    }
}

impl<T> Deref for Found<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.entry
    }
}

impl<T> Drop for Table<T> {
    fn drop(&mut self) {
        // Relaxed: `&mut self` means that every other user is gone.
        // SAFETY: the pointer came from `Box::into_raw` and is not used again.
        let slots = unsafe { Box::from_raw(self.slots.load(Ordering::Relaxed)) };
        for slot in &slots.entries {
            let entry = slot.load(Ordering::Relaxed);
            if is_entry(entry) {
                // SAFETY: the slot owns a count from `Arc::into_raw`.
                drop(unsafe { Arc::from_raw(entry) });
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    struct Named(&'static str);

    impl Entry for Named {
        fn hash(&self) -> u64 {
            0
        }

        fn is(&self, key: &Key<'_>) -> bool {
            key.values() == [self.0]
        }
    }

    #[test]
    fn what_is_removed_is_freed_though_there_is_always_some_reader() {
        let readers = Readers::new();
        let (table, mut upkeep) = Table::new();
        // Of those that share a stripe; each comes before the last one goes.
        let mut reader = readers.enter(OWN_NUMBERS);
        for _ in 0..100 {
            let entry = Arc::new(Named("a"));
            table.insert(&mut upkeep, Arc::clone(&entry));
            table.remove(&mut upkeep, &entry);
            drop(table.reclaim(&mut upkeep, &readers));
            assert_eq!(Arc::strong_count(&entry), 2, "it may be in sight");
            reader = readers.enter(OWN_NUMBERS);
            drop(table.reclaim(&mut upkeep, &readers));
            assert_eq!(Arc::strong_count(&entry), 1, "nobody has seen it");
        }
        drop(reader);
    }
}
