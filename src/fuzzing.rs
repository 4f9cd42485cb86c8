//! What `scripts/fuzz` and the tests feed with bytes that nobody meant well: each target reads them as the service would and
//! says, by panicking, where a promise does not hold. Only built for tests and with the feature `fuzzing`.

mod domain;
#[cfg(test)]
mod replay;

use crate::{cloudpayments, http};

/// One thing that reads bytes from outside.
pub struct Target {
    /// Its name; also that of the folder with its seeds.
    pub name: &'static str,
    /// Feeds it.
    pub run: fn(&[u8]),
}

/// Everything that reads bytes from outside.
pub const TARGETS: &[Target] = &[
    Target { name: "notification", run: cloudpayments::fuzzing::notification },
    Target { name: "signature", run: cloudpayments::fuzzing::signature },
    Target { name: "answer", run: cloudpayments::fuzzing::answer },
    Target { name: "request_body", run: http::fuzzing::request_body },
    Target { name: "bank_form", run: http::fuzzing::bank_form },
    Target { name: "query", run: http::fuzzing::query },
    Target { name: "cursor", run: http::fuzzing::cursor },
    Target { name: "header", run: http::fuzzing::header },
    Target { name: "card_data", run: domain::card_data },
    Target { name: "money", run: domain::money },
    Target { name: "names", run: domain::names },
];

/// The first byte, which chooses among the ways to read the rest; 0 when there is none.
pub(crate) fn choice(data: &[u8]) -> (u8, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (*first, rest))
}

pub(crate) mod reference {
    //! The same things once more, written from their standards: what is compared with must not share a mistake.

    /// FIPS 180-4: the first 32 bits of the fractions of the cube roots of the first 64 primes.
    const ROUND: [u32; 64] = [
        0x428a_2f98,
        0x7137_4491,
        0xb5c0_fbcf,
        0xe9b5_dba5,
        0x3956_c25b,
        0x59f1_11f1,
        0x923f_82a4,
        0xab1c_5ed5,
        0xd807_aa98,
        0x1283_5b01,
        0x2431_85be,
        0x550c_7dc3,
        0x72be_5d74,
        0x80de_b1fe,
        0x9bdc_06a7,
        0xc19b_f174,
        0xe49b_69c1,
        0xefbe_4786,
        0x0fc1_9dc6,
        0x240c_a1cc,
        0x2de9_2c6f,
        0x4a74_84aa,
        0x5cb0_a9dc,
        0x76f9_88da,
        0x983e_5152,
        0xa831_c66d,
        0xb003_27c8,
        0xbf59_7fc7,
        0xc6e0_0bf3,
        0xd5a7_9147,
        0x06ca_6351,
        0x1429_2967,
        0x27b7_0a85,
        0x2e1b_2138,
        0x4d2c_6dfc,
        0x5338_0d13,
        0x650a_7354,
        0x766a_0abb,
        0x81c2_c92e,
        0x9272_2c85,
        0xa2bf_e8a1,
        0xa81a_664b,
        0xc24b_8b70,
        0xc76c_51a3,
        0xd192_e819,
        0xd699_0624,
        0xf40e_3585,
        0x106a_a070,
        0x19a4_c116,
        0x1e37_6c08,
        0x2748_774c,
        0x34b0_bcb5,
        0x391c_0cb3,
        0x4ed8_aa4a,
        0x5b9c_ca4f,
        0x682e_6ff3,
        0x748f_82ee,
        0x78a5_636f,
        0x84c8_7814,
        0x8cc7_0208,
        0x90be_fffa,
        0xa450_6ceb,
        0xbef9_a3f7,
        0xc671_78f2,
    ];

    /// SHA-256 (FIPS 180-4).
    #[expect(clippy::indexing_slicing, reason = "the standard's own notation; every index is below its bound")]
    pub fn sha256(message: &[u8]) -> [u8; 32] {
        let mut state: [u32; 8] =
            [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
        let bits = u64::try_from(message.len()).unwrap_or(u64::MAX).wrapping_mul(8);
        let mut padded = message.to_vec();
        padded.push(0x80);
        while padded.len() % 64 != 56 {
            padded.push(0);
        }
        padded.extend_from_slice(&bits.to_be_bytes());
        for block in padded.chunks_exact(64) {
            let mut w = [0_u32; 64];
            for (index, word) in block.chunks_exact(4).enumerate() {
                w[index] = word.iter().fold(0, |word, byte| (word << 8) | u32::from(*byte));
            }
            for t in 16..64 {
                let s0 = w[t - 15].rotate_right(7) ^ w[t - 15].rotate_right(18) ^ (w[t - 15] >> 3);
                let s1 = w[t - 2].rotate_right(17) ^ w[t - 2].rotate_right(19) ^ (w[t - 2] >> 10);
                w[t] = w[t - 16].wrapping_add(s0).wrapping_add(w[t - 7]).wrapping_add(s1);
            }
            let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
            for t in 0..64 {
                let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
                let one = h.wrapping_add(s1).wrapping_add((e & f) ^ (!e & g)).wrapping_add(ROUND[t]).wrapping_add(w[t]);
                let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
                let two = s0.wrapping_add((a & b) ^ (a & c) ^ (b & c));
                (h, g, f, e, d, c, b, a) = (g, f, e, d.wrapping_add(one), c, b, a, one.wrapping_add(two));
            }
            for (word, add) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
                *word = word.wrapping_add(add);
            }
        }
        let mut digest = [0; 32];
        for (target, byte) in digest.iter_mut().zip(state.iter().flat_map(|word| word.to_be_bytes())) {
            *target = byte;
        }
        digest
    }

    /// HMAC (RFC 2104) with SHA-256.
    pub fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
        let mut block = if key.len() > 64 { sha256(key).to_vec() } else { key.to_vec() };
        block.resize(64, 0);
        let padded = |pad: u8, tail: &[u8]| -> Vec<u8> {
            block.iter().map(|byte| byte ^ pad).chain(tail.iter().copied()).collect()
        };
        sha256(&padded(0x5c, &sha256(&padded(0x36, message))))
    }

    /// Standard base64 with padding (RFC 4648).
    pub fn base64(bytes: &[u8]) -> String {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let letter = |bits: u32| {
            let index = usize::try_from(bits & 63).unwrap_or_default();
            char::from(LETTERS.get(index).copied().unwrap_or_default())
        };
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let bits = (0..3).fold(0, |bits, index| (bits << 8) | u32::from(chunk.get(index).copied().unwrap_or(0)));
            text.extend([letter(bits >> 18), letter(bits >> 12)]);
            text.push(if chunk.len() > 1 { letter(bits >> 6) } else { '=' });
            text.push(if chunk.len() > 2 { letter(bits) } else { '=' });
        }
        text
    }

    /// A form decoded as a whole: `+` is a blank, `%xx` a byte.
    pub fn form_decoded(form: &[u8]) -> Vec<u8> {
        let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
        let mut decoded = Vec::new();
        let mut at = 0;
        while let Some(byte) = form.get(at) {
            at += 1;
            match (byte, digit(form.get(at)), digit(form.get(at + 1))) {
                (b'%', Some(high), Some(low)) => {
                    decoded.push(u8::try_from(high * 16 + low).unwrap_or_default());
                    at += 2;
                }
                (b'+', _, _) => decoded.push(b' '),
                (other, _, _) => decoded.push(*other),
            }
        }
        decoded
    }

    #[cfg(test)]
    #[test]
    fn agrees_with_the_examples_of_the_standards() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(&sha256(b"abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(
            hex(&hmac(b"Jefe", b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!((base64(b"f"), base64(b"fo"), base64(b"foo")), ("Zg==".into(), "Zm8=".into(), "Zm9v".into()));
    }
}
