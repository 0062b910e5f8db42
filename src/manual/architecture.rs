//! The modules, what each may import, and the decisions of the design.
//!
//! # Modules
//!
//! A module imports only from modules above its own line. There is one exception: a registry that has a `segment`
//! keeps the cells of its families there.
//!
//! ```text
//! sync, fork     atomics from std, or from loom for the models; locks that are free in a forked child
//! hash           the hash of label values and label sets
//! metric_type    the types of families, and their suffixes
//! name           metric and label names: validation, escaping schemes
//! cell           atomics that hold a value
//! label          label values, borrowed look-up keys
//! family         label values -> cell: handles, look-up, removal, caps
//! registry       families in order; duplicates and clashes refused
//! exposition     pages, both ways
//!   format, negotiation, number, escape
//!   layout, writer, scraper     registry -> page
//!   gzip, protobuf              registry -> compressed page, and delimited messages
//!   parser, validate            page -> events, and what a grammar cannot check
//! segment        cells in a file that another process reads
//! process        the metrics of the process
//! bridge         instruments of other crates -> registry
//! batch          pages of programs that end: files and a Pushgateway
//! endpoint       answers to scrapes, and a listener
//! tower          a layer that counts HTTP requests
//! generate       pages and registries for fuzzers
//! testing        assertions for the tests of programs that embed the crate
//! ```
//!
//! `cell` never sees text, `exposition` never sees a socket, and nothing in this crate knows Dask or Python: those are
//! a crate of their own in the same repository, which uses the public interface only.
//!
//! # Decisions
//!
//! **Lines are compiled, not built.** Everything on a line before its value is escaped and rendered once, when the
//! series is created. A scrape compares each value with the one it printed last, and prints what has changed.
//!
//! **A page is kept and brought up to date in place.** A value that keeps its length is printed where it stands. From
//! the first value with another length on, the text moves. A second copy of the text, from which pages were made, took
//! twice the memory and as long when all values had changed, and longer when few had.
//!
//! **Floats go through one printer**, with fast paths for integers, short decimals and all that have no exponent before
//! ryu. ryu alone prints `inf` and `1e-9`, which a page must not contain in that form.
//!
//! **`_count` is the sum of the buckets that were read**, so it always equals the `+Inf` bucket. `_sum` never lags
//! behind the count it is shown with.
//!
//! **Look-ups read a hash table without a lock.** Writers replace parts of the table under a mutex and free the old
//! parts after a grace period, once no reader can still hold them: the scheme known as epoch-based reclamation.
//!
//! **Padding is for neighbours.** Cells that lie side by side in arrays, such as the stripes of a counter, are padded
//! to cache lines. Cells inside a series are not: other fields separate them.
//!
//! **The listener is a thread with an event loop of its own.** It peeks at a request before it reads it, so
//! that connections for other handlers can be passed on untouched, and it brings no async runtime into your program.
//!
//! **Everything held for a client is bounded:** connections, request heads, waiting time, pages. Nothing that a client
//! does delays another.
//!
//! **A bad series cannot spoil a page.** What is wrong is refused when it is registered, or when a series is created.
//!
//! # Rules that tests hold
//!
//! - Scrapes and updates allocate nothing once warm: a counting allocator watches them.
//! - Every atomic operation says why its ordering suffices; loom runs models of the code that ships.
//! - Unsafe code is allowed item by item, each block with the reason why it is sound.
//! - `parse(write(x)) == x`, and rewriting a parsed page reproduces it: properties that fuzz targets share with the
//!   tests.
