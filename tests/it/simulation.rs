//! The deterministic simulation: some thousands of payments, and that a seed gives the same world again.

use kmic_payments::simulation::{run, run_world};

#[test]
fn the_books_agree_at_the_end_of_every_world() {
    let summary = run(20_260_301, 2_400, 2, |_| {}).unwrap();
    let told: Vec<String> = summary
        .failed
        .values()
        .map(|world| {
            format!("{}: {}", world.command(), world.violations.first().map(ToString::to_string).unwrap_or_default())
        })
        .collect();
    assert_eq!(summary.failures, 0, "{}", told.join("\n"));
    // The worlds were bad enough to prove something.
    let tally = &summary.tally;
    assert!(tally.crashes > 40 && tally.with_money > 300, "{summary}");
    for edge in ["call: ", "request: ", "notification: ", "database: "] {
        let kinds = tally.faults.keys().filter(|name| name.starts_with(edge)).count();
        assert!(kinds >= 4, "{edge}{summary}");
    }
}

#[test]
fn a_seed_gives_the_same_world_again() {
    let worlds = [1, 1, 2].map(|seed| run_world(seed, 40).unwrap());
    assert_eq!((worlds[0].hash, &worlds[0].journal), (worlds[1].hash, &worlds[1].journal));
    assert_ne!(worlds[0].hash, worlds[2].hash);
}
