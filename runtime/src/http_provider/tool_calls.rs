//! Which fragment belongs to which tool call.
//!
//! Servers number calls from 0, from 1, all with 0, or not at all; they send the id once, with
//! every fragment, empty, or never. The rules, in this order:
//!
//! | fragment has | belongs to |
//! | --- | --- |
//! | a number | the latest call of that number, unless both have ids and these differ: a new call |
//! | no number, an id | the call of that id, else a new call |
//! | neither, but a name | a new call |
//! | nothing | the last call |
//!
//! Calls are published as 0, 1, 2 …, id and name with the first fragment: in the order in which
//! their names come, and those that never get one last. A call without an id gets one made up, since a tool's result must name its call.

use crate::event::ToolCall;

/// What a server says of a call at one time. Every text may be empty.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// The server's number of the call.
    pub number: Option<u64>,
    /// The server's id of the call.
    pub id: &'a str,
    /// The name of the function.
    pub name: &'a str,
    /// A piece of the arguments' text.
    pub arguments: &'a str,
}

/// The calls of one answer.
#[derive(Debug, Default)]
pub(super) struct ToolCalls {
    calls: Vec<Call>,
    /// How many of them have been published.
    announced: u32,
    /// Makes made-up ids of different answers differ.
    seed: u64,
}

#[derive(Debug, Default)]
struct Call {
    /// The server's number.
    number: Option<u64>,
    /// The server's id, empty until it has sent one.
    id: Box<str>,
    /// Its number for clients, once the first fragment has been published.
    index: Option<u32>,
    /// Some of its arguments have come.
    has_arguments: bool,
    /// Arguments that came before the name, at most [`MAX_HELD`] bytes.
    held: String,
}

/// More calls than an answer may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TooMany {
    #[error("the answer has more than {MAX_CALLS} tool calls")]
    Calls,
    #[error("a tool call has more than {MAX_HELD} bytes of arguments before its name")]
    Held,
}

impl ToolCalls {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            calls: Vec::new(),
            announced: 0,
            seed,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// True if the latest call of a number is there, and none of its arguments are.
    pub(super) fn lacks_arguments(&self, number: u64) -> bool {
        let of_number = |call: &&Call| call.number == Some(number);
        let latest = self.calls.iter().rev().find(of_number);
        latest.is_some_and(|call| !call.has_arguments)
    }

    /// Takes up a fragment. `None`: there is nothing in it to publish yet.
    pub(super) fn add(&mut self, fragment: &Fragment<'_>) -> Result<Option<ToolCall>, TooMany> {
        let Fragment {
            number,
            id,
            name,
            arguments,
        } = *fragment;
        let index = match self.find(number, id, name) {
            Some(index) => index,
            None if self.calls.len() >= MAX_CALLS => return Err(TooMany::Calls),
            None => {
                self.calls.push(Call {
                    number,
                    ..Call::default()
                });
                self.calls.len() - 1
            }
        };
        let Some(call) = self.calls.get_mut(index) else {
            return Ok(None);
        };
        if call.id.is_empty() && !id.is_empty() {
            call.id = id.into();
        }
        call.has_arguments |= !arguments.is_empty();
        if let Some(index) = call.index {
            return Ok((!arguments.is_empty()).then(|| ToolCall {
                index,
                arguments: arguments.into(),
                ..ToolCall::default()
            }));
        }
        if call.held.len() + arguments.len() > MAX_HELD {
            return Err(TooMany::Held);
        }
        call.held.push_str(arguments);
        Ok((!name.is_empty()).then(|| {
            let index = self.announced;
            self.announced += 1;
            call.announce(index, Some(name), self.seed)
        }))
    }

    /// The calls that never got a name, once the answer is complete.
    pub(super) fn finish(&mut self) -> impl Iterator<Item = ToolCall> {
        let seed = self.seed;
        let nameless = self.calls.iter_mut().filter(|call| call.index.is_none());
        (self.announced..)
            .zip(nameless)
            .map(move |(index, call)| call.announce(index, None, seed))
    }

    fn find(&self, number: Option<u64>, id: &str, name: &str) -> Option<usize> {
        if number.is_some() {
            let latest = self.calls.iter().rposition(|call| call.number == number)?;
            let same = self
                .calls
                .get(latest)
                .is_some_and(|call| id.is_empty() || call.id.is_empty() || *call.id == *id);
            return same.then_some(latest);
        }
        if !id.is_empty() {
            return self.calls.iter().rposition(|call| *call.id == *id);
        }
        if name.is_empty() {
            self.calls.len().checked_sub(1)
        } else {
            None
        }
    }
}

impl Call {
    fn announce(&mut self, index: u32, name: Option<&str>, seed: u64) -> ToolCall {
        self.index = Some(index);
        let id = if self.id.is_empty() {
            made_up_id(seed, index)
        } else {
            self.id.clone()
        };
        ToolCall {
            index,
            id: Some(id),
            name: name.map(Into::into),
            arguments: std::mem::take(&mut self.held).into(),
        }
    }
}

/// Nine letters and digits, the one form that every server takes back (Mistral no other).
fn made_up_id(seed: u64, index: u32) -> Box<str> {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    // One step of SplitMix64 spreads the seed over all bits; the number stays apart in the last
    // two characters.
    let mut bits = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    let random = (0..7).map(|place| bits >> (20 + 5 * place));
    let number = [u64::from(index) >> 5, u64::from(index)];
    random
        .chain(number)
        .filter_map(|value| ALPHABET.get(usize::try_from(value % 32).ok()?))
        .map(|byte| char::from(*byte))
        .collect::<String>()
        .into()
}

/// Calls in one answer. Models make a few; a hundred is a loop.
const MAX_CALLS: usize = 1024;

/// Bytes of arguments kept for a call whose name has not come.
const MAX_HELD: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// `number|id|name|arguments`, `-` for absent, as a server sends it.
    fn published(fragments: &[&str]) -> Vec<String> {
        let mut calls = ToolCalls::new(7);
        let mut seen = Vec::new();
        for fragment in fragments {
            let mut fields = fragment.split('|');
            let mut field = || Some(fields.next().unwrap()).filter(|field| *field != "-");
            let (number, id, name, arguments) = (field(), field(), field(), field());
            let fragment = Fragment {
                number: number.map(|number| number.parse().unwrap()),
                id: id.unwrap_or_default(),
                name: name.unwrap_or_default(),
                arguments: arguments.unwrap_or_default(),
            };
            seen.extend(calls.add(&fragment).unwrap().map(show));
        }
        seen.extend(calls.finish().map(show));
        seen
    }

    fn show(call: ToolCall) -> String {
        let id = call.id.map_or_else(
            || "-".into(),
            |id| {
                if id.len() == 9 { "made up".into() } else { id }
            },
        );
        format!(
            "{}|{id}|{}|{}",
            call.index,
            call.name.as_deref().unwrap_or("-"),
            call.arguments
        )
    }

    #[test]
    fn fragments_find_their_call() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            (
                "one call as OpenAI sends it",
                &["0|call_1|f|", "0|-|-|{\"a", "0|-|-|\":1}"],
                &["0|call_1|f|", "0|-|-|{\"a", "0|-|-|\":1}"],
            ),
            (
                "two calls that interleave",
                &["0|a|f|", "1|b|g|", "0|-|-|x", "1|-|-|y"],
                &["0|a|f|", "1|b|g|", "0|-|-|x", "1|-|-|y"],
            ),
            (
                "the only call has number 1",
                &["1|a|f|", "1|-|-|x"],
                &["0|a|f|", "0|-|-|x"],
            ),
            (
                "the same number, other ids",
                &["0|a|f|x", "0|b|f|y"],
                &["0|a|f|x", "1|b|f|y"],
            ),
            (
                "fragments after a number was used twice go to the latest",
                &["0|a|f|", "0|b|g|", "0|-|-|y"],
                &["0|a|f|", "1|b|g|", "1|-|-|y"],
            ),
            (
                "id and name repeated",
                &["0|a|f|x", "0|a|f|y"],
                &["0|a|f|x", "0|-|-|y"],
            ),
            (
                "no numbers, ids",
                &["-|a|f|x", "-|b|g|y", "-|a|-|z"],
                &["0|a|f|x", "1|b|g|y", "0|-|-|z"],
            ),
            (
                "no numbers, empty ids, whole calls",
                &["-||f|x", "-||g|y"],
                &["0|made up|f|x", "1|made up|g|y"],
            ),
            (
                "nothing but arguments",
                &["-|a|f|x", "-|-|-|y"],
                &["0|a|f|x", "0|-|-|y"],
            ),
            (
                "an empty id",
                &["0||f|", "0||-|x"],
                &["0|made up|f|", "0|-|-|x"],
            ),
            ("no arguments at all", &["0|a|f|-"], &["0|a|f|"]),
            (
                "the name comes late",
                &["0|a|-|x", "0|-|f|y", "0|-|-|z"],
                &["0|a|f|xy", "0|-|-|z"],
            ),
            (
                "the name never comes",
                &["0|a|-|x", "0|-|-|y"],
                &["0|a|-|xy"],
            ),
            (
                "the name of a later call comes first",
                &["0|a|-|x", "1|b|g|y", "0|-|f|z", "1|-|-|y"],
                &["0|b|g|y", "1|a|f|xz", "0|-|-|y"],
            ),
            (
                "a later call has a name",
                &["0|a|-|x", "1|b|g|y"],
                &["0|b|g|y", "1|a|-|x"],
            ),
            (
                "a null fragment changes nothing",
                &["0|a|f|", "0|-|-|-"],
                &["0|a|f|"],
            ),
        ];
        for (name, fragments, want) in cases {
            assert_eq!(published(fragments), *want, "{name}");
        }
    }

    #[test]
    fn made_up_ids_differ_and_suit_the_strictest_server() {
        let ids: std::collections::BTreeSet<_> = (0..20)
            .flat_map(|seed| (0..40).map(move |index| made_up_id(seed, index)))
            .collect();
        assert_eq!(ids.len(), 800);
        for id in ids {
            assert!(
                id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()),
                "{id}"
            );
        }
    }

    #[test]
    fn calls_are_bounded() {
        let mut calls = ToolCalls::new(0);
        let mut fragment = Fragment::default();
        for number in 0..MAX_CALLS as u64 {
            fragment.number = Some(number);
            assert_eq!(calls.add(&fragment), Ok(None));
        }
        fragment.number = Some(u64::MAX);
        assert_eq!(calls.add(&fragment), Err(TooMany::Calls));
    }

    #[test]
    fn a_call_lacks_arguments_until_some_come() {
        let mut calls = ToolCalls::new(0);
        assert!(!calls.lacks_arguments(3));
        let mut fragment = Fragment {
            number: Some(3),
            name: "f",
            ..Fragment::default()
        };
        calls.add(&fragment).unwrap();
        assert!(calls.lacks_arguments(3) && !calls.lacks_arguments(0));
        fragment.arguments = "{";
        calls.add(&fragment).unwrap();
        assert!(!calls.lacks_arguments(3));
    }
}
