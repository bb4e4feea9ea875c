//! The HTTP around an answer: head, content coding, chunks, the end.

use lmserver_proto::http1::server::{Answering, Connection};
use lmserver_proto::http1::{Framing, LAST_CHUNK, Response, Version, write_chunk};

use super::gzip::Gzip;
use super::settings::Settings;

/// One answer's framing.
pub(super) struct Frame {
    /// For the engine, behind the answer.
    pub(super) answering: Answering,
    is_chunked: bool,
    gzip: Option<Gzip>,
}

impl Frame {
    pub(super) fn new(mut answering: Answering, settings: &Settings) -> Self {
        if settings.until_close {
            // To such a client the end of the connection is the end of the body.
            answering.version = Version::Http10;
        }
        Self {
            answering,
            is_chunked: false,
            gzip: settings.is_gzip.then(Gzip::default),
        }
    }

    /// Writes the head of a stream.
    pub(super) fn head(
        &mut self,
        content_type: &str,
        settings: &Settings,
        date: &str,
        out: &mut Vec<u8>,
    ) {
        let mut response = Response::empty(200);
        match settings.content_type.unwrap_or(content_type) {
            "" => {}
            other => response = response.with_field("Content-Type", other),
        }
        if self.gzip.is_some() {
            response = response.with_field("Content-Encoding", "gzip");
        }
        response = response
            .with_field("Cache-Control", "no-cache")
            .with_field("X-Request-Id", "req_fake");
        let fillers =
            (0..settings.fields).map(|at| (format!("X-Filler-{at}").into(), FILLER.into()));
        response.fields.extend(fillers);
        response.close = settings.closes;
        let framing = self.answering.begin_stream(&response, date, out);
        self.is_chunked = framing == Framing::Chunked;
    }

    /// Writes the head of a whole response; its body.
    pub(super) fn whole(&mut self, response: &Response, date: &str, out: &mut Vec<u8>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut connection = Connection::resume(self.answering);
        self.answering.keep_alive &= connection.respond(response, date, &mut bytes);
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let (head, body) = bytes.split_at(end.map_or(bytes.len(), |end| end + 4));
        out.extend_from_slice(head);
        body.to_vec()
    }

    /// Puts a part of the body into its codings.
    pub(super) fn body(&mut self, said: &[u8], out: &mut Vec<u8>) {
        if said.is_empty() {
            return;
        }
        let mut coded = Vec::new();
        let said = match &mut self.gzip {
            Some(gzip) => {
                gzip.write(said, &mut coded);
                &coded
            }
            None => said,
        };
        self.chunk(said, out);
    }

    /// Ends the body.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        let mut trailer = Vec::new();
        if let Some(mut gzip) = self.gzip.take() {
            gzip.finish(&mut trailer);
            self.chunk(&trailer, out);
        }
        if self.is_chunked {
            out.extend_from_slice(LAST_CHUNK);
        }
    }

    fn chunk(&self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.is_chunked {
            write_chunk(out, bytes);
        } else {
            out.extend_from_slice(bytes);
        }
    }
}

/// What a field says that means nothing.
const FILLER: &str = "and so on and so on and so on and so on and so on";
