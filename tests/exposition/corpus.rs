//! The properties hold for the kept corpus: seeds, and inputs that fuzzers found.

use crate::properties::{escaping, negotiation, numbers, parsing, round_trip};
use std::path::Path;

/// Asks `hold` of each kept input of a fuzz target.
fn replay(target: &str, hold: fn(&[u8])) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // `cargo package` adds this file, and leaves out the corpus, which is part of another crate.
    if root.join(".cargo_vcs_info.json").exists() {
        return;
    }
    let inputs =
        std::fs::read_dir(root.join("fuzz/corpus").join(target)).expect("a corpus is kept");
    let mut replayed = 0;
    for input in inputs {
        let path = input.expect("a readable directory").path();
        let bytes = std::fs::read(&path).expect("a readable input");
        // The path is in what a failing test prints.
        println!("{}", path.display());
        hold(&bytes);
        replayed += 1;
    }
    assert!(replayed > 0, "nothing in the corpus of {target}");
}

#[test]
fn pages_are_read() {
    replay("parse", parsing::hold);
}

#[test]
fn pages_are_rewritten() {
    replay("rewrite", round_trip::a_page_is_rewritten);
}

#[test]
fn registries_come_back() {
    replay("round_trip", round_trip::a_registry_comes_back);
}

#[test]
fn text_is_escaped() {
    replay("escaping", escaping::hold);
}

#[test]
fn numbers_are_read_back() {
    replay("numbers", numbers::hold);
}

#[test]
fn headers_are_answered() {
    replay("negotiation", negotiation::hold);
}
