//! `lmserver ask` against a server that follows a script.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::program::{Done, Program};

const CREATED: &str = r#"{"channel_id":"chat:1","message":"Channel created"}"#;

/// One request that is expected, and its answer; the connection closes after it.
struct Step {
    /// The request line.
    line: &'static str,
    /// Lines and texts that the request holds.
    holds: &'static [&'static str],
    answer: String,
}

fn json(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// An event stream that is cut where the text ends.
fn cut_stream(text: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{text}\r\n",
        text.len()
    )
}

fn step(line: &'static str, holds: &'static [&'static str], answer: String) -> Step {
    Step {
        line,
        holds,
        answer,
    }
}

/// Serves the steps one after the other, on a connection each, while `ask` runs.
fn ask(program: Program, args: &[&str], steps: &[Step]) -> Done {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for step in steps {
                let (socket, _) = listener.accept().unwrap();
                serve(socket, step);
            }
        });
        program.run(&[&["ask", "--server", &url], args].concat())
    })
}

fn serve(mut socket: TcpStream, step: &Step) {
    let request = read_request(&socket);
    assert!(
        request.starts_with(step.line),
        "wanted {}, got {request}",
        step.line
    );
    for text in step.holds {
        assert!(request.contains(text), "{text} is missing in {request}");
    }
    socket.write_all(step.answer.as_bytes()).unwrap();
}

fn read_request(socket: &TcpStream) -> String {
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut reader = BufReader::new(socket);
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).unwrap() > 0, "cut in {head}");
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
        head += &line;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    head + &String::from_utf8(body).unwrap()
}

#[test]
fn an_answer_is_printed_through_cut_connections_without_loss_or_repetition() {
    let first = "retry: 1\nid: e-1\ndata: {\"type\":\"start\",\"message\":\"\"}\n\n\
                 id: e-2\ndata: {\"type\":\"chunk\",\"message\":\"Grüße, \"}\n\n\
                 id: e-3\ndata: {\"type\":\"chunk\",\"mess";
    let second = "retry: 1\nid: e-3\ndata: {\"type\":\"chunk\",\"message\":\"Welt\"}\n\n: hb\n\n";
    let third = "id: e-4\ndata: {\"type\":\"end\",\"message\":\"\",\"finish_reason\":\"stop\"}\n\n";
    let listen = "GET /connection/sse?channel=chat:1 HTTP/1.1\r\n";
    let done = ask(
        Program::new().set("LMSERVER_API_KEY", "topsecret"),
        &["--model", "fast", "what", "is up"],
        &[
            step(
                "POST /api/chat HTTP/1.1\r\n",
                &[
                    "{\"message\":\"what is up\",\"model\":\"fast\"}",
                    "Bearer topsecret\r\n",
                ],
                json("200 OK", CREATED),
            ),
            step(listen, &["Bearer topsecret\r\n"], cut_stream(first)),
            step(listen, &["Last-Event-ID: e-2\r\n"], cut_stream(second)),
            step(listen, &["Last-Event-ID: e-3\r\n"], cut_stream(third)),
        ],
    );
    assert_eq!(
        (done.stdout.as_str(), done.stderr.as_str()),
        ("Grüße, Welt\n", "")
    );
    assert_eq!(done.code, 0);
}

#[test]
fn a_token_of_the_channel_is_what_one_listens_with() {
    let created = r#"{"channel_id":"chat:1","token":"t.o.k"}"#;
    let stream = "data: {\"type\":\"end\",\"message\":\"\",\"finish_reason\":\"stop\"}\n\n";
    let done = ask(
        Program::new().set("LMSERVER_API_KEY", "topsecret"),
        &["hi"],
        &[
            step("POST ", &["Bearer topsecret\r\n"], json("200 OK", created)),
            step(
                "GET ",
                &["Authorization: Bearer t.o.k\r\n"],
                cut_stream(stream),
            ),
        ],
    );
    assert_eq!((done.stderr.as_str(), done.code), ("", 0));
}

#[test]
fn a_post_that_is_cut_is_made_again_under_the_same_key() {
    let stream = "data: {\"type\":\"end\",\"message\":\"\",\"finish_reason\":\"stop\"}\n\n";
    let done = ask(
        Program::new(),
        &["hi"],
        &[
            step("POST ", &["Idempotency-Key: ask-"], String::new()),
            step("POST ", &["Idempotency-Key: ask-"], json("200 OK", CREATED)),
            step("GET ", &[], cut_stream(stream)),
        ],
    );
    assert_eq!((done.stderr.as_str(), done.code), ("", 0));
}

#[test]
fn what_goes_wrong_is_said_on_the_standard_error_and_exits_with_1() {
    let error = "data: {\"type\":\"chunk\",\"message\":\"par\"}\n\ndata: {\"type\":\"error\",\
                 \"message\":\"it broke\",\"code\":\"provider_error\",\"retryable\":true}\n\n";
    let refused = r#"{"error":{"code":"unauthorized","message":"send an API key"}}"#;
    for (steps, stdout, stderr) in [
        (
            vec![
                step("POST ", &[], json("200 OK", CREATED)),
                step("GET ", &[], cut_stream(error)),
            ],
            "par\n",
            "lmserver: it broke (provider_error)\n",
        ),
        (
            vec![step("POST ", &[], json("401 Unauthorized", refused))],
            "",
            "lmserver: send an API key (HTTP 401, unauthorized)\n",
        ),
        (
            vec![step("POST ", &[], json("404 Not Found", "nothing here"))],
            "",
            "lmserver: the server gives no reason (HTTP 404)\n",
        ),
        (
            vec![step("POST ", &[], json("200 OK", "{}"))],
            "",
            "lmserver: the server's answer is not understood: it names no channel\n",
        ),
    ] {
        let done = ask(Program::new(), &["hi"], &steps);
        assert_eq!(
            (done.stdout.as_str(), done.stderr.as_str()),
            (stdout, stderr)
        );
        assert_eq!(done.code, 1);
    }
}

#[test]
fn a_server_that_does_not_run_is_said() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let done = Program::new()
        .set("PORT", &port.to_string())
        .run(&["ask", "hi"]);
    let want = format!(
        "lmserver: cannot reach http://127.0.0.1:{port}: Connection refused (os error 111); is the \
         server running?\n"
    );
    assert_eq!((done.code, done.stderr), (1, want));
}

#[test]
fn a_url_that_ask_cannot_speak_to_is_a_usage_mistake() {
    for (url, certificates, want) in [
        (
            "h:80",
            "",
            "\"h:80\": a base URL looks like https://host[:port][/path]",
        ),
        (
            "https://h",
            "nowhere.pem",
            "SSL_CERT_FILE: nowhere.pem: No such file or directory",
        ),
        (
            "https://h",
            "none.pem",
            "SSL_CERT_FILE: none.pem: no certificate in PEM form found",
        ),
    ] {
        let program = Program::new()
            .file("none.pem", "")
            .set("SSL_CERT_FILE", certificates);
        let done = program.run(&["ask", "--server", url, "hi"]);
        assert_eq!(done.code, 2);
        assert!(
            done.stderr
                .starts_with(&format!("lmserver: --server: {want}")),
            "{}",
            done.stderr
        );
    }
}

#[test]
fn a_server_behind_tls_is_asked_if_its_certificate_is_good() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    let server = Program::new()
        .file("cert.pem", &cert)
        .file("key.pem", &key)
        .file(
            "lmserver.toml",
            "[provider.echo]\n[server]\ntls = { cert = \"cert.pem\", key = \"key.pem\" }\n",
        );
    let mut server = server.start(&["--listen", "127.0.0.1:0"]);
    let url = server.wait_for_url();
    let named = url.replace("127.0.0.1", "localhost");
    for (url, trusted, want) in [
        (&named, true, Ok("hi\n")),
        (
            &named,
            false,
            Err("invalid peer certificate: UnknownIssuer"),
        ),
        (
            &url,
            true,
            Err("invalid peer certificate: certificate not valid for name"),
        ),
    ] {
        let program = Program::new().file("ca.pem", &cert);
        let program = if trusted {
            program.set("SSL_CERT_FILE", "ca.pem")
        } else {
            program
        };
        let done = program.run(&["ask", "--server", url, "hi"]);
        match want {
            Ok(text) => assert_eq!((done.stdout.as_str(), done.stderr.as_str()), (text, "")),
            Err(text) => assert!(done.stderr.contains(text), "{}", done.stderr),
        }
        assert_eq!(done.code, i32::from(want.is_err()));
    }
}

#[test]
fn ctrl_c_cancels_the_generation() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut child = Program::new().start(&["ask", "--server", &url, "hi"]);
    let (socket, _) = listener.accept().unwrap();
    serve(socket, &step("POST ", &[], json("200 OK", CREATED)));
    let (mut stream, _) = listener.accept().unwrap();
    assert!(read_request(&stream).starts_with("GET "));
    let text = cut_stream("data: {\"type\":\"chunk\",\"message\":\"par\"}\n\n");
    stream.write_all(text.as_bytes()).unwrap();
    child.wait_for_output("par");
    child.signal("INT");
    let (socket, _) = listener.accept().unwrap();
    serve(
        socket,
        &step(
            "DELETE /api/chat/chat:1 HTTP/1.1\r\n",
            &[],
            json("200 OK", "{}"),
        ),
    );
    let done = child.wait();
    assert_eq!(
        (done.stdout.as_str(), done.stderr.as_str()),
        ("par", "\nlmserver: cancelled\n")
    );
    assert_eq!(done.code, 0);
}
