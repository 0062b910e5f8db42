//! Loom models: each interleaving of a few threads over a family's table.

use super::table::{Entry, Readers, Table, Upkeep};
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
        self.memory.with(|_| 5)
    }

    fn is(&self, key: &[&str]) -> bool {
        self.memory.with(|_| key == [self.name])
    }
}

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
        let readers = Readers::new(1);
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

    fn find(&self, name: &str) -> Option<Arc<Watched>> {
        self.table.find(&self.readers, 5, &[name])
    }

    fn remove(&self, name: &str) {
        let mut upkeep = self.upkeep.lock().unwrap();
        if let Some(entry) = self.find(name) {
            self.table.remove(&mut upkeep, &entry);
        }
        self.table.reclaim(&mut upkeep, &self.readers);
    }
}

#[test]
fn an_entry_is_freed_only_when_nobody_looks_at_it() {
    loom::model(|| {
        let model = Model::new();
        drop(model.insert("a"));
        let reader = thread::spawn({
            let model = Arc::clone(&model);
            move || {
                // Only looks at the entry: takes no count that would order it.
                assert!(model.find("another").is_none());
                if let Some(entry) = model.find("a") {
                    // Usable after the look-up, whatever happens to the table.
                    assert_eq!(entry.name, "a");
                    entry.memory.with(|_| ());
                }
            }
        });
        model.remove("a");
        reader.join().unwrap();
        model
            .table
            .reclaim(&mut model.upkeep.lock().unwrap(), &model.readers);
        assert_eq!(
            model.freed.load(Ordering::Relaxed),
            1,
            "it is freed, once nobody looks"
        );
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
