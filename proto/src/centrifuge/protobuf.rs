//! Reading the fields of a Protobuf message in place.
//!
//! The varints and keys are prost's; its messages are not used, because they own what they hold and
//! grow maps and lists as the peer likes.

use std::borrow::Cow;

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::decode::DecodeError;

/// The fields of a message, in the order of the wire. Fused behind an error.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

/// The number and the value of a field.
pub(super) struct Field<'a> {
    pub(super) number: u32,
    value: Value<'a>,
}

enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Fixed width or a group: no field of this protocol has these.
    Skipped,
}

impl<'a> Fields<'a> {
    /// The fields of `message`.
    pub(super) const fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn read(&mut self) -> Result<Field<'a>, DecodeError> {
        let (number, wire_type) = decode_key(&mut self.rest)?;
        let value = match wire_type {
            WireType::Varint => Value::Varint(decode_varint(&mut self.rest)?),
            WireType::LengthDelimited => Value::Bytes(delimited(&mut self.rest)?),
            other => {
                skip_field(other, number, &mut self.rest, DecodeContext::default())?;
                Value::Skipped
            }
        };
        Ok(Field { number, value })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

impl<'a> Field<'a> {
    /// The value of a `uint64`.
    pub(super) const fn u64(&self) -> Result<u64, DecodeError> {
        match self.value {
            Value::Varint(value) => Ok(value),
            Value::Bytes(_) | Value::Skipped => Err(DecodeError::FieldType(self.number)),
        }
    }

    /// The value of a `uint32`. What does not fit loses its upper bits, as Protobuf has it.
    #[expect(clippy::cast_possible_truncation, reason = "as the encoding says")]
    pub(super) fn u32(&self) -> Result<u32, DecodeError> {
        self.u64().map(|value| value as u32)
    }

    /// The value of an `int64`.
    pub(super) fn i64(&self) -> Result<i64, DecodeError> {
        self.u64().map(u64::cast_signed)
    }

    /// The value of an `int32`. What does not fit loses its upper bits, as Protobuf has it.
    pub(super) fn i32(&self) -> Result<i32, DecodeError> {
        self.u32().map(u32::cast_signed)
    }

    /// The value of a `bool`.
    pub(super) fn flag(&self) -> Result<bool, DecodeError> {
        self.u64().map(|value| value != 0)
    }

    /// The value of a `bytes`, or a message that is to be read.
    pub(super) const fn bytes(&self) -> Result<&'a [u8], DecodeError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            Value::Varint(_) | Value::Skipped => Err(DecodeError::FieldType(self.number)),
        }
    }

    /// The value of a `string`.
    pub(super) fn text(&self) -> Result<Cow<'a, str>, DecodeError> {
        let text = str::from_utf8(self.bytes()?).map_err(|_| DecodeError::Utf8(self.number))?;
        Ok(Cow::Borrowed(text))
    }

    /// The fields of a message within.
    pub(super) fn fields(&self) -> Result<Fields<'a>, DecodeError> {
        self.bytes().map(Fields::of)
    }
}

/// Takes a length and as many bytes.
pub(super) fn delimited<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let announced = decode_varint(rest)?;
    let split = usize::try_from(announced)
        .ok()
        .and_then(|len| rest.split_at_checked(len));
    let Some((taken, behind)) = split else {
        return Err(DecodeError::Truncated {
            announced,
            left: rest.len(),
        });
    };
    *rest = behind;
    Ok(taken)
}
