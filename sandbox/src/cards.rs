//! Test cards: the published numbers and what happens to each.
//!
//! Limits: only the first six and last four digits are ever known, as in a real answer; any card
//! outside the table is approved without 3-D Secure. Expiry must be in the future, CVV is ignored.

/// Payment system of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brand {
    /// Visa.
    Visa,
    /// MasterCard.
    MasterCard,
    /// MIR.
    Mir,
}

impl Brand {
    /// The spelling used in `CardType`.
    pub const fn name(self) -> &'static str {
        match self {
            Brand::Visa => "Visa",
            Brand::MasterCard => "MasterCard",
            Brand::Mir => "MIR",
        }
    }

    /// The number used in `CardTypeCode`. Only Visa's is known for sure.
    pub const fn code(self) -> u8 {
        match self {
            Brand::Visa => 0,
            Brand::MasterCard => 1,
            Brand::Mir => 2,
        }
    }

    fn of(first_six: &str) -> Brand {
        match first_six.bytes().next() {
            Some(b'5') => Brand::MasterCard,
            Some(b'2') => Brand::Mir,
            _ => Brand::Visa,
        }
    }
}

/// A published test card.
#[derive(Clone, Copy, Debug)]
pub struct TestCard {
    /// The full number.
    pub number: &'static str,
    /// Payment system.
    pub brand: Brand,
    /// The bank asks the payer to prove identity first.
    pub three_ds: bool,
    /// `ReasonCode` of a payment by this card; 0 is approval.
    pub reason_code: u16,
    /// `ReasonCode` of a later payment by the token of this card.
    pub token_reason_code: u16,
}

impl TestCard {
    /// One line for people.
    pub fn explanation(&self) -> String {
        let three_ds = if self.three_ds { "3-D Secure, then " } else { "" };
        let outcome = if self.reason_code == 0 { "approved" } else { "declined 5051" };
        let by_token = match (self.reason_code, self.token_reason_code) {
            (0, 0) | (1.., _) => "",
            (0, _) => "; by token declined 5051",
        };
        format!("{three_ds}{outcome}{by_token}")
    }
}

const fn card(
    number: &'static str,
    brand: Brand,
    three_ds: bool,
    reason_code: u16,
    token_reason_code: u16,
) -> TestCard {
    TestCard { number, brand, three_ds, reason_code, token_reason_code }
}

/// All published test cards.
pub const TEST_CARDS: [TestCard; 15] = [
    card("4242424242424242", Brand::Visa, true, 0, 0),
    card("5555555555554444", Brand::MasterCard, true, 0, 0),
    card("2200000000000004", Brand::Mir, true, 0, 0),
    card("4012888888881881", Brand::Visa, true, 5051, 5051),
    card("5105105105105100", Brand::MasterCard, true, 5051, 5051),
    card("2202202202202200", Brand::Mir, true, 5051, 5051),
    card("4000000000003055", Brand::Visa, false, 0, 0),
    card("5205000000003055", Brand::MasterCard, false, 0, 0),
    card("2202000000003055", Brand::Mir, false, 0, 0),
    card("4111111111111111", Brand::Visa, false, 0, 5051),
    card("5200828282828210", Brand::MasterCard, false, 0, 5051),
    card("2200000022222222", Brand::Mir, false, 0, 5051),
    card("4000056655665556", Brand::Visa, false, 5051, 5051),
    card("5404000000000043", Brand::MasterCard, false, 5051, 5051),
    card("2203000000000043", Brand::Mir, false, 5051, 5051),
];

/// What the emulator knows about a payer's card.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Card {
    /// First six digits.
    pub first_six: String,
    /// Last four digits.
    pub last_four: String,
    /// Year of expiry, four digits.
    pub year: i32,
    /// Month of expiry, 1 to 12.
    pub month: u32,
}

impl Card {
    /// From the readable parts of a cryptogram; `exp` is `YYMM`.
    pub fn new(first_six: &str, last_four: &str, exp: &str) -> Option<Card> {
        let digits = |text: &str, length: usize| text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(first_six, 6) || !digits(last_four, 4) || !digits(exp, 4) {
            return None;
        }
        let (year, month) = exp.split_at_checked(2)?;
        let (year, month) = (2000 + year.parse::<i32>().ok()?, month.parse().ok()?);
        let card = Card { first_six: first_six.to_owned(), last_four: last_four.to_owned(), year, month };
        (1..=12).contains(&month).then_some(card)
    }

    /// From a full number (spaces allowed) of 12 to 19 digits and `YYMM`.
    pub fn from_number(number: &str, exp: &str) -> Option<Card> {
        let digits: String = number.chars().filter(|c| !c.is_whitespace()).collect();
        if !(12..=19).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let last_four = digits.get(digits.len().checked_sub(4)?..)?;
        Card::new(digits.get(..6)?, last_four, exp)
    }

    /// `MM/YY`
    pub fn exp_date(&self) -> String {
        format!("{:02}/{:02}", self.month, self.year % 100)
    }

    /// `4242 42****** 4242`
    pub fn mask(&self) -> String {
        let (head, tail) = self.first_six.split_at_checked(4).unwrap_or((&self.first_six, ""));
        format!("{head} {tail}****** {}", self.last_four)
    }

    /// The row of the table for this card.
    pub fn test_card(&self) -> Option<&'static TestCard> {
        let known =
            |card: &&TestCard| card.number.starts_with(&self.first_six) && card.number.ends_with(&self.last_four);
        TEST_CARDS.iter().find(known)
    }

    /// Payment system.
    pub fn brand(&self) -> Brand {
        self.test_card().map_or_else(|| Brand::of(&self.first_six), |card| card.brand)
    }

    /// The bank asks for 3-D Secure.
    pub fn three_ds(&self) -> bool {
        self.test_card().is_some_and(|card| card.three_ds)
    }

    /// The bank's decision at the moment `(year, month)`, for a card or a token payment.
    pub fn bank_decision(&self, by_token: bool, (year, month): (i32, u32)) -> u16 {
        if (self.year, self.month) < (year, month) {
            return 5054;
        }
        self.test_card().map_or(0, |card| if by_token { card.token_reason_code } else { card.reason_code })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readable_digits_identify_every_test_card() {
        for row in &TEST_CARDS {
            let card = Card::from_number(row.number, "3012").unwrap();
            assert_eq!(card.test_card().unwrap().number, row.number);
        }
    }

    #[test]
    fn an_expired_card_is_declined() {
        let card = Card::from_number("4000 0000 0000 3055", "2602").unwrap();
        assert_eq!(card.bank_decision(false, (2026, 3)), 5054);
        assert_eq!(card.bank_decision(false, (2026, 2)), 0);
        assert_eq!(card.exp_date(), "02/26");
        assert_eq!(card.mask(), "4000 00****** 3055");
    }

    #[test]
    fn a_declining_token() {
        let card = Card::from_number("4111111111111111", "3012").unwrap();
        assert_eq!(card.bank_decision(false, (2026, 3)), 0);
        assert_eq!(card.bank_decision(true, (2026, 3)), 5051);
    }
}
