//! Loom models of a family's table: every interleaving of a few threads.

use super::table::{Entry, EntryGuard, Readers, Table};
use crate::label::LookupKey;
use crate::sync::{MAX_EXCLUSIVE_SLOTS, ThreadSlots};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

/// An entry with memory that loom tracks. Looking at the entry reads it, dropping
/// the entry writes it, and a write that is not ordered after all reads fails the
/// model.
struct Watched {
    name: &'static str,
    memory: UnsafeCell<u64>,
    freed: Arc<AtomicU64>,
}

// SAFETY: loom panics if two threads access the memory without order.
#[allow(unsafe_code)]
unsafe impl Sync for Watched {}

impl Entry for Watched {
    type Key<'k> = LookupKey<'k>;

    fn hash(&self) -> u64 {
        self.memory.with(|_| HASH)
    }

    fn matches(&self, key: &LookupKey<'_>) -> bool {
        self.memory.with(|_| key.values() == [self.name])
    }
}

/// The hash of every key, so that all probes collide.
const HASH: u64 = 5;

/// The number of threads that share their stripe.
const SHARING: usize = MAX_EXCLUSIVE_SLOTS;

impl Drop for Watched {
    fn drop(&mut self) {
        self.memory.with_mut(|_| ());
        self.freed.fetch_add(1, Ordering::Relaxed);
    }
}

struct TableModel {
    table: Table<Watched, ()>,
    freed: Arc<AtomicU64>,
}

impl TableModel {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            table: Table::new(Readers::new(), ()),
            freed: Arc::new(AtomicU64::new(0)),
        })
    }

    fn insert(&self, name: &'static str) {
        let memory = UnsafeCell::new(0);
        memory.with_mut(|_| ());
        let mut writer = self.table.write();
        writer.insert(Arc::new(Watched {
            name,
            memory,
            freed: Arc::clone(&self.freed),
        }));
    }

    /// Calls `make` with the entry of that name, for the thread of this number.
    ///
    /// # Safety
    /// No other thread may use a number of 0 at the same time.
    #[allow(unsafe_code)]
    unsafe fn look_as<R>(
        &self,
        thread: usize,
        name: &str,
        make: impl FnOnce(EntryGuard<'_, Watched>) -> R,
    ) -> Option<R> {
        let values = [name];
        let mut key = LookupKey::new(0, &values);
        key.hash = HASH;
        // SAFETY: the caller's duty.
        unsafe { self.table.find_as(thread, &key) }.map(make)
    }

    #[allow(unsafe_code)]
    fn find(&self, name: &str) -> Option<Arc<Watched>> {
        // SAFETY: the number is not 0.
        unsafe { self.look_as(SHARING, name, |entry| entry.keep()) }
    }

    fn reclaim(&self) {
        self.table.write().finish();
    }

    fn remove(&self, name: &str) {
        let mut writer = self.table.write();
        if let Some(entry) = self.find(name) {
            writer.remove(&entry);
        }
        writer.finish();
    }
}

/// Removes an entry while `look` runs in another thread.
fn removed_during(look: fn(&TableModel)) {
    loom::model(move || {
        let model = TableModel::new();
        model.insert("a");
        let reader = thread::spawn({
            let model = Arc::clone(&model);
            move || look(&model)
        });
        model.remove("a");
        reader.join().unwrap();
        model.reclaim();
        assert_eq!(
            model.freed.load(Ordering::Relaxed),
            1,
            "it is dropped once no reader is present"
        );
    });
}

#[test]
fn entry_is_dropped_only_when_no_reader_is_present() {
    removed_during(|model| {
        // Only reads the entry: takes no reference that would order the accesses.
        assert!(model.find("another").is_none());
        if let Some(entry) = model.find("a") {
            // Usable after the look-up, whatever happens to the table.
            assert_eq!(entry.name, "a");
            entry.memory.with(|_| ());
        }
    });
}

#[test]
#[allow(unsafe_code)]
fn entry_that_is_not_kept_outlives_its_look_up() {
    // The reader leaves its exclusive stripe by a plain store.
    removed_during(|model| {
        // SAFETY: both, only this thread uses the number 0.
        unsafe {
            model.look_as(0, "a", |entry| {
                entry.memory.with(|_| ());
                // A look-up within this one does not end it.
                model.look_as(0, "another", |_| ());
                entry.memory.with(|_| ());
            });
        }
    });
}

#[test]
#[allow(unsafe_code)]
fn exclusive_stripe_may_pass_to_another_thread() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let model = TableModel::new();
        let numbers = Arc::new(ThreadSlots::new());
        model.insert("a");
        let readers = [(); 2].map(|()| {
            let (model, numbers) = (Arc::clone(&model), Arc::clone(&numbers));
            thread::spawn(move || {
                // The second thread shares a stripe if the first has not returned
                // its number yet.
                let number = numbers.acquire().unwrap();
                // SAFETY: the number is this thread's until it is returned.
                unsafe { model.look_as(number, "a", |entry| entry.memory.with(|_| ())) };
                numbers.release(number);
            })
        });
        model.remove("a");
        for reader in readers {
            reader.join().unwrap();
        }
        model.reclaim();
        assert_eq!(model.freed.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn inserted_entry_is_found_initialised() {
    loom::model(|| {
        let model = TableModel::new();
        model.insert("a");
        // The reader is the second thread: loom remembers one access to each
        // atomic, and the writer's own access to the slot would hide the reader's.
        let reader = thread::spawn({
            let model = Arc::clone(&model);
            move || {
                assert!(model.find("a").is_some());
                if let Some(b) = model.find("b") {
                    assert_eq!(b.name, "b");
                }
            }
        });
        model.insert("b");
        reader.join().unwrap();
        assert!(model.find("b").is_some());
    });
}

#[test]
fn look_up_succeeds_while_the_table_grows() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let model = TableModel::new();
        for name in ["a", "b", "c", "d", "e"] {
            model.insert(name);
        }
        let reader = thread::spawn({
            let model = Arc::clone(&model);
            move || assert!(model.find("c").is_some())
        });
        // Eight slots have no room for a seventh entry.
        model.insert("f");
        model.insert("g");
        model.remove("g");
        reader.join().unwrap();
        assert!(model.find("g").is_none());
        assert!(model.find("f").is_some());
    });
}
