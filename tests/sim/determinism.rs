//! The same seed, the same world, to the last byte.

use std::time::Duration;

use crate::random::build;

#[test]
fn the_same_seed_gives_the_same_fingerprint() {
    let fingerprint = |seed| {
        let (mut world, _, _) = build(seed);
        world.run(Duration::from_secs(3600));
        world.sys().fingerprint()
    };
    for seed in 0..40 {
        assert_eq!(fingerprint(seed), fingerprint(seed), "seed {seed}");
    }
    assert_ne!(fingerprint(1), fingerprint(2));
}
