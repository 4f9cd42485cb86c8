//! Nobody can work out a small group, from one answer or from several.

use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;

use super::*;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn divided(counts: &[i64]) -> BTreeMap<String, Tally> {
    let tally = |count: i64| Tally { count, minor: count * 100 };
    NAMES.iter().zip(counts).map(|(name, count)| ((*name).to_owned(), tally(*count))).collect()
}

/// Every division of up to `most` members into `parts` parts.
fn divisions(parts: usize, most: i64) -> Vec<Vec<i64>> {
    if parts == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for count in 0..=most {
        for mut rest in divisions(parts - 1, most - count) {
            rest.push(count);
            all.push(rest);
        }
    }
    all
}

/// What is published of a division: the whole, the named parts, the rest.
type Seen = (i64, Vec<(String, i64)>, Option<i64>);

fn seen(counts: &[i64]) -> Option<Seen> {
    let total: i64 = counts.iter().sum();
    if total < SMALLEST_GROUP {
        return None;
    }
    let parts = Parts::of(&divided(counts));
    let named = parts.named.iter().map(|(name, tally)| (name.clone(), tally.count)).collect();
    Some((total, named, parts.rest.map(|rest| rest.count)))
}

/// An attacker who knows the rule, every name there can be and every answer tries all divisions that fit: none of them
/// tells the size of a part with one to four members, nor that of any small set of parts.
#[test]
fn no_division_that_fits_an_answer_tells_a_small_part() {
    for (parts, most) in [(2, 40), (3, 26), (4, 18), (5, 14)] {
        let mut fitting: HashMap<Option<Seen>, Vec<Vec<i64>>> = HashMap::new();
        for counts in divisions(parts, most) {
            fitting.entry(seen(&counts)).or_default().push(counts);
        }
        for (answer, worlds) in fitting {
            // Every set of parts together, not only each alone.
            for set in 1..(1u32 << parts) {
                let size = |counts: &Vec<i64>| -> i64 {
                    (0..parts).filter(|index| set & (1 << index) != 0).map(|index| counts[index]).sum()
                };
                let sizes: BTreeSet<i64> = worlds.iter().map(size).collect();
                let only = sizes.first().copied().filter(|_| sizes.len() == 1);
                let small = only.filter(|size| (1..SMALLEST_GROUP).contains(size));
                assert_eq!(small, None, "{answer:?} tells the parts {set:b}: {worlds:?}");
            }
        }
    }
}

#[test]
fn what_is_shown_is_large_and_complete() {
    for counts in divisions(4, 20) {
        let total: i64 = counts.iter().sum();
        if total < SMALLEST_GROUP {
            continue;
        }
        let parts = Parts::of(&divided(&counts));
        let shown: Vec<Tally> = parts.named.values().copied().chain(parts.rest).collect();
        assert!(shown.iter().all(|tally| tally.count >= SMALLEST_GROUP), "{counts:?}: {parts:?}");
        let sum = shown.into_iter().reduce(Tally::plus).unwrap();
        assert_eq!((sum.count, sum.minor), (total, total * 100), "{counts:?}: {parts:?}");
    }
}

#[test]
fn small_parts_take_a_large_one_with_them() {
    let named = |counts: &[i64]| seen(counts).unwrap().1.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(named(&[40, 30, 7, 0]), ["a", "b", "c"], "nothing is small");
    assert_eq!(named(&[40, 30, 7, 1]), ["a", "b"], "one is small");
    assert_eq!(named(&[40, 30, 4, 3]), ["a"], "though the small ones are seven together");
    assert_eq!(named(&[40, 7, 7, 1]), ["a"], "of two alike both");
    assert_eq!(named(&[4, 4]), [""; 0], "nothing is left to name");
    assert_eq!(seen(&[4, 0]), None, "too small as a whole");
    assert_eq!(seen(&[5, 0]), Some((5, vec![("a".to_owned(), 5)], None)));
}

fn any_line() -> impl Strategy<Value = Line> {
    let currency = prop::sample::select(vec!["KZT", "USD"]);
    let outcome = prop::sample::select(Outcome::ALL.to_vec());
    let name = || prop::sample::select(NAMES.to_vec());
    (currency, outcome, name(), name(), 1i64..6, 1i64..1000).prop_map(
        |(currency, outcome, brand, method, count, price)| Line {
            currency: Currency::parse(currency).unwrap(),
            outcome,
            parts: vec![(Dimension::Brand, brand.to_owned()), (Dimension::Method, method.to_owned())],
            tally: Tally { count, minor: count * price },
        },
    )
}

fn counts(group: &Group) -> impl Iterator<Item = i64> {
    let parts = group.parts.values().flat_map(|parts| parts.named.values().copied().chain(parts.rest));
    parts.chain([group.total]).map(|tally| tally.count)
}

/// The sum of the published days of a window, as the service answers it.
fn answer(days: &[BTreeMap<GroupKey, Group>]) -> BTreeMap<GroupKey, Group> {
    let mut sum: BTreeMap<GroupKey, Group> = BTreeMap::new();
    for (key, group) in days.iter().flatten() {
        sum.entry(*key).or_default().add(group);
    }
    sum
}

/// Every number of an answer by its place: group, dimension, part.
fn numbers(answer: &BTreeMap<GroupKey, Group>) -> BTreeMap<(GroupKey, String), i64> {
    let mut all = BTreeMap::new();
    for (key, group) in answer {
        all.insert((*key, "all".to_owned()), group.total.count);
        for (dimension, parts) in &group.parts {
            let named = parts.named.iter().map(|(name, tally)| (name.as_str(), tally.count));
            for (name, count) in named.chain(parts.rest.map(|rest| ("", rest.count))) {
                all.insert((*key, format!("{dimension:?} {name}")), count);
            }
        }
    }
    all
}

proptest! {
    /// Over random days: no number of any answer is small, nor is the difference of any two overlapping answers, place by
    /// place, nor that of a whole and its parts.
    #[test]
    fn no_difference_of_answers_is_small(
        days in prop::collection::vec(prop::collection::vec(any_line(), 0..40), 1..8), from in 0usize..8, to in 0usize..8, cut in 0usize..8,
    ) {
        let published: Vec<_> = days.iter().map(|lines| publish(lines)).collect();
        let (from, to) = (from.min(to).min(days.len() - 1), from.max(to).min(days.len() - 1));
        let cut = cut.clamp(from, to);
        let whole = answer(&published[from..=to]);
        for group in whole.values() {
            prop_assert!(counts(group).all(|count| count >= SMALLEST_GROUP));
            for parts in group.parts.values() {
                let sum: i64 = parts.named.values().copied().chain(parts.rest).map(|tally| tally.count).sum();
                prop_assert_eq!(sum, group.total.count);
                for named in parts.named.values() {
                    let left = group.total.count - named.count;
                    prop_assert!(left == 0 || left >= SMALLEST_GROUP);
                }
            }
        }
        for other in [answer(&published[cut..=to]), answer(&published[from..=cut])] {
            let (all, part) = (numbers(&whole), numbers(&other));
            for (place, count) in &all {
                let difference = count - part.get(place).copied().unwrap_or(0);
                prop_assert!(difference == 0 || difference >= SMALLEST_GROUP, "{:?}: {}", place, difference);
            }
        }
    }

    /// An answer over a window is the sum of answers over its days: no window tells more than its days do.
    #[test]
    fn a_window_tells_no_more_than_its_days(
        days in prop::collection::vec(prop::collection::vec(any_line(), 0..40), 2..6), cut in 1usize..5,
    ) {
        let published: Vec<_> = days.iter().map(|lines| publish(lines)).collect();
        let cut = cut.min(published.len() - 1);
        let halves = [answer(&published[..cut]), answer(&published[cut..])];
        prop_assert_eq!(answer(&halves), answer(&published));
    }
}
