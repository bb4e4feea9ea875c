//! Anything that may be said in the Centrifugo client protocol.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::schema;

pub(crate) fn text() -> BoxedStrategy<String> {
    prop_oneof![
        Just(String::new()),
        "[a-z:#$]{1,8}",
        "[\\PC\n\"\\\\]{0,6}",
        "x{120,140}",
    ]
    .boxed()
}

/// A payload that is JSON, or none.
fn payload() -> BoxedStrategy<Vec<u8>> {
    prop_oneof![
        Just(""),
        Just("null"),
        Just("1"),
        Just(r#""{""#),
        Just(r#"{"a": [1, {}]}"#),
        Just("[]"),
    ]
    .prop_map(|text| text.as_bytes().to_vec())
    .boxed()
}

fn subscribe_request() -> BoxedStrategy<schema::SubscribeRequest> {
    (
        (
            text(),
            text(),
            any::<bool>(),
            text(),
            any::<u64>(),
            payload(),
        ),
        (
            any::<bool>(),
            any::<bool>(),
            any::<bool>(),
            text(),
            any::<i64>(),
            any::<i32>(),
        ),
    )
        .prop_map(|((channel, token, recover, epoch, offset, data), rest)| {
            let (positioned, recoverable, join_leave, delta, flag, r#type) = rest;
            schema::SubscribeRequest {
                channel,
                token,
                recover,
                epoch,
                offset,
                data,
                positioned,
                recoverable,
                join_leave,
                delta,
                flag,
                r#type,
            }
        })
        .boxed()
}

fn connect_request() -> BoxedStrategy<schema::ConnectRequest> {
    (
        text(),
        payload(),
        btree_map(text(), subscribe_request(), 0..3),
        text(),
        text(),
        btree_map(text(), text(), 0..3),
        any::<i64>(),
    )
        .prop_map(
            |(token, data, subs, name, version, headers, flag)| schema::ConnectRequest {
                token,
                data,
                subs,
                name,
                version,
                headers,
                flag,
            },
        )
        .boxed()
}

fn history_request() -> BoxedStrategy<schema::HistoryRequest> {
    let since =
        (any::<u64>(), text()).prop_map(|(offset, epoch)| schema::StreamPosition { offset, epoch });
    (text(), any::<i32>(), option::of(since), any::<bool>())
        .prop_map(|(channel, limit, since, reverse)| schema::HistoryRequest {
            channel,
            limit,
            since,
            reverse,
        })
        .boxed()
}

/// A command of one request, which has an id.
pub(crate) fn command() -> BoxedStrategy<schema::Command> {
    let empty = schema::Command::default;
    let channel = || text().prop_map(|channel| Some(schema::ChannelRequest { channel }));
    let request = prop_oneof![
        connect_request().prop_map(move |connect| schema::Command {
            connect: Some(connect),
            ..empty()
        }),
        subscribe_request().prop_map(move |subscribe| schema::Command {
            subscribe: Some(subscribe),
            ..empty()
        }),
        channel().prop_map(move |unsubscribe| schema::Command {
            unsubscribe,
            ..empty()
        }),
        (text(), payload(), any::<i32>()).prop_map(move |(channel, data, r#type)| {
            schema::Command {
                publish: Some(schema::PublishRequest {
                    channel,
                    data,
                    r#type,
                }),
                ..empty()
            }
        }),
        channel().prop_map(move |presence| schema::Command {
            presence,
            ..empty()
        }),
        channel().prop_map(move |presence_stats| schema::Command {
            presence_stats,
            ..empty()
        }),
        history_request().prop_map(move |history| schema::Command {
            history: Some(history),
            ..empty()
        }),
        payload().prop_map(move |data| schema::Command {
            send: Some(schema::Payload { data }),
            ..empty()
        }),
        (payload(), text()).prop_map(move |(data, method)| schema::Command {
            rpc: Some(schema::RpcRequest { data, method }),
            ..empty()
        }),
        text().prop_map(move |token| schema::Command {
            refresh: Some(schema::RefreshRequest { token }),
            ..empty()
        }),
        (text(), text(), any::<i32>()).prop_map(move |(channel, token, r#type)| schema::Command {
            sub_refresh: Some(schema::SubRefreshRequest {
                channel,
                token,
                r#type
            }),
            ..empty()
        }),
        Just(empty()),
    ];
    (1..=u32::MAX, request)
        .prop_map(|(id, request)| schema::Command { id, ..request })
        .boxed()
}

fn client_info() -> BoxedStrategy<schema::ClientInfo> {
    (text(), text(), payload(), payload())
        .prop_map(|(user, client, conn_info, chan_info)| schema::ClientInfo {
            user,
            client,
            conn_info,
            chan_info,
        })
        .boxed()
}

fn publication() -> BoxedStrategy<schema::Publication> {
    (
        payload(),
        option::of(client_info()),
        any::<u64>(),
        btree_map(text(), said(text()), 0..3),
        any::<bool>(),
        any::<i64>(),
        text(),
    )
        .prop_map(
            |(data, info, offset, tags, delta, time, epoch)| schema::Publication {
                data,
                info,
                offset,
                tags,
                delta,
                time,
                epoch,
            },
        )
        .boxed()
}

/// Whether something expires, and when.
fn expiry() -> BoxedStrategy<(bool, u32)> {
    option::of(any::<u32>())
        .prop_map(|ttl| (ttl.is_some(), ttl.unwrap_or_default()))
        .boxed()
}

fn subscribe_result() -> BoxedStrategy<schema::SubscribeResult> {
    (
        (
            expiry(),
            any::<bool>(),
            text(),
            vec(publication(), 0..3),
            any::<bool>(),
        ),
        (
            any::<u64>(),
            any::<bool>(),
            payload(),
            any::<bool>(),
            any::<bool>(),
            any::<i64>(),
        ),
    )
        .prop_map(
            |(((expires, ttl), recoverable, epoch, publications, recovered), rest)| {
                let (offset, positioned, data, was_recovering, delta, id) = rest;
                schema::SubscribeResult {
                    expires,
                    ttl,
                    recoverable,
                    epoch,
                    publications,
                    recovered,
                    offset,
                    positioned,
                    data,
                    was_recovering,
                    delta,
                    id,
                }
            },
        )
        .boxed()
}

fn connect_result() -> BoxedStrategy<schema::ConnectResult> {
    (
        (
            text(),
            text(),
            expiry(),
            payload(),
            btree_map(text(), said(subscribe_result()), 0..3),
        ),
        (any::<u32>(), any::<bool>(), text(), text(), any::<i64>()),
    )
        .prop_map(
            |((client, version, (expires, ttl), data, subs), (ping, pong, session, node, time))| {
                schema::ConnectResult {
                    client,
                    version,
                    expires,
                    ttl,
                    data,
                    subs,
                    ping,
                    pong,
                    session,
                    node,
                    time,
                }
            },
        )
        .boxed()
}

pub(crate) fn pushed() -> BoxedStrategy<schema::Push> {
    let empty = schema::Push::default;
    let event = prop_oneof![
        publication().prop_map(move |publication| schema::Push {
            r#pub: Some(publication),
            ..empty()
        }),
        client_info().prop_map(move |info| schema::Push {
            join: Some(schema::Member { info: Some(info) }),
            ..empty()
        }),
        client_info().prop_map(move |info| schema::Push {
            leave: Some(schema::Member { info: Some(info) }),
            ..empty()
        }),
        (any::<u32>(), text()).prop_map(move |(code, reason)| schema::Push {
            unsubscribe: Some(schema::Unsubscribe { code, reason }),
            ..empty()
        }),
        payload().prop_map(move |data| schema::Push {
            message: Some(schema::Payload { data }),
            ..empty()
        }),
        (
            any::<bool>(),
            text(),
            any::<u64>(),
            any::<bool>(),
            payload()
        )
            .prop_map(
                move |(recoverable, epoch, offset, positioned, data)| schema::Push {
                    subscribe: Some(schema::Subscribe {
                        recoverable,
                        epoch,
                        offset,
                        positioned,
                        data
                    }),
                    ..empty()
                }
            ),
        connect_result().prop_map(move |result| schema::Push {
            connect: Some(as_push(result)),
            ..empty()
        }),
        (any::<u16>(), text()).prop_map(move |(code, reason)| schema::Push {
            disconnect: Some(schema::Disconnect {
                code: code.into(),
                reason
            }),
            ..empty()
        }),
        expiry().prop_map(move |(expires, ttl)| schema::Push {
            refresh: Some(schema::Expiry { expires, ttl }),
            ..empty()
        }),
    ];
    let channel = prop_oneof![
        any::<i64>().prop_map(|id| (id, String::new())),
        text().prop_map(|name| (0, name)),
    ];
    (channel, event)
        .prop_map(|((id, channel), event)| schema::Push {
            id,
            channel,
            ..event
        })
        .boxed()
}

pub(crate) fn as_push(result: schema::ConnectResult) -> schema::Connect {
    let schema::ConnectResult {
        client,
        version,
        expires,
        ttl,
        data,
        subs,
        ping,
        pong,
        session,
        node,
        time,
    } = result;
    schema::Connect {
        client,
        version,
        data,
        subs,
        expires,
        ttl,
        ping,
        pong,
        session,
        node,
        time,
    }
}

/// The value of a map's entry. An empty one may be left out or written; the derived messages do the one,
/// Centrifugo and lmserver the other.
fn said<T: Default + PartialEq + std::fmt::Debug>(
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = T> {
    value.prop_filter("an entry without a value", |it| *it != T::default())
}

pub(crate) fn reply() -> BoxedStrategy<schema::Reply> {
    let empty = schema::Reply::default;
    let result = prop_oneof![
        (any::<u32>(), text(), any::<bool>()).prop_map(move |(code, message, temporary)| {
            schema::Reply {
                error: Some(schema::Error {
                    code,
                    message,
                    temporary,
                }),
                ..empty()
            }
        }),
        pushed().prop_map(move |push| schema::Reply {
            push: Some(push),
            ..empty()
        }),
        connect_result().prop_map(move |connect| schema::Reply {
            connect: Some(connect),
            ..empty()
        }),
        subscribe_result().prop_map(move |subscribe| schema::Reply {
            subscribe: Some(subscribe),
            ..empty()
        }),
        Just(schema::Reply {
            unsubscribe: Some(schema::Empty {}),
            ..empty()
        }),
        Just(schema::Reply {
            publish: Some(schema::Empty {}),
            ..empty()
        }),
        btree_map(text(), said(client_info()), 0..3).prop_map(move |presence| schema::Reply {
            presence: Some(schema::PresenceResult { presence }),
            ..empty()
        }),
        (any::<u32>(), any::<u32>()).prop_map(move |(num_clients, num_users)| schema::Reply {
            presence_stats: Some(schema::PresenceStatsResult {
                num_clients,
                num_users
            }),
            ..empty()
        }),
        (vec(publication(), 0..3), text(), any::<u64>()).prop_map(
            move |(publications, epoch, offset)| {
                schema::Reply {
                    history: Some(schema::HistoryResult {
                        publications,
                        epoch,
                        offset,
                    }),
                    ..empty()
                }
            }
        ),
        payload().prop_map(move |data| schema::Reply {
            rpc: Some(schema::Payload { data }),
            ..empty()
        }),
        (text(), text(), expiry()).prop_map(move |(client, version, (expires, ttl))| {
            schema::Reply {
                refresh: Some(schema::RefreshResult {
                    client,
                    version,
                    expires,
                    ttl,
                }),
                ..empty()
            }
        }),
        expiry().prop_map(move |(expires, ttl)| schema::Reply {
            sub_refresh: Some(schema::Expiry { expires, ttl }),
            ..empty()
        }),
    ];
    (any::<u32>(), result)
        .prop_map(|(id, result)| schema::Reply {
            // A push has no id.
            id: if result.push.is_some() { 0 } else { id },
            ..result
        })
        .boxed()
}
