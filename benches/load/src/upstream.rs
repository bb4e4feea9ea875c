//! A provider to measure against: OpenAI's Chat Completions, with each token's time in its text.
//!
//! The request's model says what it streams: `…paced-TOKENS-MICROSECONDS`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::thread::{self, sleep};
use std::time::Duration;

use crate::stats::now;

/// Starts it on a thread of its own, for as long as the process lives.
pub fn start() -> Result<SocketAddrV4, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| e.to_string())?;
    let Ok(SocketAddr::V4(address)) = listener.local_addr() else {
        return Err("no local address".into());
    };
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(&stream));
        }
    });
    Ok(address)
}

/// The name of a model that streams `tokens`, one every `pause`.
pub fn model(tokens: usize, pause: Duration) -> String {
    format!("paced-{tokens}-{}", pause.as_micros())
}

/// Answers requests until the client goes away.
fn serve(stream: &TcpStream) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let body = read_request(&mut reader)?;
        let mut numbers = body
            .split("paced-")
            .nth(1)?
            .split(|c: char| !c.is_ascii_digit());
        let tokens = numbers.next()?.parse().ok()?;
        let pause = Duration::from_micros(numbers.next()?.parse().ok()?);
        answer(stream, tokens, pause).ok()?;
    }
}

fn read_request(reader: &mut BufReader<&TcpStream>) -> Option<String> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader
            .read_line(&mut line)
            .ok()
            .filter(|&count| count > 0)?;
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    String::from_utf8(body).ok()
}

fn answer(mut stream: &TcpStream, tokens: usize, pause: Duration) -> std::io::Result<()> {
    stream.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    )?;
    let mut send = |event: String| {
        let chunk = format!("{:x}\r\ndata: {event}\n\n\r\n", event.len() + 8);
        stream.write_all(chunk.as_bytes())
    };
    for _ in 0..tokens {
        sleep(pause);
        // The stamp is taken last, with everything but the write behind it.
        send(format!(
            "{{\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\
             \"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{}\"}},\
             \"finish_reason\":null}}]}}",
            stamp(now())
        ))?;
    }
    send(
        "{\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\
         \"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}"
            .into(),
    )?;
    send("[DONE]".into())?;
    stream.write_all(b"0\r\n\r\n")
}

fn stamp(at: u64) -> String {
    format!("@{at:016} ")
}

/// The stamps in a piece of a stream, with the end of what was read.
pub fn stamps(bytes: &[u8]) -> (Vec<u64>, usize) {
    let (mut found, mut end) = (Vec::new(), 0);
    for at in memchr::memchr_iter(b'@', bytes) {
        let digits = bytes
            .get(at + 1..at + 17)
            .and_then(|d| std::str::from_utf8(d).ok());
        match digits.map(str::parse) {
            Some(Ok(value)) => {
                found.push(value);
                end = at + 17;
            }
            Some(Err(_)) => end = at + 1,
            None => return (found, at),
        }
    }
    (found, end.max(bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_found_and_a_cut_one_is_left_for_later() {
        let text = format!("data: {}{}", stamp(17), stamp(18));
        assert_eq!(stamps(text.as_bytes()), (vec![17, 18], text.len()));
        let cut = 6 + 18 + 3;
        assert_eq!(stamps(&text.as_bytes()[..cut]), (vec![17], 6 + 18));
    }
}
