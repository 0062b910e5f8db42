//! Memory of series in a segment: in the process and in the file.
#![cfg(target_os = "linux")]

#[path = "support/counting.rs"]
mod counting;
#[path = "support/directory.rs"]
mod directory;

use counting::counted;
use directory::Directory;
use stethoscope::Registry;
use stethoscope::cell::Buckets;
use stethoscope::segment::Segment;

const SERIES: i64 = 16_384;

/// The bytes that each series has for its place in a segment, used or not.
const PLACE: i64 = 16;

/// Makes series of a kind. Returns the bytes that one takes of the allocator.
fn bytes_of_each(registry: &Registry, has_histograms: bool) -> i64 {
    let bounds = (0..12).map(|power| f64::from(1 << power));
    let buckets = Buckets::new(bounds).unwrap();
    let counters = registry.counter_family("jobs_total", "", ["n"]).unwrap();
    let histograms = { registry.histogram_family("seconds", "", ["n"], buckets) }.unwrap();
    let before = counted().live_bytes;
    for n in 0..SERIES {
        let label = [n.to_string()];
        match has_histograms {
            true => drop(histograms.with(label).unwrap()),
            false => drop(counters.with(label).unwrap()),
        }
    }
    (counted().live_bytes - before) / SERIES
}

/// The bytes of a series that need not be there if the cell is elsewhere: those in a
/// segment, less the look-up table with its labels, which a registry on the heap has,
/// too.
#[test]
fn series_in_a_segment_take_little_beside_the_look_up_table() {
    for (has_histograms, cell_on_heap, most) in [(false, 0, 155), (true, 23 * 8, 220)] {
        let directory = Directory::to_create_in_memory("memory");
        let segment = Segment::in_dir(directory.path()).unwrap();
        let len = || std::fs::metadata(segment.path()).unwrap().len() as i64;
        let registry = Registry::in_segment(&segment);
        let before = len();
        let of_allocator = bytes_of_each(&registry, has_histograms);
        let of_file = (len() - before) / SERIES;
        let on_heap = bytes_of_each(&Registry::new(), has_histograms);
        let look_up = on_heap - cell_on_heap - PLACE;
        let beside = of_allocator + of_file - look_up;
        println!(
            "{} of the allocator, {of_file} of the file, {look_up} of the look-up table: {beside}",
            of_allocator
        );
        assert_eq!(segment.unplaced(), 0);
        assert!(beside <= most, "{beside} bytes");
    }
}
