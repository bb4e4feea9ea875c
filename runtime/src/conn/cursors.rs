//! The cursors of a connection: mostly none or one, seldom many.

use crate::channel::Cursor;
use crate::ids::ChannelId;

/// The cursors, in the order in which they take turns. One costs no allocation.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    held: Held,
    /// Whose turn it is to be written; in the middle of an event, whose event it is.
    turn: u16,
}

#[derive(Debug, Default)]
enum Held {
    #[default]
    None,
    One(Cursor),
    #[expect(
        clippy::box_collection,
        reason = "a connection is small, and seldom has many"
    )]
    Many(Box<Vec<Cursor>>),
}

impl Cursors {
    pub(crate) fn as_slice(&self) -> &[Cursor] {
        match &self.held {
            Held::None => &[],
            Held::One(cursor) => std::slice::from_ref(cursor),
            Held::Many(list) => list,
        }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [Cursor] {
        match &mut self.held {
            Held::None => &mut [],
            Held::One(cursor) => std::slice::from_mut(cursor),
            Held::Many(list) => list,
        }
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Cursor> {
        self.as_slice().iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// The one whose turn it is.
    pub(crate) fn current(&self) -> Option<&Cursor> {
        self.as_slice().get(usize::from(self.turn))
    }

    pub(crate) fn current_mut(&mut self) -> Option<&mut Cursor> {
        let turn = usize::from(self.turn);
        self.as_mut_slice().get_mut(turn)
    }

    /// Whose turn it is.
    pub(crate) fn turn(&self) -> usize {
        usize::from(self.turn)
    }

    /// Gives the turn to one.
    pub(crate) fn set_turn(&mut self, index: usize) {
        self.turn = u16::try_from(index).unwrap_or(0);
    }

    /// Gives the turn to the next.
    pub(crate) fn pass_turn(&mut self) {
        let next = usize::from(self.turn) + 1;
        self.set_turn(if next < self.len() { next } else { 0 });
    }

    /// The indices in the order of their turns.
    pub(crate) fn order(&self) -> impl Iterator<Item = usize> + use<> {
        let (turn, count) = (usize::from(self.turn), self.len());
        (turn..count).chain(0..turn.min(count))
    }

    /// The cursor in a channel, and its index; not one that only finishes its event.
    pub(crate) fn find(&self, channel: ChannelId) -> Option<(usize, &Cursor)> {
        let mut all = self.iter().enumerate();
        all.find(|(_, cursor)| cursor.channel == channel && !cursor.is_leaving())
    }

    pub(crate) fn find_mut(&mut self, channel: ChannelId) -> Option<&mut Cursor> {
        let mut all = self.as_mut_slice().iter_mut();
        all.find(|cursor| cursor.channel == channel && !cursor.is_leaving())
    }

    pub(crate) fn push(&mut self, cursor: Cursor) {
        self.held = match std::mem::take(&mut self.held) {
            Held::None => Held::One(cursor),
            Held::One(first) => Held::Many(Box::new(vec![first, cursor])),
            Held::Many(mut list) => {
                list.push(cursor);
                Held::Many(list)
            }
        };
    }

    /// Takes one out. The others keep their order and the turn.
    pub(crate) fn remove(&mut self, index: usize) -> Option<Cursor> {
        if index >= self.len() {
            return None;
        }
        let turn = usize::from(self.turn);
        let (held, removed) = match std::mem::take(&mut self.held) {
            Held::None => (Held::None, None),
            Held::One(cursor) => (Held::None, Some(cursor)),
            Held::Many(mut list) => {
                let removed = list.remove(index);
                let held = match list.as_slice() {
                    [only] => Held::One(*only),
                    _ => Held::Many(list),
                };
                (held, Some(removed))
            }
        };
        self.held = held;
        let turn = if index < turn { turn - 1 } else { turn };
        self.set_turn(if turn < self.len() { turn } else { 0 });
        removed
    }

    /// Takes the last one out.
    pub(crate) fn pop(&mut self) -> Option<Cursor> {
        self.remove(self.len().checked_sub(1)?)
    }
}
