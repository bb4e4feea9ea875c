//! The chunks that answers are made of: read in one go, or given up.
//!
//! What it reads it reads as the lenient reader does; `tests` holds the two against each other.

use lmserver_runtime::http_provider::json::{Scanner, Text};

use super::{
    CallFragment, Choice, Choices, Chunk, CompletionDetails, Content, Delta, Function, Groq,
    PromptDetails, Usage,
};

/// Reads a chunk. `None`: it is another one, or none; the lenient reader sees to it.
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
        b"usage" => usage(scanner, &mut chunk.usage),
        b"x_groq" => groq(scanner, &mut chunk.x_groq),
        b"error" => scanner.null().then_some(()),
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
        b"index" => number(scanner, &mut choice.index),
        b"delta" if choice.delta.is_none() => {
            choice.delta = Some(delta(scanner)?);
            Some(())
        }
        b"finish_reason" => text(scanner, &mut choice.finish_reason),
        b"delta" => None,
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
        b"tool_calls" => calls(scanner, &mut delta.tool_calls),
        b"function_call" => scanner.null().then_some(()),
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

fn calls<'a>(scanner: &mut Scanner<'a>, into: &mut Option<Vec<CallFragment<'a>>>) -> Option<()> {
    if is_nothing(scanner, into)? {
        return Some(());
    }
    let mut calls = Vec::new();
    scanner.array(&mut |scanner| {
        let mut call = CallFragment::default();
        scanner.object(&mut |key, scanner| match key {
            b"index" => number(scanner, &mut call.index),
            b"id" => text(scanner, &mut call.id),
            b"function" => function(scanner, &mut call.function),
            b"custom" => scanner.null().then_some(()),
            _ => scanner.skip(),
        })?;
        calls.push(call);
        Some(())
    })?;
    *into = Some(calls);
    Some(())
}

fn function<'a>(scanner: &mut Scanner<'a>, into: &mut Option<Function<'a>>) -> Option<()> {
    if is_nothing(scanner, into)? {
        return Some(());
    }
    let function = into.insert(Function::default());
    scanner.object(&mut |key, scanner| match key {
        b"name" => text(scanner, &mut function.name),
        b"arguments" => text(scanner, &mut function.arguments),
        _ => scanner.skip(),
    })
}

fn groq(scanner: &mut Scanner<'_>, into: &mut Option<Box<Groq>>) -> Option<()> {
    if is_nothing(scanner, into)? {
        return Some(());
    }
    let groq = into.insert(Box::default());
    scanner.object(&mut |key, scanner| match key {
        b"usage" => usage(scanner, &mut groq.usage),
        b"error" => scanner.null().then_some(()),
        _ => scanner.skip(),
    })
}

fn usage(scanner: &mut Scanner<'_>, into: &mut Option<Box<Usage>>) -> Option<()> {
    if is_nothing(scanner, into)? {
        return Some(());
    }
    let usage = into.insert(Box::default());
    scanner.object(&mut |key, scanner| match key {
        b"prompt_tokens" => number(scanner, &mut usage.prompt_tokens),
        b"completion_tokens" => number(scanner, &mut usage.completion_tokens),
        b"completion_tokens_details" => {
            let mut read = None;
            let is_there = detail(scanner, b"reasoning_tokens", &mut read)?;
            usage.completion_tokens_details = is_there.then_some(CompletionDetails {
                reasoning_tokens: read,
            });
            Some(())
        }
        b"prompt_tokens_details" => {
            let mut read = None;
            let is_there = detail(scanner, b"cached_tokens", &mut read)?;
            usage.prompt_tokens_details = is_there.then_some(PromptDetails {
                cached_tokens: read,
            });
            Some(())
        }
        b"reasoning_tokens" => number(scanner, &mut usage.reasoning_tokens),
        b"prompt_cache_hit_tokens" => number(scanner, &mut usage.prompt_cache_hit_tokens),
        b"cached_tokens" => number(scanner, &mut usage.cached_tokens),
        _ => scanner.skip(),
    })
}

/// Reads the one count that matters of several; says whether there are any.
fn detail(scanner: &mut Scanner<'_>, wanted: &[u8], into: &mut Option<u64>) -> Option<bool> {
    if scanner.null() {
        return Some(false);
    }
    scanner.object(&mut |key, scanner| {
        if key == wanted {
            number(scanner, into)
        } else {
            scanner.skip()
        }
    })?;
    Some(true)
}

fn number(scanner: &mut Scanner<'_>, into: &mut Option<u64>) -> Option<()> {
    if !is_nothing(scanner, into)? {
        *into = Some(scanner.unsigned()?);
    }
    Some(())
}

/// Reads a string or `null`.
fn text<'a>(scanner: &mut Scanner<'a>, into: &mut Option<Text<'a>>) -> Option<()> {
    if !is_nothing(scanner, into)? {
        *into = Some(Text(scanner.string()?));
    }
    Some(())
}

/// Reads `null`, if that is what comes. A key that stands there twice is given up.
fn is_nothing<T>(scanner: &mut Scanner<'_>, into: &Option<T>) -> Option<bool> {
    into.is_none().then(|| scanner.null())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 8] = [
        r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","service_tier":null,"choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"x"}"#,
        r#"{"choices":[{"index":0,"delta":{"content":" a\n\"b\" é"},"finish_reason":null},{"index":1,"delta":{"content":"no"}},{"index":0,"delta":{"reasoning":"r"}}]}"#,
        r#"{"choices":[{"delta":{"reasoning_content":"think"},"finish_reason":"stop","content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}}],"x_groq":null}"#,
        r#"{"type":"t","error":null,"choices":[]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"\u00e9\ud83d\ude00","tool_calls":null}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"i","type":"function","function":{"name":"f","arguments":"{\"a\""}},{"index":1,"custom":null,"function":null}]}}]}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":3,"audio_tokens":0},"completion_tokens_details":null,"cached_tokens":4},"x_groq":{"id":"x","usage":{"completion_tokens":5}}}"#,
        " { \"choices\" : [ { \"delta\" : { \"content\" : \"a\" } } ] } ",
    ];

    fn shown(chunk: Option<Chunk<'_>>) -> String {
        format!("{chunk:?}")
    }

    #[test]
    fn ordinary_chunks_are_read_in_one_go() {
        for text in TEXTS {
            assert!(chunk(text.as_bytes()).is_some(), "{text}");
        }
        for text in [
            r#"{"choices":[{"delta":{"tool_calls":[7]}}]}"#,
            r#"{"choices":[{"delta":{"function_call":{}}}]}"#,
            r#"{"choices":[{"delta":{"content":"\ud83d"}}]}"#,
            r#"{"choices":[{"delta":{"content":[]}}]}"#,
            r#"{"choices":[{"delta":{"content":"a","content":"b"}}]}"#,
            r#"{"choices":[],"choices":[]}"#,
            r#"{"choices":null}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":1.0}}"#,
            r#"{"error":{"message":"m"}}"#,
            "[]",
            "",
        ] {
            assert!(chunk(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn what_is_read_in_one_go_is_what_the_lenient_reader_reads() {
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
