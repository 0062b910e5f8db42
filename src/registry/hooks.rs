//! Hooks: functions that run before each scrape.

use std::cell::Cell;
use std::sync::Arc;

/// A function that runs before each scrape.
pub(crate) type Hook = Arc<dyn Fn() + Send + Sync>;

/// Identifies a hook of a registry; returned by
/// [`Registry::on_scrape`](super::Registry::on_scrape).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HookId(pub(super) u64);

thread_local! {
    /// True while this thread runs hooks.
    static RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// Runs the hooks, unless this thread runs hooks already: a hook may scrape its
/// own registry.
pub(crate) fn run(hooks: &[Hook]) {
    /// Marks the end of the hooks, also if one panics.
    struct End;

    impl Drop for End {
        fn drop(&mut self) {
            RUNNING.set(false);
        }
    }

    if hooks.is_empty() || RUNNING.replace(true) {
        return;
    }
    let _end = End;
    for hook in hooks {
        hook();
    }
}
