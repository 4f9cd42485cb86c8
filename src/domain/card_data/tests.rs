//! Card numbers of every scheme in every writing are found; what sites and payers write beside them is not.

use proptest::prelude::*;

use super::digits::{DRESSED, ZEROS};
use super::*;

/// First digits and length of a scheme's numbers.
const SCHEMES: &[(&str, std::ops::RangeInclusive<usize>)] = &[
    ("4", 13..=19),
    ("51", 16..=16),
    ("55", 16..=16),
    ("2221", 16..=16),
    ("2720", 16..=16),
    ("2200", 16..=19),
    ("2204", 16..=19),
    ("34", 15..=15),
    ("37", 15..=15),
    ("300", 14..=19),
    ("305", 14..=19),
    ("3095", 14..=19),
    ("36", 14..=19),
    ("38", 14..=19),
    ("3528", 16..=19),
    ("3589", 16..=19),
    ("50", 13..=19),
    ("56", 13..=19),
    ("58", 13..=19),
    ("6011", 13..=19),
    ("62", 16..=19),
    ("65", 16..=19),
    ("67", 13..=19),
    ("81", 16..=16),
    ("8600", 16..=16),
    ("9792", 16..=16),
    ("9860", 16..=16),
];

const SEPARATORS: &[&str] = &[
    " ", "-", ".", "/", "_", ",", ":", ";", "|", "*", "+", "'", "\"", "\t", "\n", "\u{a0}", "\u{2009}", "\u{202f}",
    "\u{2010}", "\u{2013}", "\u{2014}", "\u{2212}", "\u{ad}", "\u{200b}", "\u{200d}", "\u{2060}", "\u{feff}", "·",
    " - ", ", ", "\",\"", ")(", "    ", " -- ", "-----", " \t\n ", "\", \"",
];

/// A number of `length` digits that begins so and passes Luhn's check.
fn number(prefix: &str, length: usize, filler: u64) -> String {
    let filler = format!("{filler:020}");
    let body: String = prefix.chars().chain(filler.chars()).take(length - 1).collect();
    let digits = |check: u32| format!("{body}{check}");
    (0..10).map(digits).find(|candidate| passes_luhn(&values(candidate))).unwrap()
}

fn values(digits: &str) -> Vec<u8> {
    digits.bytes().map(|byte| byte - b'0').collect()
}

/// The digits in groups of these lengths, the last taking what is left.
fn grouped(digits: &str, lengths: &[usize], separator: &str) -> String {
    let mut rest = digits;
    let mut groups = Vec::new();
    for length in lengths {
        if rest.len() > *length {
            let (group, others) = rest.split_at(*length);
            groups.push(group);
            rest = others;
        }
    }
    groups.push(rest);
    groups.join(separator)
}

fn with_zero(digits: &str, zero: u32) -> String {
    digits.bytes().map(|byte| char::from_u32(zero + u32::from(byte - b'0')).unwrap()).collect()
}

fn expect_found(text: &str) {
    assert!(contains_card_number(text), "{text:?}");
    let hidden = without_card_numbers(text);
    assert!(!contains_card_number(&hidden), "{text:?} > {hidden:?}");
}

#[test]
fn finds_the_numbers_of_every_scheme_in_every_writing() {
    for (prefix, lengths) in SCHEMES {
        for length in lengths.clone() {
            let digits = number(prefix, length, 9_170_835_264_917_083_526);
            expect_found(&digits);
            expect_found(&format!("x{digits}y"));
            for separator in SEPARATORS {
                expect_found(&grouped(&digits, &[4; 4], separator));
                expect_found(&format!("Card ({}), thanks", grouped(&digits, &[4; 4], separator)));
            }
        }
    }
}

#[test]
fn finds_them_in_the_digits_of_every_script() {
    for zero in ZEROS {
        expect_found(&with_zero("4242424242424242", *zero));
        expect_found(
            &grouped("378282246310005", &[4, 6], " ")
                .chars()
                .map(|digit| match digit.to_digit(10) {
                    Some(value) => char::from_u32(zero + value).unwrap(),
                    None => digit,
                })
                .collect::<String>(),
        );
    }
}

#[test]
fn finds_them_in_digits_in_every_dress() {
    let dressed = |digits: &str, zero_to_nine: &str| -> String {
        let dress: Vec<char> = zero_to_nine.chars().collect();
        let place = |digit: char| usize::try_from(digit.to_digit(10)?).ok();
        digits.chars().map(|digit| place(digit).map_or(digit, |place| dress[place])).collect()
    };
    for dress in ["⁰¹²³⁴⁵⁶⁷⁸⁹", "₀₁₂₃₄₅₆₇₈₉", "⓪①②③④⑤⑥⑦⑧⑨", "⓿❶❷❸❹❺❻❼❽❾", "𝟬𝟭𝟮𝟯𝟰𝟱𝟲𝟳𝟴𝟵", "🄀⒈⒉⒊⒋⒌⒍⒎⒏⒐"]
    {
        for digits in ["4242424242424242", "5555 5555 5555 4444", "3782-822463-10005"] {
            expect_found(&dressed(digits, dress));
        }
    }
    for (first, count, value) in DRESSED {
        for more in 0..*count {
            assert_eq!(digit_value(char::from_u32(first + more).unwrap()), u8::try_from(value + more).ok());
        }
    }
    assert!(ZEROS.is_sorted() && "²½Ⅷ四x".chars().filter_map(digit_value).eq([2]));
}

#[test]
fn finds_them_as_programs_write_large_numbers() {
    for written in ["4.111111111111111E+15", "4,111111111111111e15", "0.4111111111111111E16", "411111111111111.1E+01"] {
        expect_found(written);
        expect_found(&format!("card {written}, thanks"));
        expect_found(&format!("a%20{}", written.replace('+', "%2B")));
        assert!(!without_card_numbers(written).contains("111"), "{written}");
    }
    // The zero at the end is left out.
    expect_found("total 4.1111111111128E+14");
    for other in [
        "4.111111111111112E+15",
        "4.111111111111111E-15",
        "1.111111111111111E+15",
        "flat 42e14, house 1",
        "9.4e12f0a4e13b8",
    ] {
        assert!(!contains_card_number(other), "{other}");
    }
}

#[test]
fn finds_them_in_unusual_groups() {
    let (visa, amex, maestro) = (number("4", 16, 1), number("37", 15, 1), number("67", 19, 1));
    for (digits, lengths) in [
        (&visa, &[1; 16][..]),
        (&visa, &[2; 8]),
        (&visa, &[3; 6]),
        (&visa, &[5; 4]),
        (&visa, &[6; 3]),
        (&visa, &[7; 3]),
        (&visa, &[8, 8]),
        (&visa, &[4, 4, 8]),
        (&visa, &[4, 8, 4]),
        (&visa, &[8, 4, 4]),
        (&visa, &[4, 12]),
        (&visa, &[12, 4]),
        (&visa, &[6, 10]),
        (&visa, &[1, 15]),
        (&visa, &[9, 7]),
        (&amex, &[4, 6, 5]),
        (&amex, &[4, 11]),
        (&amex, &[5, 5, 5]),
        (&maestro, &[4, 4, 4, 4, 3]),
        (&maestro, &[6, 13]),
        (&maestro, &[8, 8, 3]),
        (&visa, &[6, 4, 6]),
        (&visa, &[4, 6, 6]),
        (&visa, &[4, 5, 4, 3]),
        (&visa, &[3, 4, 5, 4]),
        (&visa, &[4, 4, 3, 5]),
        (&visa, &[7, 3, 6]),
        (&amex, &[3, 4, 4, 4]),
        (&amex, &[6, 4, 5]),
        // These only where they stand alone.
        (&visa, &[1, 4, 4, 4, 3]),
        (&visa, &[2, 4, 4, 4, 2]),
        (&amex, &[2, 6, 7]),
    ] {
        expect_found(&grouped(digits, lengths, "-"));
        expect_found(&grouped(digits, lengths, "    "));
    }
    expect_found(&format!("12/27 {}", grouped(&visa, &[6, 4, 6], "-")));
    expect_found("42424242.42424242");
    for cross in ["x", " x ", "X", " х ", " × "] {
        expect_found(&grouped(&visa, &[4; 4], cross));
    }
    for invisible in
        ["\u{3164}", "\u{ffa0}", "\u{115f}", "\u{1160}", "\u{17b5}", "\u{2063}", "\u{206a}", "\u{61c}", "\u{e0020}"]
    {
        expect_found(&grouped(&visa, &[4; 4], invisible));
        expect_found(&grouped(&visa, &[1; 16], invisible));
    }
    // Blanks that nobody sees.
    expect_found(&visa.chars().map(|digit| format!("{digit}\u{200b}")).collect::<String>());
}

#[test]
fn finds_them_with_more_digits_around() {
    for text in [
        // The example of a bill number with a card number in it.
        "order42424242424242421",
        // Expiry date and code behind it, with and without blanks.
        "42424242424242421227123",
        "4242424242424242 12/27 123",
        "4242 4242 4242 42421227",
        "5555555555554444=27121010000012300000",
        "%B4242424242424242^IVANOV/IVAN^2712101",
        "3782822463100051227",
        // Something before it.
        "104242424242424242",
        "17 4242424242424242",
        "2026-11-25 4242-4242-4242-4242",
    ] {
        expect_found(text);
    }
}

#[test]
fn finds_them_encoded() {
    for text in [
        "https://kmic.kz/done?card=4242%204242%204242%204242",
        "%34242%2D4242%2d4242%2D4242",
        "4242%C2%A04242%C2%A04242%C2%A04242",
        "%EF%BC%94242424242424242",
        "Name=4242+4242+4242+4242&Amount=1",
        r#"{"card":"4242\u00a04242\u00a04242\u00a04242"}"#,
        r#"{"card":"4242\n4242\n4242\n4242"}"#,
        r"\u0034242424242424242",
        r#"["4242","4242","4242","4242"]"#,
        "[4242,4242,4242,4242]",
        r"\x34242424242424242",
        r"\u{34}2424242 42424242",
        "4242&nbsp;4242&nbsp;4242&nbsp;4242",
        "4242&#160;4242&#xA0;4242&#160;4242",
        "4242&shy;4242&shy;4242&shy;4242",
        "&#52;&#50;4242&#x34;&#X32;42424242&#52;&#50",
        "4242&amp;nbsp;4242&amp;#160;4242&amp;amp;nbsp;4242",
        "4242%25204242%25204242%25204242",
        "%252534242424242424242",
        r#"{"card":"%26%2352;242424242424242"}"#,
    ] {
        expect_found(text);
    }
}

#[test]
fn hides_only_the_digits_of_the_number() {
    for (text, hidden) in [
        ("Name=4242%204242%204242%204242&Amount=1", "Name=****%20****%20****%20****&Amount=1"),
        ("Data=%7B%22n%22%3A%224242424242424242%22%7D", "Data=%7B%22n%22%3A%22****************%22%7D"),
        (r#"{"Name":"4242\u00a04242\u00a04242\u00a04242"}"#, r#"{"Name":"****\u00a0****\u00a0****\u00a0****"}"#),
        ("a=4242&nbsp;4242%264242&#160;&#52;242;", "a=****&nbsp;****%26****&#160;****;"),
        ("a%252F4242424242424242%252F", "a%252F****************%252F"),
        ("12.50 5555555555554444, 4242424242424242 KZT", "12.50 ****************, **************** KZT"),
    ] {
        assert_eq!(without_card_numbers(text), hidden);
    }
}

#[test]
fn leaves_alone_what_sites_and_payers_write() {
    for text in [
        "Policy 2026000002, 23.11.2026",
        "Полис ОГПО 30.11.2026-29.11.2027",
        "с 25.11.26 00:00 по 24.11.27 23:59",
        "2026-11-25 14:30:15.123456",
        "4242424242424241",
        "+7 727 345 01 25, +7 701 234 56 78",
        "87273450125 87012345678",
        "960101300123",
        "KZ86125KZT5004100100",
        "43.238949, 76.889709",
        "43.23894912345678",
        "GA1.2.1234567890.1700000000",
        "12 500 000,00 KZT",
        "",
        "0000000000000000",
        "192.168.100.200:8080",
        "424242******4242",
        "4242 **** **** 4242, 4242 •••• •••• 4242",
        "4242....4242....4242....4242",
        // Numbers that pass Luhn's check: with a year in it, as bills have it, and with other signs between its groups.
        "424242-2026-000006",
        "42-4242/4242 424242",
        "м² 10⁶ №①",
        "a5d3c9e1-bf2a-4abc-8242-424242424242",
        "42424242-4242-4242-8242-424242424242",
        "%",
        "%4",
        r"\u12",
        r"\x4",
        r"\u{34",
        "&#",
        "&#;",
        "&#99999999;",
        "&nbsp",
        "a=4242&b=4242&c=4242&d=4241;",
        "42424242,42424242",
        "4242.42424242",
        "100%",
    ] {
        assert!(!contains_card_number(text), "{text:?}");
        assert_eq!(without_card_numbers(text), text);
    }
}

/// One number in ten passes Luhn's check: a thousand of a kind show whether the kind is safe.
#[test]
fn numbers_that_count_up_are_never_refused() {
    for number in 0..1000_u64 {
        let day = number % 28 + 1;
        for text in [
            format!("KM-2026-11-{day:02}-{number:06}"),
            format!("KM-2026-{number:06}"),
            format!("OGPO/2026/{number:09}"),
            format!("2026112{number:09}"),
            format!("20261123143015{number:06}"),
            format!("{day:02}.11.2026-{day:02}.11.2027"),
            format!("{day:02}.11.2026 {number:06}"),
            format!("{}", 1_790_000_000_000 + number),
            format!("pay-{}", 1_790_000_000_000 + number),
            format!("{}", 1_790_000_000_000_000 + number),
            format!("{}", 1_000_067_890_123_456_789 + number),
            format!("0.4{number:015}"),
            format!("71.44907{number:09}"),
            format!("43.23894{number:09}, 76.44{number:012}"),
            format!("2026-11-{day:02}T14:30:15.{number:06}Z"),
            format!("43.{number:06}, 76.{number:06}"),
            format!("51.{number:014}"),
            format!("GA1.1.4{number:08}.1700000{number:03}"),
            format!("+7 701 {number:03} 56 78; +7 701 {number:03} 56 79"),
            format!("8 701 345 {:02} {:02}    8 727 345 {day:02} 25", number / 100, number % 100),
            format!("45/{day:02}.11.2026 14:30:15.{number:03}"),
            format!("456{number:03}-2026-000{number:03}"),
            format!("№ 45 {day:02} 11 2026 000{number:03}"),
            format!("456{day:02}-450-2026-{number:04}"),
            format!("9601013{number:05} +7 701 345 {day:02} 25"),
            format!("№ 45{number:03} x 2, 45{number:03} x 3"),
            format!("{number} x 4 500 000,00; {number} x 5 250 000,00"),
            format!("4500x{number:03}x2500"),
            format!("45000{number:03},45001{number:03}"),
            format!("KM&ndash;2026&ndash;{number:06}"),
            format!("10% 45{number:03}%25 2026&amp;{number:06}"),
            format!("5 {number:03} 000,00 + 4 {number:03} 500,00"),
            format!("4 {number:03} 000 KZT / 45 {number:03} 000 KZT"),
            format!("a5d3c9e1-4{number:03}-4242-8{number:03}-4242424242ab"),
        ] {
            assert!(!contains_card_number(&text), "{text}");
        }
    }
}

/// Bytes that were made to keep the filter busy take no longer than others.
#[test]
fn long_texts_take_no_longer_by_the_byte() {
    for unit in [
        "4",
        "4 ",
        "4242 ",
        "4242424242424242 ",
        "4242-",
        "a-",
        "-",
        "%34",
        "%",
        "\\u0034",
        "%25",
        "&#52;",
        "&amp;",
        "&",
        "x4242",
        "\u{200b}4",
        "٤",
    ] {
        let text = unit.repeat(32_768 / unit.len());
        let hidden = without_card_numbers(&text);
        assert!(hidden.len() <= text.len());
        contains_card_number(&text);
    }
}

fn any_card_number() -> impl Strategy<Value = String> {
    let scheme = (0..SCHEMES.len()).prop_flat_map(|index| (Just(SCHEMES[index].0), SCHEMES[index].1.clone()));
    (scheme, any::<u64>()).prop_map(|((prefix, length), filler)| number(prefix, length, filler))
}

proptest! {
    #[test]
    fn any_number_is_found_between_words(
        digits in any_card_number(),
        before in "[a-zа-я:#№(]{0,12}( [a-z]{1,5} )?",
        after in "( [a-z]{1,5})?[a-zа-я:;)!]{0,12}",
        separator in (0..SEPARATORS.len()).prop_map(|index| SEPARATORS[index]),
        size in 3..9_usize,
    ) {
        expect_found(&format!("{before}{digits}{after}"));
        expect_found(&format!("{before}{}{after}", grouped(&digits, &[4; 4], separator)));
        let amount_like = matches!(separator, "." | ",") && digits.len() <= size * 2;
        if !amount_like {
            expect_found(&format!("{before}{}{after}", grouped(&digits, &[size; 7], separator)));
        }
    }

    #[test]
    fn a_wrong_check_digit_is_no_card_number(digits in any_card_number(), add in 1..10_u8) {
        let last = digits.as_bytes()[digits.len() - 1] - b'0';
        let wrong = format!("{}{}", &digits[..digits.len() - 1], (last + add) % 10);
        prop_assert!(!is_card_number(&values(&wrong)));
    }

    #[test]
    fn nothing_makes_it_panic_and_hiding_hides(text in "[0-9٤４ \\-%u\\\\.,a-fxё&#;\u{200b}]{0,80}") {
        let hidden = without_card_numbers(&text);
        prop_assert!(!contains_card_number(&hidden), "{hidden}");
        prop_assert_eq!(contains_card_number(&text), hidden != text);
    }
}
