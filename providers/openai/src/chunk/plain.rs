//! The chunk that an answer is made of thousands of: read in one go, or given up.
//!
//! What it reads it reads as the derived reader does; `tests` holds the two against each other.

use std::borrow::Cow;

use lmserver_runtime::http_provider::json::Scanner;

use super::{Choice, Choices, Chunk, Content, Delta, Text};

/// Reads a chunk of text. `None`: it is another chunk, or none; the slower readers see to it.
pub(super) fn chunk(data: &[u8]) -> Option<Chunk<'_>> {
    let mut scanner = Scanner::new(data);
    let mut chunk = Chunk::default();
    scanner.object(&mut |key, scanner| match key {
        b"object" => text(scanner, &mut chunk.object),
        b"type" => text(scanner, &mut chunk.kind),
        b"choices" if chunk.choices.is_none() => {
            chunk.choices = Some(choices(scanner)?);
            Some(())
        }
        b"choices" => None,
        b"usage" | b"x_groq" | b"error" => scanner.null().then_some(()),
        _ => scanner.skip(),
    })?;
    scanner.end()?;
    Some(chunk)
}

fn choices<'a>(scanner: &mut Scanner<'a>) -> Option<Choices<'a>> {
    let mut choices = Choices::default();
    let mut place = 0;
    scanner.array(&mut |scanner| {
        choices.add(place, choice(scanner)?);
        place += 1;
        Some(())
    })?;
    Some(choices)
}

fn choice<'a>(scanner: &mut Scanner<'a>) -> Option<Choice<'a>> {
    let mut choice = Choice::default();
    scanner.object(&mut |key, scanner| match key {
        b"index" if choice.index.is_none() => {
            choice.index = Some(scanner.unsigned()?);
            Some(())
        }
        b"delta" if choice.delta.is_none() => {
            choice.delta = Some(delta(scanner)?);
            Some(())
        }
        b"finish_reason" => text(scanner, &mut choice.finish_reason),
        b"index" | b"delta" => None,
        b"error" => scanner.null().then_some(()),
        _ => scanner.skip(),
    })?;
    Some(choice)
}

fn delta<'a>(scanner: &mut Scanner<'a>) -> Option<Delta<'a>> {
    let mut delta = Delta::default();
    scanner.object(&mut |key, scanner| match key {
        b"content" => content(scanner, &mut delta.content),
        b"reasoning_content" => content(scanner, &mut delta.reasoning_content),
        b"reasoning" => content(scanner, &mut delta.reasoning),
        b"refusal" => text(scanner, &mut delta.refusal),
        b"tool_calls" | b"function_call" => scanner.null().then_some(()),
        _ => scanner.skip(),
    })?;
    Some(delta)
}

fn content<'a>(scanner: &mut Scanner<'a>, into: &mut Option<Content<'a>>) -> Option<()> {
    let mut read = None;
    if into.is_some() {
        return None;
    }
    text(scanner, &mut read)?;
    *into = read.map(Content::Text);
    Some(())
}

/// Reads a string or `null`. A key that stands there twice is given up.
fn text<'a>(scanner: &mut Scanner<'a>, into: &mut Option<Text<'a>>) -> Option<()> {
    if into.is_some() {
        return None;
    }
    if scanner.null() {
        return Some(());
    }
    let string: Cow<'a, str> = scanner.string()?;
    *into = Some(Text(string));
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 5] = [
        r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","service_tier":null,"choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"x"}"#,
        r#"{"choices":[{"index":0,"delta":{"content":" a\n\"b\" é"},"finish_reason":null},{"index":1,"delta":{"content":"no"}},{"index":0,"delta":{"reasoning":"r"}}]}"#,
        r#"{"choices":[{"delta":{"reasoning_content":"think"},"finish_reason":"stop","content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}}],"x_groq":null}"#,
        r#"{"type":"t","error":null,"choices":[]}"#,
        " { \"choices\" : [ { \"delta\" : { \"content\" : \"a\" } } ] } ",
    ];

    fn shown(chunk: Option<Chunk<'_>>) -> String {
        format!("{chunk:?}")
    }

    #[test]
    fn chunks_of_text_are_read_in_one_go() {
        for text in TEXTS {
            assert!(chunk(text.as_bytes()).is_some(), "{text}");
        }
        for text in [
            r#"{"choices":[{"delta":{"tool_calls":[]}}]}"#,
            r#"{"choices":[{"delta":{"content":"\u00e9"}}]}"#,
            r#"{"choices":[{"delta":{"content":[]}}]}"#,
            r#"{"choices":[{"delta":{"content":"a","content":"b"}}]}"#,
            r#"{"choices":[],"choices":[]}"#,
            r#"{"choices":null}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":1}}"#,
            r#"{"error":{"message":"m"}}"#,
            "[]",
            "",
        ] {
            assert!(chunk(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn what_is_read_in_one_go_is_what_the_slower_readers_read() {
        for text in TEXTS {
            let text = text.as_bytes();
            assert_eq!(shown(chunk(text)), shown(Chunk::read_any(text)));
            for at in 0..text.len() {
                for byte in *b"\"\\{}[]:,0-n e\x1f\xc3" {
                    let mut other = text.to_vec();
                    other[at] = byte;
                    let Some(read) = chunk(&other) else { continue };
                    let want = shown(Chunk::read_any(&other));
                    assert_eq!(shown(Some(read)), want, "{}", other.escape_ascii());
                }
                let read = chunk(&text[..at]);
                assert!(read.is_none() || text[at..].trim_ascii().is_empty());
            }
        }
    }

    #[test]
    fn a_key_that_stands_there_twice_is_read_alike() {
        for (one, other) in [("null", "\"b\""), ("\"a\"", "null"), ("null", "null")] {
            for key in ["content", "reasoning", "refusal", "reasoning_content"] {
                let text =
                    format!(r#"{{"choices":[{{"delta":{{"{key}":{one},"{key}":{other}}}}}]}}"#);
                let Some(read) = chunk(text.as_bytes()) else {
                    continue;
                };
                let want = shown(Chunk::read_any(text.as_bytes()));
                assert_eq!(shown(Some(read)), want, "{text}");
            }
        }
    }
}
