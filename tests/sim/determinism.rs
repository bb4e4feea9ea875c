//! The same seed, the same world, to the last byte.

use std::time::Duration;

use crate::random::draw;

#[test]
fn the_same_seed_gives_the_same_fingerprint() {
    let fingerprint = |seed| {
        let mut world = draw(seed).world;
        let end = world.now() + Duration::from_secs(100);
        while world.now() < end && !world.sys().all_done() && world.turn() {}
        world.sys().fingerprint()
    };
    for seed in 0..40 {
        assert_eq!(fingerprint(seed), fingerprint(seed), "seed {seed}");
    }
    assert_ne!(fingerprint(1), fingerprint(2));
}
