//! Tests and measurements of the whole.
