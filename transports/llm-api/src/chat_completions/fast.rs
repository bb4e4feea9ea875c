//! Plain questions, as most clients ask them: read in one go, or given up.
//!
//! What is read is what [`read_any`](super::request::read_any) reads; `tests` holds the two against
//! each other.

use lmserver_proto::json::scan::Scanner;
use lmserver_runtime::plugin::fast::{Question, count, once};

use super::Form;
use super::request::asked;
use crate::dialect::Asked;

/// Reads a body. `None`: it is another one, or none; the other reader sees to it.
pub(super) fn read(body: &[u8]) -> Option<Asked> {
    let (mut is_stream, mut usage, mut most) = (None, None, None);
    let mut question = Question::read(body, &mut |key, scanner, _| match key {
        b"stream" => once(&mut is_stream, scanner.bool()),
        b"stream_options" => once(&mut usage, includes_usage(scanner)),
        b"max_completion_tokens" => once(&mut most, count(scanner)),
        _ => None,
    })?;
    let request = &mut question.request;
    request.max_tokens = most.or(request.max_tokens);
    let form = Form {
        usage: usage.unwrap_or(false),
        legacy: false,
    };
    Some(asked(question, is_stream.unwrap_or(false), form))
}

/// `stream_options`, of which `include_obfuscation` is left out: this server adds none.
fn includes_usage(scanner: &mut Scanner<'_>) -> Option<bool> {
    let (mut usage, mut obfuscation) = (None, None);
    scanner.object(&mut |key, scanner| match key {
        b"include_usage" => once(&mut usage, scanner.bool()),
        b"include_obfuscation" => once(&mut obfuscation, scanner.bool()),
        _ => None,
    })?;
    Some(usage.unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use lmserver_proto::http1::Version;
    use lmserver_runtime::plugin::provider::ChatRequest;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::chat_completions::request::read_any;

    /// All that is said of a request: model, question, name of the encoding, and the rest.
    #[derive(Debug, PartialEq)]
    struct Shown {
        model: Option<String>,
        request: Box<ChatRequest>,
        encoding: &'static str,
        rest: String,
    }

    fn shown(asked: Asked) -> Shown {
        Shown {
            model: asked.model,
            request: asked.request,
            encoding: asked.telling.encoding(Version::Http11).name(),
            rest: format!(
                "{} {} {} {:?} {:?} {:?}",
                asked.count,
                asked.is_stream,
                asked.is_background,
                asked.note,
                asked.previous,
                asked.referred
            ),
        }
    }

    /// Reads a body plainly, if it can be, and checks that it is read so by the other reader.
    fn read_alike(body: &[u8]) -> bool {
        let Some(plain) = read(body) else {
            return false;
        };
        let any = read_any(body).map(shown);
        assert_eq!(Ok(shown(plain)), any, "{}", body.escape_ascii());
        true
    }

    const MESSAGES: &str = r#""messages":[{"role":"user","content":"Hello"}]"#;

    #[test]
    fn ordinary_questions_are_read_in_one_go() {
        for members in [
            "",
            r#","model":"m""#,
            r#","model":"m","stream":true"#,
            r#","stream" : false , "stream_options":{"include_usage":true}"#,
            r#","stream_options":{"include_obfuscation":false,"include_usage":false}"#,
            r#","stream_options":{}"#,
            r#","max_tokens":18446744073709551615"#,
            r#","max_tokens":1,"max_completion_tokens":2"#,
            r#","max_completion_tokens":2,"max_tokens":1"#,
            r#","temperature":0.70,"top_p":1"#,
            r#","temperature":2"#,
        ] {
            let body = format!("{{{MESSAGES}{members}}}");
            assert!(read_alike(body.as_bytes()), "{body}");
        }
        for messages in [
            r#"[{"content":"a\"\n\u00e9\ud83d\ude00é","role":"assistant"}]"#,
            r#"[{"role":"system","content":""},{"role":"developer","content":"b"}]"#,
        ] {
            let body = format!(r#"{{"messages":{messages}}}"#);
            assert!(read_alike(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn all_others_are_left_to_the_other_reader() {
        for members in [
            r#","model":null"#,
            r#","model":"""#,
            r#","model":7"#,
            r#","stream":null"#,
            r#","stream":1"#,
            r#","stream":true,"stream":false"#,
            r#","stream_options":{"include_usage":true,"include_usage":false}"#,
            r#","stream_options":{"include_usage":null}"#,
            r#","stream_options":{"other":true}"#,
            r#","stream_options":[]"#,
            r#","max_tokens":0"#,
            r#","max_tokens":18446744073709551616"#,
            r#","max_completion_tokens":1.5"#,
            r#","top_p":1.5"#,
            r#","temperature":-0.5"#,
            r#","temperature":7e-1"#,
            r#","temperature":0.7000000000000001"#,
            r#","n":1"#,
            r#","functions":[]"#,
            r#","tools":[]"#,
            r#","user":"u""#,
            r#","other":1"#,
            r#","messages":[{"role":"user","content":"Hello"}]"#,
            ",",
            "}",
        ] {
            let body = format!("{{{MESSAGES}{members}}}");
            assert!(!read_alike(body.as_bytes()), "{body}");
        }
        for message in ODD_MESSAGES {
            let body = format!(r#"{{"messages":[{message}]}}"#);
            assert!(!read_alike(body.as_bytes()), "{body}");
        }
        for body in [r#"{"model":"m"}"#, r#"{"messages":[]}"#, "[]", "null", ""] {
            assert!(!read_alike(body.as_bytes()), "{body}");
        }
    }

    /// Blanks, as they may stand around all that has a meaning.
    fn blanks() -> impl Strategy<Value = String> {
        prop_oneof![8 => Just(String::new()), 1 => "[ \n\r\t]{1,3}"]
    }

    /// A text and how it is written: as it is where it may be, or some of it escaped.
    fn string(text: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
        (text, any::<u64>()).prop_map(|(text, escaped)| {
            let mut written = String::from("\"");
            for (at, character) in text.chars().enumerate() {
                let mut units = [0; 2];
                if character.is_control() || escaped >> (at % 64) & 7 == 0 {
                    for unit in character.encode_utf16(&mut units) {
                        written.push_str(&format!("\\u{unit:04x}"));
                    }
                } else if matches!(character, '"' | '\\') {
                    written.extend(['\\', character]);
                } else {
                    written.push(character);
                }
            }
            written + "\""
        })
    }

    fn text() -> impl Strategy<Value = String> {
        string(prop_oneof![
            "[a-z ]{0,20}",
            ".{0,12}",
            "[\"\\\\/\n\u{0}\u{7f}é😀\u{2028}]{0,8}"
        ])
    }

    /// Members, in this order or in another, between braces.
    fn object(
        members: impl Strategy<Value = Vec<(String, String)>>,
    ) -> impl Strategy<Value = String> {
        (members.prop_shuffle(), blanks(), blanks()).prop_map(|(members, before, behind)| {
            let member = |(key, value): &(String, String)| {
                [
                    &before, "\"", key, "\"", &behind, ":", &before, value, &behind,
                ]
                .concat()
            };
            let members: Vec<String> = members.iter().map(member).collect();
            [&before, "{", &members.join(","), "}", &behind].concat()
        })
    }

    fn plain_messages() -> impl Strategy<Value = String> {
        let role = prop::sample::select(vec!["system", "developer", "user", "assistant"]);
        let role = string(role.prop_map(str::to_owned));
        let message =
            object((role, text()).prop_map(|(role, content)| {
                vec![("role".into(), role), ("content".into(), content)]
            }));
        vec(message, 1..4).prop_map(|messages| format!("[{}]", messages.join(",")))
    }

    fn flag() -> impl Strategy<Value = String> {
        any::<bool>().prop_map(|flag| flag.to_string())
    }

    fn decimal(most: u32) -> impl Strategy<Value = String> {
        (0..most, "(\\.[0-9]{1,13})?").prop_map(|(whole, fraction)| format!("{whole}{fraction}"))
    }

    fn count() -> impl Strategy<Value = String> {
        (1..u64::MAX).prop_map(|count| count.to_string())
    }

    /// The members of a plain body, any of which but the messages may be absent.
    fn plain_members() -> impl Strategy<Value = Vec<(String, String)>> {
        let options = (prop::option::of(flag()), prop::option::of(flag()));
        let options = object(options.prop_map(|(usage, obfuscation)| {
            let options = [
                ("include_usage", usage),
                ("include_obfuscation", obfuscation),
            ];
            let options = options.into_iter();
            options
                .filter_map(|(key, flag)| Some((key.to_owned(), flag?)))
                .collect()
        }));
        let values = (
            prop::option::of(string("[a-z/é]{1,40}")),
            prop::option::of(flag()),
            prop::option::of(options),
            prop::option::of(count()),
            prop::option::of(count()),
            prop::option::of(decimal(3)),
            prop::option::of(decimal(1)),
            plain_messages(),
        );
        values.prop_map(
            |(model, stream, options, most, most_now, temperature, top_p, messages)| {
                let members = [
                    ("model", model),
                    ("stream", stream),
                    ("stream_options", options),
                    ("max_tokens", most),
                    ("max_completion_tokens", most_now),
                    ("temperature", temperature),
                    ("top_p", top_p),
                    ("messages", Some(messages)),
                ];
                let members = members.into_iter();
                members
                    .filter_map(|(key, value)| Some((key.to_owned(), value?)))
                    .collect()
            },
        )
    }

    /// A member of any key and of any type, so that it may be wrong, unknown or there twice.
    fn odd_member() -> impl Strategy<Value = (String, String)> {
        let long = [256, 257].map(|length| format!("\"{}\"", "m".repeat(length)));
        let models = prop::sample::select(long.to_vec()).prop_map(|it| ("model".into(), it));
        let messages = prop::sample::select(&ODD_MESSAGES[..]);
        let messages = messages.prop_map(|it| ("messages".into(), format!("[{it}]")));
        let any = (
            prop::sample::select(&ODD_KEYS[..]),
            prop::sample::select(&ODD_VALUES[..]),
        );
        let any = any.prop_map(|(key, value)| (key.into(), value.into()));
        prop_oneof![1 => models, 3 => messages, 6 => any]
    }

    const ODD_KEYS: [&str; 15] = [
        "model",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "messages",
        "n",
        "user",
        "tools",
        "functions",
        "other",
        "",
        "mod\\u0065l",
    ];

    const ODD_VALUES: [&str; 19] = [
        "null",
        "true",
        "0",
        "1",
        "1.0",
        "-1",
        "0.5",
        "5e-1",
        "01",
        "18446744073709551616",
        "0.12345678901234567890",
        r#""""#,
        r#""m""#,
        r#""\ud800""#,
        "[]",
        "{}",
        "[[]]",
        r#"{"include_usage":true,"include_usage":false}"#,
        r#"{"include_usage":null,"other":1}"#,
    ];

    const ODD_MESSAGES: [&str; 12] = [
        r#"{"role":"user","content":"a","name":"n"}"#,
        r#"{"role":"tool","content":"a","tool_call_id":"i"}"#,
        r#"{"role":"tool","content":"a"}"#,
        r#"{"role":"function","content":"a","name":"f"}"#,
        r#"{"role":"function","content":"a"}"#,
        r#"{"role":"assistant","content":"a","refusal":"r"}"#,
        r#"{"role":"assistant","content":null,"refusal":"r"}"#,
        r#"{"role":"user","content":[{"type":"text","text":"a"}]}"#,
        r#"{"role":"user"}"#,
        r#"{"role":"nobody","content":"a"}"#,
        r#"{"role":"user","content":"a","content":"b"}"#,
        r#"{"role":null,"role":"user","content":"a"}"#,
    ];

    proptest! {
        #[test]
        fn all_plain_bodies_are_read_in_one_go(body in object(plain_members())) {
            prop_assert!(read_alike(body.as_bytes()), "{}", body);
            for at in 0..body.len() {
                let is_whole = body.as_bytes()[at..].trim_ascii().is_empty();
                prop_assert_eq!(read_alike(&body.as_bytes()[..at]), is_whole);
            }
        }

        #[test]
        fn whatever_is_read_in_one_go_is_read_so_by_the_other_reader(
            mut members in plain_members(),
            odd in vec(odd_member(), 0..3),
            edits in vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 0..3),
        ) {
            for (key, value) in odd {
                match members.iter_mut().find(|(other, _)| *other == key) {
                    Some(member) if value.len() % 2 == 0 => member.1 = value,
                    _ => members.push((key, value)),
                }
            }
            let member = |(key, value): (String, String)| format!("\"{key}\":{value}");
            let members: Vec<String> = members.into_iter().map(member).collect();
            let mut body = format!("{{{}}}", members.join(",")).into_bytes();
            read_alike(&body);
            for (at, byte, is_known) in edits {
                let known = b"\"\\{}[]:,0.-ne \n\x1f\xc3";
                let byte = if is_known { known[usize::from(byte) % known.len()] } else { byte };
                let at = at.index(body.len());
                body[at] = byte;
                read_alike(&body);
            }
        }
    }
}
