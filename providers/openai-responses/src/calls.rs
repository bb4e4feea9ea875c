//! Which tool call an event is about.
//!
//! OpenAI numbers the items of a response, and every event has its item's `output_index`. llama.cpp
//! and some gateways leave it out: an item's own id is the key then, or the id of its call, which
//! some write into `item_id`. An event that names none is about the last call.

/// The calls of one response, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Calls(Vec<Call>);

#[derive(Debug)]
struct Call {
    number: u64,
    /// `id` of its item, maybe empty.
    id: Box<str>,
    /// `call_id` of its item, maybe empty.
    call_id: Box<str>,
}

impl Call {
    fn is(&self, id: &str) -> bool {
        !id.is_empty() && (*self.id == *id || *self.call_id == *id)
    }
}

impl Calls {
    /// The number of the call that an event adds to. `None`: there is no call yet.
    pub(crate) fn of_event(&self, output_index: Option<u64>, item_id: &str) -> Option<u64> {
        output_index.or_else(|| {
            let named = self.0.iter().rfind(|call| call.is(item_id));
            named.or_else(|| self.0.last()).map(|call| call.number)
        })
    }

    /// The number of the call of an item, which is new unless it is known. One without any name is
    /// the last call's, if it `is_done`.
    pub(crate) fn of_item(
        &mut self,
        output_index: Option<u64>,
        id: &str,
        call_id: &str,
        is_done: bool,
    ) -> u64 {
        let is_nameless = id.is_empty() && call_id.is_empty();
        let known = match output_index {
            Some(number) => self.0.iter().rfind(|call| call.number == number),
            None if is_nameless => self.0.last().filter(|_| is_done),
            None => self.0.iter().rfind(|call| call.is(id) || call.is(call_id)),
        };
        if let Some(call) = known {
            return call.number;
        }
        let number = output_index.unwrap_or(FIRST_UNNUMBERED + self.0.len() as u64);
        self.0.push(Call {
            number,
            id: id.into(),
            call_id: call_id.into(),
        });
        number
    }
}

/// The numbers of calls that have none begin here: no response has so many items.
const FIRST_UNNUMBERED: u64 = 1 << 32;
