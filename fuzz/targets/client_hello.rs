//! TLS clients' first messages: cut anywhere they ask for the same name, which is the one that rustls reads where both take
//! the message, and whoever asks for it goes where the routes say. The first two bytes tell where the rest is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rustls::server::Acceptor;
use std::sync::LazyLock;
use weft_contract::{ServiceKey, SniRoute};
use weft_proxy::{
    route::ServerNames,
    tcp::sni::{Heard, fuzz::read},
};

static NAMES: LazyLock<ServerNames> = LazyLock::new(|| {
    let hosts = ["a.example.com", "*.example.com", "*.b.example.com", "*.com", "c"];
    let route = |host: &str| SniRoute {
        host: host.to_owned(),
        service: ServiceKey::new("shop", "web"),
        port: 443,
    };
    ServerNames::new(&hosts.map(route)).expect("there are routes")
});

fuzz_target!(|bytes: &[u8]| {
    let [one, other, bytes @ ..] = bytes else { return };
    let (before, behind) = bytes.split_at(usize::from(*one).min(bytes.len()));
    let (middle, behind) = behind.split_at(usize::from(*other).min(behind.len()));
    let whole = read(&[bytes]).map(|(heard, _)| heard);
    assert_eq!(read(&[before, middle, behind]).map(|(heard, _)| heard), whole);
    // We refuse more than rustls does where a name is meant, such as what stands behind it and cannot be read.
    if let (Some(theirs), Ok(ours)) = (rustls(bytes), &whole) {
        assert_eq!(*ours, theirs);
    }
    let Ok(Heard::Hello(Some(name))) = whole else { return };
    assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()));
    match NAMES.find(Some(&name)).map(|route| route.host.as_str()) {
        None => assert!(!name.ends_with(".com") && *name != *"c"),
        Some(host) => match host.strip_prefix('*') {
            None => assert_eq!(host, &*name),
            Some(suffix) => assert!(name.ends_with(suffix) && *name != *"a.example.com"),
        },
    }
});

/// The name as rustls reads it, where it takes the message.
fn rustls(mut bytes: &[u8]) -> Option<Heard> {
    let mut acceptor = Acceptor::default();
    loop {
        acceptor.read_tls(&mut bytes).ok()?;
        if let Some(accepted) = acceptor.accept().ok()? {
            let name = accepted.client_hello().server_name().map(|name| name.trim_end_matches('.').into());
            return Some(Heard::Hello(name));
        }
        if bytes.is_empty() {
            return None;
        }
    }
}
