//! The messages of the Centrifugo client protocol as prost and serde understand them: the other
//! opinion about what is on the wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Defines messages that are the same in Protobuf and in JSON.
macro_rules! messages {
    ($($name:ident { $($(#[$meta:meta])* $field:ident: $type:ty,)* })*) => {$(
        #[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
        #[serde(default)]
        pub(crate) struct $name { $($(#[$meta])* pub(crate) $field: $type,)* }
    )*};
}

messages! {
    Command {
        #[prost(uint32, tag = "1")] #[serde(skip_serializing_if = "zero")] id: u32,
        #[prost(message, optional, tag = "4")] #[serde(skip_serializing_if = "zero")] connect: Option<ConnectRequest>,
        #[prost(message, optional, tag = "5")] #[serde(skip_serializing_if = "zero")] subscribe: Option<SubscribeRequest>,
        #[prost(message, optional, tag = "6")] #[serde(skip_serializing_if = "zero")] unsubscribe: Option<ChannelRequest>,
        #[prost(message, optional, tag = "7")] #[serde(skip_serializing_if = "zero")] publish: Option<PublishRequest>,
        #[prost(message, optional, tag = "8")] #[serde(skip_serializing_if = "zero")] presence: Option<ChannelRequest>,
        #[prost(message, optional, tag = "9")] #[serde(skip_serializing_if = "zero")] presence_stats: Option<ChannelRequest>,
        #[prost(message, optional, tag = "10")] #[serde(skip_serializing_if = "zero")] history: Option<HistoryRequest>,
        #[prost(message, optional, tag = "11")] #[serde(skip_serializing_if = "zero")] ping: Option<Empty>,
        #[prost(message, optional, tag = "12")] #[serde(skip_serializing_if = "zero")] send: Option<Payload>,
        #[prost(message, optional, tag = "13")] #[serde(skip_serializing_if = "zero")] rpc: Option<RpcRequest>,
        #[prost(message, optional, tag = "14")] #[serde(skip_serializing_if = "zero")] refresh: Option<RefreshRequest>,
        #[prost(message, optional, tag = "15")] #[serde(skip_serializing_if = "zero")] sub_refresh: Option<SubRefreshRequest>,
    }
    ConnectRequest {
        #[prost(string, tag = "1")] token: String,
        #[prost(bytes = "vec", tag = "2")] #[serde(with = "raw", skip_serializing_if = "Vec::is_empty")] data: Vec<u8>,
        #[prost(btree_map = "string, message", tag = "3")] subs: BTreeMap<String, SubscribeRequest>,
        #[prost(string, tag = "4")] name: String,
        #[prost(string, tag = "5")] version: String,
        #[prost(btree_map = "string, string", tag = "6")] headers: BTreeMap<String, String>,
        #[prost(int64, tag = "7")] flag: i64,
    }
    SubscribeRequest {
        #[prost(string, tag = "1")] channel: String,
        #[prost(string, tag = "2")] token: String,
        #[prost(bool, tag = "3")] recover: bool,
        #[prost(string, tag = "6")] epoch: String,
        #[prost(uint64, tag = "7")] offset: u64,
        #[prost(bytes = "vec", tag = "8")] #[serde(with = "raw", skip_serializing_if = "Vec::is_empty")] data: Vec<u8>,
        #[prost(bool, tag = "9")] positioned: bool,
        #[prost(bool, tag = "10")] recoverable: bool,
        #[prost(bool, tag = "11")] join_leave: bool,
        #[prost(string, tag = "12")] delta: String,
        #[prost(int64, tag = "14")] flag: i64,
        #[prost(int32, tag = "15")] r#type: i32,
    }
    ChannelRequest { #[prost(string, tag = "1")] channel: String, }
    PublishRequest {
        #[prost(string, tag = "1")] channel: String,
        #[prost(bytes = "vec", tag = "2")] #[serde(with = "raw", skip_serializing_if = "Vec::is_empty")] data: Vec<u8>,
        #[prost(int32, tag = "3")] r#type: i32,
    }
    HistoryRequest {
        #[prost(string, tag = "1")] channel: String,
        #[prost(int32, tag = "7")] limit: i32,
        #[prost(message, optional, tag = "8")] since: Option<StreamPosition>,
        #[prost(bool, tag = "9")] reverse: bool,
    }
    StreamPosition {
        #[prost(uint64, tag = "1")] offset: u64,
        #[prost(string, tag = "2")] epoch: String,
    }
    RpcRequest {
        #[prost(bytes = "vec", tag = "1")] #[serde(with = "raw", skip_serializing_if = "Vec::is_empty")] data: Vec<u8>,
        #[prost(string, tag = "2")] method: String,
    }
    RefreshRequest { #[prost(string, tag = "1")] token: String, }
    SubRefreshRequest {
        #[prost(string, tag = "1")] channel: String,
        #[prost(string, tag = "2")] token: String,
        #[prost(int32, tag = "3")] r#type: i32,
    }
    EmulationRequest {
        #[prost(string, tag = "1")] node: String,
        #[prost(string, tag = "2")] session: String,
        #[prost(bytes = "vec", tag = "3")] #[serde(skip)] data: Vec<u8>,
    }
    Empty {}
    Payload {
        #[prost(bytes = "vec", tag = "1")] #[serde(with = "raw", skip_serializing_if = "Vec::is_empty")] data: Vec<u8>,
    }

    Reply {
        #[prost(uint32, tag = "1")] id: u32,
        #[prost(message, optional, tag = "2")] error: Option<Error>,
        #[prost(message, optional, tag = "4")] push: Option<Push>,
        #[prost(message, optional, tag = "5")] connect: Option<ConnectResult>,
        #[prost(message, optional, tag = "6")] subscribe: Option<SubscribeResult>,
        #[prost(message, optional, tag = "7")] unsubscribe: Option<Empty>,
        #[prost(message, optional, tag = "8")] publish: Option<Empty>,
        #[prost(message, optional, tag = "9")] presence: Option<PresenceResult>,
        #[prost(message, optional, tag = "10")] presence_stats: Option<PresenceStatsResult>,
        #[prost(message, optional, tag = "11")] history: Option<HistoryResult>,
        #[prost(message, optional, tag = "13")] rpc: Option<Payload>,
        #[prost(message, optional, tag = "14")] refresh: Option<RefreshResult>,
        #[prost(message, optional, tag = "15")] sub_refresh: Option<Expiry>,
    }
    Push {
        #[prost(int64, tag = "1")] id: i64,
        #[prost(string, tag = "2")] channel: String,
        #[prost(message, optional, tag = "4")] r#pub: Option<Publication>,
        #[prost(message, optional, tag = "5")] join: Option<Member>,
        #[prost(message, optional, tag = "6")] leave: Option<Member>,
        #[prost(message, optional, tag = "7")] unsubscribe: Option<Unsubscribe>,
        #[prost(message, optional, tag = "8")] message: Option<Payload>,
        #[prost(message, optional, tag = "9")] subscribe: Option<Subscribe>,
        #[prost(message, optional, tag = "10")] connect: Option<Connect>,
        #[prost(message, optional, tag = "11")] disconnect: Option<Disconnect>,
        #[prost(message, optional, tag = "12")] refresh: Option<Expiry>,
    }
    Error {
        #[prost(uint32, tag = "1")] code: u32,
        #[prost(string, tag = "2")] message: String,
        #[prost(bool, tag = "3")] temporary: bool,
    }
    ConnectResult {
        #[prost(string, tag = "1")] client: String,
        #[prost(string, tag = "2")] version: String,
        #[prost(bool, tag = "3")] expires: bool,
        #[prost(uint32, tag = "4")] ttl: u32,
        #[prost(bytes = "vec", tag = "5")] #[serde(with = "raw")] data: Vec<u8>,
        #[prost(btree_map = "string, message", tag = "6")] subs: BTreeMap<String, SubscribeResult>,
        #[prost(uint32, tag = "7")] ping: u32,
        #[prost(bool, tag = "8")] pong: bool,
        #[prost(string, tag = "9")] session: String,
        #[prost(string, tag = "10")] node: String,
        #[prost(int64, tag = "11")] time: i64,
    }
    Connect {
        #[prost(string, tag = "1")] client: String,
        #[prost(string, tag = "2")] version: String,
        #[prost(bytes = "vec", tag = "3")] #[serde(with = "raw")] data: Vec<u8>,
        #[prost(btree_map = "string, message", tag = "4")] subs: BTreeMap<String, SubscribeResult>,
        #[prost(bool, tag = "5")] expires: bool,
        #[prost(uint32, tag = "6")] ttl: u32,
        #[prost(uint32, tag = "7")] ping: u32,
        #[prost(bool, tag = "8")] pong: bool,
        #[prost(string, tag = "9")] session: String,
        #[prost(string, tag = "10")] node: String,
        #[prost(int64, tag = "11")] time: i64,
    }
    SubscribeResult {
        #[prost(bool, tag = "1")] expires: bool,
        #[prost(uint32, tag = "2")] ttl: u32,
        #[prost(bool, tag = "3")] recoverable: bool,
        #[prost(string, tag = "6")] epoch: String,
        #[prost(message, repeated, tag = "7")] publications: Vec<Publication>,
        #[prost(bool, tag = "8")] recovered: bool,
        #[prost(uint64, tag = "9")] offset: u64,
        #[prost(bool, tag = "10")] positioned: bool,
        #[prost(bytes = "vec", tag = "11")] #[serde(with = "raw")] data: Vec<u8>,
        #[prost(bool, tag = "12")] was_recovering: bool,
        #[prost(bool, tag = "13")] delta: bool,
        #[prost(int64, tag = "14")] id: i64,
    }
    Subscribe {
        #[prost(bool, tag = "1")] recoverable: bool,
        #[prost(string, tag = "4")] epoch: String,
        #[prost(uint64, tag = "5")] offset: u64,
        #[prost(bool, tag = "6")] positioned: bool,
        #[prost(bytes = "vec", tag = "7")] #[serde(with = "raw")] data: Vec<u8>,
    }
    PresenceResult {
        #[prost(btree_map = "string, message", tag = "1")] presence: BTreeMap<String, ClientInfo>,
    }
    PresenceStatsResult {
        #[prost(uint32, tag = "1")] num_clients: u32,
        #[prost(uint32, tag = "2")] num_users: u32,
    }
    HistoryResult {
        #[prost(message, repeated, tag = "1")] publications: Vec<Publication>,
        #[prost(string, tag = "2")] epoch: String,
        #[prost(uint64, tag = "3")] offset: u64,
    }
    RefreshResult {
        #[prost(string, tag = "1")] client: String,
        #[prost(string, tag = "2")] version: String,
        #[prost(bool, tag = "3")] expires: bool,
        #[prost(uint32, tag = "4")] ttl: u32,
    }
    Expiry {
        #[prost(bool, tag = "1")] expires: bool,
        #[prost(uint32, tag = "2")] ttl: u32,
    }
    Publication {
        #[prost(bytes = "vec", tag = "4")] #[serde(with = "raw")] data: Vec<u8>,
        #[prost(message, optional, tag = "5")] info: Option<ClientInfo>,
        #[prost(uint64, tag = "6")] offset: u64,
        #[prost(btree_map = "string, string", tag = "7")] tags: BTreeMap<String, String>,
        #[prost(bool, tag = "8")] delta: bool,
        #[prost(int64, tag = "9")] time: i64,
        #[prost(string, tag = "14")] epoch: String,
    }
    ClientInfo {
        #[prost(string, tag = "1")] user: String,
        #[prost(string, tag = "2")] client: String,
        #[prost(bytes = "vec", tag = "3")] #[serde(with = "raw")] conn_info: Vec<u8>,
        #[prost(bytes = "vec", tag = "4")] #[serde(with = "raw")] chan_info: Vec<u8>,
    }
    Member { #[prost(message, optional, tag = "1")] info: Option<ClientInfo>, }
    Unsubscribe {
        #[prost(uint32, tag = "2")] code: u32,
        #[prost(string, tag = "3")] reason: String,
    }
    Disconnect {
        #[prost(uint32, tag = "1")] code: u32,
        #[prost(string, tag = "2")] reason: String,
    }
}

fn zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Payloads are JSON values in JSON.
mod raw {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::value::RawValue;

    pub(super) fn serialize<S: Serializer>(data: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        let text = String::from_utf8(data.to_vec()).unwrap();
        RawValue::from_string(text).unwrap().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(data: D) -> Result<Vec<u8>, D::Error> {
        let value = Box::<RawValue>::deserialize(data)?;
        Ok(value.get().as_bytes().to_vec())
    }
}
