//! The result of subscribing, which may carry what was missed.

use crate::centrifuge::Protocol;
use crate::centrifuge::encode::{Field, Json, Mark, Protobuf, Writer};
use crate::centrifuge::push::Publication;

/// The result of subscribing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubscribeResult<'a> {
    /// Seconds until the subscription expires, if it does.
    pub ttl: Option<u32>,
    /// Whether the client shall remember its position and recover.
    pub recoverable: bool,
    /// Which stream of that name it is.
    pub epoch: &'a str,
    /// What was missed, oldest first.
    pub publications: &'a [Publication<'a>],
    /// Whether nothing else was missed.
    pub recovered: bool,
    /// Where the client's position is before the publications.
    pub offset: u64,
    /// Whether the server looks out for gaps.
    pub positioned: bool,
    /// For the client: a payload.
    pub data: &'a [u8],
    /// Whether recovery was asked for.
    pub was_recovering: bool,
    /// Whether publications may be deltas.
    pub delta: bool,
    /// The number that pushes name the channel by; 0 where they do not.
    pub id: i64,
}

/// A subscription that the server made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Subscription<'a> {
    /// To this channel.
    pub channel: &'a str,
    /// As if it had been asked for.
    pub result: SubscribeResult<'a>,
}

/// What tells a connected client that the server subscribed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PushSubscribe<'a> {
    /// Whether the client shall remember its position and recover.
    pub recoverable: bool,
    /// Which stream of that name it is.
    pub epoch: &'a str,
    /// Where the client's position is.
    pub offset: u64,
    /// Whether the server looks out for gaps.
    pub positioned: bool,
    /// For the client: a payload.
    pub data: &'a [u8],
}

impl PushSubscribe<'_> {
    pub(in crate::centrifuge) fn write(&self, writer: &mut impl Writer) {
        writer.flag(&Field(1, "recoverable"), self.recoverable);
        writer.text(&Field(4, "epoch"), self.epoch);
        writer.number(&Field(5, "offset"), self.offset);
        writer.flag(&Field(6, "positioned"), self.positioned);
        writer.payload(&Field(7, "data"), self.data);
    }
}

impl SubscribeResult<'_> {
    pub(super) fn write(&self, writer: &mut impl Writer) {
        self.write_before(writer);
        if !self.publications.is_empty() {
            writer.open_list(&PUBLICATIONS);
            for publication in self.publications {
                writer.item(&PUBLICATIONS, |writer| publication.write(writer));
            }
            writer.close_list();
        }
        self.write_behind(writer);
    }

    /// The fields before the publications.
    fn write_before(&self, writer: &mut impl Writer) {
        writer.expiry(&Field(1, "expires"), &Field(2, "ttl"), self.ttl);
        writer.flag(&Field(3, "recoverable"), self.recoverable);
        writer.text(&Field(6, "epoch"), self.epoch);
    }

    /// The fields behind the publications.
    fn write_behind(&self, writer: &mut impl Writer) {
        writer.flag(&Field(8, "recovered"), self.recovered);
        writer.number(&Field(9, "offset"), self.offset);
        writer.flag(&Field(10, "positioned"), self.positioned);
        writer.payload(&Field(11, "data"), self.data);
        writer.flag(&Field(12, "was_recovering"), self.was_recovering);
        writer.flag(&Field(13, "delta"), self.delta);
        writer.integer(&Field(14, "id"), self.id);
    }
}

/// Writes a subscribe reply whose publications come one after another, without a list of them.
///
/// ```
/// use lmserver_proto::centrifuge::{
///     Protocol, Publication, SubscribeResult, SubscribeResultWriter,
/// };
///
/// let result = SubscribeResult { epoch: "e", recovered: true, ..SubscribeResult::default() };
/// let mut out = Vec::new();
/// let mut writer = SubscribeResultWriter::begin(Protocol::Json, 2, &result, &mut out);
/// for offset in 1..=100 {
///     writer.publication(&Publication { data: b"1", offset, ..Publication::default() });
///     if writer.len() > 60 {
///         break;
///     }
/// }
/// writer.finish();
/// assert_eq!(
///     String::from_utf8_lossy(&out),
///     r#"{"id":2,"subscribe":{"epoch":"e","publications":[{"data":1,"offset":1}],"recovered":true}}"#
/// );
/// ```
#[derive(Debug)]
#[must_use = "the reply is whole when it is finished"]
pub struct SubscribeResultWriter<'r, 'o> {
    protocol: Protocol,
    result: &'r SubscribeResult<'r>,
    out: &'o mut Vec<u8>,
    start: usize,
    reply: Mark,
    message: Mark,
    listed: bool,
}

impl<'r, 'o> SubscribeResultWriter<'r, 'o> {
    /// Begins the reply to command `id` at the end of `out`, with the publications of `result`.
    pub fn begin(
        protocol: Protocol,
        id: u32,
        result: &'r SubscribeResult<'r>,
        out: &'o mut Vec<u8>,
    ) -> Self {
        let start = out.len();
        let (reply, message) = match protocol {
            Protocol::Json => begin(id, result, &mut Json(out)),
            Protocol::Protobuf => begin(id, result, &mut Protobuf(out)),
        };
        let mut writer = Self {
            protocol,
            result,
            out,
            start,
            reply,
            message,
            listed: false,
        };
        for publication in result.publications {
            writer.publication(publication);
        }
        writer
    }

    /// Appends a publication to the list.
    pub fn publication(&mut self, publication: &Publication<'_>) {
        let first = !self.listed;
        self.listed = true;
        match self.protocol {
            Protocol::Json => listed(first, publication, &mut Json(self.out)),
            Protocol::Protobuf => listed(first, publication, &mut Protobuf(self.out)),
        }
    }

    /// How many bytes the reply has so far.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a reply is never empty")]
    pub const fn len(&self) -> usize {
        self.out.len() - self.start
    }

    /// Ends the reply.
    pub fn finish(self) {
        match self.protocol {
            Protocol::Json => self.end(Json),
            Protocol::Protobuf => self.end(Protobuf),
        }
    }

    fn end<W: Writer>(self, writer: impl FnOnce(&'o mut Vec<u8>) -> W) {
        let mut writer = writer(self.out);
        if self.listed {
            writer.close_list();
        }
        self.result.write_behind(&mut writer);
        writer.close(self.message);
        writer.close(self.reply);
    }
}

fn begin(id: u32, result: &SubscribeResult<'_>, writer: &mut impl Writer) -> (Mark, Mark) {
    let reply = writer.begin();
    writer.number(&Field(1, "id"), id.into());
    let message = writer.open(&FIELD);
    result.write_before(writer);
    (reply, message)
}

fn listed(first: bool, publication: &Publication<'_>, writer: &mut impl Writer) {
    if first {
        writer.open_list(&PUBLICATIONS);
    }
    writer.item(&PUBLICATIONS, |writer| publication.write(writer));
}

/// The field of a reply that holds the result.
pub(super) const FIELD: Field = Field(6, "subscribe");
const PUBLICATIONS: Field = Field(7, "publications");
