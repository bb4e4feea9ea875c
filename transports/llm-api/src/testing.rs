//! For tests: what an encoding makes of a list of events.

use lmserver_runtime::event::{Epoch, Json, Kind};
use lmserver_runtime::plugin::transport::{Encoding, Entry};

/// The channel that the events are of.
pub(crate) const CHANNEL: &str = "chat:6c9f0f66-8f1c-4a57-b2b4-6b1f3c1a9d00";

/// The wire's text.
pub(crate) fn events(encoding: &dyn Encoding, entries: &[(Kind, &str)]) -> String {
    events_with(encoding, entries, b"")
}

/// The same with a note of the application.
pub(crate) fn events_with(
    encoding: &dyn Encoding,
    entries: &[(Kind, &str)],
    note: &[u8],
) -> String {
    let mut encoder = encoding.encoder().expect("an encoding with a memory");
    let mut out = Vec::new();
    for ((kind, json), offset) in entries.iter().zip(1..) {
        let entry = Entry {
            channel: CHANNEL,
            epoch: Epoch::from_random([1; 6]),
            offset,
            kind: *kind,
            json: Json::new(json.as_bytes()),
            details: None,
            previous: None,
            is_kept: true,
            number: 1,
            created: 1_763_856_000,
            note,
        };
        encoder.encode(&entry, &mut out);
    }
    String::from_utf8(out).expect("text")
}
