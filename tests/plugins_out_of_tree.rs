//! The plugins of `examples/` serve real sockets: each example is the program that a stranger
//! would build, put together from the library's public names alone.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "both far ends of the program are ordinary blocking sockets"
)]
#![expect(clippy::expect_used, reason = "helpers of tests fail the test")]

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lmserver::Plugins;

#[expect(dead_code, reason = "its main is not called")]
#[path = "../examples/custom_provider.rs"]
mod custom_provider;
#[expect(dead_code, reason = "its main is not called")]
#[path = "../examples/custom_transport.rs"]
mod custom_transport;

const PATIENCE: Duration = Duration::from_secs(20);

/// A program that serves a socket of the file system. It ends with the process.
struct Server {
    directory: tempfile::TempDir,
}

impl Server {
    fn start(plugins: Plugins, config: &str) -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        let file = directory.path().join("lmserver.toml");
        std::fs::write(&file, config).expect("a file");
        let server = Self { directory };
        let listen = format!("unix:{}", server.socket().display());
        let args = [
            "lmserver",
            "--config",
            &file.display().to_string(),
            "--listen",
            &listen,
        ]
        .map(OsString::from);
        std::thread::spawn(move || lmserver::run(plugins, args));
        let begun = Instant::now();
        while UnixStream::connect(server.socket()).is_err() {
            assert!(begun.elapsed() < PATIENCE, "the server does not listen");
            std::thread::yield_now();
        }
        server
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("lm.sock")
    }

    /// The whole answer to one request, after which the connection closes.
    fn answer(&self, request_line: &str, body: &str) -> String {
        let mut socket = UnixStream::connect(self.socket()).expect("a connection");
        socket.set_read_timeout(Some(PATIENCE)).expect("an option");
        let length = body.len();
        let head = format!(
            "{request_line} HTTP/1.1\r\nHost: lm.example\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        socket.write_all((head + body).as_bytes()).expect("room");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// Asks, and returns the channel of the answer.
    fn ask(&self, text: &str) -> String {
        let body = serde_json::json!({ "message": text }).to_string();
        let answer = self.answer("POST /api/chat", &body);
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        let body: serde_json::Value = serde_json::from_str(body).expect(&answer);
        body["channel_id"].as_str().expect(&answer).to_owned()
    }

    /// The state of a chat once it has ended.
    fn outcome(&self, channel: &str) -> serde_json::Value {
        self.answer(&format!("GET /connection/sse?channel={channel}"), "");
        let answer = self.answer(&format!("GET /api/chat/{channel}"), "");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        serde_json::from_str(body).expect(&answer)
    }
}

/// A model server that gives each connection the next of these answers, byte by byte, and says
/// what it was asked.
fn model_server(answers: Vec<String>) -> (u16, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (said, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut socket, _) = listener.accept().expect("a connection");
            said.send(read_request(&mut socket)).expect("a listener");
            socket.set_nodelay(true).expect("an option");
            for byte in answer.bytes() {
                // A peer that has heard enough may be gone.
                let _ = socket.write_all(&[byte]);
            }
            let _ = socket.shutdown(Shutdown::Write);
        }
    });
    (port, heard)
}

/// The head and the body of a request.
fn read_request(socket: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).expect("a head");
        request.push(byte[0]);
    }
    let head = String::from_utf8(request).expect("text");
    let (_, length) = head.split_once("Content-Length: ").expect("a length");
    let length = length
        .split("\r\n")
        .next()
        .and_then(|digits| digits.parse().ok());
    let mut body = vec![0; length.expect("a number")];
    socket.read_exact(&mut body).expect("a body");
    head + &String::from_utf8(body).expect("text")
}

/// Events in chunks, each of them one; the last chunk is not among them.
fn chunked(events: &[&str]) -> String {
    let chunk = |data: &&str| {
        let event = format!("data: {data}\n\n");
        format!("{:x}\r\n{event}\r\n", event.len())
    };
    let chunks: String = events.iter().map(chunk).collect();
    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")
}

#[test]
fn a_provider_of_ones_own_answers() {
    let hello = r#"{"response":"Grüße, "}"#;
    let world = r#"{"response":"Welt","p":"abcd"}"#;
    let broken = r#"{"errors":[],"error":"out of memory"}"#;
    let missing = r#"{"success":false,"errors":[{"code":7000,"message":"No route"}]}"#;
    let length = missing.len();
    let whole = chunked(&[hello, "no JSON", world, "[DONE]"]) + "0\r\n\r\n";
    let (port, heard) = model_server(vec![
        whole.clone(),
        chunked(&[hello, world]) + "0\r\n\r\n",
        whole.split_at(30).0.to_owned(),
        chunked(&[hello, broken]),
        format!("HTTP/1.1 404 Not Found\r\nContent-Length: {length}\r\n\r\n{missing}"),
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{missing}"),
    ]);
    let server = Server::start(
        custom_provider::plugins(),
        &format!(
            "[provider.workers-ai]\nbase_url = \"http://127.0.0.1:{port}/ai\"\nretries = 0\n\
             [model.default]\ntargets = [\"workers-ai/@cf/meta/llama\"]\n"
        ),
    );
    for (status, text, code, message) in [
        ("completed", "Grüße, Welt", "", ""),
        (
            "failed",
            "Grüße, Welt",
            "provider_truncated",
            "closed the stream",
        ),
        ("failed", "", "provider_truncated", "inside the head"),
        ("failed", "Grüße, ", "provider_error", "out of memory"),
        ("failed", "", "provider_not_found", "No route"),
        ("failed", "", "provider_error", "No route"),
    ] {
        let state = server.outcome(&server.ask("hi"));
        let request = heard.recv_timeout(PATIENCE).expect("a request");
        let (head, body) = request.split_once("\r\n\r\n").expect("a body");
        assert!(
            head.starts_with("POST /ai/run/@cf/meta/llama HTTP/1.1\r\n"),
            "{head}"
        );
        let want = r#"{"messages":[{"content":"hi","role":"user"}],"stream":true}"#;
        assert_eq!(body, want);
        assert_eq!(
            (&state["status"], &state["text"]),
            (&status.into(), &text.into()),
            "{state}"
        );
        if status == "completed" {
            assert_eq!(state["finish_reason"], "stop", "{state}");
            continue;
        }
        assert_eq!(state["error"]["code"], code, "{state}");
        let said = state["error"]["message"].as_str().unwrap_or_default();
        assert!(said.contains(message), "{state}");
    }
}

#[test]
fn a_provider_takes_less_than_120_lines() {
    let lines = include_str!("../examples/custom_provider.rs").lines();
    assert!(lines.count() < 120);
}

#[test]
fn a_configuration_that_a_plugin_refuses_is_a_mistake_like_any_other() {
    let directory = tempfile::tempdir().expect("a folder");
    let file = directory.path().join("lmserver.toml");
    std::fs::write(&file, "[provider.workers-ai]\n").expect("a file");
    let check = ["lmserver", "check", "--config", &file.display().to_string()];
    let code = lmserver::run(custom_provider::plugins(), check.map(OsString::from));
    assert_eq!(
        format!("{code:?}"),
        format!("{:?}", std::process::ExitCode::from(2))
    );
}

#[test]
fn a_transport_of_ones_own_serves_channels() {
    let config = "[provider.echo]\ndelay = \"1ms\"\n";
    let server = Server::start(custom_transport::plugins(), config);
    let channel = server.ask("one two three");
    let listen = |cursor: &str| {
        let target = format!("GET /connection/ndjson?channel={channel}&last_event_id={cursor}");
        server.answer(&target, "")
    };
    let all = listen("");
    assert!(all.starts_with("HTTP/1.1 200 OK\r\n"), "{all}");
    assert!(
        all.contains("Content-Type: application/x-ndjson\r\n"),
        "{all}"
    );
    assert!(all.ends_with("\r\n0\r\n\r\n"), "{all}");
    let events = lines(&all);
    let kinds: Vec<_> = events
        .iter()
        .map(|line| line["event"]["type"].as_str())
        .collect();
    let want = ["start", "chunk", "chunk", "chunk", "end"].map(Some);
    assert_eq!(kinds, want, "{all}");
    let id = |at: usize| events[at]["id"].as_str().expect("an id");
    assert_eq!(lines(&listen(id(2))), events[3..]);
    assert!(listen(id(4)).starts_with("HTTP/1.1 204 "));
    let reset = lines(&listen("other"));
    assert_eq!(reset[0]["event"]["type"], "reset");
    assert_eq!(reset[1..], events);
    let unknown = server.answer("GET /connection/ndjson?channel=chat:none", "");
    assert!(unknown.starts_with("HTTP/1.1 404 "), "{unknown}");
}

/// The JSON lines of an answer.
fn lines(answer: &str) -> Vec<serde_json::Value> {
    let lines = answer.lines().filter(|line| line.starts_with('{'));
    lines
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}
