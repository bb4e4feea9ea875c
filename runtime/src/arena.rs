//! A table of things named by ids with a generation.
//!
//! It grows by pages, so that growing neither copies what is there nor reserves twice of it, and
//! a slot used again has another generation: an old id finds nothing.

use std::marker::PhantomData;

use crate::ids::Id;

const PAGE_BITS: u32 = 6;
const PAGE: usize = 1 << PAGE_BITS;

struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// The table. Bounded by whoever inserts.
pub(crate) struct Arena<I, T> {
    pages: Vec<Vec<Slot<T>>>,
    free: Vec<u32>,
    len: usize,
    id: PhantomData<I>,
}

impl<I: Id, T> Arena<I, T> {
    pub(crate) fn new() -> Self {
        Self {
            pages: Vec::new(),
            free: Vec::new(),
            len: 0,
            id: PhantomData,
        }
    }

    /// Stores what `make` builds for its own id.
    pub(crate) fn insert_with(&mut self, make: impl FnOnce(I) -> T) -> I {
        self.len += 1;
        if let Some(index) = self.free.pop()
            && let Some(slot) = self.slot_mut(index)
        {
            let id = I::new(index, slot.generation);
            slot.value = Some(make(id));
            return id;
        }
        if self.pages.last().is_none_or(|page| page.len() == PAGE) {
            self.pages.push(Vec::with_capacity(PAGE));
        }
        let pages = self.pages.len() - 1;
        let page = &mut self.pages[pages];
        // 2^32 entries do not fit into memory.
        let index = u32::try_from(pages * PAGE + page.len()).unwrap_or(u32::MAX);
        let id = I::new(index, 0);
        page.push(Slot {
            generation: 0,
            value: Some(make(id)),
        });
        id
    }

    pub(crate) fn remove(&mut self, id: I) -> Option<T> {
        let slot = self
            .slot_mut(id.index())
            .filter(|slot| slot.generation == id.generation())?;
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.index());
        self.len -= 1;
        Some(value)
    }

    pub(crate) fn get(&self, id: I) -> Option<&T> {
        let slot = self
            .pages
            .get(page_of(id.index()))?
            .get(place_of(id.index()))?;
        if slot.generation == id.generation() {
            slot.value.as_ref()
        } else {
            None
        }
    }

    pub(crate) fn get_mut(&mut self, id: I) -> Option<&mut T> {
        let slot = self.slot_mut(id.index())?;
        if slot.generation == id.generation() {
            slot.value.as_mut()
        } else {
            None
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (I, &T)> {
        self.pages
            .iter()
            .flatten()
            .enumerate()
            .filter_map(|(index, slot)| {
                let index = u32::try_from(index).ok()?;
                Some((I::new(index, slot.generation), slot.value.as_ref()?))
            })
    }

    fn slot_mut(&mut self, index: u32) -> Option<&mut Slot<T>> {
        self.pages.get_mut(page_of(index))?.get_mut(place_of(index))
    }
}

fn page_of(index: u32) -> usize {
    (index >> PAGE_BITS) as usize
}

fn place_of(index: u32) -> usize {
    index as usize & (PAGE - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ConnId;

    #[test]
    fn an_old_id_finds_nothing() {
        let mut arena: Arena<ConnId, u32> = Arena::new();
        let ids: Vec<_> = (0..200).map(|n| arena.insert_with(|_| n)).collect();
        assert_eq!(arena.len(), 200);
        assert_eq!(arena.remove(ids[70]), Some(70));
        assert_eq!(arena.remove(ids[70]), None);
        let again = arena.insert_with(|_| 1000);
        assert_eq!(again.index, ids[70].index);
        assert_eq!(arena.get(ids[70]), None);
        assert_eq!(arena.get(again), Some(&1000));
        assert_eq!(arena.iter().count(), 200);
        assert_eq!(
            arena
                .iter()
                .map(|(id, value)| (arena.get(id), value))
                .filter(|(a, b)| *a == Some(*b))
                .count(),
            200
        );
    }
}
