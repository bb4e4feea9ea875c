//! lmserver.
