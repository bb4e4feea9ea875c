//! A draw by weight.

/// One of the candidates, each as likely as its weight; none if none weighs anything.
pub(crate) fn draw(
    candidates: impl Iterator<Item = (usize, u32)> + Clone,
    random: &mut dyn FnMut() -> u64,
) -> Option<usize> {
    let total: u64 = candidates
        .clone()
        .map(|(_, weight)| u64::from(weight))
        .sum();
    let mut heavy = candidates.filter(|(_, weight)| *weight > 0);
    if heavy.clone().nth(1).is_none() {
        // Where there is no choice, no number is drawn.
        return heavy.next().map(|(candidate, _)| candidate);
    }
    let mut rest = random() % total;
    heavy
        .find(|(_, weight)| {
            let is_it = rest < u64::from(*weight);
            rest = rest.saturating_sub(u64::from(*weight));
            is_it
        })
        .map(|(candidate, _)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_drawn_as_often_as_it_weighs() {
        let weights = [(4, 1), (5, 0), (6, 3), (9, 2)];
        let mut counts = [0; 10];
        for random in 0..600 {
            let drawn = draw(weights.into_iter(), &mut || random).unwrap();
            counts[drawn] += 1;
        }
        assert_eq!(counts, [0, 0, 0, 0, 100, 0, 300, 0, 0, 200]);
    }

    #[test]
    fn nothing_is_drawn_where_there_is_no_choice() {
        for (weights, want) in [
            (&[][..], None),
            (&[(1, 0)], None),
            (&[(7, 5)], Some(7)),
            (&[(6, 0), (7, 5), (8, 0)], Some(7)),
        ] {
            let mut drawn = false;
            let found = draw(weights.iter().copied(), &mut || {
                drawn = true;
                0
            });
            assert_eq!((found, drawn), (want, false), "{weights:?}");
        }
    }

    #[test]
    fn the_largest_weights_do_not_overflow() {
        let weights = [(0, u32::MAX), (1, u32::MAX), (2, u32::MAX)];
        let last = draw(weights.into_iter(), &mut || u64::from(u32::MAX) * 3 - 1);
        assert_eq!(last, Some(2));
    }
}
