//! The proxy of one node: it carries the mesh traffic of the pods there.
//!
//! ```text
//!  ConfigMap  watch          compile       listen          route       middleware      balance
//!  ---------------> NodeConfiguration ---> Plan ---> connection ---> Route ---------> Endpoint ---> the backend pod
//!                        keep: the last good one on disk
//!  DNS query ----------------------------> resolve: the Plan's names
//! ```
//!
//! Each folder is one station of that way; nothing but `app` knows them all.

pub mod access;
pub mod admin;
pub mod alarm;
pub mod app;
pub mod args;
pub mod balance;
pub mod cause;
pub mod clock;
pub mod configuration;
pub mod dns;
pub mod drain;
pub mod guard;
pub mod http;
pub mod listen;
pub mod matching;
pub mod metrics;
pub mod middleware;
pub mod plan;
mod queue;
pub mod retry;
pub mod route;
pub mod split;
pub mod status;
pub mod tcp;
pub mod udp;
