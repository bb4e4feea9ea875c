//! The targets of one request, in groups, and whom of them to ask next.

use std::sync::Arc;

use crate::routing::draw::draw;
use crate::routing::ledger::Standing;
use crate::routing::target::Target;
use crate::time::Moment;

/// Targets that a plan has at most.
pub const MOST_TARGETS: usize = 64;

/// The targets of one request; never empty where it is asked by. Groups are asked in order, the
/// targets of one by weight.
#[derive(Clone, Default)]
pub struct Plan {
    targets: Arc<[Planned]>,
}

/// A target with its place in a plan.
#[derive(Clone)]
pub struct Planned {
    /// The target.
    pub target: Target,
    /// How often it is asked, next to the others of its group.
    pub weight: u32,
    /// Its group. Those of one group stand side by side.
    pub group: usize,
}

/// Which targets of a plan have been tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tried(u64);

/// Whom to ask next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// This one, now.
    Ask(usize),
    /// This one, when it is its turn.
    Wait(usize),
    /// This one, if its queue were not full.
    Full(usize),
    /// Nobody who has not been tried. This is when a breaker may let somebody through, if only
    /// breakers stand in the way.
    Nobody(Option<Moment>),
}

impl Plan {
    /// A plan of targets that are asked in order.
    #[must_use]
    pub fn in_order(targets: impl IntoIterator<Item = Target>) -> Self {
        Self::of_groups(targets.into_iter().map(|target| vec![(target, 1)]))
    }

    /// A plan of groups of targets with their weights. It takes [`MOST_TARGETS`].
    #[must_use]
    pub fn of_groups(groups: impl IntoIterator<Item = Vec<(Target, u32)>>) -> Self {
        let groups = groups.into_iter().enumerate();
        let targets = groups.flat_map(|(group, members)| {
            let members = members.into_iter();
            members.map(move |(target, weight)| Planned {
                target,
                weight,
                group,
            })
        });
        Self {
            targets: targets.take(MOST_TARGETS).collect(),
        }
    }

    /// Whether it has no target.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// The targets, group by group.
    #[must_use]
    pub fn targets(&self) -> &[Planned] {
        &self.targets
    }

    pub(crate) fn target(&self, index: usize) -> Option<&Target> {
        self.targets.get(index).map(|planned| &planned.target)
    }

    /// Whom to ask next: of the first group with one who is free, by weight; else whose turn to
    /// wait for; one behind an open breaker never.
    pub(crate) fn choose(
        &self,
        tried: Tried,
        standing: &dyn Fn(&Target) -> Standing,
        random: &mut dyn FnMut() -> u64,
    ) -> Choice {
        let mut first = 0;
        let mut earliest = None;
        for group in self.targets.chunk_by(|a, b| a.group == b.group) {
            let members = (first..).zip(group);
            first += group.len();
            let left = members
                .filter(|(index, _)| !tried.has(*index))
                .map(|(index, planned)| (index, planned.weight, standing(&planned.target)));
            for wanted in [Standing::Free, Standing::Busy, Standing::Full] {
                let such = left.clone().filter(|(_, _, standing)| *standing == wanted);
                let drawn = draw(such.map(|(index, weight, _)| (index, weight)), random);
                match (drawn, wanted) {
                    (Some(index), Standing::Free) => return Choice::Ask(index),
                    (Some(index), Standing::Busy) => return Choice::Wait(index),
                    (Some(index), _) => return Choice::Full(index),
                    (None, _) => {}
                }
            }
            let times = left.filter_map(|(_, _, standing)| match standing {
                Standing::Shut(until) => Some(until),
                Standing::Free | Standing::Busy | Standing::Full => None,
            });
            earliest = earliest.into_iter().chain(times).min();
        }
        Choice::Nobody(earliest)
    }

    /// Where `target` stands in the group of the target at `index`.
    pub(crate) fn sibling(&self, index: usize, target: &Target) -> Option<usize> {
        let group = self.targets.get(index)?.group;
        let (provider, model) = (&target.instance.name, &target.model);
        self.targets
            .iter()
            .position(|planned| planned.group == group && planned.target.is_named(provider, model))
    }
}

impl Tried {
    pub(crate) fn add(&mut self, index: usize) {
        self.0 |= Self::bit(index);
    }

    pub(crate) fn has(self, index: usize) -> bool {
        self.0 & Self::bit(index) != 0
    }

    fn bit(index: usize) -> u64 {
        u32::try_from(index)
            .ok()
            .and_then(|index| 1_u64.checked_shl(index))
            .unwrap_or(0)
    }
}
