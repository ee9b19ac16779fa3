//! HTTP/2 (RFC 9113): connections of clients and to endpoints.
//!
//! In: a socket. Out: streams, each with heads in the one form that the way works on, and a body both ways. What a mesh adds
//! to a request of HTTP/2 is mostly the cost of frames and of compressed fields, and these are made for a proxy: fields are
//! read into the form in which they are sent on, small data is gathered, large data is not copied.
//!
//! ```text
//! connection  a socket, driven by one task        (the only file that waits)
//! frame       bytes            <-> frames
//! receive     a message's frame ->  state, and a request where one is complete;  control: every other frame
//! send        what owners do   ->  state, and frames to be written
//! state       what a connection knows; streams: what it knows of each
//! fields      compressed fields -> heads, checked;  compose: heads -> compressed fields;  hpack: the compression
//! output      frames to be written;  pieces: data that came
//! stream      a stream, in the hands of its owner
//! ```

mod compose;
mod connection;
mod control;
mod fields;
mod frame;
pub mod fuzz;
mod hpack;
mod output;
mod pieces;
mod receive;
mod send;
mod settings;
mod state;
mod stream;
mod streams;

pub use compose::{Request, agreement, own, response, upgraded};
pub use connection::{Asked, Connection, Opener};
pub use fields::Refused;
pub use frame::{HEAD, Head as FrameHead, LARGEST, PREFACE, Reason, kind};
pub use settings::Ours;
pub use stream::Stream;
