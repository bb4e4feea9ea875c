//! The lmserver program.
fn main() {}
