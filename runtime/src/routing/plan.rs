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
    /// A plan of one target.
    #[must_use]
    pub fn of_one(target: Target) -> Self {
        Self {
            targets: Arc::new([Planned {
                target,
                weight: 1,
                group: 0,
            }]),
        }
    }

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
        // Where there is no choice: most plans are of one target.
        if let [only] = &*self.targets
            && only.weight > 0
            && !tried.has(0)
        {
            return match standing(&only.target) {
                Standing::Free => Choice::Ask(0),
                Standing::Busy => Choice::Wait(0),
                Standing::Full => Choice::Full(0),
                Standing::Shut(until) => Choice::Nobody(Some(until)),
            };
        }
        self.choose_among(tried, standing, random)
    }

    #[inline(never)]
    fn choose_among(
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::testing::target;

    /// `a`, then `b` or `c` (three times as often), then `d`.
    fn plan() -> Plan {
        Plan::of_groups([
            vec![(target("a"), 1)],
            vec![(target("b"), 1), (target("c"), 3)],
            vec![(target("d"), 1)],
        ])
    }

    fn choose(tried: &[usize], standings: [Standing; 4], random: u64) -> Choice {
        let mut set = Tried::default();
        tried.iter().for_each(|index| set.add(*index));
        let standing = |target: &Target| match &*target.model {
            "a" => standings[0],
            "b" => standings[1],
            "c" => standings[2],
            _ => standings[3],
        };
        plan().choose(set, &standing, &mut || random)
    }

    #[test]
    fn groups_go_in_order_and_the_free_before_those_to_wait_for() {
        use Choice::{Ask, Full as IsFull, Nobody, Wait};
        use Standing::{Busy, Free, Full};
        let shut = |at| Standing::Shut(Moment(at));
        for (tried, standings, random, want) in [
            (&[][..], [Free; 4], 0, Ask(0)),
            (&[0], [Free; 4], 0, Ask(1)),
            (&[0], [Free; 4], 1, Ask(2)),
            (&[0, 2], [Free; 4], 1, Ask(1)),
            (&[0, 1, 2], [Free; 4], 0, Ask(3)),
            (&[0, 1, 2, 3], [Free; 4], 0, Nobody(None)),
            // It is waited for, though others behind it are free.
            (&[], [Busy, Free, Free, Free], 0, Wait(0)),
            (&[], [Full, Free, Free, Free], 0, IsFull(0)),
            (&[0], [Free, Free, Busy, Free], 3, Ask(1)),
            (&[0], [Free, Full, Busy, Free], 0, Wait(2)),
            (&[0], [Free, Full, shut(9), Free], 0, IsFull(1)),
            (&[0], [Free, shut(9), shut(8), Free], 0, Ask(3)),
            (
                &[],
                [shut(9), shut(8), shut(7), shut(6)],
                0,
                Nobody(Some(Moment(6))),
            ),
            (
                &[3],
                [shut(9), shut(8), shut(7), shut(6)],
                0,
                Nobody(Some(Moment(7))),
            ),
        ] {
            assert_eq!(
                choose(tried, standings, random),
                want,
                "{tried:?} {standings:?}"
            );
        }
    }

    #[test]
    fn a_sibling_is_of_the_same_group() {
        for (index, name, want) in [
            (1, "c", Some(2)),
            (2, "b", Some(1)),
            (0, "b", None),
            (7, "b", None),
        ] {
            assert_eq!(plan().sibling(index, &target(name)), want, "{index} {name}");
        }
    }

    #[test]
    fn a_plan_has_a_bound_and_its_last_target_is_as_good_as_the_first() {
        let plan = Plan::in_order((0..200).map(|_| target("a")));
        assert_eq!(plan.targets().len(), MOST_TARGETS);
        let mut tried = Tried::default();
        for index in 0..MOST_TARGETS {
            assert!(!tried.has(index));
            assert_eq!(
                plan.choose(tried, &|_| Standing::Free, &mut || 0),
                Choice::Ask(index)
            );
            tried.add(index);
        }
        let nobody = plan.choose(tried, &|_| Standing::Free, &mut || 0);
        assert_eq!(nobody, Choice::Nobody(None));
    }
}
