//! Reads a TLS client's first message as far as its server name, and changes nothing of it.
//!
//! In: all bytes that came so far, again each time more have come. Out: what they are. The message may be spread over
//! many records and packets: each byte is looked at once.
//!
//! The formats are parsed by `tls-parser`. `rustls`' acceptor is for servers, and refuses what a server of today need not
//! serve: clients of TLS 1.0 and 1.1, which know no signature algorithms, or extensions that it reads otherwise than the
//! client. What is passed on is the endpoint's to refuse. Only putting records together is ours, for no library does that
//! without more.

use tls_parser::{
    SNIType, TlsExtension, TlsExtensionType, TlsHandshakeType, TlsRecordType,
    parse_tls_extension_sni_content, parse_tls_extension_unknown, parse_tls_handshake_client_hello,
    parse_tls_record_header,
};

/// How much a client may send before its first message is whole. Browsers send two kilobytes, tickets and large keys ten;
/// the protocol itself would allow 16 MiB.
pub const LARGEST: usize = 64 * 1024;

/// What a record may carry (RFC 8446, section 5.1).
const LARGEST_RECORD: u16 = 1 << 14;
/// A record's header: its type, its version and its length.
const RECORD_HEADER: usize = 5;
/// A message's header: its type and its length.
const MESSAGE_HEADER: usize = 4;
/// The length of the longest name of a host, as text (RFC 1035, section 2.3.4).
const LONGEST_NAME: usize = 253;

/// The version that stands in a record, whatever is agreed on later: 3.1 is TLS 1.0, and 3.3 both TLS 1.2 and 1.3.
pub type Version = (u8, u8);

/// What the bytes so far are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Not enough to tell.
    More,
    /// Not TLS.
    Other,
    /// A client's first message, with the name that it asks for: as names are compared, in lower case and without a dot at
    /// its end. None where it asks for none, or for what is no name of a host.
    Hello(Option<Box<str>>),
}

/// Why a first message in TLS's form is refused: nobody can tell for certain where it is meant to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A record breaks the format.
    #[error("a record breaks the rules of TLS")]
    Record,
    /// A record or message of another kind.
    #[error("the first message is not a ClientHello")]
    Unexpected,
    /// The message breaks the format.
    #[error("the ClientHello breaks the rules of TLS")]
    Malformed,
    /// It asks for more than one name.
    #[error("the ClientHello asks for two names")]
    Ambiguous,
    /// It is larger than [`LARGEST`].
    #[error("the ClientHello is larger than {LARGEST} bytes")]
    TooLarge,
}

/// Reads one client's first message.
#[derive(Debug)]
pub struct Reader {
    /// Where the next record begins.
    next: usize,
    /// The message so far, without what records add.
    message: Vec<u8>,
    version: Version,
}

// === impl Reader ===

impl Reader {
    /// Nothing was read yet.
    #[must_use]
    pub fn new() -> Self {
        Self { next: 0, message: Vec::new(), version: (3, 1) }
    }

    /// The version in which the client can be answered, by what is known of it.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Reads on. `received` is everything that the client has sent.
    ///
    /// # Errors
    /// Where it begins as TLS does, and breaks its rules or this reader's bounds.
    pub fn read(&mut self, received: &[u8]) -> Result<Heard, Broken> {
        loop {
            let rest = received.get(self.next..).unwrap_or_default();
            if !is_handshake(rest) {
                return if self.next == 0 { Ok(Heard::Other) } else { Err(Broken::Unexpected) };
            }
            let Ok((body, header)) = parse_tls_record_header(rest) else { return self.wait(received) };
            if !(1..=LARGEST_RECORD).contains(&header.len) {
                return Err(Broken::Record);
            }
            if self.next == 0 {
                self.version = answerable(header.version.0);
            }
            let length = usize::from(header.len);
            let Some(fragment) = body.get(..length) else { return self.wait(received) };
            self.next += RECORD_HEADER + length;
            self.message.extend_from_slice(fragment);
            if let Some(heard) = self.whole()? {
                return Ok(heard);
            }
        }
    }

    fn wait(&self, received: &[u8]) -> Result<Heard, Broken> {
        if received.len() < LARGEST { Ok(Heard::More) } else { Err(Broken::TooLarge) }
    }

    /// What the message says, once all of it is there.
    fn whole(&mut self) -> Result<Option<Heard>, Broken> {
        if self.message.first().is_some_and(|kind| *kind != TlsHandshakeType::ClientHello.0) {
            return Err(Broken::Unexpected);
        }
        let Some((&[_, high, middle, low], rest)) = self.message.split_first_chunk::<MESSAGE_HEADER>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        if length > LARGEST {
            return Err(Broken::TooLarge);
        }
        // What follows it in the same record is the endpoint's to judge.
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let (behind, hello) = parse_tls_handshake_client_hello(body).map_err(|_| Broken::Malformed)?;
        if !behind.is_empty() {
            return Err(Broken::Malformed);
        }
        self.version = answerable(hello.version.0);
        server_name(hello.ext.unwrap_or_default()).map(|name| Some(Heard::Hello(name)))
    }
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether bytes begin, as far as they go, as a record of a handshake does in every version from SSL 3 on.
fn is_handshake(bytes: &[u8]) -> bool {
    let begin = [TlsRecordType::Handshake.0, 3];
    bytes.iter().zip(begin).all(|(byte, expected)| *byte == expected)
}

/// TLS 1.3 writes the version before it, and so does whoever wants more than this knows.
fn answerable(version: u16) -> Version {
    match version.to_be_bytes() {
        [3, minor @ 0..3] => (3, minor),
        _ => (3, 3),
    }
}

/// The one name of a host that the extensions ask for (RFC 6066, section 3).
fn server_name(mut extensions: &[u8]) -> Result<Option<Box<str>>, Broken> {
    let mut found = None;
    while !extensions.is_empty() {
        let (rest, extension) = parse_tls_extension_unknown(extensions).map_err(|_| Broken::Malformed)?;
        extensions = rest;
        let TlsExtension::Unknown(TlsExtensionType::ServerName, content) = extension else { continue };
        if found.replace(host_name(content)?).is_some() {
            return Err(Broken::Ambiguous);
        }
    }
    Ok(found.flatten())
}

/// The name in the extension, where it is one.
fn host_name(content: &[u8]) -> Result<Option<Box<str>>, Broken> {
    let Ok((_, TlsExtension::SNI(entries))) = parse_tls_extension_sni_content(content) else {
        return Err(Broken::Malformed);
    };
    // The library leaves out what it cannot read at the end of the list.
    let read: usize = entries.iter().map(|(_, name)| 3 + name.len()).sum();
    if entries.is_empty() || content.len() != 2 + read {
        return Err(Broken::Malformed);
    }
    let mut names = entries.iter().filter(|(kind, _)| *kind == SNIType::HostName).map(|(_, name)| *name);
    match (names.next(), names.next()) {
        (None, _) => Ok(None),
        (Some([]), _) => Err(Broken::Malformed),
        (Some(name), None) => Ok(comparable(name)),
        (Some(_), Some(_)) => Err(Broken::Ambiguous),
    }
}

/// A name in the form in which names are compared; none where it cannot be that of a host.
fn comparable(name: &[u8]) -> Option<Box<str>> {
    let name = std::str::from_utf8(name.strip_suffix(b".").unwrap_or(name)).ok()?;
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(letter);
    (name.len() <= LONGEST_NAME && name.split('.').all(label)).then(|| name.to_ascii_lowercase().into())
}
