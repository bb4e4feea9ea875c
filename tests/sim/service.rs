//! The smallest application that has chats and listeners.

use lmserver::proto::http1::{Method, Request, Response};
use lmserver::proto::percent::query_value;
use lmserver::runtime::event::{After, write_json_string};
use lmserver::runtime::plugin::provider::{ChatRequest, Content, Message};
use lmserver::runtime::plugin::service::{Answer, Query, Reply, Service, ServiceCx, Submission};
use lmserver::runtime::plugin::transport::{Admission, Opening};
use serde_json::Value;

/// `POST /api/chat`, `GET` and `DELETE /api/chat/{id}`, `POST /api/publish`, `GET /connection/…`.
pub(crate) struct Chats;

impl Service for Chats {
    fn call(&mut self, request: &Request, body: &[u8], cx: &mut ServiceCx<'_>) -> Reply {
        match (&request.method, request.path()) {
            (Method::Post, "/api/chat") => submit(body, cx),
            (Method::Get, "/connection/sse") => listen(request, &lmserver_sse::Sse, cx),
            (Method::Get, "/connection/websocket") => {
                listen(request, &lmserver_websocket::WebSocket, cx)
            }
            (Method::Post, "/api/publish") => {
                let channel = query_value(request.query().unwrap_or_default(), "channel");
                let channel = channel.unwrap_or_default().as_ref().into();
                let query = Query::Publish {
                    channel,
                    data: body.into(),
                };
                Reply::Ask(query, Box::new(|answer, _| Reply::Response(told(&answer))))
            }
            (Method::Get, "/big") => Reply::Response(Response::text(200, vec![b'x'; 300_000])),
            (method, path) => match path.strip_prefix("/api/chat/") {
                Some(channel) => {
                    let query = match method {
                        Method::Delete => Query::Cancel(channel.into()),
                        _ => Query::Snapshot(channel.into()),
                    };
                    Reply::Ask(query, Box::new(|answer, _| Reply::Response(told(&answer))))
                }
                None => Reply::Response(self.refuse(404, "not_found", "no such path")),
            },
        }
    }

    fn refuse(&mut self, status: u16, code: &'static str, message: &str) -> Response {
        let mut body = format!(r#"{{"error":{{"code":"{code}","message":"#).into_bytes();
        write_json_string(message, &mut body);
        body.extend_from_slice(b"}}");
        Response::json(status, body)
    }
}

fn listen(
    request: &Request,
    transport: &'static dyn lmserver::runtime::plugin::transport::Transport,
    cx: &mut ServiceCx<'_>,
) -> Reply {
    let query = request.query().unwrap_or_default();
    let channel = query_value(query, "channel").unwrap_or_default();
    let header = request.fields.get("last-event-id").map(ToOwned::to_owned);
    let cursor = header.or_else(|| query_value(query, "last_event_id").map(Into::into));
    let opening = Opening {
        request,
        channel: &channel,
        after: After::parse(&cursor.unwrap_or_default()),
        admission: Admission::Granted,
        may_cancel: true,
        may_create: !channel.starts_with("chat:"),
        fields: Vec::new(),
    };
    cx.open(transport, opening)
}

fn submit(body: &[u8], cx: &mut ServiceCx<'_>) -> Reply {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return Reply::Response(Response::json(400, "{}"));
    };
    let text = |key: &str| {
        body.get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let model = text("model");
    let plan = match cx.routing.plan(Some(&model)) {
        Ok(plan) => plan,
        Err(error) => return Reply::Response(Response::text(400, error.to_string())),
    };
    let mut random = [0; 16];
    cx.random(&mut random);
    let name = random.iter().fold(String::from("chat:"), |name, byte| {
        format!("{name}{byte:02x}")
    });
    let message = Message {
        role: "user".into(),
        content: Content::Text(text("message")),
        name: None,
        tool_calls: None,
        tool_call_id: None,
    };
    let submission = Submission {
        channel: name.into(),
        model: model.into(),
        request: ChatRequest {
            messages: vec![message],
            ..ChatRequest::default()
        },
        plan,
        idempotency: None,
    };
    let query = Query::Submit(Box::new(submission));
    Reply::Ask(query, Box::new(|answer, _| Reply::Response(told(&answer))))
}

fn told(answer: &Answer<'_>) -> Response {
    match answer {
        Answer::Submitted { channel, .. } => {
            Response::json(200, format!(r#"{{"channel_id":"{channel}"}}"#))
        }
        Answer::Snapshot(snapshot, position) => {
            let body = serde_json::json!({
                "status": snapshot.status.as_str(),
                "text": snapshot.text,
                "position": position.to_string(),
            });
            Response::json(200, body.to_string())
        }
        Answer::Cancelled { running } => Response::json(200, format!(r#"{{"running":{running}}}"#)),
        Answer::Published(published) => Response::text(200, published.position.to_string()),
        Answer::Unknown => Response::json(404, "{}"),
        Answer::Expired => Response::json(410, "{}"),
        Answer::Conflict => Response::json(422, "{}"),
        Answer::TooLarge { .. } => Response::json(413, "{}"),
        Answer::Overloaded | Answer::Draining => Response::json(503, "{}"),
        Answer::Metrics(_) => Response::json(200, "{}"),
    }
}
