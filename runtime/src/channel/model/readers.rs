//! The steps of those who read: subscribe, take some bytes, die, come back.

use super::reference::{ENCODINGS, Known, Reference};
use super::{Client, World};
use crate::channel::{Cursor, LAG_BYTES, Lost, Pending, Placement, Wanted};
use crate::event::{After, Position};
use crate::ids::ConnId;

impl World {
    pub(super) fn random_after(&mut self, name: usize) -> After {
        let own = self.held(name).map(|it| (it.epoch, it.newest()));
        let other = self.epoch();
        let (epoch, newest) = own.unwrap_or((other, 3));
        match self.random.below(9) {
            8 => After::Offset(self.random.below(newest + 3)),
            0 => After::Now,
            1 => After::Gone,
            2 => After::Unreadable,
            3 => After::Position(Position {
                epoch: other,
                offset: self.random.below(5),
            }),
            4 => After::Position(Position {
                epoch,
                offset: newest + 1 + self.random.below(3),
            }),
            5 | 6 => After::Position(Position {
                epoch,
                offset: self.random.below(newest + 1),
            }),
            _ => After::Beginning,
        }
    }

    pub(super) fn subscribe(&mut self, name: usize) {
        let after = self.random_after(name);
        let encoding = self.random.index(ENCODINGS.len());
        self.clients.push(Client {
            name,
            encoding,
            attached: None,
            base: 0,
            next: 1,
            partial: Vec::new(),
            last: None,
            wire: Vec::new(),
        });
        let client = self.clients.len() - 1;
        self.attach(client, after, false);
    }

    /// Places a client; `resumes`: with the position that it brings back.
    pub(super) fn attach(&mut self, client: usize, after: After, resumes: bool) {
        let (name, encoding) = (self.clients[client].name, self.clients[client].encoding);
        self.conns += 1;
        let conn = ConnId {
            index: self.conns,
            generation: self.conns / 3,
        };
        let busy = self.random.once_in(8);
        let epoch = self.epoch();
        let may_create = (self.is_open(name) && self.random.once_in(2)).then_some(epoch);
        let before = self.registry.total_bytes();
        let wanted = Wanted {
            after,
            encoding: ENCODINGS[encoding],
            gated: false,
            lost: Lost::Oldest,
        };
        let create = may_create.map(|epoch| (epoch, self.limits.retention()));
        let (placement, cursor) =
            self.registry
                .place(conn, &self.names[name].0, &wanted, create, busy, self.now);
        let was_held = self.held(name).is_some();
        self.reconcile(before > self.limits.max_total_bytes);
        let want = match &self.names[name].1 {
            Known::Held(reference) => reference.place(after),
            _ if busy => Placement::Busy,
            Known::Never if may_create.is_some() && placement == Placement::Busy => {
                assert!(self.is_packed(before));
                Placement::Busy
            }
            Known::Never if may_create.is_some() => {
                let id = self.registry.find(&self.names[name].0).unwrap();
                let reference = Reference::new(id, epoch, true, None);
                let want = reference.place(match after {
                    After::Position(_) => After::Unreadable,
                    other => other,
                });
                self.names[name].1 = Known::Held(reference);
                want
            }
            known => match (after, known) {
                (After::Gone, _) => placement.clone(),
                (After::Position(_) | After::Offset(_) | After::Unreadable, _) => Placement::Gone,
                (_, Known::Forgotten { .. }) => Placement::Expired,
                _ => Placement::Unknown,
            },
        };
        assert_eq!(placement, want, "{after:?}, held before: {was_held}");
        let Placement::Placed {
            position, reset, ..
        } = placement
        else {
            assert!(cursor.is_none());
            assert!(
                after != After::Gone
                    || was_held
                    || matches!(placement, Placement::Finished(_) | Placement::Busy)
            );
            return;
        };
        self.placed(
            client,
            conn,
            cursor.unwrap(),
            position,
            resumes && reset.is_none(),
        );
    }

    pub(super) fn placed(
        &mut self,
        client: usize,
        conn: ConnId,
        cursor: Cursor,
        at: Position,
        goes_on: bool,
    ) {
        let name = self.clients[client].name;
        self.held_mut(name).unwrap().unread_until = None;
        let client = &mut self.clients[client];
        client.attached = Some((conn, cursor));
        assert!(client.partial.is_empty());
        if goes_on && let Some(last) = client.last {
            assert_eq!(last, at, "goes on where it was");
        } else {
            client.base = at.offset;
            client.wire.clear();
        }
        client.next = at.offset + 1;
        client.last = Some(at);
    }

    pub(super) fn somebody(&mut self, attached: bool) -> Option<usize> {
        let count = self
            .clients
            .iter()
            .filter(|it| it.attached.is_some() == attached)
            .count();
        let nth = if count == 0 {
            return None;
        } else {
            self.random.index(count)
        };
        let mut wanted = (0..self.clients.len())
            .filter(|client| self.clients[*client].attached.is_some() == attached);
        wanted.nth(nth)
    }

    pub(super) fn write_somebody(&mut self) {
        let Some(client) = self.somebody(true) else {
            return;
        };
        let most = self.random.pick(&[1, 2, 7, 40, usize::MAX]);
        self.write(client, most);
    }

    /// What the reactor does when a socket takes `most` bytes. True if something was written.
    pub(super) fn write(&mut self, client: usize, most: usize) -> bool {
        let Some((_, mut cursor)) = self.clients[client].attached else {
            return false;
        };
        let name = self.clients[client].name;
        let channel = self.registry.get(cursor.channel).unwrap();
        let reference = self.held(name).unwrap();
        let newest = reference.newest();
        let finished = reference.finished.is_some();
        let bytes = match channel.pending(&cursor) {
            Pending::Bytes(bytes) => bytes[..bytes.len().min(most)].to_vec(),
            pending @ (Pending::Idle | Pending::Ended) => {
                assert_eq!(pending == Pending::Ended, finished);
                let rest = self.unseen_bytes(client);
                assert_eq!(
                    (rest, self.clients[client].partial.len()),
                    (0, 0),
                    "all of {newest} seen"
                );
                return false;
            }
            Pending::Lagged => {
                self.lag(client, cursor);
                return false;
            }
        };
        assert!(!bytes.is_empty());
        cursor.at += bytes.len() as u64;
        let boundary = channel.event_end(&cursor);
        self.clients[client].attached.as_mut().unwrap().1 = cursor;
        self.take(client, &bytes);
        let client = &self.clients[client];
        let missing = if client.partial.is_empty() {
            0
        } else {
            let whole =
                self.held(name)
                    .unwrap()
                    .wire(&self.names[name].0, client.next, client.encoding);
            (whole.len() - client.partial.len()) as u64
        };
        assert_eq!(
            boundary,
            cursor.at + missing,
            "the event that is half written is known"
        );
        true
    }

    /// The client's side: every byte is what the reference says comes next.
    pub(super) fn take(&mut self, client: usize, mut bytes: &[u8]) {
        let client = &mut self.clients[client];
        let (name, known) = &self.names[client.name];
        let Known::Held(reference) = known else {
            panic!("{name} is held")
        };
        while !bytes.is_empty() {
            assert!(client.next <= reference.newest(), "more than there is");
            let whole = reference.wire(name, client.next, client.encoding);
            let rest = &whole[client.partial.len()..];
            let (now, later) = bytes.split_at(bytes.len().min(rest.len()));
            assert_eq!(now, &rest[..now.len()], "event {} of {name}", client.next);
            client.partial.extend(now);
            bytes = later;
            if client.partial.len() == whole.len() {
                client.wire.append(&mut client.partial);
                client.last = Some(Position {
                    epoch: reference.epoch,
                    offset: client.next,
                });
                client.next += 1;
            }
        }
    }

    /// How much there is that the client has not had.
    pub(super) fn unseen_bytes(&self, client: usize) -> usize {
        let client = &self.clients[client];
        let (name, known) = &self.names[client.name];
        let Known::Held(reference) = known else {
            panic!("{name} is held")
        };
        let wire = |offset| reference.wire(name, offset, client.encoding).len();
        (client.next..=reference.newest()).map(wire).sum::<usize>() - client.partial.len()
    }

    pub(super) fn lag(&mut self, client: usize, mut cursor: Cursor) {
        let name = self.clients[client].name;
        assert!(self.is_open(name), "a chat is never trimmed");
        assert!(self.clients[client].next <= self.held(name).unwrap().trimmed);
        // The fewer logs share a channel's bytes, the more each may keep. An event is kept whole
        // or not at all.
        let least = LAG_BYTES.min(self.limits.max_channel_bytes / 2 / (1 + ENCODINGS.len()));
        let behind = self.unseen_bytes(client) + self.clients[client].partial.len();
        assert!(behind > least, "lagged too early");
        if !self.clients[client].partial.is_empty() {
            return self.kill(client);
        }
        let (position, at) = self
            .registry
            .get(cursor.channel)
            .unwrap()
            .oldest(cursor.view);
        assert_eq!(position.offset, self.held(name).unwrap().trimmed);
        cursor.at = at;
        let conn = self.clients[client].attached.unwrap().0;
        self.placed(client, conn, cursor, position, false);
    }

    pub(super) fn kill_somebody(&mut self) {
        if let Some(client) = self.somebody(true) {
            self.kill(client);
        }
    }

    pub(super) fn kill(&mut self, client: usize) {
        let Some((_, cursor)) = self.clients[client].attached.take() else {
            return;
        };
        self.clients[client].partial.clear();
        if let Some((moved, _)) = self.registry.unsubscribe(&cursor, self.now) {
            let mut attached = self
                .clients
                .iter_mut()
                .filter_map(|it| it.attached.as_mut());
            attached.find(|it| it.0 == moved).unwrap().1.slot = cursor.slot;
        }
        let name = self.clients[client].name;
        let channel = self.registry.get(cursor.channel).unwrap();
        let (life, is_void) = (channel.life(), channel.position().offset == 0);
        let unread = self
            .unread_after(life, is_void)
            .filter(|_| self.readers(name) == 0);
        self.held_mut(name).unwrap().unread_until = unread;
    }

    pub(super) fn resume_somebody(&mut self) {
        if let Some(client) = self.somebody(false) {
            self.resume(client);
        }
    }

    pub(super) fn resume(&mut self, client: usize) {
        if self.random.once_in(3) {
            self.clients[client].encoding = self.random.index(ENCODINGS.len());
            // Another encoding has other bytes: what was seen is compared event by event.
            if let Some(last) = self.clients[client].last {
                self.clients[client].base = last.offset;
                self.clients[client].wire.clear();
            }
        }
        let after = self.clients[client]
            .last
            .map_or(After::Beginning, After::Position);
        self.attach(client, after, true);
    }
}
