//! What belongs to a publication beside its data.

/// Who a client is, as other clients see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// The user's id; empty for an anonymous client.
    pub user: Box<str>,
    /// The connection's id.
    pub client: Box<str>,
    /// JSON about the connection.
    pub connection_info: Option<Box<[u8]>>,
    /// JSON about the client's subscription of the channel concerned.
    pub channel_info: Option<Box<[u8]>>,
}

impl ClientInfo {
    /// Bytes that it holds beside its own size.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let optional = |bytes: &Option<Box<[u8]>>| bytes.as_ref().map_or(0, |it| it.len());
        self.user.len()
            + self.client.len()
            + optional(&self.connection_info)
            + optional(&self.channel_info)
    }
}

/// What belongs to a publication beside its data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// The client that published it; none for a publication of a server.
    pub publisher: Option<ClientInfo>,
    /// Words that subscribers may filter by, each with its value.
    pub tags: Vec<(Box<str>, Box<str>)>,
    /// Did the publisher ask that it be sent as the difference from its predecessor?
    pub as_delta: bool,
}

impl Details {
    /// Bytes that they hold, their own size included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let publisher = self.publisher.as_ref().map_or(0, ClientInfo::heap_bytes);
        let tags = self
            .tags
            .iter()
            .map(|(key, value)| key.len() + value.len() + size_of::<(Box<str>, Box<str>)>());
        size_of::<Self>() + publisher + tags.sum::<usize>()
    }
}
