//! The rules that both sides hold a configuration to.
//!
//! In: a [`NodeConfiguration`]. Out: nothing, or the first rule that it breaks.

use crate::configuration::{NodeConfiguration, Service, ServiceKey};
use std::collections::HashMap;

/// A rule that a configuration breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// No zone, an empty one or one with a dot at an end.
    #[error("zone {0:?} is not a DNS name without leading or trailing dot")]
    Zone(String),
    /// A Service stands out of order or twice.
    #[error("Service {0} stands twice or out of order")]
    Order(ServiceKey),
    /// A port number is zero.
    #[error("Service {0} has a port, listener or endpoint port of 0")]
    ZeroPort(ServiceKey),
    /// Two ports share a listener.
    #[error("Services {first} and {second} share the listener {port}")]
    SharedListener {
        /// The proxy port.
        port: u16,
        /// Who has it.
        first: ServiceKey,
        /// Who has it too.
        second: ServiceKey,
    },
}

/// Checks a configuration against every rule.
///
/// # Errors
/// The first rule that is broken.
pub fn check(configuration: &NodeConfiguration) -> Result<(), Violation> {
    let NodeConfiguration { schema: _, node: _, zone: _, zones, services, sources: _, access: _ } =
        configuration;
    if zones.is_empty() {
        return Err(Violation::Zone(String::new()));
    }
    if let Some(zone) = zones.iter().find(|zone| zone.split('.').any(str::is_empty)) {
        return Err(Violation::Zone(zone.clone()));
    }
    if let Some(pair) = services.windows(2).find(|pair| pair[0].key >= pair[1].key) {
        return Err(Violation::Order(pair[1].key.clone()));
    }
    let mut listeners: HashMap<u16, &ServiceKey> = HashMap::new();
    for service in services {
        check_ports(service, &mut listeners)?;
    }
    Ok(())
}

fn check_ports<'a>(
    service: &'a Service,
    listeners: &mut HashMap<u16, &'a ServiceKey>,
) -> Result<(), Violation> {
    for port in &service.ports {
        let zero = port.port == 0
            || port.listener.as_ref().is_some_and(|listener| listener.port == 0)
            || port.endpoints.iter().any(|endpoint| endpoint.port == 0);
        if zero {
            return Err(Violation::ZeroPort(service.key.clone()));
        }
        let Some(listener) = &port.listener else { continue };
        if let Some(first) = listeners.insert(listener.port, &service.key) {
            return Err(Violation::SharedListener {
                port: listener.port,
                first: first.clone(),
                second: service.key.clone(),
            });
        }
    }
    Ok(())
}
