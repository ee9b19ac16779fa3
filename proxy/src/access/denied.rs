//! Who was refused what.
//!
//! In: who called, and what. Out: [`Denied`], as a line for people.

use crate::route::Target;
use std::{fmt, net::IpAddr, sync::Arc};
use weft_contract::Caller;

/// Something that nothing grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Where it came from.
    pub address: IpAddr,
    /// Whose that address is; none where it is nobody's.
    pub caller: Option<Caller>,
    /// What was called.
    pub target: Arc<Target>,
}

impl fmt::Display for Denied {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, caller, target } = self;
        match caller {
            Some(Caller { namespace, service_account }) => {
                write!(formatter, "the ServiceAccount {namespace}/{service_account}")?;
            }
            None => write!(formatter, "{address}, which is the address of no known pod,")?,
        }
        write!(formatter, " is not granted this at {}:{}", target.service, target.port)
    }
}
