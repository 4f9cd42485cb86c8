use super::*;

fn row(sequence: i64) -> HistoryRow {
    HistoryRow {
        payment_id: "pay_01kaq0j5m8x2v9c4t7b1n6r3ed".to_owned(),
        sequence,
        from_status: "processing".to_owned(),
        to_status: "paid".to_owned(),
        cause_type: "provider_answer".to_owned(),
        cause_id: Some("op_01kaq0j5m8x2v9c4t7b1n6r3ee".to_owned()),
        actor: "cloudpayments".to_owned(),
        transaction_id: Some(3_541_977_847),
        detail: "{}".to_owned(),
        at: Timestamp::from_micros(1_795_600_000_123_456),
    }
}

fn event(kind: &str) -> HistoryEvent {
    HistoryEvent {
        id: "evt_01kaq0j5m8x2v9c4t7b1n6r3eg".to_owned(),
        kind: kind.to_owned(),
        payment_id: Some("pay_01kaq0j5m8x2v9c4t7b1n6r3ed".to_owned()),
        refund_id: None,
        sequence: Some(1),
        at: Timestamp::from_micros(1_795_600_000_123_456),
        notification_id: None,
        transaction_id: None,
        subject_id: None,
        actor: None,
    }
}

fn leaves(count: i64) -> Vec<Hash> {
    (1..=count).map(|sequence| row(sequence).hash_with(&[])).collect()
}

/// A chain of `count` seals over one row each.
fn chain(count: i64) -> Vec<Seal> {
    let mut seals: Vec<Seal> = Vec::new();
    for number in 1..=count {
        let at = Timestamp::from_micros(number * 1_000_000);
        let skip = usize::try_from(skip_of(number)).ok().and_then(|skip| skip.checked_sub(1));
        let skip = skip.map_or(Hash::NONE, |index| seals[index].hash());
        seals.push(Chain::next(seals.last(), skip, at, 1, row(number).hash_with(&[])));
    }
    seals
}

fn followed(seals: &[Seal]) -> Result<(), Break> {
    let mut chain = Chain::default();
    seals.iter().try_for_each(|seal| chain.follow(*seal, seal.hash()))
}

#[test]
fn every_column_is_in_the_hash_of_a_row() {
    let whole = row(1);
    let changed = [
        HistoryRow { payment_id: "pay_2".to_owned(), ..whole.clone() },
        HistoryRow { sequence: 2, ..whole.clone() },
        HistoryRow { from_status: "paid".to_owned(), ..whole.clone() },
        HistoryRow { to_status: "declined".to_owned(), ..whole.clone() },
        HistoryRow { cause_type: "api".to_owned(), ..whole.clone() },
        HistoryRow { cause_id: None, ..whole.clone() },
        HistoryRow { cause_id: Some(String::new()), ..whole.clone() },
        HistoryRow { actor: String::new(), ..whole.clone() },
        HistoryRow { transaction_id: None, ..whole.clone() },
        HistoryRow { transaction_id: Some(0), ..whole.clone() },
        HistoryRow { detail: "{ }".to_owned(), ..whole.clone() },
        HistoryRow { at: Timestamp::from_micros(1_795_600_000_123_457), ..whole.clone() },
    ];
    let rows = || changed.iter().chain([&whole]);
    let hashes = rows().map(HistoryRow::hash_alone).chain(rows().map(|row| row.hash_with(&[])));
    all_differ(hashes.chain(rows().map(|row| row.hash_with(&[event("payment.paid")]))));
}

#[track_caller]
fn all_differ(hashes: impl Iterator<Item = Hash>) {
    let all: Vec<String> = hashes.map(|hash| hash.to_string()).collect();
    let different: std::collections::BTreeSet<&String> = all.iter().collect();
    assert_eq!(different.len(), all.len());
}

#[test]
fn every_column_of_an_event_and_their_order_is_in_the_hash() {
    let whole = event("payment.paid");
    let changed = [
        whole.clone(),
        HistoryEvent { id: "evt_2".to_owned(), ..whole.clone() },
        HistoryEvent { kind: String::new(), ..whole.clone() },
        HistoryEvent { payment_id: None, ..whole.clone() },
        HistoryEvent { payment_id: Some(String::new()), ..whole.clone() },
        HistoryEvent { refund_id: Some("ref_1".to_owned()), ..whole.clone() },
        HistoryEvent { refund_id: Some(String::new()), ..whole.clone() },
        HistoryEvent { sequence: None, ..whole.clone() },
        HistoryEvent { sequence: Some(0), ..whole.clone() },
        HistoryEvent { at: Timestamp::from_micros(0), ..whole.clone() },
        HistoryEvent { notification_id: Some("ntf_1".to_owned()), ..whole.clone() },
        HistoryEvent { transaction_id: Some(0), ..whole.clone() },
    ];
    // What only an event that is sealed by itself has.
    let acts = [
        HistoryEvent { subject_id: Some("key_1".to_owned()), ..whole.clone() },
        HistoryEvent { subject_id: Some(String::new()), ..whole.clone() },
        HistoryEvent { actor: Some("key_1".to_owned()), ..whole.clone() },
        HistoryEvent { actor: Some(String::new()), ..whole.clone() },
    ];
    for act in &acts {
        let row = Record::Row(row(1), vec![act.clone()]);
        assert_eq!(row.cover(row.hash()), None, "{act:?}");
    }
    let alone = changed.iter().chain(&acts).map(HistoryEvent::hash);
    let first = changed.iter().map(|other| row(1).hash_with(&[other.clone(), whole.clone()]));
    // The first of `changed` is `whole`: twice the same is its own reverse.
    let second = changed.iter().skip(1).map(|other| row(1).hash_with(&[whole.clone(), other.clone()]));
    let counts = (0..4).filter(|count| *count != 2).map(|count| row(1).hash_with(&vec![whole.clone(); count]));
    all_differ(alone.chain(first).chain(second).chain(counts));
}

#[test]
fn a_record_knows_how_it_was_sealed() {
    let (told, loose) = (Record::Row(row(1), vec![event("payment.paid")]), Record::Event(event("x")));
    assert_eq!((told.key().1, loose.key()), (1, ("evt_01kaq0j5m8x2v9c4t7b1n6r3eg", Record::EVENT_SEQUENCE)));
    assert_eq!(told.cover(told.hash()), Some(Cover::WithEvents));
    assert_eq!(told.cover(row(1).hash_alone()), Some(Cover::Alone));
    assert_eq!(told.cover(row(1).hash_with(&[])), None);
    assert_eq!(told.cover(row(2).hash_alone()), None);
    assert_eq!((loose.cover(loose.hash()), loose.cover(told.hash())), (Some(Cover::WithEvents), None));
}

#[test]
fn every_leaf_has_a_path_to_the_root_and_no_other_place() {
    for count in 1..=33 {
        let leaves = leaves(count);
        let top = root(&leaves);
        for (position, leaf) in leaves.iter().enumerate() {
            let way = path(&leaves, position);
            assert_eq!(root_by_path(*leaf, position, leaves.len(), &way), Some(top));
            assert_ne!(root_by_path(row(99).hash_with(&[]), position, leaves.len(), &way), Some(top));
            for other in (0..leaves.len()).filter(|other| *other != position) {
                assert_ne!(root_by_path(*leaf, other, leaves.len(), &way), Some(top), "{count} {position} {other}");
            }
            assert_eq!(root_by_path(*leaf, leaves.len(), leaves.len(), &way), None);
            let long: Vec<Hash> = way.iter().copied().chain([top]).collect();
            assert_ne!(root_by_path(*leaf, position, leaves.len(), &long), Some(top));
        }
        for swapped in 1..leaves.len() {
            let mut other = leaves.clone();
            other.swap(swapped - 1, swapped);
            assert_ne!(root(&other), top);
        }
    }
    assert_eq!(root(&[]), Hash::NONE);
}

type Change = fn(&mut Seal);

#[test]
fn a_chain_holds_only_whole_and_in_order() {
    let seals = chain(40);
    assert_eq!(followed(&seals), Ok(()));
    for left_out in 0..seals.len() - 1 {
        let mut shorter = seals.clone();
        shorter.remove(left_out);
        assert_eq!(followed(&shorter), Err(Break::Number));
    }
    for at in 0..seals.len() {
        let changes: [(&str, Change); 5] = [
            ("root", |seal| seal.root = Hash::NONE),
            ("previous", |seal| seal.previous = Hash::UNREADABLE),
            ("skip", |seal| seal.skip = Hash::UNREADABLE),
            ("first_row", |seal| seal.first_row += 1),
            ("row_count", |seal| seal.row_count += 1),
        ];
        for (what, change) in changes {
            let mut changed = seals.clone();
            change(&mut changed[at]);
            // Its own hash made to fit: the next seal, or the rule itself, tells.
            let is_last_and_free = at + 1 == seals.len() && matches!(what, "root" | "row_count");
            assert_eq!(followed(&changed).is_ok(), is_last_and_free, "{what} of {at}");
            let mut chain = Chain::default();
            let kept = changed.iter().zip(&seals).try_for_each(|(seal, was)| chain.follow(*seal, was.hash()));
            assert_eq!(kept, Err(Break::Hash), "{what} of {at}");
        }
    }
    let mut back = chain(3);
    back[2].at = Timestamp::from_micros(0);
    assert_eq!(followed(&back), Err(Break::Time));
    let mut large = chain(1);
    large[0].row_count = MAX_ROWS + 1;
    assert_eq!(followed(&large), Err(Break::Rows));
}

#[test]
fn the_way_back_is_short_and_each_step_is_in_the_seal_before() {
    let (last, mut longest) = (5_000, 0);
    for to in 1..=last {
        let way = Seal::way_back(last, to);
        longest = longest.max(way.len());
        assert_eq!((way.first(), way.last()), (Some(&last), Some(&to)));
        assert!(way.windows(2).all(|two| two[1] == two[0] - 1 || two[1] == skip_of(two[0])));
    }
    assert!(longest < 100, "at most half the square of the number of bits: {longest}");
}

#[test]
fn hashes_read_back() {
    let hash = row(1).hash_with(&[]);
    assert_eq!(Hash::parse(&hash.to_string()), Some(hash));
    assert_eq!(Hash::parse(&hash.to_string().to_uppercase()), Some(hash));
    for junk in ["", "00", &"g".repeat(64), &"+1".repeat(32), &"é".repeat(32)] {
        assert_eq!(Hash::parse(junk), None, "{junk}");
    }
}

/// The example and the numbers in the documentation, which were computed by other code.
#[test]
fn the_documented_example_holds() {
    const TEXT: &str = include_str!("../../../docs/history-proofs.md");
    let first = HistoryRow {
        from_status: "none".to_owned(),
        to_status: "processing".to_owned(),
        cause_type: "api".to_owned(),
        cause_id: None,
        actor: "key_01kaq0j5m8x2v9c4t7b1n6r3ee".to_owned(),
        transaction_id: None,
        ..row(1)
    };
    let created = event("payment.needs_attention");
    let told = first.hash_with(std::slice::from_ref(&created));
    let seal = Chain::next(None, Hash::NONE, Timestamp::from_micros(1_795_600_001_000_000), 1, told);
    let loose = HistoryEvent { payment_id: None, sequence: None, ..created };
    let loose = HistoryEvent {
        kind: "notification.needs_attention".to_owned(),
        notification_id: Some("ntf_01kaq0j5m8x2v9c4t7b1n6r3eh".to_owned()),
        transaction_id: Some(3_541_977_847),
        ..loose
    };
    let act = HistoryEvent {
        kind: "api_key.revoked".to_owned(),
        notification_id: None,
        transaction_id: None,
        subject_id: Some("key_01kaq0j5m8x2v9c4t7b1n6r3ee".to_owned()),
        actor: Some("cli".to_owned()),
        ..loose.clone()
    };
    for hash in [told, first.hash_with(&[]), first.hash_alone(), loose.hash(), act.hash(), seal.hash()] {
        assert!(TEXT.contains(&format!("`{hash}`")), "{hash}");
    }
    assert!(TEXT.contains(&format!("at most {MAX_ROWS} rows")));
}
