//! What the payer reads. Each text says what happened, what to do, and whom to call: the bank or our support, as
//! [`DeclineCategory::contact`] says.

use super::DeclineCategory::{
    self, CardRestricted, ExpiredCard, FraudSuspected, IncorrectCardData, InsufficientFunds, IssuerUnavailable,
    LimitExceeded, OnlinePaymentsNotAllowed, Other, ProcessingError, ThreeDsFailed,
};
use super::Texts;

impl DeclineCategory {
    /// What happened and what to do, for the payer (after the CloudPayments documentation, reason
    /// codes).
    ///
    /// A restricted card and a suspicion of fraud share one text, so that nobody can tell from it
    /// that a card is reported lost or stolen or that fraud is suspected.
    #[must_use]
    pub const fn texts(self) -> Texts {
        match self {
            OnlinePaymentsNotAllowed => Texts {
                kk: "Бұл карта интернет арқылы төлеуге арналмаған немесе картада интернет-төлемдер \
                     өшірілген. Картаны шығарған банкке хабарласыңыз немесе басқа картамен \
                     төлеңіз.",
                ru: "Карта не предназначена для оплаты через интернет, или такие платежи по ней \
                     отключены. Обратитесь в банк, выпустивший карту, или оплатите другой картой.",
                en: "This card is not meant for internet payments, or they are switched off for \
                     it. Please contact the bank that issued the card or pay with another card.",
            },
            InsufficientFunds => Texts {
                kk: "Картада бұл төлемге қаражат жеткіліксіз. Картаңызға ақша салып, қайталап \
                     көріңіз немесе басқа картамен төлеңіз. Қалдықты картаны шығарған банктен \
                     нақтылаңыз.",
                ru: "На карте недостаточно средств для оплаты. Пополните карту и попробуйте снова \
                     или оплатите другой картой. Остаток уточните в банке, выпустившем карту.",
                en: "There are not enough funds on the card for this payment. Please top up the \
                     card and try again, or pay with another card. The bank that issued the card \
                     can tell you the balance.",
            },
            IncorrectCardData => Texts {
                kk: "Карта деректері қате енгізілген. Карта нөмірін, мерзімін және CVV/CVC кодын \
                     тексеріп, қайталап көріңіз немесе басқа картамен төлеңіз. Деректер дұрыс \
                     болса, картаны шығарған банкке хабарласыңыз.",
                ru: "Данные карты введены неверно. Проверьте номер карты, срок действия и код \
                     CVV/CVC и попробуйте снова или оплатите другой картой. Если данные верны, \
                     обратитесь в банк, выпустивший карту.",
                en: "The card details were entered incorrectly. Please check the number, expiry \
                     date and CVV/CVC code and try again, or pay with another card. If they are \
                     right, contact the bank that issued the card.",
            },
            ExpiredCard => Texts {
                kk: "Картаның жарамдылық мерзімі өтіп кеткен немесе қате енгізілген. Мерзімді \
                     тексеріңіз немесе басқа картамен төлеңіз. Картаны ауыстыру үшін оны шығарған \
                     банкке хабарласыңыз.",
                ru: "Срок действия карты истёк или введён неверно. Проверьте срок или оплатите \
                     другой картой. Чтобы заменить карту, обратитесь в банк, который её выпустил.",
                en: "The card has expired, or its expiry date was entered incorrectly. Please check \
                     the date or pay with another card. To replace the card, contact the bank that \
                     issued it.",
            },
            CardRestricted | FraudSuspected => Texts {
                kk: "Банк осы картамен төлеуді мақұлдамады. Картаны шығарған банкке хабарласыңыз \
                     немесе басқа картамен төлеңіз.",
                ru: "Банк отклонил платёж по этой карте. Обратитесь в банк, выпустивший карту, или \
                     оплатите другой картой.",
                en: "The bank declined the payment with this card. Please contact the bank that \
                     issued the card or pay with another card.",
            },
            LimitExceeded => Texts {
                kk: "Төлем сомасы немесе операциялар саны лимиттен асып кетті. Лимитті картаны \
                     шығарған банктен нақтылаңыз немесе басқа картамен төлеңіз.",
                ru: "Превышен лимит по сумме или числу операций. Уточните лимит в банке, \
                     выпустившем карту, или оплатите другой картой.",
                en: "A limit on the amount or number of payments has been exceeded. Please check \
                     the limit with the bank that issued the card or pay with another card.",
            },
            ThreeDsFailed => Texts {
                kk: "Төлемді 3-D Secure арқылы растау мүмкін болмады. Қайталап көріңіз. Тағы да \
                     расталмаса, картаны шығарған банкке хабарласыңыз немесе басқа картамен \
                     төлеңіз.",
                ru: "Не удалось подтвердить платёж через 3-D Secure. Попробуйте ещё раз. Если \
                     снова не получится, обратитесь в банк, выпустивший карту, или оплатите другой \
                     картой.",
                en: "The payment could not be confirmed with 3-D Secure. Please try again. If it \
                     fails again, contact the bank that issued the card or pay with another card.",
            },
            IssuerUnavailable => Texts {
                kk: "Картаны шығарған банк қазір жауап бермей тұр. Кейінірек қайталап көріңіз \
                     немесе басқа картамен төлеңіз. Тағы да жауап болмаса, сол банкке хабарласыңыз.",
                ru: "Банк, выпустивший карту, сейчас не отвечает. Попробуйте позже или оплатите \
                     другой картой. Если не получится снова, обратитесь в этот банк.",
                en: "The bank that issued the card is not responding right now. Please try again \
                     later or pay with another card. If it fails again, contact that bank.",
            },
            ProcessingError => Texts {
                kk: "Техникалық қатеге байланысты төлем өтпеді. Кейінірек қайталап көріңіз. Қате \
                     қайталанса, қолдау қызметіне хабарласыңыз.",
                ru: "Платёж не прошёл из-за технической ошибки. Попробуйте позже. Если ошибка \
                     повторится, обратитесь в службу поддержки.",
                en: "The payment did not go through because of a technical error. Please try again \
                     later. If the error happens again, contact support.",
            },
            Other => Texts {
                kk: "Төлем өтпеді. Қолдау қызметіне хабарласыңыз немесе төлемді басқа картамен \
                     қайта бастаңыз.",
                ru: "Платёж не прошёл. Обратитесь в службу поддержки или начните оплату заново с \
                     другой картой.",
                en: "The payment did not go through. Please contact support or start the payment \
                     again with another card.",
            },
        }
    }
}

/// Codes whose payer must not read what their category says.
#[must_use]
pub(super) const fn of_code(code: i32) -> Option<Texts> {
    match code {
        // We refused the Check ourselves with 13: the bill is paid, or another tab is paying it. No word of another card.
        3008 => Some(Texts {
            kk: "Бұл шотты қазір төлеу мүмкін емес: ол төленген болуы мүмкін. Қайта төлемес бұрын \
                 сайттан төлем күйін тексеріңіз.",
            ru: "Этот счёт сейчас оплатить нельзя: возможно, он уже оплачен. Проверьте статус на \
                 сайте, прежде чем платить снова.",
            en: "This bill cannot be paid right now: it may already be paid. Check its status on \
                 the site before paying again.",
        }),
        _ => None,
    }
}
