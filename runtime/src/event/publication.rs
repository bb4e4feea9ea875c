//! A publication: its data as a channel holds it, and what belongs to it beside that.

use serde::de::IgnoredAny;

use super::write_json_string;

/// Who a client is, as other clients see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// The user's id; empty for an anonymous client.
    pub user: Box<str>,
    /// The connection's id.
    pub client: Box<str>,
    /// JSON about the connection.
    pub connection_info: Option<Box<[u8]>>,
    /// JSON about the client's subscription of the channel concerned.
    pub channel_info: Option<Box<[u8]>>,
}

impl ClientInfo {
    /// Bytes that it holds beside its own size.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let optional = |bytes: &Option<Box<[u8]>>| bytes.as_ref().map_or(0, |it| it.len());
        self.user.len()
            + self.client.len()
            + optional(&self.connection_info)
            + optional(&self.channel_info)
    }
}

/// What belongs to a publication beside its data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// The client that published it; none for a publication of a server.
    pub publisher: Option<ClientInfo>,
    /// Words that subscribers may filter by, each with its value.
    pub tags: Vec<(Box<str>, Box<str>)>,
    /// Did the publisher ask that it be sent as the difference from its predecessor?
    pub as_delta: bool,
    /// What was published, where that is not JSON. The event's JSON is then a string of it, for
    /// those who read JSON.
    pub binary: Option<Box<[u8]>>,
}

impl Details {
    /// Bytes that they hold, their own size included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let publisher = self.publisher.as_ref().map_or(0, ClientInfo::heap_bytes);
        let tags = self
            .tags
            .iter()
            .map(|(key, value)| key.len() + value.len() + size_of::<(Box<str>, Box<str>)>());
        let binary = self.binary.as_ref().map_or(0, |it| it.len());
        size_of::<Self>() + publisher + tags.sum::<usize>() + binary
    }
}

/// The data of a publication as a channel holds it: one JSON document in one line, and the bytes
/// as they are where they are no JSON.
///
/// Of bytes that are no JSON the document is a string: the text, with U+FFFD for what is not
/// UTF-8.
#[must_use]
pub fn payload(bytes: &[u8]) -> (Box<[u8]>, Option<Box<[u8]>>) {
    // What is passed over in bytes is not looked at, and may be no UTF-8.
    let text = std::str::from_utf8(bytes).ok();
    if text.is_some_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok()) {
        return (one_line(bytes), None);
    }
    let mut json = Vec::new();
    write_json_string(&String::from_utf8_lossy(bytes), &mut json);
    (json.into(), Some(bytes.into()))
}

/// A JSON document without line breaks. Valid JSON has none within its strings (RFC 8259 §7), so
/// all of them stand between tokens and mean nothing.
#[must_use]
pub fn one_line(json: &[u8]) -> Box<[u8]> {
    let breaks = |byte: &u8| matches!(byte, b'\n' | b'\r');
    if !json.iter().any(breaks) {
        return json.into();
    }
    let kept = json.iter().filter(|byte| !breaks(byte));
    kept.copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_kept_in_one_line_and_anything_else_becomes_a_string() {
        for (bytes, json, is_binary) in [
            (&b"{\"a\":\n1}"[..], &b"{\"a\":1}"[..], false),
            (b"\"x\"\r\n", b"\"x\"", false),
            (b"null", b"null", false),
            (b"boom", b"\"boom\"", true),
            (b"a\nb", b"\"a\\nb\"", true),
            (b"", b"\"\"", true),
            (b"{} {}", b"\"{} {}\"", true),
            (b"\xff", "\"\u{fffd}\"".as_bytes(), true),
            (b"\"\xff\"", "\"\\\"\u{fffd}\\\"\"".as_bytes(), true),
        ] {
            let (got, binary) = payload(bytes);
            assert_eq!(&*got, json);
            assert_eq!(binary.as_deref(), is_binary.then_some(bytes));
        }
    }
}
