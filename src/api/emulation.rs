//! `POST /emulation`: commands of a client whose connection only goes down.
//!
//! ```text
//! {"session":…,"node":…,"data":…} ─► of this node? ─► Signal::Commands ─► the session, or nobody
//! ```
//!
//! The replies come on the session's own connection. The session's id is the only credential, so
//! whether there is such a session is not told: the answer is 204 in both cases.

use lmserver_proto::centrifuge::{EmulationRequest, Protocol};
use lmserver_proto::http1::{Request, Response};
use lmserver_runtime::plugin::service::Query;
use lmserver_runtime::plugin::transport::{Signal, Target};
use uuid::Uuid;

use super::refusal::{Code, Refusal};
use super::{Outcome, ask, respond};

/// What this process knows of itself.
pub(super) struct Emulation<'a> {
    /// Its id, which the client was told with its connection.
    pub(super) node: &'a str,
    /// Bytes of a request.
    pub(super) body_bytes: usize,
}

impl Emulation<'_> {
    /// Hands the commands on.
    #[inline(never)]
    pub(super) fn call(&self, request: &Request, body: &[u8]) -> Outcome {
        if body.len() > self.body_bytes {
            let limit = self.body_bytes;
            let message = format!(
                "the commands have {} bytes, the limit is {limit}",
                body.len()
            );
            return Err(Refusal::new(Code::TooLarge, message));
        }
        let content = request.fields.get("content-type").unwrap_or_default();
        let is_binary = content == "application/octet-stream";
        let protocol = if is_binary {
            Protocol::Protobuf
        } else {
            Protocol::Json
        };
        let commands = EmulationRequest::decode(protocol, body)
            .map_err(|error| Refusal::invalid(format!("no session, node and data: {error}")))?;
        if commands.node != self.node {
            let message = "no such node: the server was started again, so connect again";
            return Err(Refusal::new(Code::NotFound, message));
        }
        let Ok(session) = Uuid::parse_str(&commands.session) else {
            return respond(Response::empty(204));
        };
        let signal = Signal::Commands {
            bytes: commands.data.into(),
            is_binary,
        };
        let query = Query::Signal(Target::Session(session.as_u128()), signal);
        Ok(ask(query, |_, _| respond(Response::empty(204))))
    }
}
