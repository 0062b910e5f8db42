//! Memory of families: what series took is given back when they are removed.

#[path = "support/counting.rs"]
mod counting;

use counting::counted;
use stethoscope::Registry;

/// Bytes that a family may keep after 200,000 series were removed. It took over
/// 40 MB for them.
const KEPT: i64 = 64 << 10;

#[test]
fn memory_of_removed_series_is_given_back() {
    let registry = Registry::new();
    let family = registry.counter_family("c", "", ["client"]).unwrap();
    family.with(["kept"]).unwrap();
    let before = counted().live_bytes;
    for n in 0..200_000 {
        family.with([format!("client-{n}")]).unwrap();
    }
    let peak = counted().live_bytes - before;
    assert!(peak > 20 << 20, "{peak}");
    assert_eq!(
        family.retain(|labels| labels.get("client") == Some("kept")),
        200_000
    );
    let kept = counted().live_bytes - before;
    assert!(kept < KEPT, "{kept} bytes are kept of {peak}");

    // One by one, the newest first.
    for n in 0..10_000 {
        family.with([format!("client-{n}")]).unwrap();
    }
    for n in (0..10_000).rev() {
        assert!(family.remove([format!("client-{n}")]));
    }
    let kept = counted().live_bytes - before;
    assert!(kept < KEPT, "{kept} bytes are kept");
    assert_eq!(family.len(), 1);
}
