//! What belongs to publications beside their data, for those that have something.

use std::collections::VecDeque;

use crate::event::Details;

/// The details of a channel's publications, in the order of their offsets.
#[derive(Debug, Default)]
pub(super) struct AllDetails {
    list: VecDeque<(u64, Box<Details>)>,
    bytes: usize,
}

impl AllDetails {
    /// Adds those of the newest publication.
    pub(super) fn push(&mut self, offset: u64, details: Box<Details>) {
        debug_assert!(self.list.back().is_none_or(|(last, _)| *last < offset));
        self.bytes += details.bytes();
        self.list.push_back((offset, details));
    }

    pub(super) fn get(&self, offset: u64) -> Option<&Details> {
        let index = self
            .list
            .binary_search_by_key(&offset, |(at, _)| *at)
            .ok()?;
        self.list.get(index).map(|(_, details)| &**details)
    }

    /// Forgets those of publications before `offset`.
    pub(super) fn trim_before(&mut self, offset: u64) {
        while let Some((_, details)) = self.list.pop_front_if(|(at, _)| *at < offset) {
            self.bytes -= details.bytes();
        }
    }

    /// Bytes that they hold.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_found_by_offset_and_their_bytes_add_up() {
        let mut all = AllDetails::default();
        for offset in (2..20).step_by(3) {
            let tags = vec![("n".into(), offset.to_string().into())];
            let details = Details {
                tags,
                ..Details::default()
            };
            all.push(offset, Box::new(details));
        }
        let whole = all.bytes();
        let value = |all: &AllDetails, offset| all.get(offset).map(|it| it.tags[0].1.to_string());
        assert_eq!(value(&all, 5).as_deref(), Some("5"));
        assert_eq!(value(&all, 6), None);
        all.trim_before(6);
        assert_eq!(
            (value(&all, 5), value(&all, 8).as_deref()),
            (None, Some("8"))
        );
        assert!(all.bytes() < whole);
        all.trim_before(99);
        assert_eq!(all.bytes(), 0);
    }
}
