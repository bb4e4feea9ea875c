//! Messages of Centrifugo's protocol in Protobuf, read and written from its description alone.

use serde_json::{Value, json};

/// A connect and a subscribe command that recovers behind a position, or all, in one message.
pub(crate) fn connect_and_subscribe(channel: &str, last: Option<(&str, u64)>) -> Vec<u8> {
    let mut request = Vec::new();
    put(&mut request, 1, channel.as_bytes());
    request.extend([3 << 3, 1]);
    if let Some((epoch, offset)) = last {
        put(&mut request, 6, epoch.as_bytes());
        request.push(7 << 3);
        put_varint(&mut request, offset);
    }
    let mut commands = Vec::new();
    for (id, field, body) in [(1, 4, Vec::new()), (2, 5, request)] {
        let mut command = vec![1 << 3, id];
        put(&mut command, field, &body);
        put_varint(&mut commands, command.len() as u64);
        commands.extend(command);
    }
    commands
}

/// The replies of a message, in the shape that they have in JSON.
pub(crate) fn replies(message: &[u8]) -> Vec<Value> {
    let mut replies = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let length = usize::try_from(varint(&mut rest)).unwrap();
        let (reply, after) = rest.split_at(length);
        replies.push(reply_of(reply));
        rest = after;
    }
    replies
}

fn put(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number > 127 {
        out.push(number.to_le_bytes()[0] | 128);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    loop {
        let (first, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        number |= u64::from(first & 127) << shift;
        shift += 7;
        if first & 128 == 0 {
            return number;
        }
    }
}

/// A field of a message.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl Field<'_> {
    fn number(&self) -> Value {
        match self {
            Self::Number(number) => (*number).into(),
            Self::Bytes(bytes) => panic!("{bytes:?} is no number"),
        }
    }

    fn flag(&self) -> Value {
        (self.number() == 1).into()
    }

    fn text(&self) -> Value {
        std::str::from_utf8(self.bytes()).unwrap().into()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(self.bytes()).unwrap()
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Number(number) => panic!("{number} are no bytes"),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// Reads a message into the shape that it has in JSON; `name` names and reads its fields.
fn object(mut bytes: &[u8], name: impl Fn(u64, &Field<'_>) -> (&'static str, Value)) -> Value {
    let mut object = json!({});
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut bytes)),
            2 => {
                let length = usize::try_from(varint(&mut bytes)).unwrap();
                let (field, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(field)
            }
            kind => panic!("a field of kind {kind}"),
        };
        let (key, value) = name(tag >> 3, &field);
        if key == "publications" {
            match object.get_mut(key).and_then(Value::as_array_mut) {
                Some(list) => list.push(value),
                None => object[key] = json!([value]),
            }
        } else {
            object[key] = value;
        }
    }
    object
}

fn reply_of(bytes: &[u8]) -> Value {
    object(bytes, |number, field| match number {
        1 => ("id", field.number()),
        2 => ("error", object(field.bytes(), error)),
        4 => ("push", object(field.bytes(), push)),
        5 => ("connect", object(field.bytes(), connect_result)),
        6 => ("subscribe", object(field.bytes(), subscribe_result)),
        _ => panic!("a reply's field {number}"),
    })
}

fn error(number: u64, field: &Field<'_>) -> (&'static str, Value) {
    match number {
        1 => ("code", field.number()),
        2 => ("message", field.text()),
        _ => ("temporary", field.flag()),
    }
}

fn push(number: u64, field: &Field<'_>) -> (&'static str, Value) {
    match number {
        2 => ("channel", field.text()),
        4 => ("pub", object(field.bytes(), publication)),
        7 => ("unsubscribe", object(field.bytes(), unsubscribe)),
        11 => ("disconnect", object(field.bytes(), error)),
        _ => panic!("a push's field {number}"),
    }
}

fn unsubscribe(number: u64, field: &Field<'_>) -> (&'static str, Value) {
    match number {
        2 => ("code", field.number()),
        _ => ("reason", field.text()),
    }
}

fn publication(number: u64, field: &Field<'_>) -> (&'static str, Value) {
    match number {
        4 => ("data", field.json()),
        6 => ("offset", field.number()),
        14 => ("epoch", field.text()),
        _ => panic!("a publication's field {number}"),
    }
}

fn connect_result(number: u64, field: &Field<'_>) -> (&'static str, Value) {
    match number {
        1 => ("client", field.text()),
        2 => ("version", field.text()),
        7 => ("ping", field.number()),
        8 => ("pong", field.flag()),
        9 => ("session", field.text()),
        10 => ("node", field.text()),
        _ => panic!("a connect result's field {number}"),
    }
}

fn subscribe_result(number: u64, field: &Field<'_>) -> (&'static str, Value) {
    match number {
        3 => ("recoverable", field.flag()),
        6 => ("epoch", field.text()),
        7 => ("publications", object(field.bytes(), publication)),
        8 => ("recovered", field.flag()),
        9 => ("offset", field.number()),
        10 => ("positioned", field.flag()),
        12 => ("was_recovering", field.flag()),
        _ => panic!("a subscribe result's field {number}"),
    }
}
