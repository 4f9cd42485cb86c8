//! What counts as a digit: everything that Unicode gives a value from 0 to 9, in whatever script or dress.

/// The digit zero of every script that counts by ten with ten digits in a row (Unicode category Nd), in order.
pub(super) const ZEROS: &[u32] = &[
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0,
    0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620,
    0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30, 0x10d40, 0x11066, 0x110f0, 0x11136,
    0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x116d0, 0x116da, 0x11730, 0x118e0, 0x11950, 0x11bf0,
    0x11c50, 0x11d50, 0x11da0, 0x11f50, 0x16130, 0x16a60, 0x16ac0, 0x16b50, 0x1ccf0, 0x1d7ce, 0x1d7d8, 0x1d7e2,
    0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e4f0, 0x1e5f1, 0x1e950, 0x1fbf0,
];

/// Other digits (property `Numeric_Type=Digit`): raised, lowered, in circles, in brackets, with a point or a comma. The
/// first of a row, how many follow one another, and the value of the first.
pub(super) const DRESSED: &[(u32, u32, u32)] = &[
    (0xb2, 2, 2),
    (0xb9, 1, 1),
    (0x1369, 9, 1),
    (0x19da, 1, 1),
    (0x2070, 1, 0),
    (0x2074, 6, 4),
    (0x2080, 10, 0),
    (0x2460, 9, 1),
    (0x2474, 9, 1),
    (0x2488, 9, 1),
    (0x24ea, 1, 0),
    (0x24f5, 9, 1),
    (0x24ff, 1, 0),
    (0x2776, 9, 1),
    (0x2780, 9, 1),
    (0x278a, 9, 1),
    (0x10a40, 4, 1),
    (0x10e60, 9, 1),
    (0x11052, 9, 1),
    (0x1f100, 1, 0),
    (0x1f101, 10, 0),
];

/// The value of a digit.
pub(super) fn digit_value(character: char) -> Option<u8> {
    if character.is_ascii() {
        return character.to_digit(10).and_then(|digit| u8::try_from(digit).ok());
    }
    let code = u32::from(character);
    plain(code).or_else(|| dressed(code)).and_then(|value| u8::try_from(value).ok())
}

fn plain(code: u32) -> Option<u32> {
    let before = ZEROS.partition_point(|zero| *zero <= code).checked_sub(1)?;
    ZEROS.get(before).map(|zero| code - zero).filter(|value| *value <= 9)
}

fn dressed(code: u32) -> Option<u32> {
    let row = DRESSED.iter().find(|(first, count, _)| (*first..first + count).contains(&code));
    row.map(|(first, _, value)| code - first + value)
}
