//! (placeholder) sse
