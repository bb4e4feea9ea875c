//! JSON as bytes that are carried on and not looked into.

use lmserver_runtime::event::one_line;
use serde_json::value::RawValue;

/// Whether a JSON text can only be an object. A struct would be read from an array too.
pub(crate) fn is_object(json: &[u8]) -> bool {
    json.trim_ascii_start().starts_with(b"{")
}

/// One document in one line; none if the bytes are no JSON.
pub(crate) fn document(bytes: &[u8]) -> Option<Box<[u8]>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let value: &RawValue = serde_json::from_str(text).ok()?;
    Some(one_line(value.get().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_json_in_one_line() {
        for (bytes, want) in [
            (&b"{\"a\":1}"[..], Some(&b"{\"a\":1}"[..])),
            (b" {\r\n\"a\": 1\n} ", Some(b"{\"a\": 1}")),
            (b"\"a\\nb\"", Some(b"\"a\\nb\"")),
            (b"", None),
            (b"{", None),
            (b"1 2", None),
            (b"\"\xff\"", None),
            (b"binary", None),
        ] {
            assert_eq!(document(bytes).as_deref(), want, "{bytes:?}");
        }
    }
}
