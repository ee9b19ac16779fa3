//! HPACK, the compression of fields in HTTP/2 (RFC 7541).
//!
//! In: the blocks of fields that a peer sent, and the fields that it shall get. Out: lines as HTTP/1 has them, with
//! their places, and blocks. The decoder knows all of the format. The encoder leaves out what costs more time than the
//! bytes are worth here: the dynamic table and Huffman's code.

mod decode;
pub mod encode;
mod huffman;
mod table;

pub use decode::{Decoded, Decoder};

/// Why a block cannot be read. Each of these is a `COMPRESSION_ERROR` of the whole connection (RFC 9113, section 4.3),
/// as the tables of both sides may differ from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The block ends within a field.
    #[error("a block of fields ends within a field")]
    Truncated,
    /// An integer, or the place of a line, is larger than 32 bits hold (RFC 7541, section 5.1).
    #[error("an integer in a block of fields is too large")]
    Integer,
    /// No table has an entry of this number (RFC 7541, section 2.3.3).
    #[error("a block of fields asks for an entry that no table has")]
    Index,
    /// A string is not valid in Huffman's code (RFC 7541, section 5.2).
    #[error("a string in a block of fields is not in Huffman's code")]
    Huffman,
    /// The table's size is set to more than was announced, or after the first field (RFC 7541, section 4.2).
    #[error("a block of fields sets a table's size that is too large, or not at its front")]
    SizeUpdate,
}
