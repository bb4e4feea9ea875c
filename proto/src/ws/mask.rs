//! Masking (RFC 6455 §5.3): each payload byte is combined with one of the four bytes of the key.

/// Masks or unmasks `data` in place and returns the key for the bytes that follow it.
///
/// The key is rotated by the length of `data`, so a payload that comes in pieces is unmasked piece
/// by piece without counting where one is.
#[must_use = "the next piece of the payload needs the rotated key"]
pub fn apply(key: [u8; 4], data: &mut [u8]) -> [u8; 4] {
    let [a, b, c, d] = key;
    // In memory order, whatever the byte order of the machine: only the exclusive or is done wide.
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = data.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= key;
    }
    match rest.len() % 4 {
        0 => key,
        1 => [b, c, d, a],
        2 => [c, d, a, b],
        _ => [d, a, b, c],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offset_and_length_agrees_with_the_definition() {
        let key = [0x11, 0x80, 0xff, 0x03];
        let plain: Vec<u8> = (0..=255).cycle().take(300).collect();
        let masked: Vec<u8> = plain
            .iter()
            .enumerate()
            .map(|(index, byte)| byte ^ key[index % 4])
            .collect();
        for start in 0..17 {
            for len in 0..64 {
                let mut data = plain.clone();
                let next = apply(key, &mut data[..start]);
                let next = apply(next, &mut data[start..start + len]);
                let _ = apply(next, &mut data[start + len..]);
                assert_eq!(data, masked, "cut at {start} and {}", start + len);
            }
        }
    }

    #[test]
    fn masking_twice_gives_the_plain_bytes_back() {
        let mut data = *b"The quick brown fox jumps";
        let _ = apply([9, 8, 7, 6], &mut data);
        assert_ne!(&data, b"The quick brown fox jumps");
        let _ = apply([9, 8, 7, 6], &mut data);
        assert_eq!(&data, b"The quick brown fox jumps");
    }
}
