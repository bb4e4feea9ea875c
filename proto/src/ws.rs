//! (placeholder) ws
