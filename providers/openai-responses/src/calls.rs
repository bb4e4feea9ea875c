//! Which tool call an event is about.
//!
//! OpenAI numbers the items of a response, and every event has its item's `output_index`. llama.cpp
//! and some gateways leave it out, from all events or from some: an item's own id is the key then, or
//! the id of its call, which some write into `item_id`. An event that names none, or one that nobody
//! knows since ids change on the way, is about the last call: that is the one which is being written.

/// The calls of one response, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Calls(Vec<Call>);

#[derive(Debug)]
struct Call {
    number: u64,
    /// The provider's number, once it has said it.
    output_index: Option<u64>,
    /// `id` of its item, maybe empty.
    id: Box<str>,
    /// `call_id` of its item, maybe empty.
    call_id: Box<str>,
}

impl Call {
    /// Does an event of this `item_id` speak of it?
    fn is_named(&self, item_id: &str) -> bool {
        !item_id.is_empty() && (*self.id == *item_id || *self.call_id == *item_id)
    }

    /// Is it that of an item with these ids? The call's own decides where both have one.
    fn is(&self, id: &str, call_id: &str) -> bool {
        if self.call_id.is_empty() || call_id.is_empty() {
            !id.is_empty() && *self.id == *id
        } else {
            *self.call_id == *call_id
        }
    }
}

impl Calls {
    /// The number of the call that an event adds to. `None`: there is no call yet.
    pub(crate) fn number(&self, output_index: Option<u64>, item_id: &str) -> Option<u64> {
        let Some(output_index) = output_index else {
            let named = self.0.iter().rfind(|call| call.is_named(item_id));
            return named.or_else(|| self.0.last()).map(|call| call.number);
        };
        let numbered = |call: &&Call| call.output_index == Some(output_index);
        let call = self.0.iter().rfind(numbered);
        Some(call.map_or(output_index, |call| call.number))
    }

    /// Notes an item that is a call: its number, a new one unless the call is known. An item without
    /// any name is the last call, if it `is_done`.
    pub(crate) fn note(
        &mut self,
        output_index: Option<u64>,
        id: &str,
        call_id: &str,
        is_done: bool,
    ) -> u64 {
        let is_nameless = output_index.is_none() && id.is_empty() && call_id.is_empty();
        let known = self.0.iter().rposition(|call| match output_index {
            Some(_) if call.output_index.is_some() => call.output_index == output_index,
            _ => call.is(id, call_id),
        });
        let last = self.0.len().checked_sub(1);
        let known = known.or_else(|| last.filter(|_| is_done && is_nameless));
        if let Some(call) = known.and_then(|place| self.0.get_mut(place)) {
            call.output_index = call.output_index.or(output_index);
            return call.number;
        }
        let number = output_index.unwrap_or(FIRST_UNNUMBERED + self.0.len() as u64);
        self.0.push(Call {
            number,
            output_index,
            id: id.into(),
            call_id: call_id.into(),
        });
        number
    }
}

/// The numbers of calls that have none begin here: no response has so many items.
const FIRST_UNNUMBERED: u64 = 1 << 32;
