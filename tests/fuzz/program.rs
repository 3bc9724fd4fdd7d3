//! Every reader of a stranger's octets, under libFuzzer and in the ordinary tests.
//!
//! Built by `tests/fuzz/run` (with `--cfg fuzzing` and coverage) this is one libFuzzer program
//! for all targets: the target is named by `FUZZ_TARGET`. Built as an ordinary test it replays
//! the seeds of `tests/fuzz/corpus/TARGET/` and short random changes of them, so that a seed
//! added for a fixed fault guards against it for ever.

#![cfg_attr(fuzzing, no_main)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]

mod targets;

use targets::TARGETS;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    static CHOSEN: std::sync::OnceLock<fn(&[u8])> = std::sync::OnceLock::new();
    let target = CHOSEN.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
        let found = TARGETS.iter().find(|(known, _)| *known == name);
        found.expect("FUZZ_TARGET names a known target").1
    });
    target(octets);
});

#[cfg(not(any(test, fuzzing)))]
fn main() {
    for (name, _) in TARGETS {
        println!("{name}");
    }
    println!("fuzzed by tests/fuzz/run");
}

#[cfg(all(test, not(fuzzing)))]
mod replay {
    use std::fs;
    use std::path::Path;

    use postern::base::chance::Chance;

    use super::TARGETS;

    /// Random changes tried on each seed; the real search is `tests/fuzz/run`.
    const CHANGES: u32 = 200;

    fn seeds(target: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
        let listed = fs::read_dir(&folder)
            .unwrap_or_else(|why| panic!("{target} has no seeds: {}: {why}", folder.display()));
        let mut paths: Vec<_> = listed.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        assert!(!paths.is_empty(), "{target} has no seeds");
        paths.iter().map(|path| fs::read(path).unwrap()).collect()
    }

    /// Overwrites, cuts, doubles or swaps a piece of the seed.
    fn change(seed: &[u8], other: &[u8], chance: &mut Chance) -> Vec<u8> {
        const TELLING: &[u8] = b"\r\n\0. <>@:;\"\\()=\xff\x80+-09aZ[]{}/%";
        let mut octets = seed.to_vec();
        let pick = |chance: &mut Chance, below: usize| -> usize {
            usize::try_from(chance.below(u64::try_from(below.max(1)).unwrap())).unwrap()
        };
        for _ in 0..=chance.below(4) {
            let at = pick(chance, octets.len());
            let end = (at + pick(chance, 9)).min(octets.len());
            match chance.below(5) {
                0 if !octets.is_empty() => octets[at] = TELLING[pick(chance, TELLING.len())],
                1 => drop(octets.drain(at..end)),
                2 => octets.insert(at, TELLING[pick(chance, TELLING.len())]),
                3 => {
                    let piece = octets[at..end].to_vec();
                    octets.splice(at..at, piece);
                }
                _ => octets
                    .splice(at.., other[pick(chance, other.len())..].iter().copied())
                    .for_each(drop),
            }
        }
        octets
    }

    #[test]
    fn seeds_and_their_neighbours_harm_nothing() {
        for (name, target) in TARGETS {
            let seeds = seeds(name);
            let mut chance = Chance::new(0x5eed);
            for (at, seed) in seeds.iter().enumerate() {
                target(seed);
                for _ in 0..CHANGES {
                    let other = &seeds[(at + 1) % seeds.len()];
                    target(&change(seed, other, &mut chance));
                }
            }
        }
    }

    #[test]
    fn every_folder_of_seeds_has_its_target() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
        for entry in fs::read_dir(corpus).unwrap() {
            let name = entry.unwrap().file_name();
            assert!(TARGETS.iter().any(|(known, _)| name == *known), "{name:?} has no target");
        }
    }
}
