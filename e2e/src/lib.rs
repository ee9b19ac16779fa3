//! Tests of the whole mesh on a real cluster.
