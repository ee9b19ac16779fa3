//! The proxy as its clients and endpoints see it: a proxy in this process, over real sockets on loopback.
//!
//! One program for all of these tests, for each program takes as long to link as some of them to run.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod access;
mod access_raw;
mod bounds;
mod cluster;
mod common;
mod configuration;
mod drain;
#[path = "../../src/tcp/sni/fixture.rs"]
#[allow(dead_code)] // the unit tests use all of it
mod fixture;
mod grpc;
mod http;
mod http2;
mod http2_floods;
mod http2_tricks;
mod https;
mod listeners;
mod policies_access_log;
mod policies_actions;
mod policies_answers;
mod policies_balancing;
mod policies_deadlines;
mod policies_failing;
mod policies_limits;
mod policies_retries;
mod policies_timeouts;
mod smuggling;
mod smuggling_answers;
mod sni;
mod sni_access;
mod sni_clients;
mod split;
mod tcp;
mod tcp_connect;
mod tcp_ends;
mod tcp_limits;
mod tcp_loss;
mod udp;
mod udp_network;
mod udp_sessions;
mod versions;
mod websocket;
mod websocket_http2;
