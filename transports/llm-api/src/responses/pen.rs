//! How one event of a response is written: its name, twice, its number, and of what part it is.

use super::item::Item;
use crate::json;

/// Numbers events.
pub(super) struct Pen {
    next: u64,
    /// What is not to be told.
    after: Option<u64>,
}

impl Pen {
    /// A pen that begins; what stands at and before a number is left out.
    pub(super) fn behind(after: Option<u64>) -> Self {
        Self { next: 0, after }
    }

    /// Whether the next event is to be told, and its number.
    pub(super) fn take(&mut self) -> (bool, u64) {
        let number = self.next;
        self.next += 1;
        (self.after.is_none_or(|after| number > after), number)
    }

    /// Appends an event: `write` appends its members, each with a comma before it.
    pub(super) fn event(
        &mut self,
        name: &str,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let (is_told, number) = self.take();
        if !is_told {
            return;
        }
        head(name, out);
        out.extend_from_slice(br#","sequence_number":"#);
        json::number(number, out);
        write(out);
        out.extend_from_slice(b"}\n\n");
    }
}

/// What an event begins with: its name, twice.
pub(super) fn head(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: {\"type\":\"");
    out.extend_from_slice(name.as_bytes());
    out.push(b'"');
}

/// Where a part stands: the item, and the part in it where it has parts.
pub(super) fn place(
    item: &Item,
    output_index: usize,
    part: Option<(&str, usize)>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(br#","item_id":"#);
    json::text(&item.id, out);
    out.extend_from_slice(br#","output_index":"#);
    json::number(output_index as u64, out);
    if let Some((key, index)) = part {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\":");
        json::number(index as u64, out);
    }
}
