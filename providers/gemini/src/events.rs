//! The events of an answer: each is a whole `GenerateContentResponse` that holds only new parts.
//!
//! ```text
//!   candidates[0].content.parts[] ── text ──────────────────► chunk
//!                                 ── text, thought: true ───► reasoning
//!                                 ── functionCall, whole ───► tool call
//!                                 ── code, its output, … ───► nothing: Google ran it
//!   candidates[0].finishReason, promptFeedback.blockReason ─► finish (the last one)
//!   usageMetadata ──────────────────────────────────────────► usage (the last one, whole)
//!   end of the body ────────────────────────────────────────► End, if there was a finish
//! ```
//!
//! A finish reason may stand before the text: where Google runs code or searches, each round has
//! one.

use lmserver_runtime::event::{ErrorCode, FinishReason, Usage};
use lmserver_runtime::http_provider::json::{self, Shape, Text};
use lmserver_runtime::http_provider::{self as http, Answer, Finish, Fragment, Speaker};
use lmserver_runtime::plugin::provider::{Output, ProviderError};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

/// What the events have said so far.
pub(crate) struct Events {
    answer: Answer,
    /// Calls so far; each is complete where it stands.
    calls: u64,
    /// The last `usageMetadata`, read once at the end: every event has one.
    usage: String,
    /// Why Google gave up, where it says that beside a finish reason that is a failure.
    failure: Option<(ErrorCode, Box<str>)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow, default)]
    candidates: Option<Vec<Candidate<'a>>>,
    #[serde(borrow, default)]
    prompt_feedback: Option<Feedback<'a>>,
    #[serde(borrow, default)]
    usage_metadata: Option<&'a RawValue>,
    /// There is an error; what it says is read by the speaker.
    #[serde(default)]
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    #[serde(default)]
    index: Option<u64>,
    #[serde(borrow, default)]
    content: Option<Content<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    finish_message: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow, default)]
    parts: Option<Vec<Part<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(default)]
    thought: Option<bool>,
    #[serde(borrow, default)]
    function_call: Option<FunctionCall<'a>>,
}

#[derive(Deserialize)]
struct FunctionCall<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    /// As they were sent, so that no number loses a digit.
    #[serde(borrow, default)]
    args: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback<'a> {
    #[serde(borrow, default)]
    block_reason: Option<Text<'a>>,
}

/// The shape of an [`Event`].
const EVENT: Shape = Shape::Object(&[
    ("candidates", Shape::List(&CANDIDATE)),
    (
        "promptFeedback",
        Shape::Object(&[("blockReason", Shape::Text)]),
    ),
]);

const CANDIDATE: Shape = Shape::Object(&[
    ("index", Shape::Count),
    ("content", Shape::Object(&[("parts", Shape::List(&PART))])),
    ("finishReason", Shape::Text),
    ("finishMessage", Shape::Text),
]);

const PART: Shape = Shape::Object(&[
    ("text", Shape::Text),
    ("thought", Shape::Flag),
    (
        "functionCall",
        Shape::Object(&[("id", Shape::Text), ("name", Shape::Text)]),
    ),
]);

impl Events {
    /// An answer of which nothing has come. `seed` makes the made-up ids of answers differ.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            answer: Answer::new(seed),
            calls: 0,
            usage: String::new(),
            failure: None,
        }
    }

    fn take(
        &mut self,
        event: &Event<'_>,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        for (place, candidate) in (0..).zip(event.candidates.iter().flatten()) {
            // Other candidates are read and dropped, never mixed in.
            if candidate.index.unwrap_or(place) != 0 {
                continue;
            }
            let parts = candidate.content.as_ref().and_then(|it| it.parts.as_ref());
            for part in parts.into_iter().flatten() {
                self.part(part, speaker, out)?;
            }
            let reason = candidate.finish_reason.as_deref().unwrap_or_default();
            self.answer.finished(reason);
            if let Finish::Failure(code) = Finish::read(reason)
                && let Some(message) = candidate.finish_message.as_deref()
            {
                self.failure = Some((code, message.into()));
            }
        }
        let feedback = event.prompt_feedback.as_ref();
        if feedback.is_some_and(|feedback| feedback.block_reason.is_some()) {
            let blocked = Finish::Reason(FinishReason::ContentFilter);
            self.answer.set_finish(blocked);
        }
        if let Some(usage) = event.usage_metadata {
            usage.get().clone_into(&mut self.usage);
        }
        Ok(())
    }

    fn part(
        &mut self,
        part: &Part<'_>,
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        let text = part.text.as_deref().unwrap_or_default();
        if part.thought == Some(true) {
            self.answer.reasoning(text, out);
        } else {
            self.answer.chunk(text, out);
        }
        let Some(call) = &part.function_call else {
            return Ok(());
        };
        let arguments = call.args.map_or("{}", RawValue::get);
        let fragment = Fragment {
            number: Some(self.calls),
            id: call.id.as_deref().unwrap_or_default(),
            name: call.name.as_deref().unwrap_or_default(),
            arguments: if arguments == "null" { "{}" } else { arguments },
        };
        self.calls += 1;
        self.answer.call(&fragment, speaker, out)
    }
}

impl http::Events for Events {
    fn event(
        &mut self,
        name: &str,
        data: &[u8],
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<bool, ProviderError> {
        let cleaned;
        let event = match read(data) {
            Some(event) => event,
            // Lone surrogates, malformed UTF-8, keys given twice, wrong types: the patient reader
            // mends them.
            None => {
                cleaned = json::mended(data, &EVENT);
                match cleaned.as_deref().map(str::as_bytes).and_then(read) {
                    Some(event) => event,
                    None => return Ok(false),
                }
            }
        };
        self.take(&event, speaker, out)?;
        let is_error = name == "error";
        if (is_error || event.error.is_some())
            && let Some(document) = json::value(data)
            && let Some(error) = speaker.event_error(&document, is_error)
        {
            return Err(error);
        }
        Ok(true)
    }

    /// Without `alt=sse`, or through a gateway that buffers: one response, or a list of them.
    fn document(
        &mut self,
        document: &Value,
        _data: &[u8],
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<bool, ProviderError> {
        let responses = match document {
            Value::Array(responses) => responses.as_slice(),
            response => std::slice::from_ref(response),
        };
        let mut is_answer = false;
        for response in responses {
            let known = ["candidates", "promptFeedback", "usageMetadata", "error"];
            if known.iter().any(|key| response.get(key).is_some()) {
                is_answer |= self.event("", response.to_string().as_bytes(), speaker, out)?;
            }
        }
        if is_answer {
            self.end(speaker, out)?;
        }
        Ok(is_answer)
    }

    fn end(&mut self, speaker: Speaker<'_>, out: &mut Vec<Output>) -> Result<(), ProviderError> {
        if let Some((code, message)) = self.failure.take() {
            let what = format!("gave up before the answer was complete: {message}");
            return Err(speaker.own_error(code, &what));
        }
        self.answer.usage = usage(&self.usage);
        self.answer.end(speaker, out)
    }

    fn has_ended(&self) -> bool {
        self.answer.has_ended()
    }
}

fn read(data: &[u8]) -> Option<Event<'_>> {
    // A list would be read as the fields in order.
    if !data.starts_with(b"{") {
        return None;
    }
    serde_json::from_slice(data).ok()
}

/// The counts, if any was given. Thoughts are counted apart from the candidates.
fn usage(metadata: &str) -> Option<Usage> {
    let metadata = json::value(metadata.as_bytes())?;
    let count = |name| json::count(metadata.get(name));
    let (input, output) = (count("promptTokenCount"), count("candidatesTokenCount"));
    let thoughts = count("thoughtsTokenCount");
    input.or(output).or(thoughts)?;
    Some(Usage {
        input_tokens: input.unwrap_or_default(),
        output_tokens: output
            .unwrap_or_default()
            .saturating_add(thoughts.unwrap_or_default()),
        reasoning_tokens: thoughts,
        cached_tokens: count("cachedContentTokenCount"),
        estimated: false,
    })
}

#[cfg(test)]
mod tests {
    use lmserver_runtime::event::ErrorCode;
    use lmserver_runtime::http_provider::Events as _;

    use super::*;

    const SPEAKER: Speaker<'_> = Speaker {
        host: "api.example",
        secrets: &[],
    };

    fn calling(arguments: &str) -> String {
        format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"functionCall":{{"name":"f","args":{arguments}}}}}]}}}}]}}"#
        )
    }

    #[test]
    fn no_number_of_an_argument_loses_a_digit() {
        let arguments = r#"{"n":12345678901234567890123,"x":1.10,"z":0,"a":1}"#;
        let (mut events, mut out) = (Events::new(1), Vec::new());
        let event = calling(arguments);
        let known = events.event("message", event.as_bytes(), SPEAKER, &mut out);
        assert_eq!(known, Ok(true));
        let [Output::ToolCall(call)] = &out[..] else {
            panic!("{out:?}")
        };
        assert_eq!(&*call.arguments, arguments);
    }

    #[test]
    fn calls_without_end_are_not_kept() {
        let (mut events, mut out) = (Events::new(1), Vec::new());
        let event = calling("{}");
        let failed = (0..100_000).find_map(|_| {
            out.clear();
            events
                .event("message", event.as_bytes(), SPEAKER, &mut out)
                .err()
        });
        assert_eq!(failed.map(|error| error.code), Some(ErrorCode::TooLarge));
    }

    #[test]
    fn what_has_a_wrong_type_is_left_out_and_the_rest_is_read() {
        let (mut events, mut out) = (Events::new(1), Vec::new());
        for event in [
            r#"{"candidates":[{"index":"0","content":{"parts":[{"text":"a","thought":0}]}}]}"#,
            r#"{"candidates":[{"content":{"parts":[7,{"text":"b","functionCall":[]}]}}],"promptFeedback":""}"#,
            r#"{"candidates":[{"content":"","finishReason":"STOP","finishMessage":{}},5],"error":null}"#,
        ] {
            let known = events.event("message", event.as_bytes(), SPEAKER, &mut out);
            assert_eq!(known, Ok(true), "{event}");
        }
        assert_eq!(events.end(SPEAKER, &mut out), Ok(()));
        let texts: String = out
            .iter()
            .filter_map(|it| match it {
                Output::Chunk(text) => Some(&**text),
                _ => None,
            })
            .collect();
        assert_eq!(texts, "ab", "{out:?}");
    }
}
