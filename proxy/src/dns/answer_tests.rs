use super::{
    super::fixture::{configuration, names, question},
    *,
};
use proptest::prelude::*;
use std::collections::HashSet;
use weft_contract::NodeConfiguration;

/// The answer to a question as lines: the code, then each record with the letter of its section.
fn ask(name: &str, wanted: RecordType) -> Vec<String> {
    show(&answer(&question(name, wanted), &names(), 0))
}

fn show(answer: &Answer) -> Vec<String> {
    let Answer { code, authoritative, answers, authorities, additionals } = answer;
    let sections = [("an", answers), ("ns", authorities), ("ar", additionals)];
    let records = sections.iter().flat_map(|(section, records)| {
        records.iter().map(move |record| {
            assert_eq!(record.ttl, 5);
            assert_eq!(record.dns_class, DNSClass::IN);
            format!("{section} {} {} {}", record.name, record.record_type(), record.data)
        })
    });
    let code = format!("{code:?}{}", if *authoritative { " aa" } else { "" });
    std::iter::once(code).chain(records).collect()
}

fn soa(zone: &str) -> String {
    format!("ns {zone}. SOA ns.{zone}. hostmaster.{zone}. 1 7200 1800 86400 5")
}

#[test]
fn a_service_has_its_addresses_in_every_zone() {
    for zone in ["mesh", "maesh", "traefik.mesh"] {
        let name = format!("web.shop.{zone}.");
        assert_eq!(ask(&name, RecordType::A), ["NoError aa", &format!("an {name} A 10.96.0.1")]);
        assert_eq!(ask(&name, RecordType::AAAA), ["NoError aa", &format!("an {name} AAAA fd00::1")]);
    }
}

#[test]
fn a_port_has_a_target_and_its_addresses() {
    assert_eq!(
        ask("_http._tcp.web.shop.maesh.", RecordType::SRV),
        [
            "NoError aa",
            "an _http._tcp.web.shop.maesh. SRV 0 100 80 web.shop.maesh.",
            "ar web.shop.maesh. A 10.96.0.1",
            "ar web.shop.maesh. AAAA fd00::1",
        ]
    );
    assert_eq!(
        ask("_dns._udp.cart.shop.mesh.", RecordType::SRV)[1],
        "an _dns._udp.cart.shop.mesh. SRV 0 100 53 cart.shop.mesh."
    );
    assert_eq!(ask("_assoc._sctp.bare.shop.mesh.", RecordType::SRV).len(), 2, "no address, no additionals");
}

#[test]
fn case_is_ignored_and_kept() {
    assert_eq!(ask("WEB.Shop.mESH.", RecordType::A), ["NoError aa", "an WEB.Shop.mESH. A 10.96.0.1"]);
    assert_eq!(
        ask("_HTTP._Tcp.Web.shop.Mesh.", RecordType::SRV)[1],
        "an _HTTP._Tcp.Web.shop.Mesh. SRV 0 100 80 Web.shop.Mesh."
    );
    assert_eq!(
        ask("nO.shop.MESH.", RecordType::A)[1],
        "ns MESH. SOA ns.MESH. hostmaster.MESH. 1 7200 1800 86400 5"
    );
}

#[test]
fn a_zone_has_its_own_records() {
    let soa = soa("traefik.mesh").replacen("ns", "an", 1);
    assert_eq!(ask("traefik.mesh.", RecordType::SOA), ["NoError aa", &soa]);
    assert_eq!(ask("mesh.", RecordType::NS), ["NoError aa", "an mesh. NS ns.mesh."]);
}

#[test]
fn what_exists_without_such_a_record_is_no_data() {
    for (name, wanted) in [
        ("cart.shop.mesh.", RecordType::AAAA),
        ("cart.shop.mesh.", RecordType::MX),
        ("cart.shop.mesh.", RecordType::SRV),
        ("cart.shop.mesh.", RecordType::SOA),
        ("bare.shop.mesh.", RecordType::A),
        ("_dns._udp.cart.shop.mesh.", RecordType::A),
        ("_udp.cart.shop.mesh.", RecordType::A),
        ("_udp.cart.shop.mesh.", RecordType::ANY),
        ("shop.mesh.", RecordType::A),
        ("shop.mesh.", RecordType::NS),
        ("ns.mesh.", RecordType::A),
        ("mesh.", RecordType::A),
        ("mesh.", RecordType::DS),
    ] {
        assert_eq!(ask(name, wanted), ["NoError aa".to_owned(), soa("mesh")], "{name} {wanted}");
    }
}

#[test]
fn a_service_without_an_address_exists() {
    let mut configuration = configuration();
    let web = configuration.services.iter_mut().find(|service| service.key.name == "web").unwrap();
    web.addresses.clear();
    let names = Names::new(&configuration);
    let shown = |name: &str, wanted| show(&answer(&question(name, wanted), &names, 0));
    for wanted in [RecordType::A, RecordType::AAAA] {
        assert_eq!(shown("web.shop.mesh.", wanted), ["NoError aa".to_owned(), soa("mesh")]);
    }
    let port = shown("_http._tcp.web.shop.mesh.", RecordType::SRV);
    assert_eq!(port.len(), 2, "its port is known, and has no address either: {port:?}");
}

#[test]
fn what_does_not_exist_is_no_such_name() {
    for (name, zone) in [
        ("no.shop.mesh.", "mesh"),
        ("web.no.mesh.", "mesh"),
        ("no.mesh.", "mesh"),
        ("x.web.shop.mesh.", "mesh"),
        ("_udp.web.shop.mesh.", "mesh"),
        ("_tcp.several.shop.mesh.", "mesh"),
        ("_no._tcp.web.shop.mesh.", "mesh"),
        ("http._tcp.web.shop.mesh.", "mesh"),
        ("_._tcp.web.shop.mesh.", "mesh"),
        ("_http._udp.web.shop.mesh.", "mesh"),
        ("x._http._tcp.web.shop.mesh.", "mesh"),
        ("web.shop.svc.mesh.", "mesh"),
        ("*.shop.mesh.", "mesh"),
        ("no.traefik.mesh.", "traefik.mesh"),
    ] {
        for wanted in [RecordType::A, RecordType::ANY, RecordType::SOA] {
            assert_eq!(ask(name, wanted), ["NXDomain aa".to_owned(), soa(zone)], "{name}");
        }
    }
}

#[test]
fn what_is_not_ours_is_refused() {
    for name in ["web.shop.svc.cluster.local.", "example.com.", ".", "web.shop.amesh.", "mesh.local."] {
        assert_eq!(ask(name, RecordType::A), ["Refused"], "{name}");
    }
    assert_eq!(ask("mesh.", RecordType::AXFR), ["Refused"]);
    assert_eq!(ask("mesh.", RecordType::IXFR), ["Refused"]);
    let mut chaos = question("web.shop.mesh.", RecordType::A);
    chaos.set_query_class(DNSClass::CH);
    assert_eq!(show(&answer(&chaos, &names(), 0)), ["Refused"]);
}

#[test]
fn a_question_for_any_class_is_one_for_ours() {
    let mut any = question("web.shop.mesh.", RecordType::A);
    any.set_query_class(DNSClass::ANY);
    assert_eq!(show(&answer(&any, &names(), 0)).len(), 2);
}

#[test]
fn a_question_for_everything_gets_little() {
    for name in ["web.shop.mesh.", "mesh.", "_http._tcp.web.shop.mesh."] {
        let shown = ask(name, RecordType::ANY);
        assert_eq!(shown.len(), 2, "{shown:?}");
        assert!(shown[1].starts_with(&format!("an {name} HINFO")), "{shown:?}");
    }
}

#[test]
fn a_namespace_named_like_a_zone_keeps_its_services() {
    // `traefik.mesh` is a zone, and the namespace `traefik` in the zone `mesh`.
    assert_eq!(ask("api.traefik.mesh.", RecordType::A), ["NoError aa", "an api.traefik.mesh. A 10.96.0.6"]);
    assert_eq!(ask("api.traefik.traefik.mesh.", RecordType::A).len(), 2);
    assert_eq!(ask("shop.traefik.mesh.", RecordType::A)[1], soa("traefik.mesh"));
}

#[test]
fn several_addresses_take_turns() {
    let first = |turn| {
        let answer = answer(&question("several.shop.mesh.", RecordType::A), &names(), turn);
        assert_eq!(answer.answers.len(), 3);
        answer.answers[0].data.to_string()
    };
    let seen: Vec<String> = (0..4).map(first).collect();
    assert_eq!(seen, ["10.96.0.3", "10.96.0.4", "10.96.0.5", "10.96.0.3"]);
    first(usize::MAX);
}

#[test]
fn names_that_no_cluster_has_are_kept_and_harm_nobody() {
    let mut configuration = configuration();
    configuration.zones = vec!["x".repeat(300), "mesh".to_owned(), "MESH".to_owned(), String::new()];
    configuration.services[0].key.name = "é\0.".to_owned();
    configuration.services[1].key.namespace = String::new();
    let names = Names::new(&configuration);
    let found = answer(&question("web.shop.mesh.", RecordType::A), &names, 0);
    assert_eq!(found.code, ResponseCode::NoError);
}

#[test]
fn a_name_without_room_for_a_soa_label_still_has_one() {
    let zone = vec!["x".repeat(49); 5].join(".");
    let configuration = NodeConfiguration { zones: vec![zone.clone()], ..configuration() };
    let found = answer(&question(&format!("{zone}."), RecordType::A), &Names::new(&configuration), 0);
    assert_eq!(found.authorities.len(), 1);
}

/// Labels that come near those of the fixture.
fn any_label() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::sample::select(vec![
            "mesh", "maesh", "traefik", "shop", "web", "cart", "several", "bare", "api", "_tcp", "_udp", "_http", "_dns",
        ])
        .prop_map(str::to_owned),
        1 => "[a-zA-Z0-9_-]{1,8}",
    ]
}

/// Every name of the fixture that exists, made without the code under test.
fn existing() -> HashSet<String> {
    let configuration = configuration();
    let mut names = HashSet::new();
    for zone in &configuration.zones {
        names.insert(zone.clone());
        names.insert(format!("ns.{zone}"));
        for service in &configuration.services {
            let name = format!("{}.{}.{zone}", service.key.name, service.key.namespace);
            names.insert(format!("{}.{zone}", service.key.namespace));
            for port in &service.ports {
                let Some(port_name) = &port.name else { continue };
                let transport = port.transport.kubernetes().to_lowercase();
                names.insert(format!("_{transport}.{name}"));
                names.insert(format!("_{port_name}._{transport}.{name}"));
            }
            names.insert(name);
        }
    }
    names
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_question_has_the_code_that_the_name_deserves(
        labels in proptest::collection::vec(any_label(), 0..6),
        zone in proptest::sample::select(vec!["mesh", "MAESH", "traefik.mesh", "local"]),
        wanted in any::<u16>().prop_map(RecordType::from),
        turn in any::<usize>(),
    ) {
        let asked = labels.iter().map(String::as_str).chain([zone]).collect::<Vec<_>>().join(".");
        let answer = answer(&question(&format!("{asked}."), wanted), &names(), turn);
        let exists = existing().contains(&asked.to_lowercase());
        let transfer = matches!(wanted, RecordType::AXFR | RecordType::IXFR);
        let expected = match (zone, exists) {
            ("local", _) => ResponseCode::Refused,
            _ if transfer => ResponseCode::Refused,
            (_, true) => ResponseCode::NoError,
            (_, false) => ResponseCode::NXDomain,
        };
        prop_assert_eq!(answer.code, expected, "{}", asked);
        // Whoever gets nothing learns for how long, and nobody else does.
        let nothing = answer.code != ResponseCode::Refused && answer.answers.is_empty();
        prop_assert_eq!(answer.authorities.len(), usize::from(nothing));
    }

    #[test]
    fn no_name_is_missing_above_one_that_exists(
        name in proptest::sample::select(existing().into_iter().collect::<Vec<_>>()),
        above in 0..5_usize,
    ) {
        let asked = Name::from_ascii(format!("{name}.")).unwrap();
        let zone = if name.ends_with("traefik.mesh") { 2 } else { 1 };
        let asked = asked.trim_to(usize::from(asked.num_labels()).saturating_sub(above).max(zone));
        let answer = answer(&Query::query(asked, RecordType::A), &names(), 0);
        prop_assert_eq!(answer.code, ResponseCode::NoError);
    }

    #[test]
    fn no_label_of_any_bytes_panics(
        labels in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..=63), 0..3),
        wanted in any::<u16>().prop_map(RecordType::from),
    ) {
        let labels = labels.iter().map(Vec::as_slice).chain([b"mesh".as_slice()]);
        if let Ok(name) = Name::from_labels(labels) {
            let _ = answer(&Query::query(name, wanted), &names(), 0);
        }
    }
}
