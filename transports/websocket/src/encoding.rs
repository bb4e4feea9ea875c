//! One event as one text message: `ws/text`.

use lmserver_proto::ws::frame;
use lmserver_runtime::event::Kind;
use lmserver_runtime::plugin::transport::{Encoding, Entry};

/// The encoding that all subscribers share.
pub static ENCODING: Text = Text;

/// An unmasked text frame with the event's JSON and its position.
///
/// The position is the message's `id`. A tool call has an `id` of its own, which would stand beside
/// it under the same name: JSON readers keep the last of two, and a page would take the call's id
/// for its position. It is sent as `call_id`.
#[derive(Debug)]
pub struct Text;

impl Encoding for Text {
    fn name(&self) -> &'static str {
        "ws/text"
    }

    fn encode(&self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        frame::write_text_with(out, |out| {
            // Writing into a Vec cannot fail.
            out.extend_from_slice(br#"{"id":""#);
            entry.position().write(out);
            out.push(b'"');
            if entry.kind == Kind::Data {
                out.extend_from_slice(br#","data":"#);
                entry.json.write(out);
                return out.push(b'}');
            }
            // The event is an object with `type` in it: its members go on behind the id.
            out.push(b',');
            let [before, mut members, after] = entry.json.members();
            out.extend_from_slice(before);
            if entry.kind == Kind::ToolCall {
                let (before, id) = at_call_id(members);
                if let Some(rest) = id.strip_prefix(CALL_ID) {
                    out.extend_from_slice(before);
                    out.extend_from_slice(br#","call_id":"#);
                    members = rest;
                }
            }
            out.extend_from_slice(members);
            out.extend_from_slice(after);
        });
    }
}

/// How a tool call's own id begins, behind its index.
const CALL_ID: &[u8] = br#","id":"#;

/// Cuts a tool call's members in front of its id, if this fragment has one. The runtime writes the
/// index, which is a number, directly before it, and a text can only come behind.
fn at_call_id(members: &[u8]) -> (&[u8], &[u8]) {
    const INDEX: &[u8] = br#""index":"#;
    let end = members
        .windows(INDEX.len())
        .position(|window| window == INDEX)
        .map_or(members.len(), |at| at + INDEX.len());
    let digits = members
        .iter()
        .skip(end)
        .take_while(|byte| byte.is_ascii_digit());
    let at = end + digits.count();
    match members.split_at_checked(at) {
        Some((before, rest)) if rest.starts_with(CALL_ID) => (before, rest),
        _ => (members, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lmserver_runtime::event::{Epoch, Event, Json, ToolCall};

    fn encode(event: &Event) -> String {
        let mut json = Vec::new();
        event.write_json(&mut json);
        let epoch = Epoch::from_random([0; 6]);
        let kind = event.kind();
        let entry = Entry {
            channel: "chat:1",
            epoch,
            offset: 7,
            kind,
            json: Json::new(&json),
            details: None,
            previous: None,
            is_kept: true,
            number: 1,
            created: 0,
            note: b"",
        };
        let mut out = Vec::new();
        ENCODING.encode(&entry, &mut out);
        let header = if out[1] == 126 { 4 } else { 2 };
        String::from_utf8(out.split_off(header)).unwrap()
    }

    #[test]
    fn a_position_is_never_shadowed_by_the_id_of_a_call() {
        let first = ToolCall {
            index: 12,
            id: Some("call_1".into()),
            name: Some("f".into()),
            arguments: r#","id":"x""#.into(),
        };
        let later = ToolCall {
            id: None,
            name: None,
            ..first.clone()
        };
        let named = ToolCall {
            id: None,
            ..first.clone()
        };
        for (call, want) in [
            (
                first,
                r#""index":12,"call_id":"call_1","name":"f","arguments":",\"id\":\"x\""}"#,
            ),
            (later, r#""index":12,"arguments":",\"id\":\"x\""}"#),
            (
                named,
                r#""index":12,"name":"f","arguments":",\"id\":\"x\""}"#,
            ),
        ] {
            let message = encode(&Event::ToolCall(Box::new(call)));
            let want = format!(r#"{{"id":"aaaaaa-7","type":"tool_call","message":"",{want}"#);
            assert_eq!(message, want);
        }
    }
}
