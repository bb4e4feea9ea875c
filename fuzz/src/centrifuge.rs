//! Frames of Centrifugo's clients, for the targets that make such frames of their input.
//!
//! - No more commands than the limit, and none behind an error; maps within their bounds.
//! - A payload is a piece of the frame, and in JSON a value.
//! - A tags filter is valid or refused; a valid one takes any tags.
//! - What was read is read the same when it is written again, in either encoding.
//! - What was published goes out in one line of JSON, in Protobuf as it came, and as a string.

use lmserver_proto::centrifuge::{
    Channel, Command, Commands, ConnectRequest, HEADERS, Protocol, Publication, Push, PushEvent,
    Request, SUBSCRIPTIONS, SubscribeRequest, TagsFilter,
};
use serde_json::Value;

use self::written::Written;
pub(crate) use self::written::varint;

mod written;

/// Checks one frame, of which `limit` commands are taken, and returns those.
pub(crate) fn check(protocol: Protocol, frame: &[u8], limit: usize) -> Vec<Command<'_>> {
    let mut commands = Vec::new();
    let mut failed = false;
    for command in Commands::of(protocol, frame, limit) {
        assert!(!failed, "nothing follows an error");
        match command {
            Ok(command) => commands.push(command),
            Err(error) => {
                failed = true;
                assert!(!error.to_string().is_empty());
            }
        }
    }
    assert!(failed || !commands.is_empty(), "an empty frame is refused");
    assert!(commands.len() <= limit);
    for command in &commands {
        for payload in payloads(&command.request) {
            within(protocol, payload, frame);
        }
        for filter in filters(&command.request) {
            filtered(filter);
        }
        bounded(&command.request);
        reads_back(protocol, command);
        if let Request::Publish(request) = &command.request {
            published(protocol, &request.channel, request.data);
        }
    }
    commands
}

fn payloads<'a>(request: &Request<'a>) -> Vec<&'a [u8]> {
    match request {
        Request::Connect(request) => {
            let subs = request.subs.iter().map(|(_, sub)| sub.data);
            subs.chain([request.data]).collect()
        }
        Request::Subscribe(request) => vec![request.data],
        Request::Publish(request) => vec![request.data],
        Request::Rpc { data, .. } | Request::Send { data } => vec![data],
        _ => Vec::new(),
    }
}

fn within(protocol: Protocol, payload: &[u8], frame: &[u8]) {
    if payload.is_empty() {
        return;
    }
    let (outer, inner) = (frame.as_ptr_range(), payload.as_ptr_range());
    assert!(outer.start <= inner.start && inner.end <= outer.end);
    if protocol == Protocol::Json {
        let value: Result<serde::de::IgnoredAny, _> = serde_json::from_slice(payload);
        assert!(value.is_ok(), "a payload is a value");
    }
}

fn filters<'a>(request: &Request<'a>) -> Vec<TagsFilter<'a>> {
    let of = |request: &SubscribeRequest<'a>| request.tags_filter;
    match request {
        Request::Connect(request) => request.subs.iter().filter_map(|(_, sub)| of(sub)).collect(),
        Request::Subscribe(request) => of(request).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn filtered(filter: TagsFilter<'_>) {
    match filter.parse() {
        Ok(valid) => {
            let tag = |name: &str, value: &str| (Box::from(name), Box::from(value));
            for tags in [
                vec![],
                vec![tag("k", "v")],
                vec![tag("k", "-1.5e3"), tag("l", "10")],
            ] {
                assert_eq!(valid.matches(&tags), valid.matches(&tags));
            }
            assert_eq!(filter.parse().ok(), Some(valid));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn bounded(request: &Request<'_>) {
    if let Request::Connect(request) = request {
        connect(request);
    }
}

/// Checks the bounds of a connect request.
pub(crate) fn connect(request: &ConnectRequest<'_>) {
    assert!(request.subs.len() <= SUBSCRIPTIONS);
    assert!(request.headers.len() <= HEADERS);
}

fn reads_back(protocol: Protocol, command: &Command<'_>) {
    let written = Written::of(command);
    for (into, frame) in [
        (Protocol::Protobuf, Some(written.protobuf_frame())),
        (Protocol::Json, written.json()),
    ] {
        // Bytes that are no value have no form in JSON.
        let Some(frame) = frame else { continue };
        let read: Vec<_> = Commands::of(into, &frame, 1).collect();
        let [Ok(read)] = &read[..] else {
            panic!("{command:?} written as {frame:?} reads as {read:?}");
        };
        if into == protocol {
            assert_eq!(read, command);
        } else {
            assert_eq!(without_filter(read), without_filter(command));
        }
    }
}

/// A filter stays in the encoding that it came in.
fn without_filter<'a>(command: &Command<'a>) -> Command<'a> {
    let mut command = command.clone();
    match &mut command.request {
        Request::Connect(request) => {
            for (_, sub) in &mut request.subs {
                sub.tags_filter = None;
            }
        }
        Request::Subscribe(request) => request.tags_filter = None,
        _ => {}
    }
    command
}

fn published(protocol: Protocol, channel: &str, data: &[u8]) {
    let one_line: Vec<u8> = match protocol {
        Protocol::Json => data
            .iter()
            .copied()
            .filter(|byte| !b"\r\n".contains(byte))
            .collect(),
        Protocol::Protobuf => data.to_vec(),
    };
    let plain = Publication {
        data: &one_line,
        offset: 1,
        ..Publication::default()
    };
    let quoted = Publication {
        quoted: true,
        ..plain
    };
    let push = |into: Protocol, publication: &Publication<'_>| {
        let mut out = Vec::new();
        let channel = Channel::Name(channel);
        let event = PushEvent::Publication(publication);
        into.push(&Push { channel, event }, &mut out);
        out
    };
    assert_eq!(
        push(Protocol::Protobuf, &plain),
        push(Protocol::Protobuf, &quoted)
    );
    let line = push(Protocol::Json, &quoted);
    assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
    let value: Value = serde_json::from_slice(&line).expect("an object");
    assert_eq!(
        value["push"]["pub"]["data"],
        String::from_utf8_lossy(&one_line).as_ref()
    );
    if protocol == Protocol::Json {
        let line = push(Protocol::Json, &plain);
        assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
        let value: Result<serde::de::IgnoredAny, _> = serde_json::from_slice(&line);
        assert!(value.is_ok() || deep(&one_line), "an object");
    }
}

/// Whether a value has more brackets than a reader of JSON follows.
fn deep(value: &[u8]) -> bool {
    value.iter().filter(|byte| b"[{".contains(byte)).count() > 100
}
