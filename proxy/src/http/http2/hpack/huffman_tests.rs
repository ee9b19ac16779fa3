use super::*;
use proptest::prelude::*;
use std::sync::LazyLock;

/// Code and length of each symbol, counted from the lengths in the plainest way.
static CODES: LazyLock<Vec<(u64, u32)>> = LazyLock::new(|| {
    let mut order: Vec<usize> = (0..257).collect();
    order.sort_by_key(|symbol| (LENGTHS[*symbol], *symbol));
    let mut codes = vec![(0, 0); 257];
    let (mut code, mut last) = (0u64, LENGTHS[order[0]]);
    for symbol in order {
        code <<= LENGTHS[symbol] - last;
        last = LENGTHS[symbol];
        codes[symbol] = (code, u32::from(last));
        code += 1;
    }
    codes
});

/// The bits of some symbols, and `padding` up to the octet's end.
fn bits(symbols: &[usize], padding: char) -> Vec<u8> {
    let mut bits = String::new();
    for symbol in symbols {
        let (code, length) = CODES[*symbol];
        bits += &format!("{code:0width$b}", width = length as usize);
    }
    while !bits.len().is_multiple_of(8) {
        bits.push(padding);
    }
    bits.as_bytes()
        .chunks(8)
        .map(|octet| u8::from_str_radix(std::str::from_utf8(octet).unwrap(), 2).unwrap())
        .collect()
}

/// A string in Huffman's code.
pub(in super::super) fn encode(text: &[u8]) -> Vec<u8> {
    bits(&text.iter().map(|byte| usize::from(*byte)).collect::<Vec<_>>(), '1')
}

fn decoded(text: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = BytesMut::from(&b"kept"[..]);
    decode(text, &mut out)?;
    assert_eq!(&out[..4], b"kept");
    Ok(out[4..].to_vec())
}

#[test]
fn the_codes_are_those_of_the_rfc() {
    for (symbol, expected) in [
        (0, (0x1ff8, 13)),
        (usize::from(b'0'), (0, 5)),
        (usize::from(b'?'), (0x3fc, 10)),
        (usize::from(b'~'), (0x1ffd, 13)),
        (92, (0x7fff0, 19)),
        (249, (0xffffffe, 28)),
        (255, (0x3ffffee, 26)),
        (256, (0x3fffffff, 30)),
    ] {
        assert_eq!(CODES[symbol], expected, "{symbol}");
    }
}

#[test]
fn every_symbol_is_read_alone_and_between_others() {
    for byte in 0..=255u8 {
        assert_eq!(decoded(&encode(&[byte])).unwrap(), [byte]);
        let text = [b'a', byte, byte, b'?', byte, b'0', b'0', byte];
        assert_eq!(decoded(&encode(&text)).unwrap(), text);
    }
}

#[test]
fn an_empty_string_is_read() {
    assert_eq!(decoded(b"").unwrap(), b"");
}

#[test]
fn padding_of_zeroes_is_refused() {
    assert_eq!(decoded(&bits(&[usize::from(b'a')], '0')), Err(Error::Huffman));
    assert_eq!(decoded(&[0b0001_1110]), Err(Error::Huffman));
}

#[test]
fn padding_of_a_whole_octet_is_refused() {
    for octets in 1..10 {
        assert_eq!(decoded(&vec![0xff; octets]), Err(Error::Huffman), "{octets}");
        let mut text = encode(b"www.example.com");
        text.extend(vec![0xff; octets]);
        assert_eq!(decoded(&text), Err(Error::Huffman), "{octets}");
    }
}

#[test]
fn eos_within_a_string_is_refused() {
    let a = usize::from(b'a');
    for symbols in [&[256][..], &[a, 256], &[256, a], &[a, a, 256, a, a, a, a, a, a, a, a, a, a, a]] {
        assert_eq!(decoded(&bits(symbols, '1')), Err(Error::Huffman), "{symbols:?}");
    }
}

#[test]
fn a_cut_code_is_refused() {
    let text = encode(&[10]); // 30 bits
    for end in 1..text.len() {
        assert_eq!(decoded(&text[..end]), Err(Error::Huffman), "{end}");
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(text in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(decoded(&encode(&text)).unwrap(), text);
    }

    #[test]
    fn plain_text_is_decoded(text in "[ -~]{0,300}") {
        prop_assert_eq!(decoded(&encode(text.as_bytes())).unwrap(), text.as_bytes());
    }

    #[test]
    fn what_is_decoded_from_any_octets_encodes_to_them_again(text in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(plain) = decoded(&text) {
            prop_assert_eq!(encode(&plain), text);
        }
    }
}
