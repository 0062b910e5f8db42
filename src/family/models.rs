//! Loom models: each interleaving of a few threads over a family's table.

use super::table::{Entry, Found, Readers, Table, Upkeep};
use crate::label::Key;
use crate::sync::{Numbers, OWN_NUMBERS};
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

/// An entry whose memory loom watches: reading it is an access, freeing it is a
/// write, and a write that is not ordered after all reads fails the model.
struct Watched {
    name: &'static str,
    memory: UnsafeCell<u64>,
    freed: Arc<AtomicU64>,
}

impl Entry for Watched {
    fn hash(&self) -> u64 {
        self.memory.with(|_| HASH)
    }

    fn is(&self, key: &Key<'_>) -> bool {
        self.memory.with(|_| key.values() == [self.name])
    }
}

/// Of every key: each probe meets the others.
const HASH: u64 = 5;

/// The number of a thread that shares its stripe.
const SHARING: usize = OWN_NUMBERS;

impl Drop for Watched {
    fn drop(&mut self) {
        self.memory.with_mut(|_| ());
        self.freed.fetch_add(1, Ordering::Relaxed);
    }
}

struct Model {
    table: Table<Watched>,
    upkeep: Mutex<Upkeep<Watched>>,
    readers: Readers,
    freed: Arc<AtomicU64>,
}

impl Model {
    fn new() -> Arc<Self> {
        let (table, upkeep) = Table::new();
        let readers = Readers::new();
        Arc::new(Self {
            table,
            upkeep: Mutex::new(upkeep),
            readers,
            freed: Arc::new(AtomicU64::new(0)),
        })
    }

    fn insert(&self, name: &'static str) -> Arc<Watched> {
        let memory = UnsafeCell::new(0);
        memory.with_mut(|_| ());
        let entry = Arc::new(Watched {
            name,
            memory,
            freed: Arc::clone(&self.freed),
        });
        self.table
            .insert(&mut self.upkeep.lock().unwrap(), Arc::clone(&entry));
        entry
    }

    /// What the thread of this number makes of the entry of that name.
    fn look<R>(
        &self,
        thread: usize,
        name: &str,
        make: impl FnOnce(Found<'_, Watched>) -> R,
    ) -> Option<R> {
        let values = [name];
        let mut key = Key::new(0, &values);
        key.hash = HASH;
        let reader = self.readers.enter(thread);
        self.table.find(&reader, &key).map(make)
    }

    fn find(&self, name: &str) -> Option<Arc<Watched>> {
        self.look(SHARING, name, |entry| entry.keep())
    }

    fn reclaim(&self) {
        let mut upkeep = self.upkeep.lock().unwrap();
        drop(self.table.reclaim(&mut upkeep, &self.readers));
    }

    fn remove(&self, name: &str) {
        let mut upkeep = self.upkeep.lock().unwrap();
        if let Some(entry) = self.find(name) {
            self.table.remove(&mut upkeep, &entry);
        }
        drop(self.table.reclaim(&mut upkeep, &self.readers));
    }
}

/// An entry is removed while `look` runs in another thread.
fn removed_during(look: fn(&Model)) {
    loom::model(move || {
        let model = Model::new();
        drop(model.insert("a"));
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
            "it is freed, once nobody looks"
        );
    });
}

#[test]
fn an_entry_is_freed_only_when_nobody_looks_at_it() {
    removed_during(|model| {
        // Only looks at the entry: takes no count that would order it.
        assert!(model.find("another").is_none());
        if let Some(entry) = model.find("a") {
            // Usable after the look-up, whatever happens to the table.
            assert_eq!(entry.name, "a");
            entry.memory.with(|_| ());
        }
    });
}

#[test]
fn an_entry_that_is_not_kept_is_there_while_its_reader_is() {
    // By a plain store the reader leaves the stripe that is its own.
    removed_during(|model| {
        model.look(0, "a", |entry| {
            entry.memory.with(|_| ());
            // A look-up within does not end the one around it.
            model.look(0, "another", |_| ());
            entry.memory.with(|_| ());
        });
    });
}

#[test]
fn a_stripe_goes_from_reader_to_reader() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let model = Model::new();
        let numbers = Arc::new(Numbers::new());
        drop(model.insert("a"));
        let readers = [(); 2].map(|()| {
            let (model, numbers) = (Arc::clone(&model), Arc::clone(&numbers));
            thread::spawn(move || {
                // Of the two, the second shares a stripe if the first has not
                // left its own yet.
                let number = numbers.take().unwrap();
                model.look(number, "a", |entry| entry.memory.with(|_| ()));
                numbers.give_back(number);
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
fn what_was_inserted_is_found_whole() {
    loom::model(|| {
        let model = Model::new();
        drop(model.insert("a"));
        // The reader is the second thread: loom remembers one access to each
        // atomic, and the writer's own look at the slot would hide the reader's.
        let reader = thread::spawn({
            let model = Arc::clone(&model);
            move || {
                assert!(model.find("a").is_some());
                if let Some(b) = model.find("b") {
                    assert_eq!(b.name, "b");
                }
            }
        });
        drop(model.insert("b"));
        reader.join().unwrap();
        assert!(model.find("b").is_some());
    });
}

#[test]
fn a_look_up_survives_the_growth_of_the_table() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let model = Model::new();
        for name in ["a", "b", "c", "d", "e"] {
            drop(model.insert(name));
        }
        let reader = thread::spawn({
            let model = Arc::clone(&model);
            move || assert!(model.find("c").is_some())
        });
        // The seventh does not fit eight slots any more.
        drop(model.insert("f"));
        drop(model.insert("g"));
        model.remove("g");
        reader.join().unwrap();
        assert!(model.find("g").is_none());
        assert!(model.find("f").is_some());
    });
}
