//! The guard alone: which frames pass, and how they are changed.

use super::wire;
use crate::{
    fe2o3_internals::{PAIR, PAIR_RECEIVER, PAIR_SENDER, SURPLUS},
    stream::{
        channel_numbers::ChannelNumbers,
        guard::{Guard, GuardError, Opened},
        outbound::Outbound,
    },
};

fn guard(message_max: usize) -> Guard {
    let mut guard = Guard::new(65_536, message_max);
    assert_eq!(passed(&mut guard, wire::AMQP_HEADER).unwrap(), wire::AMQP_HEADER);
    guard
}

fn passed(guard: &mut Guard, bytes: &[u8]) -> Result<Vec<u8>, GuardError> {
    passed_on(guard, bytes, &mut ChannelNumbers::default())
}

fn passed_on(guard: &mut Guard, bytes: &[u8], channels: &mut ChannelNumbers) -> Result<Vec<u8>, GuardError> {
    guard.inbox().extend_from_slice(bytes);
    guard.process(channels)?;
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
    assert!(next.ends_with(b"whole"), "the next message is counted separately");
}

#[test]
fn a_performative_that_is_nested_too_deeply_ends_the_connection() {
    let properties = wire::nested(40);
    assert!(refused(&wire::frame(0, &wire::described(0x12, 1, &properties))).contains("nested deeper"));
    assert!(refused(&wire::frame(0, &[0, 0x53, 0x12, 0xc0, 9, 9, 0x40])).contains("truncated"));
    assert!(refused(&wire::frame(0, &[wire::described(0x17, 0, &[]), vec![1]].concat())).contains("bytes follow"));
}

#[test]
fn frames_that_would_make_a_parser_panic_are_refused() {
    assert!(refused(&[0, 0, 0, 5, 2]).contains("smaller than its own header"));
    assert!(refused(&[0xff, 0xff, 0xff, 0xff, 2]).contains("larger than the negotiated size"));
    let mut extended = wire::frame(0, &wire::described(0x17, 0, &[]));
    extended[4] = 3;
    assert!(refused(&extended).contains("extended header"));
}

#[test]
fn a_peer_that_goes_astray_after_sasl_speaks_no_other_protocol() {
    let bytes = [wire::SASL_HEADER, &wire::frame(1, &wire::described(0x44, 1, &[0x50, 0])), &[0xff; 8]].concat();
    for cut in [bytes.len() - 7, bytes.len()] {
        let error = passed(&mut Guard::new(65_536, 1), &bytes[..cut]).unwrap_err();
        assert!(!error.is_permanent() && error.to_string().contains("a protocol header was expected"), "{error}");
    }
}

#[test]
fn other_protocols_are_named() {
    for (first, says) in [
        (&b"AMQP\x00\x00\x09\x01"[..], "the peer speaks AMQP 0-9-1: use rabbit://"),
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
    let opened = Opened { product: Some("Rabbit".into()), version: None, channel_max: u16::MAX };
    assert_eq!(guard.opened(), Some(opened));
}

/// fe2o3-amqp sees no channel limit: its numbers are not those on the wire.
#[test]
fn the_limit_of_sessions_is_read_from_the_open_and_that_of_links_from_each_begin() {
    let open = |most: u16| {
        let fields = [b"\xa1\x01c\x40\x70\x00\x01\x00\x00\x60".as_slice(), &most.to_be_bytes()].concat();
        wire::frame(0, &wire::described(0x10, 4, &fields))
    };
    let mut guard = guard(1);
    assert_eq!(passed(&mut guard, &open(63)).unwrap(), open(u16::MAX));
    assert_eq!(guard.opened().map(|opened| opened.channel_max), Some(63));
    assert_eq!(guard.handle_max(), u32::MAX);
    passed(&mut guard, &begin(0, 255)).unwrap();
    assert_eq!(guard.handle_max(), 255);
}

fn begin(remote_channel: u16, handle_max: u8) -> Vec<u8> {
    let remote_channel = remote_channel.to_be_bytes();
    let fields = [&[0x60][..], &remote_channel, &[0x43, 0x43, 0x43, 0x52, handle_max]].concat();
    wire::frame(0, &wire::described(0x11, 5, &fields))
}

fn on_channel(channel: u16, mut frame: Vec<u8>) -> Vec<u8> {
    frame[6..8].copy_from_slice(&channel.to_be_bytes());
    frame
}

#[test]
fn sessions_have_other_numbers_on_the_wire() {
    let mut channels = ChannelNumbers::default();
    channels.set_max(100);
    let (mut outbound, mut guard) = (Outbound::default(), guard(1 << 20));
    let mut written = |frame: &[u8], channels: &mut ChannelNumbers| {
        outbound.write(frame, channels).unwrap();
        outbound.bytes().split().to_vec()
    };
    let ours = wire::frame(0, &wire::described(0x11, 2, &[0x40, 0x43]));
    let end = wire::frame(0, &wire::described(0x17, 0, &[]));
    assert_eq!(written(&ours, &mut channels), on_channel(0, ours.clone()));
    let theirs = on_channel(9, begin(0, 255));
    assert_eq!(passed_on(&mut guard, &theirs, &mut channels).unwrap(), theirs);
    assert_eq!(written(&end, &mut channels), on_channel(0, end.clone()));
    let theirs = on_channel(9, end.clone());
    assert_eq!(passed_on(&mut guard, &theirs, &mut channels).unwrap(), theirs);
    // fe2o3-amqp takes the number that was just freed.
    assert_eq!(written(&ours, &mut channels), on_channel(1, ours.clone()));
    let message = wire::transfer(0, false, b"text");
    assert_eq!(written(&message, &mut channels), on_channel(1, message.clone()));
    let theirs = |number| on_channel(9, begin(number, 255));
    assert_eq!(passed_on(&mut guard, &theirs(1), &mut channels).unwrap(), theirs(0));
    // Opening and closing belong to no session.
    let close = wire::frame(0, &wire::described(0x18, 0, &[]));
    assert_eq!(written(&close, &mut channels), close);
    assert!(written(&on_channel(7, message), &mut channels).is_empty(), "its session is over");
}

#[test]
fn a_link_that_is_detached_counts_as_closed() {
    let detach = |count: u8, fields: &[u8]| wire::frame(0, &wire::described(0x16, count, fields));
    let error = wire::described(0x1d, 1, b"\xa3\x01x");
    let closed = |error: &[u8]| detach(3, &[b"\x52\x07\x41", error].concat());
    let passed = |detach: &[u8]| passed(&mut guard(1), detach).unwrap();
    assert_eq!(passed(&detach(1, b"\x52\x07")), closed(b"\x40"));
    assert_eq!(passed(&detach(2, b"\x52\x07\x42")), closed(b"\x40"));
    assert_eq!(passed(&detach(3, &[b"\x52\x07\x40", &error[..]].concat())), closed(&error));
    assert_eq!(passed(&detach(2, b"\x52\x07\x41")), detach(2, b"\x52\x07\x41"));
}

/// ChannelNumbers with a session whose number is the same on both sides.
fn begun() -> ChannelNumbers {
    let mut channels = ChannelNumbers::default();
    channels.set_max(1);
    channels.begin(0).unwrap();
    channels
}

fn sent(written: &[u8]) -> Vec<u8> {
    let mut outbound = Outbound::default();
    outbound.write(written, &mut begun()).unwrap();
    outbound.bytes().to_vec()
}

#[test]
fn our_open_asks_for_frames_that_fit_when_wrapped() {
    let open = |size: &[u8]| wire::frame(0, &wire::described(0x10, 3, &[b"\xa1\x01c\x40\x70", size].concat()));
    let written = [wire::AMQP_HEADER, &open(&[0, 1, 0, 16])].concat();
    assert_eq!(sent(&written), [wire::AMQP_HEADER, &open(&[0, 1, 0, 0])].concat());
}

#[test]
fn a_credit_is_sent_without_the_surplus_that_is_put_up_with() {
    let flow = |credit: u32| {
        let fields = [&[0x43, 0x52, 9, 0x43, 0x52, 9, 0x43, 0x43, 0x70][..], &credit.to_be_bytes()].concat();
        wire::frame(0, &wire::described(0x13, 7, &fields))
    };
    let written = [flow(1_000), flow(SURPLUS + 100), flow(SURPLUS), flow(SURPLUS - 7)].concat();
    assert_eq!(sent(&written), [flow(1_000), flow(100), flow(0), flow(0)].concat());
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
    let (mut outbound, mut channels) = (Outbound::default(), begun());
    outbound.write(&frames, &mut channels).unwrap();
    outbound.write(&frames, &mut channels).unwrap();
    assert_eq!(outbound.bytes(), &frames.repeat(2));
    assert!(outbound.take_has_grown() && !outbound.take_has_grown());
    let error = Outbound::default().write(&frames[..frames.len() - 1], &mut channels).unwrap_err();
    assert!(error.to_string().contains("wrote a part of a frame"), "{error}");
}

fn disposition(first: u32, last: u32) -> Vec<u8> {
    let fields = [&[0x41, 0x70][..], &first.to_be_bytes(), &[0x70], &last.to_be_bytes(), &[0x41]].concat();
    wire::frame(0, &wire::described(0x15, 4, &fields))
}

#[test]
fn no_more_deliveries_are_settled_than_were_sent() {
    let says = refused(&disposition(0, u32::MAX));
    assert!(says.contains("the outcome of 4294967296 deliveries, but at most 64"), "{says}");
    let by_name = [&[0, 0xa3, 21][..], b"amqp:disposition:list", &disposition(0, u32::MAX)[11..]].concat();
    assert_eq!(refused(&wire::frame(0, &by_name)), says);
    let mut guard = guard(1 << 20);
    guard.count_deliveries(1000);
    // Once for the outcome, and once to settle.
    for range in [disposition(0, 999), disposition(0, 999), disposition(5, 5), disposition(9, 3)] {
        assert_eq!(passed(&mut guard, &range).unwrap(), range);
    }
    assert!(passed(&mut guard, &disposition(0, 9_999)).is_err());
    // Deliveries of the broker count as well.
    let mut guard = self::guard(1 << 20);
    for number in 0..=200 {
        passed(&mut guard, &wire::transfer(number, false, b"text")).unwrap();
    }
    assert!(passed(&mut guard, &disposition(0, 200)).is_ok());
}

#[test]
fn a_message_has_so_many_parts_and_so_many_are_incomplete() {
    let mut guard = guard(10);
    let part = wire::transfer(0, true, b"");
    for _ in 0..1 << 15 {
        passed(&mut guard, &part).unwrap();
    }
    assert!(passed(&mut guard, &part).unwrap_err().to_string().contains("more than 32768 transfers"));
    let mut guard = self::guard(10);
    let part = |handle: u32| {
        let fields = [&[0x70][..], &handle.to_be_bytes(), &[0x43, 0xa0, 1, 0, 0x43, 0x41, 0x41]].concat();
        wire::frame(0, &wire::described(0x14, 6, &fields))
    };
    for handle in 0..1 << 16 {
        passed(&mut guard, &part(handle)).unwrap();
    }
    assert!(passed(&mut guard, &part(1 << 16)).unwrap_err().to_string().contains("more than 65536 messages"));
}

#[test]
fn a_session_that_was_given_up_is_ended_once() {
    let mut channels = ChannelNumbers::default();
    channels.set_max(10);
    channels.begin(0).unwrap();
    channels.abandon();
    let mut guard = guard(1);
    for _ in 0..3 {
        assert!(passed_on(&mut guard, &on_channel(9, begin(0, 255)), &mut channels).unwrap().is_empty());
    }
    assert_eq!((guard.take_unwanted(), guard.take_unwanted()), (Some(0), None));
}

#[test]
fn an_idle_timeout_has_a_floor() {
    let open = |idle: &[u8]| {
        let fields = [&b"\xa1\x01c\x40\x70\x00\x01\x00\x00\x60\x00\x09"[..], idle].concat();
        wire::frame(0, &wire::described(0x10, 5, &fields))
    };
    let all = |mut frame: Vec<u8>| {
        let place = frame.windows(3).position(|bytes| bytes == [0x60, 0, 9]).unwrap();
        frame[place + 1..place + 3].fill(0xff);
        frame
    };
    for (theirs, ours) in [
        (&[0x52, 1][..], &[0x52, 100][..]),
        (&[0x70, 0, 0, 0, 99], &[0x70, 0, 0, 0, 100]),
        (&[0x52, 100], &[0x52, 100]),
        (&[0x70, 0, 0, 1, 0], &[0x70, 0, 0, 1, 0]),
        (&[0x43], &[0x43]),
        (&[0x52, 0], &[0x52, 0]),
        (&[0x40], &[0x40]),
    ] {
        assert_eq!(passed(&mut guard(1), &open(theirs)).unwrap(), all(open(ours)));
    }
}
