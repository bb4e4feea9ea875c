//! Appending messages to a vector, in either encoding.
//!
//! A message says its fields once, in the order of their numbers, to a [`Writer`]. What is zero or
//! empty is left out in both encodings, except by the methods that say otherwise.

use std::borrow::Cow;

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use serde::Serialize;

/// What a field goes by: its number in Protobuf and its key in JSON.
pub(super) struct Field(pub(super) u32, pub(super) &'static str);

/// Where a message began, for [`Writer::close`].
#[must_use]
#[derive(Debug)]
pub(super) struct Mark(usize);

/// Writes the fields of a message that was opened.
pub(super) trait Writer {
    /// Opens a message that stands alone.
    fn begin(&mut self) -> Mark;
    /// Opens a message within the open one. It is there even if nothing is put into it.
    fn open(&mut self, field: &Field) -> Mark;
    /// Opens a list of messages.
    fn open_list(&mut self, field: &Field);
    /// Opens the next message of a list.
    fn open_item(&mut self, field: &Field) -> Mark;
    /// Closes what was opened last and is still open: a message.
    fn close(&mut self, mark: Mark);
    /// Closes a list.
    fn close_list(&mut self);
    /// Opens a map.
    fn open_map(&mut self, field: &Field);
    /// Writes an entry whose value is a message.
    fn entry(&mut self, field: &Field, key: &str, value: impl FnOnce(&mut Self));
    /// Writes an entry whose value is a string.
    fn text_entry(&mut self, field: &Field, key: &str, value: &str);
    /// Closes a map.
    fn close_map(&mut self);

    /// Writes a string.
    fn text(&mut self, field: &Field, value: &str);
    /// Writes a string; in JSON also an empty one.
    fn always_text(&mut self, field: &Field, value: &str);
    /// Writes a number.
    fn number(&mut self, field: &Field, value: u64);
    /// Writes a number; in JSON also 0.
    fn always_number(&mut self, field: &Field, value: u64);
    /// Writes a number that may be negative.
    fn integer(&mut self, field: &Field, value: i64);
    /// Writes `true`.
    fn flag(&mut self, field: &Field, value: bool);
    /// Writes a payload as it is.
    fn payload(&mut self, field: &Field, value: &[u8]);
    /// Writes a payload; in JSON as a string.
    fn quoted(&mut self, field: &Field, value: &[u8]);

    /// Writes a message within the open one.
    fn message(&mut self, field: &Field, body: impl FnOnce(&mut Self)) {
        let mark = self.open(field);
        body(self);
        self.close(mark);
    }

    /// Writes the next message of a list.
    fn item(&mut self, field: &Field, body: impl FnOnce(&mut Self)) {
        let mark = self.open_item(field);
        body(self);
        self.close(mark);
    }

    /// Writes what tells how long something lasts: `expires` and `ttl`.
    fn expiry(&mut self, expires: &Field, ttl: &Field, seconds: Option<u32>) {
        self.flag(expires, seconds.is_some());
        self.number(ttl, seconds.unwrap_or_default().into());
    }
}

/// Writes objects without line breaks.
pub(super) struct Json<'o>(pub(super) &'o mut Vec<u8>);

impl Json<'_> {
    /// Anything that is not the first within braces has a comma in front. A value never ends with
    /// an opening bracket outside of a string.
    fn comma(&mut self) {
        if !matches!(self.0.last(), Some(b'{' | b'[')) {
            self.0.push(b',');
        }
    }

    fn key(&mut self, field: &Field) {
        self.comma();
        self.0.push(b'"');
        self.0.extend_from_slice(field.1.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn value(&mut self, value: &(impl Serialize + ?Sized)) {
        let written = serde_json::to_writer(&mut *self.0, value);
        debug_assert!(written.is_ok(), "a vector takes every string and number");
    }
}

impl Writer for Json<'_> {
    fn begin(&mut self) -> Mark {
        self.0.push(b'{');
        Mark(self.0.len())
    }

    fn open(&mut self, field: &Field) -> Mark {
        self.key(field);
        self.begin()
    }

    fn open_list(&mut self, field: &Field) {
        self.key(field);
        self.0.push(b'[');
    }

    fn open_item(&mut self, _: &Field) -> Mark {
        self.comma();
        self.begin()
    }

    fn close(&mut self, _: Mark) {
        self.0.push(b'}');
    }

    fn close_list(&mut self) {
        self.0.push(b']');
    }

    fn open_map(&mut self, field: &Field) {
        self.key(field);
        self.0.push(b'{');
    }

    fn entry(&mut self, _: &Field, key: &str, value: impl FnOnce(&mut Self)) {
        self.comma();
        self.value(key);
        self.0.push(b':');
        let mark = self.begin();
        value(self);
        self.close(mark);
    }

    fn text_entry(&mut self, _: &Field, key: &str, value: &str) {
        self.comma();
        self.value(key);
        self.0.push(b':');
        self.value(value);
    }

    fn close_map(&mut self) {
        self.0.push(b'}');
    }

    fn text(&mut self, field: &Field, value: &str) {
        if !value.is_empty() {
            self.always_text(field, value);
        }
    }

    fn always_text(&mut self, field: &Field, value: &str) {
        self.key(field);
        self.value(value);
    }

    fn number(&mut self, field: &Field, value: u64) {
        if value != 0 {
            self.always_number(field, value);
        }
    }

    fn always_number(&mut self, field: &Field, value: u64) {
        self.key(field);
        self.value(&value);
    }

    fn integer(&mut self, field: &Field, value: i64) {
        if value != 0 {
            self.key(field);
            self.value(&value);
        }
    }

    fn flag(&mut self, field: &Field, value: bool) {
        if value {
            self.key(field);
            self.0.extend_from_slice(b"true");
        }
    }

    fn payload(&mut self, field: &Field, value: &[u8]) {
        if !value.is_empty() {
            self.key(field);
            self.0.extend_from_slice(value);
        }
    }

    fn quoted(&mut self, field: &Field, value: &[u8]) {
        self.key(field);
        match String::from_utf8_lossy(value) {
            Cow::Borrowed(text) => self.value(text),
            Cow::Owned(text) => self.value(&text),
        }
    }
}

/// Writes messages with their length in front.
///
/// The length of a message is known at its end: one byte is kept for it, which is enough for most,
/// and a longer message is moved to make room.
pub(super) struct Protobuf<'o>(pub(super) &'o mut Vec<u8>);

impl Protobuf<'_> {
    fn key(&mut self, field: &Field, wire_type: WireType) {
        encode_key(field.0, wire_type, self.0);
    }

    fn varint(&mut self, field: &Field, value: u64) {
        if value != 0 {
            self.key(field, WireType::Varint);
            encode_varint(value, self.0);
        }
    }

    fn bytes(&mut self, field: &Field, value: &[u8]) {
        if !value.is_empty() {
            self.key(field, WireType::LengthDelimited);
            encode_varint(value.len() as u64, self.0);
            self.0.extend_from_slice(value);
        }
    }
}

impl Writer for Protobuf<'_> {
    fn begin(&mut self) -> Mark {
        self.0.push(0);
        Mark(self.0.len())
    }

    fn open(&mut self, field: &Field) -> Mark {
        self.key(field, WireType::LengthDelimited);
        self.begin()
    }

    fn open_list(&mut self, _: &Field) {}

    fn open_item(&mut self, field: &Field) -> Mark {
        self.open(field)
    }

    fn close(&mut self, Mark(start): Mark) {
        let end = self.0.len();
        let len = (end - start) as u64;
        let width = encoded_len_varint(len);
        if width > 1 {
            self.0.resize(end + width - 1, 0);
            self.0.copy_within(start..end, start + width - 1);
        }
        if let Some(mut prefix) = self.0.get_mut(start - 1..start - 1 + width) {
            encode_varint(len, &mut prefix);
        }
    }

    fn close_list(&mut self) {}

    fn open_map(&mut self, _: &Field) {}

    fn entry(&mut self, field: &Field, key: &str, value: impl FnOnce(&mut Self)) {
        self.message(field, |entry| {
            entry.text(&ENTRY_KEY, key);
            entry.message(&ENTRY_VALUE, value);
        });
    }

    fn text_entry(&mut self, field: &Field, key: &str, value: &str) {
        self.message(field, |entry| {
            entry.text(&ENTRY_KEY, key);
            entry.text(&ENTRY_VALUE, value);
        });
    }

    fn close_map(&mut self) {}

    fn text(&mut self, field: &Field, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    fn always_text(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn number(&mut self, field: &Field, value: u64) {
        self.varint(field, value);
    }

    fn always_number(&mut self, field: &Field, value: u64) {
        self.varint(field, value);
    }

    fn integer(&mut self, field: &Field, value: i64) {
        self.varint(field, value.cast_unsigned());
    }

    fn flag(&mut self, field: &Field, value: bool) {
        self.varint(field, value.into());
    }

    fn payload(&mut self, field: &Field, value: &[u8]) {
        self.bytes(field, value);
    }

    fn quoted(&mut self, field: &Field, value: &[u8]) {
        self.bytes(field, value);
    }
}

const ENTRY_KEY: Field = Field(1, "key");
const ENTRY_VALUE: Field = Field(2, "value");
