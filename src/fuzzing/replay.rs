//! The targets in every test run: each seed as it is, then a fixed number of seeded mutations. Coverage-guided fuzzing is
//! `scripts/fuzz`; what it finds becomes a seed here.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use super::TARGETS;

/// Mutations of each target; `KMIC_FUZZ_RUNS` takes more.
const RUNS: u64 = 1500;
/// Pieces that readers look for.
const WORDS: &[&str] = &[
    "4242424242424242",
    "5555 5555 5555 4444",
    "%20",
    "%26",
    "%3D",
    "+",
    "&",
    "=",
    "\"",
    "\\u0000",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "true",
    "1e3",
    "-1",
    "0",
    "9223372036854775808",
    "12500.00",
    "KZT",
    "TransactionId=1&",
    "Amount",
    "\"Success\":true,",
    "\"amount\"",
    "\"metadata\":{",
    "\u{200b}",
    "\u{202e}",
    "４",
    "\r\n",
    "\0",
    "pay_",
    "cursor=",
    "invoice_id=",
    "DateTime=2026-11-25 14:00:00&",
    "Z",
    "+05:00",
    "Bearer ",
    "charset=utf-8",
];

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }
}

fn files(folder: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().filter(|path| path.is_file()).map(|path| fs::read(path).unwrap()).collect()
}

/// The kept seeds, and for what the provider sends the sandbox's fixtures in every way of reading.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seeds = files(&root.join("fuzz/seeds").join(target));
    assert!(!seeds.is_empty(), "fuzz/seeds/{target} is empty");
    let fixtures = root.join("sandbox/tests/fixtures");
    let more = match target {
        "notification" | "signature" => files(&fixtures.join("notifications")),
        "answer" => files(&fixtures),
        _ => Vec::new(),
    };
    let with_choice = |choice: u8, rest: &[u8]| [&[choice], rest].concat();
    seeds.extend(more.iter().flat_map(|body| (0..8).map(|choice| with_choice(choice, body))));
    seeds
}

fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let length = random.below(bytes.len() - at + 1).min(64);
        match random.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = u8::try_from(random.below(256)).unwrap(),
            2 => drop(bytes.drain(at..at + length)),
            3 => {
                let piece = bytes[at..at + length].to_vec();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            4 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                let piece = other[from..(from + 32).min(other.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            5 => bytes.truncate(at),
            _ => {
                let word = WORDS[random.below(WORDS.len())].bytes();
                bytes.splice(at..at, word);
            }
        }
    }
    bytes
}

fn expect_no_panic(target: &super::Target, input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.run)(input))) {
        eprintln!("target {} fails on {:?}", target.name, String::from_utf8_lossy(input));
        eprintln!("as bytes: {input:?}");
        resume_unwind(panic);
    }
}

fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let seeds = seeds(name);
    seeds.iter().for_each(|seed| expect_no_panic(target, seed));
    let runs = std::env::var("KMIC_FUZZ_RUNS").map_or(RUNS, |runs| runs.parse().unwrap());
    let mut random = Random(0x6b6d_6963);
    for _ in 0..runs {
        expect_no_panic(target, &mutate(&mut random, &seeds));
    }
}

macro_rules! replayed {
    ($($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })+

        #[test]
        fn every_target_is_replayed() {
            assert_eq!(TARGETS.iter().map(|target| target.name).collect::<Vec<_>>(), [$(stringify!($name)),+]);
        }
    };
}

replayed!(notification, signature, answer, request_body, bank_form, query, cursor, header, card_data, money, names,);
