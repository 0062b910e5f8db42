//! Which compressor, at which level? On the page of 3,500 lines, state reused.

use std::cell::Cell;
use stethoscope_rivals::contestants::{self, STETHOSCOPE};
use stethoscope_rivals::figures::record;
use stethoscope_rivals::round_robin::{Effort, Turn, median, ratio, readable, round_robin};
use stethoscope_rivals::servers;

const LEVELS: [u32; 6] = [1, 2, 3, 4, 5, 6];
const EFFORT: Effort = Effort {
    rounds: 15,
    runs: 4,
};

fn main() {
    let workload = servers::workload();
    let mut contestant = contestants::build(STETHOSCOPE, &workload);
    contestant.apply(&workload.first_values());
    contestant.encode();
    let page = contestant.page();
    let sizes: Vec<Cell<usize>> = (0..2 * LEVELS.len()).map(|_| Cell::new(0)).collect();

    let mut names = Vec::new();
    let mut turns = Vec::new();
    for (size, level) in sizes.iter().zip(LEVELS) {
        let level_of = libdeflater::CompressionLvl::new(level as i32).expect("a level");
        let mut compressor = libdeflater::Compressor::new(level_of);
        let mut into = vec![0; compressor.gzip_compress_bound(page.len())];
        names.push(format!("libdeflate, level {level}"));
        turns.push(Turn {
            prepare: Box::new(|_| {}),
            run: Box::new(move || {
                size.set(compressor.gzip_compress(page, &mut into).expect("room"))
            }),
        });
    }
    for (size, level) in sizes[LEVELS.len()..].iter().zip(LEVELS) {
        let mut compressor = flate2::Compress::new_gzip(flate2::Compression::new(level), 15);
        let mut into = Vec::with_capacity(page.len() + 1024);
        names.push(format!("zlib-rs, level {level}"));
        turns.push(Turn {
            prepare: Box::new(|_| {}),
            run: Box::new(move || {
                compressor.reset();
                into.clear();
                let finish = flate2::FlushCompress::Finish;
                let status = compressor
                    .compress_vec(page, &mut into, finish)
                    .expect("a page");
                assert_eq!(status, flate2::Status::StreamEnd);
                size.set(into.len());
            }),
        });
    }
    let times = round_robin(&mut turns, EFFORT);

    println!(
        "{} bytes; medians of {} rounds\n",
        page.len(),
        EFFORT.rounds
    );
    println!(
        "{:<22} {:>10} {:>9} {:>10} {:>10}",
        "", "time", "x first", "bytes", "of page"
    );
    for (index, name) in names.iter().enumerate() {
        record("gzip", name, "time", median(&times[index].warm), "ns");
        record("gzip", name, "bytes", sizes[index].get() as f64, "B");
        println!(
            "{name:<22} {:>10} {:>9.2} {:>10} {:>9.1}%",
            readable(median(&times[index].warm)),
            ratio(&times[index].warm, &times[0].warm),
            sizes[index].get(),
            sizes[index].get() as f64 / page.len() as f64 * 100.0,
        );
    }
}
