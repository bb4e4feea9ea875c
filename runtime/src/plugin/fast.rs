//! Plain questions, as most clients ask them: read in one go, or given up.
//!
//! ```text
//!   body ──► Question::read ──► Some(Question)
//!                 └──► None ──► the API's own reader, which knows all keys and names mistakes
//! ```
//!
//! The keys that are read here mean the same in several APIs, within the same limits. Their own
//! readers are much code for one question, and a question finds none of it in the processor's
//! caches; this one is little, and the scanner under it is that of the tokens. To give up says
//! nothing about a body. What is read is what the API's reader would have read: each API's tests
//! hold the two against each other.

use lmserver_proto::json::scan::Scanner;

use super::provider::{ChatRequest, Content, Message};

/// What was asked, and of whom.
#[derive(Debug, Default, PartialEq)]
pub struct Question {
    /// The model's name, if one was given.
    pub model: Option<String>,
    /// The rest.
    pub request: Box<ChatRequest>,
}

/// Reads the value of a key that only one API has. `None`: there is no such key, or no such value.
pub type Member<'a> = dyn FnMut(&[u8], &mut Scanner<'_>, &mut ChatRequest) -> Option<()> + 'a;

impl Question {
    /// Reads a body, each key of which must stand there once; at least one message is there.
    #[must_use]
    pub fn read(body: &[u8], other: &mut Member<'_>) -> Option<Self> {
        let mut question = Self::default();
        // Most conversations are one message when they begin.
        question.request.messages = Vec::with_capacity(1);
        let mut scanner = Scanner::new(body);
        scanner.object(&mut |key, scanner| question.member(key, scanner, other))?;
        scanner.end()?;
        (!question.request.messages.is_empty()).then_some(question)
    }

    fn member(
        &mut self,
        key: &[u8],
        scanner: &mut Scanner<'_>,
        other: &mut Member<'_>,
    ) -> Option<()> {
        let request = &mut self.request;
        match key {
            b"model" => once(&mut self.model, name(scanner)),
            b"messages" => messages(scanner, &mut request.messages),
            b"max_tokens" => once(&mut request.max_tokens, count(scanner)),
            b"temperature" => once(&mut request.temperature, scanner.decimal()),
            b"top_p" => {
                let share = scanner.decimal().filter(|share| *share <= 1.0);
                once(&mut request.top_p, share)
            }
            _ => other(key, scanner, request),
        }
    }
}

/// Keeps what a key says. `None`: it says nothing that can be read, or it was there before.
pub fn once<T>(place: &mut Option<T>, value: Option<T>) -> Option<()> {
    place.replace(value?).is_none().then_some(())
}

/// Reads a whole number of at least 1.
pub fn count(scanner: &mut Scanner<'_>) -> Option<u64> {
    scanner.unsigned().filter(|count| *count >= 1)
}

/// Reads the conversation, which cannot be there yet.
fn messages(scanner: &mut Scanner<'_>, into: &mut Vec<Message>) -> Option<()> {
    if !into.is_empty() {
        return None;
    }
    scanner.array(&mut |scanner| {
        into.push(message(scanner)?);
        Some(())
    })?;
    // An empty one is a mistake, whichever key stands there besides.
    (!into.is_empty()).then_some(())
}

fn message(scanner: &mut Scanner<'_>) -> Option<Message> {
    let (mut role, mut content) = (None, None);
    scanner.object(&mut |key, scanner| match key {
        b"role" => once(&mut role, scanner.string()),
        b"content" => once(&mut content, scanner.string()),
        _ => None,
    })?;
    let role = role?;
    // What tools say has more keys.
    if !matches!(&*role, "system" | "developer" | "user" | "assistant") {
        return None;
    }
    Some(Message::new(&role, Content::Text(content?.into_owned())))
}

/// A model's name: it is part of events and of error messages.
fn name(scanner: &mut Scanner<'_>) -> Option<String> {
    let name = scanner.string()?;
    (1..=NAME_MAX).contains(&name.len()).then(|| name.into())
}

/// Bytes of a model's name.
const NAME_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Option<Question> {
        Question::read(body.as_bytes(), &mut |key, scanner, request| match key {
            b"user" => once(&mut request.user, Some(scanner.string()?.into())),
            _ => None,
        })
    }

    #[test]
    fn a_plain_question_is_read_with_all_that_it_says() {
        let body = r#" { "top_p":1.0 ,"user":"u","model":"m","temperature":0.7,"max_tokens":9,
            "messages":[{"role":"system","content":""},{"content":"a\n\u00e9","role":"user"}]}"#;
        let text = |role, text: &str| Message::new(role, Content::Text(text.into()));
        let want = Question {
            model: Some("m".into()),
            request: Box::new(ChatRequest {
                messages: vec![text("system", ""), text("user", "a\né")],
                temperature: Some(0.7),
                top_p: Some(1.0),
                max_tokens: Some(9),
                user: Some("u".into()),
                ..ChatRequest::default()
            }),
        };
        assert_eq!(read(body), Some(want));
    }

    #[test]
    fn what_is_not_plain_is_given_up() {
        let plain = r#""messages":[{"role":"user","content":"a"}]"#;
        let with = |member: &str| read(&format!("{{{member},{plain}}}"));
        assert!(with(r#""model":"m""#).is_some());
        assert!(with(&format!("\"model\":\"{}\"", "m".repeat(NAME_MAX))).is_some());
        assert!(with(&format!("\"model\":\"{}\"", "m".repeat(NAME_MAX + 1))).is_none());
        for member in [
            plain,
            r#""model":"""#,
            r#""model":null"#,
            r#""model":"m","model":"m""#,
            r#""max_tokens":0"#,
            r#""max_tokens":1.0"#,
            r#""top_p":1.1"#,
            r#""temperature":-1"#,
            r#""temperature":1e0"#,
            r#""temperature":"1""#,
            r#""unknown":1"#,
            r#""mod\u0065l":"m""#,
        ] {
            assert_eq!(with(member), None, "{member}");
        }
        for messages in [
            "[]",
            "null",
            "{}",
            "[7]",
            "[{}]",
            r#"[{"role":"user"}]"#,
            r#"[{"content":"a"}]"#,
            r#"[{"role":"tool","content":"a"}]"#,
            r#"[{"role":"user","content":null}]"#,
            r#"[{"role":"user","content":[]}]"#,
            r#"[{"role":"user","content":"a","name":"n"}]"#,
            r#"[{"role":"user","role":"user","content":"a"}]"#,
            r#"[{"role":"user","content":"\ud83d"}]"#,
        ] {
            assert_eq!(
                read(&format!("{{\"messages\":{messages}}}")),
                None,
                "{messages}"
            );
        }
        for body in [
            "",
            "{}",
            "[]",
            r#"{"model":"m"}"#,
            &format!("{{{plain}}}}}"),
        ] {
            assert_eq!(read(body), None, "{body}");
        }
    }
}
