//! UDP through the proxy where not every datagram fits the network.
//!
//! The test runs itself again in a network namespace of its own, where it may do to the loopback device what it likes; where
//! there are no such namespaces, it says so.

use crate::common::{
    Mesh,
    udp::{Backend, ask, client_from, count, free_port, receive, udp},
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    process::Command,
};

/// Set to the size of packets that the namespace takes.
const INSIDE: &str = "WEFT_TEST_PACKETS";

fn in_a_network_of(packets: &str) {
    let namespace = ["--map-root-user", "--net"];
    let can = Command::new("unshare").args(namespace).arg("true").output();
    if !can.is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: no network namespace can be had here");
        return;
    }
    let set_up = format!(
        "ip link set lo mtu {packets} up && exec \"$0\" --exact udp_network::inside --ignored --nocapture"
    );
    let output = Command::new("unshare")
        .args(namespace)
        .args(["sh", "-c", &set_up])
        .arg(std::env::current_exe().unwrap())
        .env(INSIDE, packets)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn what_does_not_fit_one_packet_is_whole_all_the_same() {
    in_a_network_of("1500");
}

#[test]
fn what_the_kernel_cannot_send_together_is_sent_one_by_one() {
    in_a_network_of("1280"); // less than what the proxy sends together, were it possible
}

#[tokio::test]
#[ignore = "run by the other tests, in a namespace of its own"]
async fn inside() {
    assert!(std::env::var_os(INSIDE).is_some(), "this would disturb the machine's own network");
    let homes = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
    for home in homes {
        let backend = Backend::at(home, |datagram| Some(datagram.to_vec())).await;
        let port = free_port();
        let mesh = Mesh::with(vec![udp("dns", port, &[backend.address])]).await;
        for client in homes {
            let client = client_from(client, port).await;
            for length in [0, 1, 1232, 1252, 1400, 1452, 1472, 1473, 9000, 65_507] {
                let sent = vec![7; length];
                assert!(ask(&client, &sent).await == sent, "{length}");
            }
            for round in 0..10_u8 {
                for number in 0..20_u8 {
                    client.send(&[round * 20 + number; 1350]).await.unwrap();
                }
                for number in 0..20_u8 {
                    assert_eq!(receive(&client).await, [round * 20 + number; 1350]);
                }
            }
        }
        for reason in ["body_too_large", "internal", "overloaded"] {
            assert_eq!(count(&mesh, "dns", "dropped_total", Some(("reason", reason))).await, 0, "{reason}");
        }
    }
}
