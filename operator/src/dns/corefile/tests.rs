use super::*;
use proptest::prelude::*;

const KUBEADM: &str = ".:53 {\n    errors\n    kubernetes cluster.local in-addr.arpa ip6.arpa {\n       pods insecure\n    }\n    forward . /etc/resolv.conf {\n       max_concurrent 1000\n    }\n    cache 30\n    reload\n}\n";

fn block(endpoint: Endpoint) -> ServerBlock {
    let zones = ["mesh", "maesh", "traefik.mesh"].map(str::to_owned).to_vec();
    ServerBlock { zones, forward_to: IpAddr::from([10, 96, 0, 7]), endpoint }
}

fn on(port: u16) -> ServerBlock {
    block(Endpoint { port: Some(port), bind: Vec::new() })
}

#[test]
fn the_block_is_as_documented() {
    let text = insert(KUBEADM, &on(53)).unwrap();
    assert_eq!(
        text.strip_prefix(KUBEADM).unwrap(),
        "# Begin Weft (added by weft-operator; removed on uninstall)\n\
         mesh:53 maesh:53 traefik.mesh:53 {\n    errors\n    forward . 10.96.0.7 {\n        max_fails 0\n    }\n}\n\
         # End Weft\n"
    );
    let mut six = on(53);
    six.forward_to = "fd00:10:96::a".parse().unwrap();
    assert!(insert("", &six).unwrap().contains("forward . fd00:10:96::a {"));
}

#[test]
fn it_comes_out_byte_for_byte() {
    for text in ["", "\n", "# only a comment", ".:53 {\r\n errors\r\n}\r\n", ".:53 {\n}", ".:53 {\n}\n\n\n"] {
        let with = insert(text, &on(53)).unwrap();
        assert_ne!(with, text);
        assert_eq!(remove(&with).unwrap(), text);
        assert_eq!(insert(&with, &on(53)).unwrap(), with);
        let changed = insert(&with, &on(5353)).unwrap();
        assert_eq!(remove(&changed).unwrap(), text, "after an update in place");
    }
}

#[test]
fn what_others_wrote_meanwhile_stays() {
    let with = insert(".:53 {\n}", &on(53)).unwrap();
    let others = format!("# first\n{with}a:53 {{\n}}\n");
    assert_eq!(remove(&others).unwrap(), "# first\n.:53 {\n}\na:53 {\n}\n");
    let twice = format!("{with}{}", on(53).render(false));
    assert_eq!(insert(&twice, &on(53)).unwrap(), with, "never a second block");
}

#[test]
fn a_text_that_would_swallow_the_block_is_left_alone() {
    assert!(matches!(insert(".:53 {\n", &on(53)), Err(CorefileError::Syntax(SyntaxError::OpenBrace(1)))));
    assert!(matches!(insert(".:53\nlog\n", &on(53)), Err(CorefileError::Syntax(SyntaxError::NoBraces(1)))));
    let half = insert(KUBEADM, &on(53)).unwrap().replace(END, "");
    assert_eq!(insert(&half, &on(53)), Err(CorefileError::Damaged(12)));
    assert_eq!(remove(&half), Err(CorefileError::Damaged(12)));
    assert!(is_marked(&half));
    let inside = format!(".:53 {{\n{}}}\n", on(53).render(false));
    assert_eq!(insert(&inside, &on(53)), Err(CorefileError::Swallowed));
    assert_eq!(insert("mesh {\n}\n", &on(53)), Err(CorefileError::Twice("mesh:53".into())));
}

#[test]
fn zones_of_others_are_seen_whatever_their_spelling() {
    let zones = ["mesh", "maesh", "traefik.mesh"].map(str::to_owned);
    for (text, port, expected) in [
        ("#### Begin Maesh Block\nmaesh:53 {\n}\n#### End Maesh Block\n", 53, vec!["maesh"]),
        ("MESH. dns://traefik.mesh.:53 {\n}\n", 53, vec!["mesh", "traefik.mesh"]),
        ("mesh:1053 tls://maesh {\n}\n", 53, vec![]),
        ("mesh:1053 {\n}\n", 1053, vec!["mesh"]),
        ("a.mesh 10.0.0.0/24 2001:db8::/32 {\n}\n", 53, vec![]),
    ] {
        let endpoint = Endpoint { port: Some(port), bind: Vec::new() };
        let found = taken(&zones, &endpoint, &[parse(text).unwrap()]);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), expected, "{text}");
    }
}

#[test]
fn the_block_listens_where_the_root_zone_does() {
    for (text, port, bind) in [
        (KUBEADM, Some(53), vec![]),
        (". {\n}\n", None, vec![]),
        ("a:1 {\n}\n.:5353 {\n bind 10.0.0.1\n}\n", Some(5353), vec!["bind 10.0.0.1"]),
        ("tls://.:853 {\n}\ndns://.:54 {\n}\n", Some(54), vec![]),
        ("cluster.local:1053 {\n}\n", Some(1053), vec![]),
        ("", Some(53), vec![]),
    ] {
        let found = endpoint(&parse(text).unwrap());
        assert_eq!((found.port, found.bind), (port, bind.into_iter().map(str::to_owned).collect()), "{text}");
    }
    let bound = Endpoint { port: None, bind: vec!["bind lo {\n        except ::1\n    }".into()] };
    let text = insert(". {\n}\n", &block(bound)).unwrap();
    assert!(
        text.contains("mesh maesh traefik.mesh {\n    bind lo {\n        except ::1\n    }\n    errors\n")
    );
}

#[test]
fn reload_is_seen_where_it_counts() {
    for (text, expected) in [
        (KUBEADM, true),
        (".:53 {\n hosts {\n  reload 5s\n }\n}\n", false),
        ("(x) {\n reload\n}\n.:53 {\n}\n", false),
        ("(x) {\n reload\n}\n.:53 {\n import x\n}\n", true),
        (".:53 {\n}\na {\n reload 2s 1s\n}\n", true),
    ] {
        assert_eq!(reloads(&parse(text).unwrap()), expected, "{text}");
    }
}

#[test]
fn a_bind_that_looks_like_the_end_of_the_block_is_refused() {
    let bound = Endpoint { port: None, bind: vec!["bind \"a\n# End Weft\nb\"".into()] };
    assert_eq!(insert(". {\n}\n", &block(bound)), Err(CorefileError::Swallowed));
}

#[test]
fn blocks_that_share_a_zone_are_told_unless_they_part_clients() {
    let check = |text: &str| check_unique(&[parse(text).unwrap()]);
    assert_eq!(check("a {\n}\nA.:53 {\n}\n"), Err(CorefileError::Twice("A.:53".into())));
    assert_eq!(check("a {\n bind 10.0.0.1\n}\na {\n bind 10.0.0.2\n}\n"), Ok(()));
    assert_eq!(check("a:53 {\n}\na:54 tls://a:53 {\n}\n"), Ok(()));
}

/// Pieces from which Corefiles are made, good and bad.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(KUBEADM.to_owned()),
        Just(KUBEADM.replace('\n', "\r\n")),
        Just("(s) {\n log\n}\n".to_owned()),
        Just("import custom/*.server\n".to_owned()),
        Just("maesh:53 a.b {\n whoami\n}".to_owned()),
        Just("# End Weft\n".to_owned()),
        Just("\n".to_owned()),
        Just("{".to_owned()),
        Just("}\n".to_owned()),
        Just("\"".to_owned()),
        Just("#".to_owned()),
        "[ -~\\n\\r\\t]{0,12}",
        ".{0,6}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_in_comes_out(
        pieces in prop::collection::vec(piece(), 0..6),
        port in prop_oneof![Just(None), Just(Some(53)), Just(Some(5353))],
    ) {
        let text = pieces.concat();
        let block = block(Endpoint { port, bind: Vec::new() });
        prop_assert_eq!(&remove(&text).unwrap(), &text);
        if let Ok(with) = insert(&text, &block) {
            prop_assert_eq!(&remove(&with).unwrap(), &text);
            prop_assert_eq!(&insert(&with, &block).unwrap(), &with);
        }
    }

    #[test]
    fn edits_around_the_block_stay(before in piece(), text in piece(), after in piece()) {
        if let Ok(with) = insert(&text, &on(53)) {
            let before = if before.is_empty() { before } else { before + "\n" };
            let parted = !text.is_empty() && !text.ends_with('\n') && !after.is_empty();
            let newline = if parted { "\n" } else { "" };
            let expected = format!("{before}{text}{newline}{after}");
            prop_assert_eq!(remove(&format!("{before}{with}{after}")).unwrap(), expected);
        }
    }
}
