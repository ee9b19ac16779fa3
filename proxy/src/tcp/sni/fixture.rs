//! Clients' first messages, written byte by byte.

/// What a first message is made of.
#[derive(Clone, Debug)]
pub struct Sketch {
    pub version: [u8; 2],
    pub ciphers: Vec<u16>,
    /// Every extension with its type; none at all as very old clients do it.
    pub extensions: Option<Vec<(u16, Vec<u8>)>>,
}

/// A type or cipher that stands for nothing, so that servers learn to pass over what they do not know (RFC 8701).
pub const GREASE: u16 = 0x3a3a;
pub const SERVER_NAME: u16 = 0;
pub const PADDING: u16 = 21;
pub const KEY_SHARE: u16 = 51;
pub const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;

/// As a client of TLS 1.3 asks for `name`.
pub fn asking(name: &str) -> Sketch {
    Sketch {
        version: [3, 3],
        ciphers: vec![0x1301, 0x1302],
        extensions: Some(vec![
            (43, vec![2, 3, 4]),
            (SERVER_NAME, server_name(&[(0, name.as_bytes())])),
            (13, vec![0, 2, 4, 3]),
        ]),
    }
}

/// The content of the extension, with names and their kinds.
pub fn server_name(names: &[(u8, &[u8])]) -> Vec<u8> {
    let entries: Vec<u8> =
        names.iter().flat_map(|(kind, name)| [vec![*kind], sized(name)].concat()).collect();
    sized(&entries)
}

/// Bytes behind their length.
pub fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// A message in records of at most so many bytes.
pub fn records(message: &[u8], size: usize) -> Vec<u8> {
    message.chunks(size).flat_map(|part| [vec![22, 3, 1], sized(part)].concat()).collect()
}

impl Sketch {
    /// With one extension more, in front.
    pub fn with(mut self, kind: u16, content: Vec<u8>) -> Self {
        self.extensions.get_or_insert_default().insert(0, (kind, content));
        self
    }

    /// The message, without records.
    pub fn message(&self) -> Vec<u8> {
        let ciphers: Vec<u8> = self.ciphers.iter().flat_map(|cipher| cipher.to_be_bytes()).collect();
        // A random number, a session of 4 bytes, the ciphers, and no compression.
        let mut body = [&self.version[..], &[7; 32], &[4, 1, 2, 3, 4], &sized(&ciphers), &[1, 0]].concat();
        if let Some(extensions) = &self.extensions {
            let extensions = extensions
                .iter()
                .flat_map(|(kind, content)| [&kind.to_be_bytes()[..], &sized(content)].concat());
            body.extend(sized(&extensions.collect::<Vec<u8>>()));
        }
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[1], &length[1..], &body].concat()
    }

    /// The message in one record, or as many as it needs.
    pub fn bytes(&self) -> Vec<u8> {
        records(&self.message(), 1 << 14)
    }
}
