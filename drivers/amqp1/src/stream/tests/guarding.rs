//! The guard alone: what it lets through, and as what.

use super::wire;
use crate::stream::{
    guard::{Guard, GuardError, Opened},
    outbound::{NO_CREDIT, Outbound, PAIR, PAIR_RECEIVER, PAIR_SENDER},
};

fn guard(message_max: usize) -> Guard {
    let mut guard = Guard::new(65_536, message_max);
    assert_eq!(passed(&mut guard, wire::AMQP_HEADER).unwrap(), wire::AMQP_HEADER);
    guard
}

fn passed(guard: &mut Guard, bytes: &[u8]) -> Result<Vec<u8>, GuardError> {
    guard.inbox().extend_from_slice(bytes);
    guard.work()?;
    Ok(guard.outbox().split().to_vec())
}

fn refused(bytes: &[u8]) -> String {
    passed(&mut guard(1 << 20), bytes).unwrap_err().to_string()
}

#[test]
fn messages_come_as_bytes_whatever_is_in_them() {
    for message in [wire::text("hello"), wire::section(0x77, &wire::nested(5_000)), wire::section(0x72, &[0xff; 9])] {
        let got = passed(&mut guard(1 << 20), &wire::transfer(0, false, &message)).unwrap();
        let wrapped =
            [&[0, 0x53, 0x75, 0xb0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), &message].concat();
        assert!(got.ends_with(&wrapped));
        assert_eq!(usize::try_from(u32::from_be_bytes(got[..4].try_into().unwrap())).unwrap(), got.len());
    }
}

#[test]
fn frames_may_come_in_any_pieces() {
    let bytes = [wire::transfer(0, true, b"one"), wire::frame(0, &[]), wire::transfer(0, false, b"two")].concat();
    let whole = passed(&mut guard(1 << 20), &bytes).unwrap();
    let mut piecewise = guard(1 << 20);
    let pieces: Vec<u8> = bytes.iter().flat_map(|byte| passed(&mut piecewise, &[*byte]).unwrap()).collect();
    assert_eq!(pieces, whole);
}

#[test]
fn a_message_beyond_the_limit_is_cut() {
    let mut guard = guard(10);
    let first = passed(&mut guard, &wire::transfer(0, true, b"12345678")).unwrap();
    let second = passed(&mut guard, &wire::transfer(0, true, b"abcdefgh")).unwrap();
    let third = passed(&mut guard, &wire::transfer(0, false, b"ABC")).unwrap();
    assert!(first.ends_with(b"12345678") && second.ends_with(b"\x00\x00\x00\x02ab") && !third.ends_with(b"ABC"));
    let next = passed(&mut guard, &wire::transfer(1, false, b"whole")).unwrap();
    assert!(next.ends_with(b"whole"), "the next message counts anew");
}

#[test]
fn a_performative_that_is_nested_too_deeply_ends_the_connection() {
    let properties = wire::nested(40);
    assert!(refused(&wire::frame(0, &wire::described(0x12, 1, &properties))).contains("nested deeper"));
    assert!(refused(&wire::frame(0, &[0, 0x53, 0x12, 0xc0, 9, 9, 0x40])).contains("cut short"));
    assert!(refused(&wire::frame(0, &[wire::described(0x17, 0, &[]), vec![1]].concat())).contains("bytes follow"));
}

#[test]
fn frames_that_would_make_a_parser_panic_are_refused() {
    assert!(refused(&[0, 0, 0, 5, 2]).contains("smaller than its own header"));
    assert!(refused(&[0xff, 0xff, 0xff, 0xff, 2]).contains("larger than what was agreed"));
    let mut extended = wire::frame(0, &wire::described(0x17, 0, &[]));
    extended[4] = 3;
    assert!(refused(&extended).contains("extended header"));
}

#[test]
fn a_peer_that_goes_astray_after_sasl_speaks_no_other_protocol() {
    let bytes = [wire::SASL_HEADER, &wire::frame(1, &wire::described(0x44, 1, &[0x50, 0])), &[0xff; 8]].concat();
    for cut in [bytes.len() - 7, bytes.len()] {
        let error = passed(&mut Guard::new(65_536, 1), &bytes[..cut]).unwrap_err();
        assert!(!error.is_permanent() && error.to_string().contains("a protocol header was due"), "{error}");
    }
}

#[test]
fn other_protocols_are_named() {
    for (first, says) in [
        (&b"AMQP\x00\x00\x09\x01"[..], "this broker speaks AMQP 0-9-1, use rabbit://"),
        (b"AMQP\x02\x01\x00\x00", "offers the protocol header AMQP 2.1.0.0"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "use amqps://"),
        (b"HTTP/1.1 400 Bad Request", "answers in HTTP"),
        (b"-ERR unknown", "does not speak AMQP 1.0"),
    ] {
        let error = passed(&mut Guard::new(65_536, 1), first).unwrap_err();
        assert!(error.is_permanent() && error.to_string().contains(says), "{error}");
    }
}

#[test]
fn the_product_is_read_from_the_open() {
    let properties = b"\xc1\x12\x02\xa3\x07product\xa1\x06Rabbit";
    let fields = [b"\xa1\x01c".as_slice(), &[0x40; 8], properties].concat();
    let mut guard = guard(1);
    passed(&mut guard, &wire::frame(0, &wire::described(0x10, 10, &fields))).unwrap();
    assert_eq!(guard.opened(), Some(Opened { product: Some("Rabbit".into()), version: None }));
}

fn sent(written: &[u8]) -> Vec<u8> {
    let mut outbound = Outbound::default();
    outbound.write(written).unwrap();
    outbound.bytes().to_vec()
}

#[test]
fn our_open_asks_for_frames_that_fit_when_wrapped() {
    let open = |size: &[u8]| wire::frame(0, &wire::described(0x10, 3, &[b"\xa1\x01c\x40\x70", size].concat()));
    let written = [wire::AMQP_HEADER, &open(&[0, 1, 0, 8])].concat();
    assert_eq!(sent(&written), [wire::AMQP_HEADER, &open(&[0, 1, 0, 0])].concat());
}

#[test]
fn a_credit_that_means_none_is_sent_as_none() {
    let flow = |credit: u32| {
        let fields = [&[0x43, 0x52, 9, 0x43, 0x52, 9, 0x43, 0x43, 0x70][..], &credit.to_be_bytes()].concat();
        wire::frame(0, &wire::described(0x13, 7, &fields))
    };
    let written = [flow(1_000), flow(NO_CREDIT - 7), flow(1_000)].concat();
    assert_eq!(sent(&written), [flow(1_000), flow(0), flow(1_000)].concat());
}

#[test]
fn a_pair_of_links_has_one_name_on_the_wire_and_two_here() {
    let attach = |name: &str, receiver: bool| {
        let head = [0xa1, u8::try_from(name.len()).unwrap()];
        let fields = [&head[..], name.as_bytes(), &[0x43, if receiver { 0x41 } else { 0x42 }]].concat();
        wire::frame(0, &wire::described(0x12, 3, &fields))
    };
    for (ours, receiver) in [(PAIR_SENDER, false), (PAIR_RECEIVER, true)] {
        assert_eq!(sent(&attach(ours, receiver)), attach(PAIR, receiver));
        // The peer answers with its own role.
        assert_eq!(passed(&mut guard(1), &attach(PAIR, !receiver)).unwrap(), attach(ours, !receiver));
    }
    let other = attach("openstack.org/om/receiver/[t]/s", false);
    assert_eq!(sent(&other), other);
    assert_eq!(passed(&mut guard(1), &other).unwrap(), other);
}

#[test]
fn a_message_goes_out_without_what_it_was_wrapped_into() {
    let first = |payload: &[u8]| wire::transfer(1, true, payload);
    let next = |payload: &[u8]| {
        let performative = wire::described(0x14, 6, &[0x43, 0x40, 0x40, 0x40, 0x41, 0x42]);
        wire::frame(0, &[&performative[..], payload].concat())
    };
    for head in [&[0, 0x53, 0x75, 0xa0, 4][..], &[0, 0x53, 0x75, 0xb0, 0, 0, 0, 4]] {
        let wrapped = [head, b"text"].concat();
        let written = [first(&wrapped), next(&wrapped), first(b"else")].concat();
        assert_eq!(sent(&written), [first(b"text"), next(&wrapped), first(b"else")].concat());
    }
}

#[test]
fn what_is_written_grows_by_whole_frames_only() {
    let frames =
        [wire::transfer(0, false, &[7; 100]), wire::frame(0, &[]), wire::transfer(1, false, &[8; 50])].concat();
    let mut outbound = Outbound::default();
    outbound.write(&frames).unwrap();
    outbound.write(&frames).unwrap();
    assert_eq!(outbound.bytes(), &frames.repeat(2));
    assert!(outbound.is_growing() && !outbound.is_growing());
    let error = Outbound::default().write(&frames[..frames.len() - 1]).unwrap_err();
    assert!(error.to_string().contains("not written at once"), "{error}");
}
