//! The proxy as its clients see it, as in `tests/proxy`; these tests count the open files of this process, and so have one of
//! their own, one test after the other.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

#[path = "../proxy/common/mod.rs"]
#[allow(dead_code)] // it is there for the other tests
mod common;
mod tcp_bulk;
mod udp_floods;

/// Held by a test as long as it runs.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
