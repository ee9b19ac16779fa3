use super::{
    super::fixture::{names, question},
    *,
};
use hickory_proto::{
    op::Query,
    rr::{
        RecordType,
        rdata::opt::{EdnsCode, EdnsOption},
    },
};
use proptest::prelude::*;

fn request(query: Query) -> Message {
    let mut message = Message::new(77, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(query);
    message
}

fn with_edns(mut message: Message, largest: u16) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(largest);
    message.set_edns(edns);
    message
}

fn send(message: &Message, carrier: Carrier) -> (Message, usize) {
    let names = names();
    let Reply { bytes, code } = reply(&message.to_vec().unwrap(), Some(&names), carrier, 0).unwrap();
    let (decoded, length) = (Message::from_vec(&bytes).unwrap(), bytes.len());
    assert_eq!(decoded.to_vec().unwrap().len(), length, "nothing but the message is sent");
    // As numbers, because 16 has two names.
    assert_eq!(u16::from(decoded.metadata.response_code), u16::from(code));
    assert_eq!(decoded.metadata.id, message.metadata.id);
    assert_eq!(decoded.metadata.message_type, MessageType::Response);
    assert!(!decoded.metadata.recursion_available);
    (decoded, length)
}

fn code_of(bytes: &[u8]) -> Option<ResponseCode> {
    let names = names();
    let reply = reply(bytes, Some(&names), Carrier::Udp, 0)?;
    let header = Header::read(&mut BinDecoder::new(&reply.bytes)).unwrap();
    assert_eq!(header.response_code.low(), reply.code.low());
    Some(reply.code)
}

#[test]
fn a_reply_repeats_the_question_and_is_authoritative() {
    let asked = request(question("WEB.shop.mesh.", RecordType::A));
    let (reply, _) = send(&asked, Carrier::Udp);
    assert!(reply.queries[0].name().eq_case(asked.queries[0].name()));
    assert!(reply.answers[0].name.eq_case(asked.queries[0].name()));
    assert!(reply.metadata.authoritative && reply.metadata.recursion_desired && !reply.metadata.truncation);
    assert!(reply.edns.is_none(), "who asks without EDNS gets none");
}

#[test]
fn without_a_plan_the_reply_is_a_failure_of_the_server() {
    for name in ["web.shop.mesh.", "no.mesh.", "example.com."] {
        let asked = request(question(name, RecordType::A)).to_vec().unwrap();
        let reply = reply(&asked, None, Carrier::Udp, 0).unwrap();
        assert_eq!(reply.code, ResponseCode::ServFail);
        assert_eq!(Message::from_vec(&reply.bytes).unwrap().queries.len(), 1);
    }
}

#[test]
fn operations_other_than_queries_are_not_implemented() {
    for operation in [OpCode::Status, OpCode::Notify, OpCode::Update, OpCode::Unknown(7)] {
        let mut message = request(question("mesh.", RecordType::SOA));
        message.metadata.op_code = operation;
        assert_eq!(code_of(&message.to_vec().unwrap()), Some(ResponseCode::NotImp), "{operation:?}");
    }
}

#[test]
fn malformed_packets_are_told_so_or_dropped() {
    let whole = request(question("web.shop.mesh.", RecordType::A)).to_vec().unwrap();
    for length in 0..whole.len() {
        let expected = (length >= 12).then_some(ResponseCode::FormErr);
        assert_eq!(code_of(&whole[..length]), expected, "{length} bytes");
    }
    let mut two = request(question("web.shop.mesh.", RecordType::A));
    two.add_query(question("cart.shop.mesh.", RecordType::A));
    assert_eq!(code_of(&two.to_vec().unwrap()), Some(ResponseCode::FormErr));
    let none = Message::new(1, MessageType::Query, OpCode::Query);
    assert_eq!(code_of(&none.to_vec().unwrap()), Some(ResponseCode::FormErr));
    let mut answer = request(question("web.shop.mesh.", RecordType::A));
    answer.metadata.message_type = MessageType::Response;
    assert_eq!(code_of(&answer.to_vec().unwrap()), None, "replies are not replied to");
    // A header that promises as much as it can.
    assert_eq!(
        code_of(&[0, 1, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        Some(ResponseCode::FormErr)
    );
    // A name that points to itself.
    let mut circle = whole[..12].to_vec();
    circle.extend([0xc0, 12, 0, 1, 0, 1]);
    assert_eq!(code_of(&circle), Some(ResponseCode::FormErr));
}

#[test]
fn a_large_answer_is_cut_to_what_the_asker_takes() {
    let asked = request(question("crowd.shop.mesh.", RecordType::A));
    for (offered, largest) in
        [(None, 512), (Some(100), 512), (Some(512), 512), (Some(900), 900), (Some(4096), 1232)]
    {
        let asked = offered.map_or(asked.clone(), |offered| with_edns(asked.clone(), offered));
        let (reply, length) = send(&asked, Carrier::Udp);
        assert!(reply.metadata.truncation);
        assert!(length <= largest && length + 16 > largest, "{length} of {largest}");
        assert!(!reply.answers.is_empty());
        assert_eq!(reply.edns.is_some(), offered.is_some());
        let (reply, _) = send(&asked, Carrier::Tcp);
        assert!(!reply.metadata.truncation);
        assert_eq!(reply.answers.len(), 200);
    }
}

#[test]
fn additional_records_go_without_a_word() {
    let asked = request(question("_http._tcp.crowd.shop.mesh.", RecordType::SRV));
    let (reply, _) = send(&asked, Carrier::Udp);
    assert_eq!((reply.answers.len(), reply.additionals.len()), (1, 0));
    assert!(!reply.metadata.truncation);
    let (reply, _) = send(&asked, Carrier::Tcp);
    assert_eq!(reply.additionals.len(), 200);
}

#[test]
fn edns_is_answered_in_kind() {
    let mut asked = with_edns(request(question("no.shop.mesh.", RecordType::A)), 4096);
    if let Some(edns) = &mut asked.edns {
        edns.flags_mut().dnssec_ok = true;
        edns.options_mut().insert(EdnsOption::Unknown(EdnsCode::Cookie.into(), vec![1; 8]));
    }
    let (reply, _) = send(&asked, Carrier::Udp);
    let edns = reply.edns.unwrap();
    assert_eq!((edns.max_payload(), edns.version(), edns.flags().dnssec_ok), (1232, 0, true));
    assert!(edns.options().as_ref().is_empty());
    assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
    if let Some(edns) = &mut asked.edns {
        edns.set_version(1);
    }
    let (reply, _) = send(&asked, Carrier::Udp);
    assert_eq!(u16::from(reply.metadata.response_code), u16::from(ResponseCode::BADVERS));
}

#[test]
fn a_negative_answer_always_fits() {
    let name = format!("{}.mesh.", vec!["X".repeat(60); 4].join(".")[..240].to_owned());
    let (reply, length) = send(&request(question(&name, RecordType::A)), Carrier::Udp);
    assert!(length <= 512 && !reply.metadata.truncation);
    assert_eq!(reply.authorities.len(), 1);
}

proptest! {
    #[test]
    fn any_bytes_get_a_message_or_silence(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let names = names();
        if let Some(reply) = reply(&bytes, Some(&names), Carrier::Udp, 0) {
            prop_assert!(Message::from_vec(&reply.bytes).is_ok());
            prop_assert!(reply.bytes.len() <= 1232);
        }
    }

    #[test]
    fn any_damage_to_a_question_does_no_harm(
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let names = names();
        let mut bytes = with_edns(request(question("_http._tcp.web.shop.mesh.", RecordType::SRV)), 700).to_vec().unwrap();
        for (index, byte) in damage {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        if let Some(reply) = reply(&bytes, Some(&names), Carrier::Udp, 0) {
            prop_assert!(Message::from_vec(&reply.bytes).is_ok());
        }
    }
}
