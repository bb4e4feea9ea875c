//! A chunk whose content is written where it is sent from.

/// Appends what `write` writes as one chunk (RFC 9112 §7.1), without a detour: the size is put into
/// a gap of fixed width, since leading zeros are allowed in it. Nothing written is no chunk, since
/// an empty one would be the last.
pub fn write_chunk_in_place(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    const GAP: &[u8; 8] = b"000000\r\n";
    let start = out.len();
    out.extend_from_slice(GAP);
    let content = out.len();
    write(out);
    let size = out.len() - content;
    if size == 0 {
        return out.truncate(start);
    }
    if size < 1 << 24 {
        let mut left = size;
        for digit in out.iter_mut().skip(start).take(6).rev() {
            *digit = b"0123456789abcdef"[left & 15];
            left >>= 4;
        }
    } else {
        // More digits than the gap has: the content is moved, once.
        out.splice(start..content, format!("{size:x}\r\n").into_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_says_its_size_and_nothing_is_no_chunk() {
        for (content, want) in [
            ("", String::new()),
            ("x", "000001\r\nx\r\n".to_owned()),
            (
                &"x".repeat(300),
                format!("00012c\r\n{}\r\n", "x".repeat(300)),
            ),
        ] {
            let mut out = b"before".to_vec();
            write_chunk_in_place(&mut out, |out| out.extend_from_slice(content.as_bytes()));
            assert_eq!(String::from_utf8(out).unwrap(), format!("before{want}"));
        }
    }

    #[test]
    fn a_huge_chunk_has_a_size_with_more_digits() {
        let mut out = b"before".to_vec();
        write_chunk_in_place(&mut out, |out| out.resize(out.len() + (1 << 24), b'x'));
        assert!(out.starts_with(b"before1000000\r\nxx") && out.ends_with(b"xx\r\n"));
        assert_eq!(out.len(), 6 + 9 + (1 << 24) + 2);
    }
}
