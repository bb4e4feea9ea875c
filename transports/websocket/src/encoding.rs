//! One event as one text message: `ws/text`.

use std::io::Write as _;

use lmserver_proto::ws::frame;
use lmserver_runtime::event::Kind;
use lmserver_runtime::plugin::transport::{Encoding, Entry};

/// The encoding that all subscribers share.
pub static ENCODING: Text = Text;

/// An unmasked text frame with the event's JSON and its position.
#[derive(Debug)]
pub struct Text;

impl Encoding for Text {
    fn name(&self) -> &'static str {
        "ws/text"
    }

    fn encode(&self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        frame::write_text_with(out, |out| {
            // Writing into a Vec cannot fail.
            let _ = write!(out, r#"{{"id":"{}""#, entry.position());
            match (entry.kind, entry.json.split_first()) {
                (Kind::Data, _) | (_, None) => {
                    out.extend_from_slice(br#","data":"#);
                    out.extend_from_slice(entry.json);
                    out.push(b'}');
                }
                // The event is an object with `type` in it: its members go on behind the id.
                (_, Some((_, members))) => {
                    out.push(b',');
                    out.extend_from_slice(members);
                }
            }
        });
    }
}
