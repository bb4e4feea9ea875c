//! How requests are read from Protobuf. A message that comes twice is one message: the later fields
//! replace the earlier ones, as the encoding says.

use std::borrow::Cow;

use super::{
    Call, ConnectRequest, Envelope, HEADERS, HistoryRequest, Message, Named, PublishRequest,
    Renewal, SUBSCRIPTIONS, StreamPosition, SubRefreshRequest, SubscribeRequest, TagsFilter,
};
use crate::centrifuge::Protocol;
use crate::centrifuge::decode::DecodeError;
use crate::centrifuge::protobuf::{Field, Fields};

/// A message that is read field by field.
trait Merge<'a>: Default {
    /// Takes one field over; one that is not known is skipped.
    fn field(&mut self, field: &Field<'a>) -> Result<(), DecodeError>;

    /// Takes all fields of `fields` over.
    fn merge(&mut self, fields: Fields<'a>) -> Result<(), DecodeError> {
        for field in fields {
            self.field(&field?)?;
        }
        Ok(())
    }
}

/// Takes over a message within another one.
fn message<'a, T: Merge<'a>>(slot: &mut Option<T>, field: &Field<'a>) -> Result<(), DecodeError> {
    slot.get_or_insert_default().merge(field.fields()?)
}

impl<'a> Envelope<'a> {
    /// Reads a command.
    pub(in crate::centrifuge) fn from_protobuf(message: &'a [u8]) -> Result<Self, DecodeError> {
        let mut envelope = Self::default();
        envelope.merge(Fields::of(message))?;
        Ok(envelope)
    }
}

impl<'a> Merge<'a> for Envelope<'a> {
    fn field(&mut self, field: &Field<'a>) -> Result<(), DecodeError> {
        match field.number {
            1 => self.id = field.u32()?,
            4 => message(&mut self.connect, field)?,
            5 => message(&mut self.subscribe, field)?,
            6 => message(&mut self.unsubscribe, field)?,
            7 => message(&mut self.publish, field)?,
            8 => message(&mut self.presence, field)?,
            9 => message(&mut self.presence_stats, field)?,
            10 => message(&mut self.history, field)?,
            12 => message(&mut self.send, field)?,
            13 => message(&mut self.rpc, field)?,
            14 => message(&mut self.refresh, field)?,
            15 => message(&mut self.sub_refresh, field)?,
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Merge<'a> for ConnectRequest<'a> {
    fn field(&mut self, field: &Field<'a>) -> Result<(), DecodeError> {
        match field.number {
            1 => self.token = field.text()?,
            2 => self.data = field.bytes()?,
            3 => {
                let subscription: Entry<'a, SubscribeRequest<'a>> = entry(field)?;
                bounded(self.subs.len(), SUBSCRIPTIONS, "subscriptions")?;
                self.subs.push((subscription.key, subscription.value));
            }
            4 => self.name = field.text()?,
            5 => self.version = field.text()?,
            6 => {
                let header: Entry<'a, Cow<'a, str>> = entry(field)?;
                bounded(self.headers.len(), HEADERS, "headers")?;
                self.headers.push((header.key, header.value));
            }
            7 => self.flag = field.i64()?,
            _ => {}
        }
        Ok(())
    }
}

fn bounded(len: usize, limit: usize, what: &'static str) -> Result<(), DecodeError> {
    if len < limit {
        Ok(())
    } else {
        Err(DecodeError::TooMany { what, limit })
    }
}

/// An entry of a map: a message of a key and a value.
#[derive(Default)]
struct Entry<'a, V> {
    key: Cow<'a, str>,
    value: V,
}

fn entry<'a, V: EntryValue<'a>>(field: &Field<'a>) -> Result<Entry<'a, V>, DecodeError> {
    let mut entry = Entry::<'a, V>::default();
    for field in field.fields()? {
        let field = field?;
        match field.number {
            1 => entry.key = field.text()?,
            2 => entry.value.take(&field)?,
            _ => {}
        }
    }
    Ok(entry)
}

trait EntryValue<'a>: Default {
    fn take(&mut self, field: &Field<'a>) -> Result<(), DecodeError>;
}

impl<'a> EntryValue<'a> for Cow<'a, str> {
    fn take(&mut self, field: &Field<'a>) -> Result<(), DecodeError> {
        *self = field.text()?;
        Ok(())
    }
}

impl<'a> EntryValue<'a> for SubscribeRequest<'a> {
    fn take(&mut self, field: &Field<'a>) -> Result<(), DecodeError> {
        self.merge(field.fields()?)
    }
}

impl<'a> Merge<'a> for SubscribeRequest<'a> {
    fn field(&mut self, field: &Field<'a>) -> Result<(), DecodeError> {
        match field.number {
            1 => self.channel = field.text()?,
            2 => self.token = field.text()?,
            3 => self.recover = field.flag()?,
            6 => self.epoch = field.text()?,
            7 => self.offset = field.u64()?,
            8 => self.data = field.bytes()?,
            9 => self.positioned = field.flag()?,
            10 => self.recoverable = field.flag()?,
            11 => self.join_leave = field.flag()?,
            12 => self.delta = field.text()?,
            13 => {
                self.tags_filter = Some(TagsFilter {
                    protocol: Protocol::Protobuf,
                    source: field.bytes()?,
                });
            }
            14 => self.flag = field.i64()?,
            15 => self.kind = field.i32()?,
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Merge<'a> for PublishRequest<'a> {
    fn field(&mut self, field: &Field<'a>) -> Result<(), DecodeError> {
        match field.number {
            1 => self.channel = field.text()?,
            2 => self.data = field.bytes()?,
            3 => self.kind = field.i32()?,
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Merge<'a> for HistoryRequest<'a> {
    fn field(&mut self, field: &Field<'a>) -> Result<(), DecodeError> {
        match field.number {
            1 => self.channel = field.text()?,
            7 => self.limit = field.i32()?,
            8 => message(&mut self.since, field)?,
            9 => self.reverse = field.flag()?,
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Merge<'a> for StreamPosition<'a> {
    fn field(&mut self, field: &Field<'a>) -> Result<(), DecodeError> {
        match field.number {
            1 => self.offset = field.u64()?,
            2 => self.epoch = field.text()?,
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Merge<'a> for SubRefreshRequest<'a> {
    fn field(&mut self, field: &Field<'a>) -> Result<(), DecodeError> {
        match field.number {
            1 => self.channel = field.text()?,
            2 => self.token = field.text()?,
            3 => self.kind = field.i32()?,
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Merge<'a> for Named<'a> {
    fn field(&mut self, field: &Field<'a>) -> Result<(), DecodeError> {
        if field.number == 1 {
            self.channel = field.text()?;
        }
        Ok(())
    }
}

impl<'a> Merge<'a> for Call<'a> {
    fn field(&mut self, field: &Field<'a>) -> Result<(), DecodeError> {
        match field.number {
            1 => self.data = field.bytes()?,
            2 => self.method = field.text()?,
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Merge<'a> for Message<'a> {
    fn field(&mut self, field: &Field<'a>) -> Result<(), DecodeError> {
        if field.number == 1 {
            self.data = field.bytes()?;
        }
        Ok(())
    }
}

impl<'a> Merge<'a> for Renewal<'a> {
    fn field(&mut self, field: &Field<'a>) -> Result<(), DecodeError> {
        if field.number == 1 {
            self.token = field.text()?;
        }
        Ok(())
    }
}
