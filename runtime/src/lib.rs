//! The engine of lmserver.
