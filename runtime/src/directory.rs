//! Who is here: sessions by their ids, and the members of channels.
//!
//! Sessions of a protocol with commands register under the id of their client, their user and,
//! where another connection speaks for them, a secret session id. What the server API or another
//! connection has to tell them finds them here. A member of a channel is a client that wants to
//! be listed among its readers, or to hear of their coming and going.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::event::{ClientInfo, Details};
use crate::ids::ConnId;
use crate::plugin::access::SubscribeGrant;

/// The ids of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The client's id, unique.
    pub client: u128,
    /// The user's id; empty for an anonymous client, which is not found by it.
    pub user: Box<str>,
    /// The secret by which another connection speaks for this one.
    pub session: Option<u128>,
}

/// To whom something is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The sessions of a user; of those the one with this client id, this session id, where given.
    User {
        /// The user's id, not empty.
        user: Box<str>,
        /// Only this client.
        client: Option<u128>,
        /// Only this session.
        session: Option<u128>,
        /// Not these clients.
        except: Vec<u128>,
    },
    /// One client.
    Client(u128),
    /// The session with this secret id.
    Session(u128),
}

/// What a session may be told by others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The client is subscribed to a channel by the server.
    Subscribe {
        /// The channel.
        channel: Box<str>,
        /// The subscription's options.
        grant: Box<SubscribeGrant>,
        /// From where it is to be recovered: offset and epoch.
        since: Option<(u64, Box<str>)>,
    },
    /// The client's subscription is ended by the server.
    Unsubscribe {
        /// The channel.
        channel: Box<str>,
        /// A number of the protocol: 2000 to 2999.
        code: u16,
        /// What for, in a few words.
        reason: Box<str>,
    },
    /// The connection is ended by the server.
    Disconnect {
        /// A number of the protocol: 3000 to 4999.
        code: u16,
        /// What for, in a few words; not empty.
        reason: Box<str>,
    },
    /// The connection's expiry is changed.
    Refresh {
        /// Is it expired at once?
        expired: bool,
        /// Until when it is good: seconds since 1970; none: for good.
        expires_at: Option<u64>,
        /// JSON about the connection, if it changes.
        info: Option<Box<[u8]>>,
    },
    /// A document for the client alone.
    Message(Box<[u8]>),
    /// Bytes that came for this session on another connection.
    Commands {
        /// As they came.
        bytes: Box<[u8]>,
        /// Is the binary form of the protocol meant?
        is_binary: bool,
    },
}

/// What happened in a channel and stands in no log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A client has come.
    Joined(ClientInfo),
    /// A client has gone.
    Left(ClientInfo),
    /// A publication without a place in the history.
    Fleeting {
        /// Its JSON.
        data: Box<[u8]>,
        /// What belongs to it.
        details: Option<Box<Details>>,
    },
}

/// A client as a member of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// Who it is.
    pub info: ClientInfo,
    /// Is it listed?
    pub is_listed: bool,
    /// Do others hear of it?
    pub is_announced: bool,
    /// Does it hear of others, itself included?
    pub hears: bool,
}

/// The members of one channel.
#[derive(Debug, Default)]
pub struct Members {
    list: BTreeMap<ConnId, Membership>,
}

impl Members {
    /// The clients that are listed.
    pub fn listed(&self) -> impl Iterator<Item = &ClientInfo> {
        self.list
            .values()
            .filter(|member| member.is_listed)
            .map(|member| &member.info)
    }

    /// Those that hear of comings and goings.
    pub(crate) fn hearers(&self) -> impl Iterator<Item = ConnId> {
        self.list
            .iter()
            .filter(|(_, member)| member.hears)
            .map(|(conn, _)| *conn)
    }
}

/// All registered sessions and all members.
#[derive(Debug, Default)]
pub struct Directory {
    clients: HashMap<u128, ConnId>,
    users: BTreeSet<(Box<str>, ConnId)>,
    secrets: HashMap<u128, ConnId>,
    by_conn: HashMap<ConnId, Known>,
    members: HashMap<Box<str>, Members>,
}

/// What a connection must be taken out of.
#[derive(Debug, Default)]
struct Known {
    identity: Option<Identity>,
    memberships: Vec<Box<str>>,
}

/// Nobody.
static NOBODY: Members = Members {
    list: BTreeMap::new(),
};

impl Directory {
    /// Registered sessions.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Different users that are not anonymous.
    #[must_use]
    pub fn users(&self) -> usize {
        let mut count = 0;
        let mut last = None;
        for (user, _) in &self.users {
            if last != Some(user) {
                count += 1;
                last = Some(user);
            }
        }
        count
    }

    /// Registered sessions of a user.
    #[must_use]
    pub fn connections_of(&self, user: &str) -> usize {
        self.of_user(user).count()
    }

    /// The members of a channel.
    #[must_use]
    pub fn members(&self, channel: &str) -> &Members {
        self.members.get(channel).unwrap_or(&NOBODY)
    }

    /// Those whom a target means.
    pub(crate) fn find(&self, target: &Target) -> Vec<ConnId> {
        match target {
            Target::Client(client) => self.clients.get(client).copied().into_iter().collect(),
            Target::Session(secret) => self.secrets.get(secret).copied().into_iter().collect(),
            Target::User {
                user,
                client,
                session,
                except,
            } => self
                .of_user(user)
                .filter(|conn| {
                    let known = self.by_conn.get(conn);
                    known
                        .and_then(|known| known.identity.as_ref())
                        .is_some_and(|it| {
                            client.is_none_or(|client| it.client == client)
                                && session.is_none_or(|session| it.session == Some(session))
                                && !except.contains(&it.client)
                        })
                })
                .collect(),
        }
    }

    /// Makes a session known. A second time it gets its new ids.
    pub(crate) fn register(&mut self, conn: ConnId, identity: Identity) {
        self.unregister(conn);
        self.clients.insert(identity.client, conn);
        if let Some(secret) = identity.session {
            self.secrets.insert(secret, conn);
        }
        if !identity.user.is_empty() {
            self.users.insert((identity.user.clone(), conn));
        }
        self.by_conn.entry(conn).or_default().identity = Some(identity);
    }

    /// Adds a member. Says whether others are to hear of it.
    pub(crate) fn join(&mut self, conn: ConnId, channel: &str, membership: Membership) -> bool {
        let announced = membership.is_announced;
        let members = self.members.entry(channel.into()).or_default();
        if members.list.insert(conn, membership).is_some() {
            return false;
        }
        let known = self.by_conn.entry(conn).or_default();
        known.memberships.push(channel.into());
        announced
    }

    /// Removes a member, and says who it was.
    pub(crate) fn leave(&mut self, conn: ConnId, channel: &str) -> Option<Membership> {
        if let Some(known) = self.by_conn.get_mut(&conn) {
            known.memberships.retain(|name| **name != *channel);
            if known.identity.is_none() && known.memberships.is_empty() {
                self.by_conn.remove(&conn);
            }
        }
        let members = self.members.get_mut(channel)?;
        let left = members.list.remove(&conn);
        if members.list.is_empty() {
            self.members.remove(channel);
        }
        left
    }

    /// Forgets a connection. Its memberships are to be ended one by one: their channels.
    pub(crate) fn forget(&mut self, conn: ConnId) -> Vec<Box<str>> {
        self.unregister(conn);
        match self.by_conn.get_mut(&conn) {
            Some(known) => std::mem::take(&mut known.memberships),
            None => Vec::new(),
        }
    }

    fn unregister(&mut self, conn: ConnId) {
        let Some(known) = self.by_conn.get_mut(&conn) else {
            return;
        };
        if let Some(identity) = known.identity.take() {
            self.clients.remove(&identity.client);
            if let Some(secret) = identity.session {
                self.secrets.remove(&secret);
            }
            self.users.remove(&(identity.user, conn));
        }
        if known.memberships.is_empty() {
            self.by_conn.remove(&conn);
        }
    }

    fn of_user(&self, user: &str) -> impl Iterator<Item = ConnId> {
        let first = ConnId {
            index: 0,
            generation: 0,
        };
        self.users
            .range((Box::from(user), first)..)
            .take_while(move |(name, _)| **name == *user)
            .map(|(_, conn)| *conn)
            .collect::<Vec<_>>()
            .into_iter()
    }
}
