//! The doorway by which `fuzz/` reaches what reads a TLS client's first message: nothing else uses it.
//!
//! In: bytes, in the pieces in which they arrive. Out: what they are, which is the same however they are cut.

use super::{Broken, Heard, Reader};

/// What the pieces are, and how many of their bytes were needed to tell.
///
/// # Errors
/// Where they are refused.
pub fn read(pieces: &[&[u8]]) -> Result<(Heard, usize), Broken> {
    let (mut reader, mut received) = (Reader::new(), Vec::new());
    for piece in pieces {
        received.extend_from_slice(piece);
        match reader.read(&received)? {
            Heard::More => {}
            heard => return Ok((heard, received.len())),
        }
    }
    Ok((Heard::More, received.len()))
}
