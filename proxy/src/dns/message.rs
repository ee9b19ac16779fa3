//! The reply to one packet.
//!
//! In: the bytes of a packet, how it came, and the [`Names`] where there are any yet. Out: the bytes to send
//! back, or nothing where silence is the only right answer. Pure, and safe against any bytes.

use super::{
    answer::{Answer, answer},
    names::Names,
};
use hickory_proto::{
    ProtoError,
    op::{Edns, Header, Message, MessageType, Metadata, OpCode, ResponseCode, emit_message_parts},
    serialize::binary::{BinDecodable, BinDecoder, BinEncodable, BinEncoder},
};

/// The largest reply over UDP, whatever the asker offers: it fits the smallest MTU of IPv6, so that no reply
/// is lost to fragmentation (DNS flag day 2020).
const LARGEST_UDP: u16 = 1232;
/// What every asker over UDP takes (RFC 1035).
const SMALLEST_UDP: u16 = 512;
/// What the OPT record of a reply needs; ours has no options.
const OPT_BYTES: u16 = 11;
/// The only version of EDNS that there is.
const EDNS_VERSION: u8 = 0;

/// How a packet came, which decides how large the reply may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// In a datagram.
    Udp,
    /// On a connection.
    Tcp,
}

/// What to send back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The message.
    pub bytes: Vec<u8>,
    /// Its code, for the metrics.
    pub code: ResponseCode,
}

/// Makes the reply to a packet. Without names nothing is known yet: the reply is SERVFAIL then, upon which
/// resolvers ask another proxy, and never "no such name".
///
/// None for what is no message, and for replies: to answer a reply may begin an endless exchange.
#[must_use]
pub fn reply(packet: &[u8], names: Option<&Names>, carrier: Carrier, turn: usize) -> Option<Reply> {
    let header = Header::read(&mut BinDecoder::new(packet)).ok()?;
    if header.message_type == MessageType::Response {
        return None;
    }
    let metadata = Metadata::response_from_request(&header.metadata);
    if header.op_code != OpCode::Query {
        return bare(metadata, ResponseCode::NotImp);
    }
    // Checked before the rest is read, so that a header alone cannot make us prepare for many questions.
    if header.counts.queries != 1 {
        return bare(metadata, ResponseCode::FormErr);
    }
    let Ok(request) = Message::from_vec(packet) else {
        return bare(metadata, ResponseCode::FormErr);
    };
    let message = respond(metadata, &request, names, turn);
    let limit = match carrier {
        Carrier::Tcp => u16::MAX,
        Carrier::Udp => {
            let offered = request.edns.as_ref().map_or(SMALLEST_UDP, Edns::max_payload);
            offered.clamp(SMALLEST_UDP, LARGEST_UDP)
        }
    };
    let code = message.metadata.response_code;
    match fit(message, limit) {
        Ok(bytes) => Some(Reply { bytes, code }),
        Err(_) => bare(metadata, ResponseCode::ServFail),
    }
}

/// The reply as a message, of whatever size.
fn respond(metadata: Metadata, request: &Message, names: Option<&Names>, turn: usize) -> Message {
    let mut message = Message::new(metadata.id, MessageType::Response, metadata.op_code);
    message.metadata = metadata;
    message.queries.clone_from(&request.queries);
    if let Some(asked) = &request.edns {
        let mut edns = Edns::new();
        edns.set_max_payload(LARGEST_UDP).set_version(EDNS_VERSION);
        edns.flags_mut().dnssec_ok = asked.flags().dnssec_ok;
        message.edns = Some(edns);
        if asked.version() != EDNS_VERSION {
            message.metadata.response_code = ResponseCode::BADVERS;
            return message;
        }
    }
    let Some((names, question)) = names.zip(request.queries.first()) else {
        message.metadata.response_code = ResponseCode::ServFail;
        return message;
    };
    let Answer { code, authoritative, answers, authorities, additionals } = answer(question, names, turn);
    message.metadata.response_code = code;
    message.metadata.authoritative = authoritative;
    message.answers = answers;
    message.authorities = authorities;
    message.additionals = additionals;
    message
}

/// Encodes a message within a limit. What an asker can do without goes first, without a word; where answers
/// must go, the message says that it is truncated and keeps as many as fit, for those who cannot ask over TCP.
fn fit(mut message: Message, limit: u16) -> Result<Vec<u8>, ProtoError> {
    let (header, bytes) = encode(&message, message.edns.as_ref(), limit)?;
    if !header.truncation {
        return Ok(bytes);
    }
    message.additionals.clear();
    let (header, bytes) = encode(&message, message.edns.as_ref(), limit)?;
    if !header.truncation {
        return Ok(bytes);
    }
    // Counted without the OPT record, which must stay whatever else goes, then written with it.
    let room = if message.edns.is_some() { limit.saturating_sub(OPT_BYTES) } else { limit };
    let (Header { metadata, counts }, _) = encode(&message, None, room)?;
    message.metadata.truncation = metadata.truncation;
    message.answers.truncate(usize::from(counts.answers));
    message.authorities.truncate(usize::from(counts.authorities));
    encode(&message, message.edns.as_ref(), limit).map(|(_, bytes)| bytes)
}

/// Encodes as much of a message as the limit allows; the header says whether that was all.
fn encode(message: &Message, edns: Option<&Edns>, limit: u16) -> Result<(Header, Vec<u8>), ProtoError> {
    let mut bytes = Vec::with_capacity(usize::from(SMALLEST_UDP));
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(limit);
    let header = emit_message_parts(
        &message.metadata,
        &mut message.queries.iter(),
        &mut message.answers.iter(),
        &mut message.authorities.iter(),
        &mut message.additionals.iter(),
        edns,
        None,
        &mut encoder,
    )?;
    Ok((header, bytes))
}

/// A reply of a header alone.
fn bare(mut metadata: Metadata, code: ResponseCode) -> Option<Reply> {
    metadata.response_code = code;
    let header = Header { metadata, counts: Default::default() };
    Some(Reply { bytes: header.to_bytes().ok()?, code })
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
