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
    clients: HashMap<Key, ConnId>,
    users: BTreeMap<Box<str>, BTreeSet<ConnId>>,
    secrets: HashMap<Key, ConnId>,
    by_conn: HashMap<ConnId, Known>,
    members: HashMap<Box<str>, Members>,
}

/// An id as bytes, which need no alignment in a table.
type Key = [u8; 16];

/// What a connection must be taken out of. Its size is counted: each client has one.
#[derive(Debug, Default)]
struct Known {
    client: Key,
    user: Box<str>,
    session: Option<Box<Key>>,
    /// The names of the channels that it is a member of.
    #[expect(clippy::box_collection, reason = "few clients are members of anything")]
    memberships: Option<Box<Vec<Box<str>>>>,
    is_registered: bool,
}

const _: () = assert!(
    size_of::<Known>() <= 56,
    "a client is at most 56 bytes here"
);

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
        self.users.len()
    }

    /// Registered sessions of a user.
    #[must_use]
    pub fn connections_of(&self, user: &str) -> usize {
        self.users.get(user).map_or(0, BTreeSet::len)
    }

    /// The members of a channel.
    #[must_use]
    pub fn members(&self, channel: &str) -> &Members {
        self.members.get(channel).unwrap_or(&NOBODY)
    }

    /// Those whom a target means.
    pub(crate) fn find(&self, target: &Target) -> Vec<ConnId> {
        match target {
            Target::Client(client) => self
                .clients
                .get(&client.to_le_bytes())
                .copied()
                .into_iter()
                .collect(),
            Target::Session(secret) => self
                .secrets
                .get(&secret.to_le_bytes())
                .copied()
                .into_iter()
                .collect(),
            Target::User {
                user,
                client,
                session,
                except,
            } => self
                .of_user(user)
                .filter(|conn| {
                    self.by_conn.get(conn).is_some_and(|it| {
                        let own = u128::from_le_bytes(it.client);
                        let secret = it.session.as_deref();
                        client.is_none_or(|client| own == client)
                            && session.is_none_or(|it| secret == Some(&it.to_le_bytes()))
                            && !except.contains(&own)
                    })
                })
                .collect(),
        }
    }

    /// Makes a session known. A second time it gets its new ids.
    pub(crate) fn register(&mut self, conn: ConnId, identity: Identity) {
        self.unregister(conn);
        let client = identity.client.to_le_bytes();
        let session = identity.session.map(u128::to_le_bytes);
        self.clients.insert(client, conn);
        if let Some(secret) = session {
            self.secrets.insert(secret, conn);
        }
        if !identity.user.is_empty() {
            let conns = self.users.entry(identity.user.clone()).or_default();
            conns.insert(conn);
        }
        let known = self.by_conn.entry(conn).or_default();
        known.client = client;
        known.session = session.map(Box::new);
        known.user = identity.user;
        known.is_registered = true;
    }

    /// Adds a member. Says whether others are to hear of it.
    pub(crate) fn join(&mut self, conn: ConnId, channel: &str, membership: Membership) -> bool {
        let announced = membership.is_announced;
        let members = self.members.entry(channel.into()).or_default();
        if members.list.insert(conn, membership).is_some() {
            return false;
        }
        let known = self.by_conn.entry(conn).or_default();
        known
            .memberships
            .get_or_insert_default()
            .push(channel.into());
        announced
    }

    /// Removes a member, and says who it was.
    pub(crate) fn leave(&mut self, conn: ConnId, channel: &str) -> Option<Membership> {
        if let Some(known) = self.by_conn.get_mut(&conn) {
            if let Some(names) = &mut known.memberships {
                names.retain(|name| **name != *channel);
                if names.is_empty() {
                    known.memberships = None;
                }
            }
            if !known.is_registered && known.memberships.is_none() {
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
            Some(known) => known
                .memberships
                .take()
                .map_or_else(Vec::new, |names| *names),
            None => Vec::new(),
        }
    }

    fn unregister(&mut self, conn: ConnId) {
        let Some(known) = self.by_conn.get_mut(&conn) else {
            return;
        };
        if std::mem::take(&mut known.is_registered) {
            self.clients.remove(&known.client);
            if let Some(secret) = known.session.take() {
                self.secrets.remove(&*secret);
            }
            let user = std::mem::take(&mut known.user);
            if let Some(conns) = self.users.get_mut(&user) {
                conns.remove(&conn);
                if conns.is_empty() {
                    self.users.remove(&user);
                }
            }
        }
        if known.memberships.is_none() {
            self.by_conn.remove(&conn);
        }
    }

    fn of_user(&self, user: &str) -> impl Iterator<Item = ConnId> {
        self.users.get(user).into_iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conn(index: u32) -> ConnId {
        ConnId {
            index,
            generation: 0,
        }
    }

    fn identity(client: u128, user: &str, session: Option<u128>) -> Identity {
        Identity {
            client,
            user: user.into(),
            session,
        }
    }

    fn of_user(user: &str, client: Option<u128>, session: Option<u128>) -> Target {
        Target::User {
            user: user.into(),
            client,
            session,
            except: vec![4],
        }
    }

    #[test]
    fn sessions_are_found_by_each_of_their_ids_until_they_are_forgotten() {
        let mut directory = Directory::default();
        directory.register(conn(1), identity(1, "ann", Some(11)));
        directory.register(conn(2), identity(2, "ann", None));
        directory.register(conn(3), identity(3, "", None));
        directory.register(conn(4), identity(4, "ann", None));
        directory.register(conn(5), identity(5, "anna", None));
        let cases = [
            (Target::Client(3), &[3][..]),
            (Target::Client(9), &[]),
            (Target::Session(11), &[1]),
            (Target::Session(1), &[]),
            (of_user("ann", None, None), &[1, 2]),
            (of_user("ann", Some(2), None), &[2]),
            (of_user("ann", Some(5), None), &[]),
            (of_user("ann", None, Some(11)), &[1]),
            (of_user("anna", None, None), &[5]),
            (of_user("", None, None), &[]),
        ];
        for (target, want) in &cases {
            let want: Vec<_> = want.iter().map(|index| conn(*index)).collect();
            assert_eq!(directory.find(target), want, "{target:?}");
        }
        assert_eq!((directory.clients(), directory.users()), (5, 2));
        assert_eq!(directory.connections_of("ann"), 3);
        for index in 1..=5 {
            assert_eq!(directory.forget(conn(index)), []);
        }
        for (target, _) in &cases {
            assert_eq!(directory.find(target), [], "{target:?}");
        }
        assert_eq!((directory.clients(), directory.users()), (0, 0));
        assert!(directory.by_conn.is_empty() && directory.secrets.is_empty());
    }

    #[test]
    fn members_are_listed_and_told_until_they_leave() {
        let mut directory = Directory::default();
        let member = |listed, hears| Membership {
            is_listed: listed,
            is_announced: true,
            hears,
            ..Membership::default()
        };
        assert!(directory.join(conn(1), "a", member(true, false)));
        assert!(
            !directory.join(conn(1), "a", member(true, true)),
            "it is there"
        );
        assert!(directory.join(conn(2), "a", member(false, true)));
        assert!(directory.join(conn(2), "b", member(true, false)));
        assert_eq!(directory.members("a").listed().count(), 1);
        let hearers: Vec<_> = directory.members("a").hearers().collect();
        assert_eq!(hearers, [conn(1), conn(2)]);
        assert_eq!(directory.leave(conn(3), "a"), None);
        assert!(directory.leave(conn(1), "a").is_some());
        assert_eq!(directory.leave(conn(1), "a"), None);
        let left = directory.forget(conn(2));
        assert_eq!(left, [Box::from("a"), Box::from("b")]);
        for channel in left {
            assert!(directory.leave(conn(2), &channel).is_some());
        }
        assert!(directory.members.is_empty() && directory.by_conn.is_empty());
    }
}
