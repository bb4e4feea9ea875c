//! (placeholder) http1
