use super::*;

#[test]
fn codes_are_sorted_and_unique() {
    assert_eq!(REASONS.len(), 71);
    assert!(REASONS.is_sorted_by(|a, b| a.code < b.code));
    assert!(REASONS.iter().all(|row| lookup(row.code) == Some(row)));
}

#[test]
fn a_listed_code_is_found() {
    let row = lookup(5051);
    assert_eq!(row.map(|row| row.name), Some("Insufficient Funds"));
    let spelling = row.and_then(|row| row.api_reason);
    assert_eq!(spelling, Some("InsufficientFunds"));
    let meaning = classify(5051);
    assert_eq!(meaning.category, InsufficientFunds);
    assert!(meaning.retryable);
}

#[test]
fn an_unlisted_code_is_other_and_not_retryable() {
    for code in [i32::MIN, -1, 0, 1, 3000, 5002, 5999, i32::MAX] {
        assert_eq!(lookup(code), None);
        assert_eq!(classify(code).category, Other);
        assert!(!classify(code).retryable);
    }
}

#[test]
fn a_doubtful_retry_is_not_offered() {
    for code in [5006, 5019, 5204, 5303] {
        assert_eq!(lookup(code).map(|row| row.retryable), Some(false));
    }
}

#[test]
fn every_category_is_used_and_its_name_reads_back() {
    for category in DeclineCategory::ALL {
        let is_used = REASONS.iter().any(|row| row.category == category);
        assert!(is_used, "{category:?}");
        assert_eq!(category.as_str().parse(), Ok(category));
    }
    assert_eq!("Other".parse::<DeclineCategory>(), Err(UnknownCategory));
}

#[test]
fn every_text_is_in_its_own_language() {
    let only_kazakh = |letter: char| "әғқңөұүһіӘҒҚҢӨҰҮҺІ".contains(letter);
    let is_cyrillic = |letter: char| ('А'..='ё').contains(&letter);
    for Texts { kk, ru, en } in DeclineCategory::ALL.map(DeclineCategory::texts) {
        for text in [kk, ru, en] {
            assert!(text.ends_with('.') && text.chars().count() < 200, "{text}");
            assert!(!text.contains("  "), "{text}");
        }
        assert!(kk != ru && ru != en && kk != en);
        assert!(kk.contains(only_kazakh), "{kk}");
        assert!(ru.contains(is_cyrillic), "{ru}");
        assert!(!ru.contains(only_kazakh), "{ru}");
        assert!(en.is_ascii(), "{en}");
    }
}

#[test]
fn the_payer_never_reads_of_fraud_or_theft() {
    assert_eq!(FraudSuspected.texts(), CardRestricted.texts());
    let words = "алаяқ ұрла жоғал мошен украд утер утрач fraud stolen lost";
    for Texts { kk, ru, en } in DeclineCategory::ALL.map(DeclineCategory::texts) {
        for text in [kk, ru, en] {
            let is_neutral = words.split(' ').all(|word| !text.contains(word));
            assert!(is_neutral, "{text}");
        }
    }
}

#[test]
fn every_text_says_whom_to_call() {
    for category in DeclineCategory::ALL {
        let Texts { kk, ru, en } = category.texts();
        let banks = [kk.contains("банк"), ru.contains("банк"), en.contains("bank")];
        let supports =
            [kk.contains("Қолдау") || kk.contains("қолдау"), ru.contains("поддержк"), en.contains("support")];
        let is_support = category.contact() == Contact::Support;
        assert_eq!((banks, supports), ([!is_support; 3], [is_support; 3]), "{category:?}");
    }
}

#[test]
fn codes_of_the_3000s_are_our_own_check_answers() {
    for row in REASONS {
        let is_check = (3001..=3008).contains(&row.code);
        assert_eq!(check_report(row.code).is_some(), is_check, "{row:?}");
    }
    assert_eq!(check_report(3004), Some(CheckReport::Refused(20)));
    assert_eq!(check_report(3008), Some(CheckReport::Refused(13)));
}

/// A paid bill, or one that another tab is paying.
#[test]
fn what_we_refused_ourselves_does_not_invite_a_second_payment() {
    let Texts { kk, ru, en } = classify(3008).texts();
    assert!(kk.contains("төленген болуы мүмкін") && ru.contains("уже оплачен") && en.contains("already be paid"));
    let invites = [kk.contains("басқа картамен"), ru.contains("другой картой"), en.contains("another card")];
    assert_eq!(invites, [false; 3]);
    for reason in REASONS.iter().filter(|reason| reason.code != 3008) {
        assert_eq!(classify(reason.code).texts(), reason.category.texts());
    }
}
