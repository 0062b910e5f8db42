//! A hash table that is read without a lock and written under one.
//!
//! The table is a simplified form of epoch-based reclamation. Slots are an array
//! of pointers to reference-counted entries, searched by linear probing.
//!
//! A **reader** announces itself by raising a counter in a stripe of
//! [`Readers`], probes the slots, uses the entry in place or takes a reference of
//! its own, and lowers the counter again. It never waits, and nobody waits for
//! it, so code that runs while a reader is present cannot deadlock on the table.
//!
//! A **writer** ([`Table::write`]) holds the table's mutex. It unlinks entries at
//! once but drops them later, after a *grace period*: when every stripe has been
//! seen at zero since the entry was unlinked, each reader that could have loaded
//! the pointer has left.
//!
//! ```text
//! unlinked ──> pending ──(a grace period begins)──> limbo ──(it is over)──> dropped
//! ```
//!
//! Every function here is safe to call: a [`Table`] knows the readers it must
//! wait for, an [`EntryGuard`] keeps its reader present, and only the holder of
//! the mutex can change the slots.

use crate::fork::{ForkSafeGuard, ForkSafeMutex};
use crate::label::LookupKey;
use crate::sync::{
    Arc, AtomicPtr, AtomicUsize, MAX_EXCLUSIVE_SLOTS, Ordering, Padded, dekker_fence, thread_slot,
};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};

/// An element of a table: a value that contains its key and the key's hash.
///
/// Entries are shared with, and may be dropped by, any thread.
pub(crate) trait Entry: Send + Sync {
    /// The key as a look-up borrows it.
    type Key<'k>: Hashed;
    fn hash(&self) -> u64;
    fn matches(&self, key: &Self::Key<'_>) -> bool;
}

/// The key of a look-up, which knows its hash.
pub(crate) trait Hashed {
    fn hash(&self) -> u64;
}

impl Hashed for LookupKey<'_> {
    #[inline]
    fn hash(&self) -> u64 {
        self.hash
    }
}

/// The counters of readers that are present, striped so that threads do not
/// share a cache line. The families of a registry share one.
pub(crate) struct Readers {
    /// One stripe for each thread number that has one owner, then two sets of
    /// stripes for the threads that share.
    stripes: [Padded<AtomicUsize>; STRIPES],
    /// The set of shared stripes, 0 or 1, that new readers enter. The other set
    /// drains to zero, also if some reader is always present.
    entered_set: Padded<AtomicUsize>,
}

// Loom explores every interleaving, so it gets as few stripes as possible.
const OWN: usize = if cfg!(loom) { 1 } else { MAX_EXCLUSIVE_SLOTS };
const SHARED: usize = if cfg!(loom) { 1 } else { 8 };
const STRIPES: usize = OWN + 2 * SHARED;

impl Readers {
    /// Creates the counters, which are corrected in forked children.
    pub(crate) fn new() -> Arc<Self> {
        let readers = Arc::new(Self {
            stripes: std::array::from_fn(|_| Padded(AtomicUsize::new(0))),
            entered_set: Padded(AtomicUsize::new(0)),
        });
        #[cfg(not(loom))]
        crate::fork::correct_in_children(&readers);
        readers
    }

    /// Announces a reader: no entry that is reachable from now on is dropped
    /// before the reader is.
    ///
    /// # Safety
    /// If `thread` is below `OWN`, no other thread may use that number while the
    /// reader is present: the reader leaves by a plain load and store.
    #[inline]
    #[allow(unsafe_code)]
    unsafe fn enter(&self, thread: usize) -> ReaderPresence<'_> {
        let exclusive = thread < OWN;
        let index = match exclusive {
            true => thread,
            // Relaxed: the choice of the set only affects how soon garbage is
            // dropped.
            false => OWN + self.entered_set.0.load(Ordering::Relaxed) * SHARED + thread % SHARED,
        };
        let stripe = &self.stripes[index].0;
        // SeqCst: the store of the reader's half of a Dekker pair with
        // `GracePeriod`. Either the writer that unlinked an entry sees this
        // reader, or this reader, whose loads from the table are SeqCst too,
        // sees the entry unlinked.
        stripe.fetch_add(1, Ordering::SeqCst);
        dekker_fence();
        ReaderPresence {
            stripe,
            exclusive,
            not_send: PhantomData,
        }
    }

    /// Directs new readers to the other set of shared stripes, if that set has
    /// drained.
    fn flip_sets(&self) {
        // Relaxed, all: as in `enter`. Writers of two families may flip at once.
        let entered = self.entered_set.0.load(Ordering::Relaxed);
        let draining = &self.stripes[OWN + (1 - entered) * SHARED..][..SHARED];
        if draining
            .iter()
            .all(|stripe| stripe.0.load(Ordering::Relaxed) == 0)
        {
            self.entered_set.0.store(1 - entered, Ordering::Relaxed);
        }
    }

    /// Begins a grace period for everything that has been unlinked so far.
    fn begin_grace_period(&self) -> GracePeriod {
        // SeqCst: the writer's half of the pair in `enter`. The stores that
        // unlinked entries come before it, the loads in `GracePeriod::is_over`
        // after it.
        crate::sync::fence(Ordering::SeqCst);
        GracePeriod { not_seen_zero: ALL }
    }
}

#[cfg(not(loom))]
impl crate::fork::CorrectInChild for Readers {
    #[allow(unsafe_code)]
    unsafe fn correct_in_child(&self) {
        let thread = thread_slot();
        for (index, stripe) in self.stripes.iter().enumerate() {
            let may_be_this_threads = match thread < OWN {
                true => index == thread,
                // In either set; other threads may have raised the counter too,
                // and garbage then waits for them for ever.
                false => index >= OWN && index % SHARED == thread % SHARED,
            };
            if !may_be_this_threads {
                // Relaxed: the process has no other thread.
                stripe.0.store(0, Ordering::Relaxed);
            }
        }
    }
}

/// The presence of a reader.
struct ReaderPresence<'a> {
    stripe: &'a AtomicUsize,
    /// True if no other thread writes to the stripe.
    exclusive: bool,
    /// The thread that entered must leave: the stripe may be its own.
    not_send: PhantomData<*const ()>,
}

impl Drop for ReaderPresence<'_> {
    #[inline]
    fn drop(&mut self) {
        // Release, both: pairs with the SeqCst load in `GracePeriod::is_over`.
        // Everything that was read through the table happens before the drop of
        // garbage.
        if self.exclusive {
            // Relaxed: only this thread writes to the stripe, or did so before
            // it returned its number. Readers nested within this one have left.
            let present = self.stripe.load(Ordering::Relaxed);
            self.stripe.store(present - 1, Ordering::Release);
        } else {
            self.stripe.fetch_sub(1, Ordering::Release);
        }
    }
}

/// The progress of a grace period: a bit for each stripe that has not been seen
/// at zero since the period began.
struct GracePeriod {
    not_seen_zero: u128,
}

const ALL: u128 = u128::MAX >> (u128::BITS as usize - STRIPES);

impl GracePeriod {
    const OVER: Self = Self { not_seen_zero: 0 };

    fn is_over(&mut self, readers: &Readers) -> bool {
        for (index, stripe) in readers.stripes.iter().enumerate() {
            let bit = 1 << index;
            // SeqCst: the load of the Dekker pair in `Readers::enter`. It also
            // acquires what the readers that left have released.
            if self.not_seen_zero & bit != 0 && stripe.load(Ordering::SeqCst) == 0 {
                self.not_seen_zero &= !bit;
            }
        }
        if self.not_seen_zero >> OWN != 0 {
            readers.flip_sets();
        }
        self.not_seen_zero == 0
    }
}

/// A hash table of entries, with a state `S` that its mutex protects as well.
pub(crate) struct Table<T, S> {
    /// INVARIANT: points to slots from `Box::into_raw`. Replaced as a whole when
    /// the table is resized.
    slots: AtomicPtr<Slots<T>>,
    readers: Arc<Readers>,
    writer: ForkSafeMutex<WriterState<T, S>>,
}

/// INVARIANT: the length is a power of two, and at least a quarter of the slots
/// are null, so that probing ends. A pointer that is neither null nor the
/// tombstone came from `Arc::into_raw`, and the slot owns its reference.
struct Slots<T>(Box<[AtomicPtr<T>]>);

/// The part of a table that only its writer sees.
struct WriterState<T, S> {
    /// Entries in the table.
    len: usize,
    /// Entries and tombstones in the table.
    used: usize,
    /// Garbage that waits for `grace_period` to be over.
    limbo: Vec<Garbage<T>>,
    grace_period: GracePeriod,
    /// Garbage since `grace_period` began.
    pending: Vec<Garbage<T>>,
    state: S,
}

/// Something unlinked that a reader may still use.
#[expect(dead_code, reason = "held only to be dropped after a grace period")]
enum Garbage<T> {
    Entry(Arc<T>),
    Slots(Box<Slots<T>>),
}

/// The slots of an empty table.
const MIN_SLOTS: usize = 8;

/// Marks the slot of a removed entry, at which probing must not stop.
fn tombstone<T>() -> *mut T {
    ptr::without_provenance_mut(1)
}

fn is_entry<T>(pointer: *mut T) -> bool {
    !pointer.is_null() && pointer != tombstone()
}

impl<T> Slots<T> {
    fn boxed(len: usize) -> Box<Self> {
        let slots = (0..len).map(|_| AtomicPtr::new(ptr::null_mut()));
        Box::new(Self(slots.collect()))
    }

    /// Returns the slots in the order in which `hash` probes them.
    #[inline]
    fn probe(&self, hash: u64) -> impl Iterator<Item = &AtomicPtr<T>> {
        let mask = self.0.len() - 1;
        let start = hash as usize;
        (0..self.0.len()).map(move |step| &self.0[start.wrapping_add(step) & mask])
    }
}

impl<T: Entry, S> Table<T, S> {
    /// Creates an empty table whose look-ups are counted in `readers`.
    pub(crate) fn new(readers: Arc<Readers>, state: S) -> Self {
        Self {
            slots: AtomicPtr::new(Box::into_raw(Slots::boxed(MIN_SLOTS))),
            readers,
            writer: ForkSafeMutex::new(WriterState {
                len: 0,
                used: 0,
                limbo: Vec::new(),
                grace_period: GracePeriod::OVER,
                pending: Vec::new(),
                state,
            }),
        }
    }

    /// Finds the entry of `key`. Takes no lock and allocates nothing.
    #[inline(always)]
    #[allow(unsafe_code)]
    pub(crate) fn find(&self, key: &T::Key<'_>) -> Option<EntryGuard<'_, T>> {
        // SAFETY: a thread's number below `MAX_EXCLUSIVE_SLOTS` is its own.
        unsafe { self.find_as(thread_slot(), key) }
    }

    /// Finds the entry of `key` for the thread of this number.
    ///
    /// # Safety
    /// If `thread` is below `OWN`, no other thread may use that number while the
    /// found entry lives.
    #[inline(always)]
    #[allow(unsafe_code)]
    pub(super) unsafe fn find_as(
        &self,
        thread: usize,
        key: &T::Key<'_>,
    ) -> Option<EntryGuard<'_, T>> {
        // SAFETY: the caller's duty.
        let reader = unsafe { self.readers.enter(thread) };
        // SAFETY: the reader is present until it is dropped with what is found.
        let entry = unsafe { self.probe(key) }?;
        Some(EntryGuard { entry, reader })
    }

    /// Returns a pointer to the entry of `key`, which came from `Arc::into_raw`.
    ///
    /// # Safety
    /// A reader must be present in `self.readers`. The entry may be used for as
    /// long as it is.
    // Apart from `find_as`, so that the result is returned in a register: as an
    // `EntryGuard`, which is returned in memory, a look-up took a fifth longer.
    #[inline]
    #[allow(unsafe_code)]
    unsafe fn probe(&self, key: &T::Key<'_>) -> Option<NonNull<T>> {
        // SeqCst: see `Readers::enter`. It also acquires the filled slots that
        // the store in `TableWriter::resize` releases.
        let slots = self.slots.load(Ordering::SeqCst);
        // SAFETY: by the field's invariant `slots` came from `Box::into_raw`. It
        // is freed only after a grace period, which lasts while the reader is
        // present, or by `drop`, which has `&mut self`.
        let slots = unsafe { &*slots };
        for slot in slots.probe(key.hash()) {
            // SeqCst: see `Readers::enter`. It also acquires the entry that the
            // store in `TableWriter::insert` releases.
            let pointer = slot.load(Ordering::SeqCst);
            let entry = NonNull::new(pointer)?;
            if pointer == tombstone() {
                continue;
            }
            // SAFETY: by the invariant of `Slots` the pointer came from
            // `Arc::into_raw`. The table's reference is dropped only after a
            // grace period, which lasts while the reader is present.
            if unsafe { entry.as_ref() }.matches(key) {
                return Some(entry);
            }
        }
        None
    }

    /// Takes the table's mutex.
    pub(crate) fn write(&self) -> TableWriter<'_, T, S> {
        TableWriter {
            table: self,
            // No code that runs under the mutex leaves the state half changed if
            // it panics.
            locked: self.writer.lock(),
        }
    }
}

/// An entry that was found. While it lives, the entry is not dropped.
pub(crate) struct EntryGuard<'t, T> {
    /// INVARIANT: loaded from a slot of the table while `reader` was present.
    entry: NonNull<T>,
    #[expect(dead_code, reason = "held to keep the entry from being dropped")]
    reader: ReaderPresence<'t>,
}

impl<T> EntryGuard<'_, T> {
    /// Returns a reference to the entry that outlives the look-up.
    #[inline]
    #[allow(unsafe_code)]
    pub(crate) fn keep(self) -> Arc<T> {
        // SAFETY: the pointer came from `Arc::into_raw`, and the table's own
        // reference lives while the reader is present: until after the count is
        // raised.
        unsafe {
            Arc::increment_strong_count(self.entry.as_ptr());
            Arc::from_raw(self.entry.as_ptr())
        }
    }
}

impl<T> Deref for EntryGuard<'_, T> {
    type Target = T;

    #[inline]
    #[allow(unsafe_code)]
    fn deref(&self) -> &T {
        // SAFETY: the table's reference lives while the reader is present.
        unsafe { self.entry.as_ref() }
    }
}

/// Exclusive access to a table, and to the state `S` beside it.
///
/// Dropping it releases the mutex and leaves the garbage for the next writer.
pub(crate) struct TableWriter<'t, T, S> {
    table: &'t Table<T, S>,
    locked: ForkSafeGuard<'t, WriterState<T, S>>,
}

impl<T, S> Deref for TableWriter<'_, T, S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.locked.state
    }
}

impl<T, S> DerefMut for TableWriter<'_, T, S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.locked.state
    }
}

impl<T: Entry, S> TableWriter<'_, T, S> {
    #[allow(unsafe_code)]
    fn slots(&self) -> &Slots<T> {
        // Relaxed: only the holder of the mutex replaces the slots.
        // SAFETY: valid by the field's invariant, and replaced only through
        // `&mut self`.
        unsafe { &*self.table.slots.load(Ordering::Relaxed) }
    }

    /// Finds the entry of `key`.
    pub(crate) fn find(&self, key: &T::Key<'_>) -> Option<Arc<T>> {
        self.table.find(key).map(EntryGuard::keep)
    }

    /// Links `entry`, whose key must not be in the table yet: otherwise one of
    /// the two is never found.
    pub(crate) fn insert(&mut self, entry: Arc<T>) {
        if (self.locked.used + 1) * 4 > self.slots().0.len() * 3 {
            self.resize((self.locked.len + 1) * 2);
        }
        // Relaxed: only the holder of the mutex changes slots.
        let slot = self
            .slots()
            .probe(entry.hash())
            .find(|slot| !is_entry(slot.load(Ordering::Relaxed)))
            .expect("a quarter of the slots is always free");
        let was_null = slot.load(Ordering::Relaxed).is_null();
        // Release: pairs with the SeqCst load in `find_as`, which acquires.
        slot.store(Arc::into_raw(entry).cast_mut(), Ordering::Release);
        self.locked.len += 1;
        self.locked.used += usize::from(was_null);
    }

    /// Unlinks `entry`, if it is in the table. Readers that found it are not
    /// affected.
    #[allow(unsafe_code)]
    pub(crate) fn remove(&mut self, entry: &Arc<T>) {
        let pointer = Arc::as_ptr(entry).cast_mut();
        // Relaxed: as in `insert`.
        let slot = self
            .slots()
            .probe(entry.hash())
            .take_while(|slot| !slot.load(Ordering::Relaxed).is_null())
            .find(|slot| slot.load(Ordering::Relaxed) == pointer);
        let Some(slot) = slot else {
            return;
        };
        // Release: a reader that sees the tombstone sees what came before it.
        slot.store(tombstone(), Ordering::Release);
        // SAFETY: the pointer in the slot came from `Arc::into_raw` in `insert`,
        // and the slot has just given up its reference.
        let entry = unsafe { Arc::from_raw(pointer) };
        self.locked.len -= 1;
        self.locked.pending.push(Garbage::Entry(entry));
        if self.slots().0.len() > MIN_SLOTS * 2 && self.locked.len * 8 < self.slots().0.len() {
            self.resize((self.locked.len + 1) * 2);
        }
    }

    /// Moves the entries into new slots, at least `min_slots` of them, without
    /// the tombstones.
    #[cold]
    #[allow(unsafe_code)]
    fn resize(&mut self, min_slots: usize) {
        let new = Slots::<T>::boxed(min_slots.next_power_of_two().max(MIN_SLOTS));
        for slot in &self.slots().0 {
            let entry = slot.load(Ordering::Relaxed);
            if is_entry(entry) {
                // SAFETY: by the invariant of `Slots` the entry is alive.
                let hash = unsafe { &*entry }.hash();
                let free = new
                    .probe(hash)
                    .find(|slot| slot.load(Ordering::Relaxed).is_null());
                // The reference moves with the pointer.
                free.expect("the new slots have room")
                    .store(entry, Ordering::Relaxed);
            }
        }
        // Relaxed: only the holder of the mutex replaces the slots.
        let old = self.table.slots.load(Ordering::Relaxed);
        // Release: pairs with the SeqCst load in `find_as`, which acquires.
        self.table
            .slots
            .store(Box::into_raw(new), Ordering::Release);
        // SAFETY: `old` came from `Box::into_raw` and is no longer in the table.
        // Its pointers are not dropped with it: they are now in the new slots.
        let old = unsafe { Box::from_raw(old) };
        self.locked.used = self.locked.len;
        self.locked.pending.push(Garbage::Slots(old));
    }

    /// Releases the mutex, then drops the garbage that no reader can see.
    ///
    /// Never waits: garbage that may still be in use is left for the next call.
    pub(crate) fn finish(mut self) {
        let unreachable = self.collect();
        // Dropping an entry may run code of the user's, which may use the table.
        drop(self);
        drop(unreachable);
    }

    /// Takes the garbage out whose grace period is over.
    fn collect(&mut self) -> Vec<Garbage<T>> {
        let readers = &*self.table.readers;
        let locked = &mut *self.locked;
        let mut unreachable = Vec::new();
        // Twice: no reader uses most garbage at the moment it is unlinked, so its
        // grace period is over at once.
        for _ in 0..2 {
            if locked.limbo.is_empty() {
                if locked.pending.is_empty() {
                    break;
                }
                locked.limbo = std::mem::take(&mut locked.pending);
                locked.grace_period = readers.begin_grace_period();
            }
            if !locked.grace_period.is_over(readers) {
                break;
            }
            unreachable.append(&mut std::mem::take(&mut locked.limbo));
        }
        unreachable
    }
}

impl<T, S> Drop for Table<T, S> {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // Relaxed: `&mut self` proves that no reader or writer is left.
        // SAFETY: the pointer came from `Box::into_raw` and is not used again.
        let slots = unsafe { Box::from_raw(self.slots.load(Ordering::Relaxed)) };
        for slot in &slots.0 {
            let entry = slot.load(Ordering::Relaxed);
            if is_entry(entry) {
                // SAFETY: the slot owns a reference from `Arc::into_raw`.
                drop(unsafe { Arc::from_raw(entry) });
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    struct Named(String);

    impl Entry for Named {
        type Key<'k> = LookupKey<'k>;

        fn hash(&self) -> u64 {
            0
        }

        fn matches(&self, key: &LookupKey<'_>) -> bool {
            key.values() == [self.0.as_str()]
        }
    }

    fn named(name: &str) -> Arc<Named> {
        Arc::new(Named(name.to_owned()))
    }

    /// Finds an entry by name, as a thread that shares its stripe.
    #[allow(unsafe_code)]
    fn find<'t>(table: &'t Table<Named, ()>, name: &str) -> Option<EntryGuard<'t, Named>> {
        let values = [name];
        let mut key = LookupKey::new(0, &values);
        key.hash = 0;
        // SAFETY: the number is not below `OWN`.
        unsafe { table.find_as(MAX_EXCLUSIVE_SLOTS, &key) }
    }

    #[test]
    fn removed_entry_is_dropped_though_some_reader_is_always_present() {
        let table = Table::new(Readers::new(), ());
        table.write().insert(named("present"));
        // Each reader enters before the last one leaves.
        let mut reader = find(&table, "present");
        for _ in 0..100 {
            let entry = named("removed");
            let mut writer = table.write();
            writer.insert(Arc::clone(&entry));
            writer.remove(&entry);
            writer.finish();
            assert_eq!(Arc::strong_count(&entry), 2, "a reader may use it");
            reader = find(&table, "present");
            assert!(reader.is_some());
            table.write().finish();
            assert_eq!(Arc::strong_count(&entry), 1, "no reader can see it");
        }
        drop(reader);
    }

    #[test]
    fn slots_shrink_when_most_entries_are_removed() {
        let table = Table::new(Readers::new(), ());
        let entries: Vec<_> = (0..500).map(|n| named(&n.to_string())).collect();
        let mut writer = table.write();
        for entry in &entries {
            writer.insert(Arc::clone(entry));
        }
        assert!(writer.slots().0.len() >= 512);
        for entry in &entries[3..] {
            writer.remove(entry);
        }
        assert!(writer.slots().0.len() <= 32, "{}", writer.slots().0.len());
        writer.finish();
        for name in ["0", "1", "2"] {
            assert_eq!(find(&table, name).expect("it is there").0, name);
        }
        assert!(find(&table, "3").is_none());
        assert_eq!(Arc::strong_count(&entries[3]), 1);
    }
}
