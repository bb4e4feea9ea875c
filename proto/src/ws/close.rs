//! Close codes and the payload of a close frame (RFC 6455 §5.5.1, §7.4).

use super::Error;

/// The purpose is fulfilled.
pub const NORMAL: u16 = 1000;
/// The server goes down, or the page goes away.
pub const GOING_AWAY: u16 = 1001;
/// The peer broke the protocol.
pub const PROTOCOL_ERROR: u16 = 1002;
/// A kind of data that this end does not take.
pub const UNSUPPORTED_DATA: u16 = 1003;
/// Text that is not UTF-8.
pub const INVALID_PAYLOAD: u16 = 1007;
/// Against the rules of this end; the general code.
pub const POLICY_VIOLATION: u16 = 1008;
/// A message beyond the limit.
pub const TOO_BIG: u16 = 1009;
/// The server failed.
pub const INTERNAL_ERROR: u16 = 1011;
/// The server is over its limit or goes down; come back later (IANA registry).
pub const TRY_AGAIN_LATER: u16 = 1013;

/// The longest reason that a close frame has room for.
pub const REASON_LEN: usize = 123;

/// Whether a code may stand in a close frame.
///
/// Registered and meant for the wire: 1000 to 1003 and 1007 to 1014 (§7.4.1 and the IANA registry).
/// 1004 is reserved; 1005, 1006 and 1015 are for APIs only. §7.4.2: below 1000 is never used, the
/// rest up to 2999 is unassigned, 3000 to 4999 belongs to libraries and applications.
#[must_use]
pub const fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Reads the payload of a close frame: code and reason.
///
/// # Errors
///
/// A payload of one byte, a code that must not be sent, a reason that is not UTF-8.
pub fn parse(payload: &[u8]) -> Result<(Option<u16>, &str), Error> {
    match payload {
        [] => Ok((None, "")),
        [_] => Err(Error::CloseTruncated),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !is_sendable(code) {
                return Err(Error::CloseCode(code));
            }
            let reason = str::from_utf8(reason).map_err(|_| Error::InvalidUtf8)?;
            Ok((Some(code), reason))
        }
    }
}

/// The longest beginning of `reason` that fits a close frame without cutting a character.
#[must_use]
pub fn fitting(reason: &str) -> &str {
    let end = reason.floor_char_boundary(REASON_LEN);
    reason.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_codes_meant_for_the_wire_are_taken() {
        for code in 0..=u16::MAX {
            let wanted = match code {
                0..1000 => false,
                1004 | 1005 | 1006 | 1015 => false,
                1000..1015 => true,
                _ => (3000..5000).contains(&code),
            };
            assert_eq!(is_sendable(code), wanted, "{code}");
            let result = parse(&code.to_be_bytes()).map(|(code, _)| code);
            let expected = if wanted {
                Ok(Some(code))
            } else {
                Err(Error::CloseCode(code))
            };
            assert_eq!(result, expected);
        }
    }

    #[test]
    fn a_payload_is_empty_or_a_code_and_a_reason() {
        for (payload, want) in [
            (&b""[..], Ok((None, ""))),
            (b"\x03", Err(Error::CloseTruncated)),
            (b"\x03\xe8", Ok((Some(1000), ""))),
            (b"\x03\xe8bye", Ok((Some(1000), "bye"))),
            (b"\x0f\xa1\xc3\xa9", Ok((Some(4001), "é"))),
            (b"\x03\xe8\xff", Err(Error::InvalidUtf8)),
            (b"\x03\xe8\xc3", Err(Error::InvalidUtf8)),
            (b"\x03\xed", Err(Error::CloseCode(1005))),
        ] {
            assert_eq!(parse(payload), want, "{payload:?}");
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(fitting("short"), "short");
        assert_eq!(fitting(&"x".repeat(200)).len(), 123);
        // 61 characters of two bytes are 122; the 62nd would end at 124.
        assert_eq!(fitting(&"é".repeat(100)), "é".repeat(61));
    }
}
