//! Bodies that are built of an input, since chance seldom makes a member that a reader knows.
//!
//! ```text
//!   object   (key value)* 0xff       key: one byte, of KEYS
//!   array    value* 0xff
//!   value    0x00… of VALUES   0x70… a string of so many bytes   0x80… an object   0xc0… an array
//! ```

/// Objects and arrays in each other, far more than a reader knows.
const DEPTH: usize = 8;

const END: u8 = 0xff;

/// Those of plain questions first, and more than once.
const KEYS: [&str; 64] = [
    "message",
    "messages",
    "model",
    "system",
    "temperature",
    "top_p",
    "max_tokens",
    "stream",
    "message",
    "messages",
    "model",
    "system",
    "temperature",
    "top_p",
    "max_tokens",
    "stream",
    "max_completion_tokens",
    "stream_options",
    "include_usage",
    "include_obfuscation",
    "role",
    "content",
    "role",
    "content",
    "name",
    "tool_calls",
    "tool_call_id",
    "stop",
    "seed",
    "tools",
    "tool_choice",
    "response_format",
    "reasoning_effort",
    "user",
    "metadata",
    "extra",
    "n",
    "functions",
    "function_call",
    "function",
    "arguments",
    "parameters",
    "id",
    "type",
    "text",
    "image_url",
    "url",
    "refusal",
    "input",
    "instructions",
    "store",
    "previous_response_id",
    "output",
    "call_id",
    "input_audio",
    "summary",
    "stop_sequences",
    "tool_use_id",
    "source",
    "data",
    "parts",
    "toolCallId",
    "mod\\u0065l",
    "",
];

const VALUES: [&str; 64] = [
    r#""user""#,
    r#""assistant""#,
    r#""system""#,
    r#""developer""#,
    r#""tool""#,
    r#""function""#,
    r#""a""#,
    r#""""#,
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "9",
    "09",
    "1.0",
    "1.",
    ".5",
    "0.5",
    "-0",
    "-0.5",
    "1e0",
    "5e-1",
    "1E400",
    "1.5",
    "2",
    "0.70",
    "0.123456789012345",
    "0.1234567890123456",
    "123456789012345.6",
    "9007199254740993",
    "18446744073709551615",
    "18446744073709551616",
    r#""\n\u00e9\ud83d\ude00\/\"\\""#,
    r#""\ud83d""#,
    r#""\ude00a""#,
    r#""\u0000""#,
    r#""\x""#,
    r#""\u00g0""#,
    "\"\t\"",
    "\"\u{7f}\u{2028}\"",
    "[]",
    "{}",
    "[[]]",
    r#"{"include_usage":true}"#,
    r#"[{"role":"user","content":"a"}]"#,
    r#""m""#,
    r#""default""#,
    r#""text""#,
    r#""function""#,
    r#""input_text""#,
    r#""tool_use""#,
    r#""tool_result""#,
    r#""image_url""#,
    r#""auto""#,
    r#""function_call""#,
    r#""function_call_output""#,
    r#""resp_0123456789abcdef0123456789abcdef""#,
    r#"{"type":"text","text":"a"}"#,
    r#"{"name":"f","arguments":"{}"}"#,
    r#""tool-f""#,
    "True",
    " \n1\t\r ",
];

/// The body that an input says how to build.
pub(super) fn body(mut input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    object(&mut input, DEPTH, &mut out);
    out.extend_from_slice(input);
    out
}

fn object(input: &mut &[u8], depth: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    let start = out.len();
    while let Some(key) = next(input) {
        if out.len() > start {
            out.push(b',');
        }
        let key = KEYS[usize::from(key) % KEYS.len()];
        out.extend_from_slice(format!("\"{key}\":").as_bytes());
        let of = next(input).unwrap_or_default();
        value(of, input, depth, out);
    }
    out.push(b'}');
}

fn value(of: u8, input: &mut &[u8], depth: usize, out: &mut Vec<u8>) {
    match of {
        0x80.. if depth == 0 => out.extend_from_slice(b"null"),
        0xc0.. => {
            out.push(b'[');
            let start = out.len();
            while let Some(of) = next(input) {
                if out.len() > start {
                    out.push(b',');
                }
                value(of, input, depth - 1, out);
            }
            out.push(b']');
        }
        0x80.. => object(input, depth - 1, out),
        0x70.. => {
            let length = usize::from(of - 0x70).min(input.len());
            let (text, rest) = input.split_at(length);
            *input = rest;
            out.push(b'"');
            out.extend_from_slice(text);
            out.push(b'"');
        }
        _ => out.extend_from_slice(VALUES[usize::from(of) % VALUES.len()].as_bytes()),
    }
}

/// The next byte. None at the end of an object or an array.
fn next(input: &mut &[u8]) -> Option<u8> {
    let (&byte, rest) = input.split_first()?;
    *input = rest;
    (byte != END).then_some(byte)
}
