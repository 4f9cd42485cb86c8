//! One binary for every target, chosen by `FUZZ_TARGET`: the service is linked once.

#![no_main]

use std::sync::LazyLock;

use kmic_payments::fuzzing::{TARGETS, Target};
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("FUZZ_TARGET is one of {names:?}"))
});

fuzz_target!(|data: &[u8]| (TARGET.run)(data));
