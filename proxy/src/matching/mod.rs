//! Tells which of many conditions a request meets.
//!
//! In: lists of `HttpMatch`, and the head of a request. Out: a [`Matcher`], and which of its conditions hold.
//!
//! ```text
//!  HttpMatch --pool--> Text: a regular expression, or the literal that says the same
//!                        --index--> of many texts those that match a path or a value
//!                                     --matcher--> the conditions that hold
//! ```
//!
//! A thousand conditions must cost about what one does. So each condition stands under the rarest of what it asks for, its
//! path or one of its header fields, and these are found by the literals that they begin with. Only what has no such
//! literal is left to regular expressions, all of them in one pass. The engine takes linear time, and what is longer than
//! [`LONGEST`] is not shown to it.
//!
//! What is granted depends on this, so that nothing may widen it: a regular expression that cannot be compiled matches
//! nothing, and a path with dot segments has to match as it came and without them.

pub mod fuzz;
mod index;
mod matcher;
mod pool;
mod subject;
mod text;

pub use matcher::Matcher;
pub use pool::{Compiling, Pool};
pub use subject::Subject;

/// The longest path or value that a regular expression is run on; it matches no longer one. Literals do.
pub const LONGEST: usize = 8 * 1024;

#[cfg(test)]
mod tests;
