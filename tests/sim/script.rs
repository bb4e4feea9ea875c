//! What a provider says, and what must become of it.

use lmserver::runtime::sys::sim::Random;
use serde_json::json;

/// One act of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Send(Vec<u8>),
    Wait(u64),
    Close,
    Reset,
    /// Nothing ever again.
    Stall,
}

/// How the attempt must end, as far as the script knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With `end`, and all of the text.
    Complete,
    /// With an error of one of these codes, and a beginning of the text.
    Fails(Vec<&'static str>),
}

/// One attempt as the provider plays it.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) acts: Vec<Act>,
    /// All text that it could say.
    pub(crate) text: String,
    pub(crate) ending: Ending,
}

/// How the answer's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Chunked,
    Length,
    UntilClose,
}

/// The events of an OpenAI answer, a block each.
pub(crate) fn blocks(pieces: &[&str], finish: bool, done: bool) -> Vec<Vec<u8>> {
    let block = |delta: serde_json::Value, finish: Option<&str>| {
        let json = json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        });
        format!("data: {json}\n\n").into_bytes()
    };
    let mut blocks = vec![block(json!({"role": "assistant", "content": ""}), None)];
    blocks.extend(
        pieces
            .iter()
            .map(|piece| block(json!({"content": piece}), None)),
    );
    if finish {
        blocks.push(block(json!({}), Some("stop")));
    }
    if done {
        blocks.push(b"data: [DONE]\n\n".to_vec());
    }
    blocks
}

/// A head and a body in a framing.
pub(crate) fn response(status: &str, kind: &str, framing: Framing, body: &[u8]) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n").into_bytes();
    match framing {
        Framing::Length => {
            out.extend(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
            out.extend(body);
        }
        Framing::UntilClose => {
            out.extend(b"Connection: close\r\n\r\n");
            out.extend(body);
        }
        Framing::Chunked => {
            out.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            for piece in body.chunks(37) {
                out.extend(format!("{:x}\r\n", piece.len()).as_bytes());
                out.extend(piece);
                out.extend(b"\r\n");
            }
            out.extend(b"0\r\n\r\n");
        }
    }
    out
}

/// Sends bytes in a few random pieces with waits between.
pub(crate) fn pieces(random: &mut Random, bytes: &[u8], slowest: u64) -> Vec<Act> {
    let mut acts = Vec::new();
    let mut rest = bytes;
    let most = random
        .pick(&[1, 9, 60, 400, usize::MAX])
        .max(bytes.len() / 60);
    while !rest.is_empty() {
        let count = random.part(rest.len().min(most));
        acts.push(Act::Send(rest[..count].to_vec()));
        rest = &rest[count..];
        if random.once_in(2) {
            acts.push(Act::Wait(random.below(slowest + 1)));
        }
    }
    acts
}

/// Words of a random answer, some of them hard.
pub(crate) fn words(random: &mut Random) -> Vec<&'static str> {
    let count = random.pick(&[0, 1, 3, 10, 40]);
    let all = [
        "Hel",
        "lo ",
        "\u{1f600}",
        "\n",
        "\"quoted\"",
        "a \\ b",
        "\u{2028}",
        "wide ",
        "\u{e9}",
        "data: x\n\n",
    ];
    (0..count).map(|_| random.pick(&all)).collect()
}

/// A random attempt. `decisive`: nothing is tried after it.
pub(crate) fn random(random: &mut Random, decisive: bool) -> Script {
    let said = words(random);
    let text: String = said.concat();
    let framing = random.pick(&[Framing::Chunked, Framing::Length, Framing::UntilClose]);
    let error = |status: &str, body: &str| {
        response(status, "application/json", Framing::Length, body.as_bytes())
    };
    let fails = |codes: &[&'static str]| Ending::Fails(codes.to_vec());
    let whole = |finish, done| {
        response(
            "200 OK",
            "text/event-stream",
            framing,
            &blocks(&said, finish, done).concat(),
        )
    };
    let close = |mut acts: Vec<Act>| {
        if framing == Framing::UntilClose {
            acts.push(Act::Close);
        }
        acts
    };
    let kind = if decisive {
        random.below(9)
    } else {
        3 + random.below(3)
    };
    match kind {
        0..=2 => Script {
            acts: close(pieces(random, &whole(true, true), 30)),
            text,
            ending: Ending::Complete,
        },
        // Refused in the head.
        3 => {
            let (status, body, code) = random.pick(&[
                ("429 Too Many Requests", r#"{"error":{"message":"slow down","type":"requests","code":"rate_limit_exceeded"}}"#, "provider_rate_limited"),
                ("500 Internal Server Error", r#"{"error":{"message":"oops","type":"server_error"}}"#, "provider_error"),
                ("401 Unauthorized", r#"{"error":{"message":"bad key","type":"invalid_request_error","code":"invalid_api_key"}}"#, "provider_auth"),
                ("503 Service Unavailable", "busy", "provider_overloaded"),
            ]);
            Script {
                acts: pieces(random, &error(status, body), 50),
                text: String::new(),
                ending: fails(&[code]),
            }
        }
        // Gone before a byte.
        4 => Script {
            acts: vec![
                Act::Wait(random.below(100)),
                random.pick(&[Act::Close, Act::Reset]),
            ],
            text: String::new(),
            ending: fails(&["provider_unreachable"]),
        },
        // Never a word.
        5 => Script {
            acts: vec![Act::Stall],
            text: String::new(),
            ending: fails(&["provider_timeout"]),
        },
        // Cut anywhere, by the end or a reset.
        6 => {
            let bytes = whole(true, true);
            let cut = random.index(bytes.len());
            let mut acts = pieces(random, &bytes[..cut], 20);
            let reset = random.once_in(3);
            acts.push(if reset { Act::Reset } else { Act::Close });
            Script {
                acts,
                text,
                // A cut in what follows the finish reason changes nothing; one before it does.
                ending: fails(&[
                    "provider_truncated",
                    "provider_unreachable",
                    "provider_error",
                    "complete",
                ]),
            }
        }
        // Stalls in the middle.
        7 => {
            let bytes = whole(true, true);
            let cut = random.index(bytes.len());
            let mut acts = pieces(random, &bytes[..cut], 20);
            acts.push(Act::Stall);
            Script {
                acts,
                text,
                ending: fails(&["provider_timeout", "complete"]),
            }
        }
        // An error inside 200, after the content.
        _ => {
            let mut body = blocks(&said, false, false).concat();
            body.extend(
                b"data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\"}}\n\n",
            );
            let bytes = response("200 OK", "text/event-stream", framing, &body);
            Script {
                acts: close(pieces(random, &bytes, 20)),
                text,
                ending: fails(&["provider_error", "provider_overloaded"]),
            }
        }
    }
}
