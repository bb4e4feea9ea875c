//! Ending an answer from outside.
