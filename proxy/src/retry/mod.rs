//! Whether a try that failed is repeated, and when.
//!
//! In: how a try failed and what is known of its request. Out: whether to try again, at once or after a pause; and
//! whether the budget of the Service allows it. Three questions, in this order: is it safe and wanted (`decide`), may it be
//! (`budget`), and how long to wait (`backoff`, or what the endpoint asks for: `retry_after`). A deadline that the client
//! sets (`grpc_timeout`) bounds all of it.

pub mod backoff;
pub mod budget;
pub mod decide;
pub mod grpc_timeout;
pub mod retry_after;

pub use backoff::pause;
pub use budget::Budget;
pub use decide::{Again, Attempt, Failure, again};
