//! Another reader and writer of Centrifugo's protocol, made of derived messages, agrees with ours.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use lmserver_proto::centrifuge::{
    Channel, ClientInfo, Command, Commands, ConnectResult, Disconnect, EmulationRequest, Error,
    HistoryResult, Protocol, Publication, Push, PushEvent, PushSubscribe, Reply, ReplyResult,
    Request, SubscribeRequest, SubscribeResult, Subscription, Tag, Unsubscribe,
};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;

#[path = "support/centrifuge_said.rs"]
mod said;
#[path = "support/centrifuge_schema.rs"]
mod schema;

use self::said::{as_push, command, pushed, reply, text};

// ---- from ours to theirs: commands ----------------------------------------------------------

fn their_subscribe(request: &SubscribeRequest<'_>) -> schema::SubscribeRequest {
    schema::SubscribeRequest {
        channel: request.channel.to_string(),
        token: request.token.to_string(),
        recover: request.recover,
        epoch: request.epoch.to_string(),
        offset: request.offset,
        data: request.data.to_vec(),
        positioned: request.positioned,
        recoverable: request.recoverable,
        join_leave: request.join_leave,
        delta: request.delta.to_string(),
        flag: request.flag,
        r#type: request.kind,
    }
}

fn theirs(command: &Command<'_>) -> schema::Command {
    let mut theirs = schema::Command {
        id: command.id,
        ..schema::Command::default()
    };
    let named = |channel: &str| {
        Some(schema::ChannelRequest {
            channel: channel.to_owned(),
        })
    };
    match &command.request {
        Request::Pong | Request::Unknown => {}
        Request::Connect(request) => {
            let subs = request.subs.iter();
            let headers = request.headers.iter();
            theirs.connect = Some(schema::ConnectRequest {
                token: request.token.to_string(),
                data: request.data.to_vec(),
                subs: subs
                    .map(|(name, sub)| (name.to_string(), their_subscribe(sub)))
                    .collect(),
                name: request.name.to_string(),
                version: request.version.to_string(),
                headers: headers
                    .map(|(name, value)| (name.to_string(), value.to_string()))
                    .collect(),
                flag: request.flag,
            });
        }
        Request::Subscribe(request) => theirs.subscribe = Some(their_subscribe(request)),
        Request::Unsubscribe { channel } => theirs.unsubscribe = named(channel),
        Request::Publish(request) => {
            theirs.publish = Some(schema::PublishRequest {
                channel: request.channel.to_string(),
                data: request.data.to_vec(),
                r#type: request.kind,
            });
        }
        Request::Presence { channel } => theirs.presence = named(channel),
        Request::PresenceStats { channel } => theirs.presence_stats = named(channel),
        Request::History(request) => {
            theirs.history = Some(schema::HistoryRequest {
                channel: request.channel.to_string(),
                limit: request.limit,
                since: request.since.as_ref().map(|since| schema::StreamPosition {
                    offset: since.offset,
                    epoch: since.epoch.to_string(),
                }),
                reverse: request.reverse,
            });
        }
        Request::Rpc { method, data } => {
            theirs.rpc = Some(schema::RpcRequest {
                data: data.to_vec(),
                method: method.to_string(),
            });
        }
        Request::Send { data } => {
            theirs.send = Some(schema::Payload {
                data: data.to_vec(),
            })
        }
        Request::Refresh { token } => {
            theirs.refresh = Some(schema::RefreshRequest {
                token: token.to_string(),
            });
        }
        Request::SubRefresh(request) => {
            theirs.sub_refresh = Some(schema::SubRefreshRequest {
                channel: request.channel.to_string(),
                token: request.token.to_string(),
                r#type: request.kind,
            });
        }
    }
    theirs
}

// ---- from theirs to ours: replies -----------------------------------------------------------

/// Tags of publications, which ours borrow.
type Tags = Vec<Vec<Tag>>;

fn tags(publications: &[schema::Publication]) -> Tags {
    let tags = publications
        .iter()
        .map(|publication| publication.tags.iter());
    tags.map(|tags| {
        tags.map(|(name, value)| (name.as_str().into(), value.as_str().into()))
            .collect()
    })
    .collect()
}

fn our_publications<'a>(theirs: &'a [schema::Publication], tags: &'a Tags) -> Vec<Publication<'a>> {
    let pairs = theirs.iter().zip(tags);
    pairs
        .map(|(theirs, tags)| Publication {
            data: &theirs.data,
            quoted: false,
            info: theirs.info.as_ref().map(our_info),
            offset: theirs.offset,
            tags,
            delta: theirs.delta,
            time: theirs.time,
            epoch: &theirs.epoch,
        })
        .collect()
}

fn our_info(theirs: &schema::ClientInfo) -> ClientInfo<'_> {
    ClientInfo {
        user: &theirs.user,
        client: &theirs.client,
        conn_info: &theirs.conn_info,
        chan_info: &theirs.chan_info,
    }
}

fn ttl(expires: bool, ttl: u32) -> Option<u32> {
    expires.then_some(ttl)
}

fn our_subscribe_result<'a>(
    theirs: &'a schema::SubscribeResult,
    publications: &'a [Publication<'a>],
) -> SubscribeResult<'a> {
    SubscribeResult {
        ttl: ttl(theirs.expires, theirs.ttl),
        recoverable: theirs.recoverable,
        epoch: &theirs.epoch,
        publications,
        recovered: theirs.recovered,
        offset: theirs.offset,
        positioned: theirs.positioned,
        data: &theirs.data,
        was_recovering: theirs.was_recovering,
        delta: theirs.delta,
        id: theirs.id,
    }
}

fn with_connect_result(theirs: &schema::Connect, then: impl FnOnce(&ConnectResult<'_>)) {
    let all: Vec<(_, Tags)> = theirs
        .subs
        .values()
        .map(|sub| (sub, tags(&sub.publications)))
        .collect();
    let publications: Vec<_> = all
        .iter()
        .map(|(sub, tags)| our_publications(&sub.publications, tags))
        .collect();
    let subs: Vec<_> = theirs
        .subs
        .iter()
        .zip(&publications)
        .map(|((channel, sub), publications)| Subscription {
            channel,
            result: our_subscribe_result(sub, publications),
        })
        .collect();
    then(&ConnectResult {
        client: &theirs.client,
        version: &theirs.version,
        ttl: ttl(theirs.expires, theirs.ttl),
        data: &theirs.data,
        subs: &subs,
        ping: theirs.ping,
        pong: theirs.pong,
        session: &theirs.session,
        node: &theirs.node,
        time: theirs.time,
    });
}

fn write(protocol: Protocol, theirs: &schema::Reply) -> Vec<u8> {
    let mut out = Vec::new();
    let id = theirs.id;
    let mut say = |result: ReplyResult<'_>| protocol.reply(&Reply { id, result }, &mut out);
    if let Some(schema::Error {
        code,
        message,
        temporary,
    }) = &theirs.error
    {
        let (code, temporary) = (*code, *temporary);
        say(ReplyResult::Error(&Error {
            code,
            message: message.clone().into(),
            temporary,
        }));
    } else if let Some(push) = &theirs.push {
        write_push(push, |push| protocol.push(push, &mut out));
    } else if let Some(result) = &theirs.connect {
        with_connect_result(&as_push(result.clone()), |result| {
            say(ReplyResult::Connect(result))
        });
    } else if let Some(result) = &theirs.subscribe {
        let tags = tags(&result.publications);
        let publications = our_publications(&result.publications, &tags);
        say(ReplyResult::Subscribe(&our_subscribe_result(
            result,
            &publications,
        )));
    } else if theirs.unsubscribe.is_some() {
        say(ReplyResult::Unsubscribe);
    } else if theirs.publish.is_some() {
        say(ReplyResult::Publish);
    } else if let Some(result) = &theirs.presence {
        let clients: Vec<_> = result
            .presence
            .iter()
            .map(|(client, info)| (client.as_str(), our_info(info)))
            .collect();
        say(ReplyResult::Presence(&clients));
    } else if let Some(result) = &theirs.presence_stats {
        say(ReplyResult::PresenceStats {
            clients: result.num_clients,
            users: result.num_users,
        });
    } else if let Some(result) = &theirs.history {
        let tags = tags(&result.publications);
        let publications = our_publications(&result.publications, &tags);
        say(ReplyResult::History(&HistoryResult {
            publications: &publications,
            epoch: &result.epoch,
            offset: result.offset,
        }));
    } else if let Some(result) = &theirs.rpc {
        say(ReplyResult::Rpc { data: &result.data });
    } else if let Some(result) = &theirs.refresh {
        say(ReplyResult::Refresh {
            client: &result.client,
            version: &result.version,
            ttl: ttl(result.expires, result.ttl),
        });
    } else if let Some(result) = &theirs.sub_refresh {
        say(ReplyResult::SubRefresh {
            ttl: ttl(result.expires, result.ttl),
        });
    }
    out
}

fn write_push(theirs: &schema::Push, then: impl FnOnce(&Push<'_>)) {
    let channel = match (theirs.id, theirs.channel.as_str()) {
        (0, "") => Channel::None,
        (0, name) => Channel::Name(name),
        (id, _) => Channel::Id(id),
    };
    let say = |event: PushEvent<'_>| then(&Push { channel, event });
    if let Some(publication) = &theirs.r#pub {
        let publication = std::slice::from_ref(publication);
        let tags = tags(publication);
        say(PushEvent::Publication(
            &our_publications(publication, &tags)[0],
        ));
    } else if let Some(schema::Member { info: Some(info) }) = &theirs.join {
        say(PushEvent::Join(our_info(info)));
    } else if let Some(schema::Member { info: Some(info) }) = &theirs.leave {
        say(PushEvent::Leave(our_info(info)));
    } else if let Some(schema::Unsubscribe { code, reason }) = &theirs.unsubscribe {
        say(PushEvent::Unsubscribe(&Unsubscribe {
            code: *code,
            reason: reason.clone().into(),
        }));
    } else if let Some(schema::Payload { data }) = &theirs.message {
        say(PushEvent::Message { data });
    } else if let Some(result) = &theirs.subscribe {
        say(PushEvent::Subscribe(PushSubscribe {
            recoverable: result.recoverable,
            epoch: &result.epoch,
            offset: result.offset,
            positioned: result.positioned,
            data: &result.data,
        }));
    } else if let Some(result) = &theirs.connect {
        with_connect_result(result, |result| say(PushEvent::Connect(result)));
    } else if let Some(schema::Disconnect { code, reason }) = &theirs.disconnect {
        let code = u16::try_from(*code).unwrap();
        say(PushEvent::Disconnect(&Disconnect {
            code,
            reason: reason.clone().into(),
        }));
    } else if let Some(result) = &theirs.refresh {
        say(PushEvent::Refresh {
            ttl: ttl(result.expires, result.ttl),
        });
    }
}

// ---- both agree -----------------------------------------------------------------------------

fn read(protocol: Protocol, frame: &[u8]) -> Vec<schema::Command> {
    Commands::of(protocol, frame, usize::MAX)
        .map(|command| theirs(&command.unwrap()))
        .collect()
}

proptest! {
    #[test]
    fn commands_are_read_as_they_were_meant(commands in vec(command(), 1..4)) {
        let lines: Vec<_> = commands.iter().map(|command| serde_json::to_string(command).unwrap()).collect();
        prop_assert_eq!(&read(Protocol::Json, lines.join("\n").as_bytes()), &commands);

        let mut frame = Vec::new();
        for command in &commands {
            command.encode_length_delimited(&mut frame).unwrap();
        }
        prop_assert_eq!(&read(Protocol::Protobuf, &frame), &commands);
    }

    #[test]
    fn a_protobuf_frame_that_is_cut_is_whole_commands_and_one_error(commands in vec(command(), 1..3)) {
        let (mut frame, mut ends) = (Vec::new(), vec![0]);
        for command in &commands {
            command.encode_length_delimited(&mut frame).unwrap();
            ends.push(frame.len());
        }
        for cut in 0..frame.len() {
            let read: Vec<_> = Commands::of(Protocol::Protobuf, &frame[..cut], 9).collect();
            let whole = ends.iter().filter(|&&end| end <= cut).count() - 1;
            prop_assert_eq!(read.iter().filter(|command| command.is_ok()).count(), whole);
            let at_an_end = cut > 0 && ends.contains(&cut);
            prop_assert_eq!(read.last().unwrap().is_ok(), at_an_end, "{}", cut);
        }
    }

    #[test]
    fn a_damaged_frame_is_read_or_refused(commands in vec(command(), 1..3), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let lines: Vec<_> = commands.iter().map(|command| serde_json::to_string(command).unwrap()).collect();
        let mut frames = [(Protocol::Json, lines.join("\n").into_bytes()), (Protocol::Protobuf, Vec::new())];
        for command in &commands {
            command.encode_length_delimited(&mut frames[1].1).unwrap();
        }
        for (protocol, mut frame) in frames {
            let at = at.index(frame.len());
            frame[at] = byte;
            let read: Vec<_> = Commands::of(protocol, &frame, 9).collect();
            let errors = read.iter().filter(|command| command.is_err()).count();
            prop_assert!(errors == 0 || errors == 1 && read.last().unwrap().is_err());
        }
    }

    #[test]
    fn an_emulation_request_is_read_as_it_was_meant(node in text(), session in text(), frame in text()) {
        let theirs = schema::EmulationRequest { node, session, data: frame.clone().into_bytes() };
        let body = theirs.encode_to_vec();
        let ours = EmulationRequest::decode(Protocol::Protobuf, &body).unwrap();
        prop_assert_eq!((&*ours.node, &*ours.session, &*ours.data), (&*theirs.node, &*theirs.session, &*theirs.data));
        let fields = BTreeMap::from([("node", &theirs.node), ("session", &theirs.session), ("data", &frame)]);
        let body = serde_json::to_vec(&fields).unwrap();
        prop_assert_eq!(EmulationRequest::decode(Protocol::Json, &body).unwrap(), ours);
    }

    #[test]
    fn replies_are_what_the_derived_messages_write(reply in reply()) {
        let written = write(Protocol::Protobuf, &reply);
        prop_assert_eq!(&schema::Reply::decode_length_delimited(&*written).unwrap(), &reply);
        prop_assert_eq!(written, reply.encode_length_delimited_to_vec());

        let written = write(Protocol::Json, &reply);
        prop_assert!(!written.iter().any(|byte| matches!(byte, b'\n' | b'\r')));
        let text = String::from_utf8_lossy(&written);
        prop_assert_eq!(serde_json::from_slice::<schema::Reply>(&written).unwrap(), reply, "{}", text);
    }

    #[test]
    fn bare_pushes_are_what_the_derived_messages_write(push in pushed()) {
        let mut written = Vec::new();
        write_push(&push, |push| Protocol::Protobuf.bare_push(push, &mut written));
        prop_assert_eq!(written, push.encode_length_delimited_to_vec());
        let mut written = Vec::new();
        write_push(&push, |push| Protocol::Json.bare_push(push, &mut written));
        prop_assert_eq!(serde_json::from_slice::<schema::Push>(&written).unwrap(), push);
    }
}
