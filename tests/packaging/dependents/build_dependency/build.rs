//! Counts something while building, to need the crate there too.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let registry = stethoscope::Registry::new();
    registry.counter("built_total", "").unwrap().inc();
}
