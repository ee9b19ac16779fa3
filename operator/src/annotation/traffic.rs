//! What is spoken: traffic types and scheme.
//!
//! In: values. Out: the rows, and their part of the draft. What a single port speaks is decided where the ports are known.

use super::{
    draft::set,
    table::{ALL, HTTP, Row},
    value,
};
use crate::settings::TrafficType;
use clap::ValueEnum;
use std::collections::BTreeMap;
use weft_contract::policy::Scheme;

/// What the ports of a Service speak, as far as its annotation says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// What a port speaks of which nothing says anything: the chart's default.
    pub usual: TrafficType,
    /// What every port speaks that has no type of its own; none leaves it to each port's `appProtocol`.
    pub all: Option<TrafficType>,
    /// What single ports speak.
    pub ports: BTreeMap<PortName, TrafficType>,
}

/// What somebody calls a port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PortName {
    /// Its number.
    Number(u16),
    /// Its name.
    Name(String),
}

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "traffic-type",
        values: "`http`, `tcp` or `udp`, and for single ports `PORT=TYPE`, the port by its number or name",
        default: "what the port's `appProtocol` says, else the chart's `defaultTrafficType`, which is `http`",
        example: "tcp,5353=udp,8080=http",
        doc: "What the Service's ports speak. With `http` each request is balanced by itself, with `tcp` each \
              connection is, byte for byte, and with `udp` each session. The type of the whole Service stands first, if \
              it is there. Each port keeps its own transport: a UDP port is served as `udp` whatever the others speak, \
              and with `udp` a TCP port is served as `tcp`. `appProtocol` counts where the annotation says nothing of a \
              port: `http`, `https`, `grpc`, `kubernetes.io/h2c` and `kubernetes.io/ws` are `http`, `tcp` and `tls` are \
              `tcp`.",
        protocols: ALL,
        read: |draft, text| {
            let (all, ports) = traffic_types(text)?;
            draft.settings.traffic = Traffic { usual: draft.settings.traffic.usual, all, ports };
            Ok(())
        },
    },
    Row {
        name: "scheme",
        values: "`http`, `h2c` or `https`",
        default: "what the port's `appProtocol` says, else `http`",
        example: "h2c",
        doc: "What the endpoints speak: HTTP/1.1, HTTP/2 without TLS, or TLS with whichever the endpoint offers. Clients \
              may speak HTTP/1.1 or HTTP/2 with any of them. `appProtocol` may be `http`, `kubernetes.io/ws`, \
              `kubernetes.io/h2c`, `grpc` or `https`.",
        protocols: HTTP,
        read: |draft, text| set(&mut draft.settings.scheme, scheme(text).map(Some)),
    },
];

type Types = (Option<TrafficType>, BTreeMap<PortName, TrafficType>);

fn traffic_types(text: &str) -> Result<Types, String> {
    let (mut all, mut ports) = (None, BTreeMap::new());
    for (index, entry) in value::list(text)?.into_iter().enumerate() {
        let Some((port, of_port)) = entry.split_once('=') else {
            if index > 0 {
                return Err(format!("{entry:?} is for no port; the type of the whole Service stands first"));
            }
            all = Some(traffic_type(entry)?);
            continue;
        };
        let port = port_name(port.trim())?;
        let of_port = traffic_type(of_port.trim())?;
        if ports.insert(port.clone(), of_port).is_some() {
            return Err(format!("{port} stands twice"));
        }
    }
    Ok((all, ports))
}

fn traffic_type(text: &str) -> Result<TrafficType, String> {
    TrafficType::from_str(text, false).map_err(|_| format!("{text:?} is not a traffic type"))
}

fn port_name(text: &str) -> Result<PortName, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        value::whole(text, 1, 65_535).map(PortName::Number)
    } else {
        value::label(text).map(PortName::Name)
    }
}

fn scheme(text: &str) -> Result<Scheme, String> {
    match text {
        "http" => Ok(Scheme::Http),
        "h2c" => Ok(Scheme::H2c),
        "https" => Ok(Scheme::Https),
        _ => Err(format!("{text:?} is not a scheme")),
    }
}

// === impl PortName ===

impl std::fmt::Display for PortName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(formatter, "port {number}"),
            Self::Name(name) => write!(formatter, "port {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PortName::*, TrafficType::*, *};

    #[test]
    fn the_whole_service_stands_first_and_each_port_once() {
        assert_eq!(traffic_types("tcp"), Ok((Some(Tcp), BTreeMap::new())));
        let named = |name: &str| Name(name.into());
        assert_eq!(
            traffic_types("tcp, 5353 = udp,8080=http"),
            Ok((Some(Tcp), [(Number(5353), Udp), (Number(8080), Http)].into()))
        );
        assert_eq!(
            traffic_types("web=http,dns-2=udp"),
            Ok((None, [(named("web"), Http), (named("dns-2"), Udp)].into()))
        );
        for wrong in [
            "",
            "tcp,",
            ",tcp",
            "TCP",
            "sctp",
            "tcp,udp",
            "80=tcp,http",
            "80=",
            "=tcp",
            "0=tcp",
            "65536=tcp",
            "80=80",
            "80=tcp,80=tcp",
            "080=tcp,80=udp",
            "web=tcp,web=http",
            "Web=tcp",
            "a b=tcp",
            "80=tcp=udp",
            "80:tcp",
            "+80=tcp",
        ] {
            assert!(traffic_types(wrong).is_err(), "{wrong:?}");
        }
    }
}
