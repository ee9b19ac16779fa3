//! Answers DNS questions for the zones of the mesh.
//!
//! In: the accepted configuration, and questions over UDP and TCP. Out: answers from its [`Names`]. The
//! station is pure but for its sockets:
//!
//! ```text
//! packet --message::reply--> question --answer::answer--> Answer --message::reply--> packet
//!                                            ^
//! NodeConfiguration --Names::new-------------+   once per plan
//! ```
//!
//! | name | records |
//! |---|---|
//! | `ZONE` | SOA, NS |
//! | `NAMESPACE.ZONE` | none (exists) |
//! | `SERVICE.NAMESPACE.ZONE` | A, AAAA |
//! | `_TRANSPORT.SERVICE.NAMESPACE.ZONE` | none (exists where a named port does) |
//! | `_PORT._TRANSPORT.SERVICE.NAMESPACE.ZONE` | SRV |
//!
//! A Service may have no address: one that the mesh cannot serve while access is controlled. That is an answer without
//! records (NODATA), kept for as short a time as any other. NXDOMAIN would say that there is no such Service, also to who
//! asks for its ports, and send resolvers on through their search lists; after SERVFAIL they would ask the other proxies,
//! which know no better, and wait.
//!
//! Before there is a plan, every answer is SERVFAIL, upon which resolvers ask another proxy. A name outside
//! the zones is REFUSED.

mod answer;
#[cfg(test)]
mod fixture;
mod message;
mod names;
mod server;

pub use answer::{Answer, answer};
pub use message::{Carrier, Reply, reply};
pub use names::Names;

use crate::{metrics::DnsQueries, plan::SharedPlan};
use arc_swap::ArcSwapOption;
use server::Sockets;
use std::{io, net::SocketAddr, sync::Arc};
use weft_contract::NodeConfiguration;

/// Why DNS cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The sockets cannot be had.
    #[error("cannot answer DNS on {address}: {source}")]
    Bind {
        /// The address wanted.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

/// Answers DNS over UDP and TCP until dropped, from whatever plan is in force, and counts the answers. Calls
/// `ready` once bound. An address of `[::]` takes IPv4 too, and becomes `0.0.0.0` where the node has no IPv6.
///
/// # Errors
/// Where the address cannot be bound.
pub async fn serve(
    address: SocketAddr,
    plan: SharedPlan,
    queries: DnsQueries,
    ready: impl FnOnce(),
) -> Result<(), Error> {
    let sockets = Sockets::bind(address)?;
    ready();
    let current = Current { plan, indexed: ArcSwapOption::empty() };
    sockets.serve(move || current.names(), queries).await;
    Ok(())
}

/// The names of the plan in force, indexed anew only when there is another configuration.
struct Current {
    plan: SharedPlan,
    indexed: ArcSwapOption<Indexed>,
}

struct Indexed {
    /// Which configuration the names are of. Not the plan, whose state must end when the plan does.
    configuration: Arc<NodeConfiguration>,
    names: Arc<Names>,
}

// === impl Current ===

impl Current {
    fn names(&self) -> Option<Arc<Names>> {
        let plan = self.plan.load();
        let configuration = &plan.as_ref()?.configuration;
        if let Some(indexed) = &*self.indexed.load()
            && Arc::ptr_eq(&indexed.configuration, configuration)
        {
            return Some(Arc::clone(&indexed.names));
        }
        let names = Arc::new(Names::new(configuration));
        let indexed = Indexed { configuration: Arc::clone(configuration), names: Arc::clone(&names) };
        self.indexed.store(Some(Arc::new(indexed)));
        Some(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Accepted, Plan, compile};
    use hickory_proto::{
        op::{Message, MessageType, OpCode, ResponseCode},
        rr::RecordType,
    };
    use tokio::{net::UdpSocket, sync::oneshot};

    fn plan(configuration: NodeConfiguration) -> Arc<Plan> {
        let accepted = Accepted { revision: String::new(), configuration: Arc::new(configuration) };
        Arc::new(compile(accepted, None, tokio::time::Instant::now()))
    }

    #[test]
    fn names_are_indexed_once_per_configuration() {
        let shared = SharedPlan::default();
        let current = Current { plan: Arc::clone(&shared), indexed: ArcSwapOption::empty() };
        assert!(current.names().is_none(), "no plan, no names");
        shared.store(Some(plan(fixture::configuration())));
        let (first, second) = (current.names().unwrap(), current.names().unwrap());
        assert!(Arc::ptr_eq(&first, &second));
        shared.store(Some(plan(fixture::configuration())));
        assert!(!Arc::ptr_eq(&first, &current.names().unwrap()));
    }

    /// Serves somewhere. A port that is free for UDP may be taken for TCP, for others test beside this.
    async fn serving(shared: &SharedPlan, queries: &DnsQueries) -> SocketAddr {
        for _ in 0..20 {
            let free = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
            let (ready, bound) = oneshot::channel();
            tokio::spawn(serve(free, Arc::clone(shared), queries.clone(), move || ready.send(()).unwrap()));
            if bound.await.is_ok() {
                return free;
            }
        }
        panic!("no port is free for both UDP and TCP");
    }

    #[tokio::test]
    async fn answers_follow_the_plan_in_force() {
        let shared = SharedPlan::default();
        let queries = DnsQueries::default();
        let free = serving(&shared, &queries).await;
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(free).await.unwrap();
        let mut request = Message::new(1, MessageType::Query, OpCode::Query);
        request.add_query(fixture::question("web.shop.mesh.", RecordType::A));
        let mut emptied = fixture::configuration();
        emptied.services.clear();
        for (plan, code) in [
            (None, ResponseCode::ServFail),
            (Some(plan(fixture::configuration())), ResponseCode::NoError),
            (Some(plan(emptied)), ResponseCode::NXDomain),
        ] {
            shared.store(plan);
            socket.send(&request.to_vec().unwrap()).await.unwrap();
            let mut buffer = [0; 512];
            let length = socket.recv(&mut buffer).await.unwrap();
            assert_eq!(Message::from_vec(&buffer[..length]).unwrap().metadata.response_code, code);
        }
        for code in ["SERVFAIL", "NOERROR", "NXDOMAIN"] {
            assert_eq!(queries.get_or_create(&[("code", code)]).get(), 1, "{code}");
        }
    }
}
