//! What has a port is handed to it, in order and however it arrives, and withheld from lapin.

use proptest::{collection::vec, prelude::*};

use super::{sink, wire};
use crate::stream::{
    guard::GuardError,
    ports::{Allowance, Inbox, Ports},
    replay::replay_with,
};

/// A channel that is consumed on, and one without a port.
const CONSUMED: u16 = 1;
const LAPINS: u16 = 2;
const PUBLISHED: u16 = 3;

const ANY: Allowance = Allowance { messages: usize::MAX, body: usize::MAX };

/// What lapin gets of `input` when it arrives in chunks of the given sizes.
fn run(ports: &Ports, input: &[u8], arrivals: &[usize]) -> Vec<u8> {
    let (visible, _, error) = replay_with(ports, input, arrivals);
    assert_eq!(error, None);
    visible
}

fn received(inbox: &mut Inbox) -> Vec<(u64, Option<usize>, Vec<u8>)> {
    std::iter::from_fn(|| inbox.try_recv().ok())
        .map(|incoming| {
            let headers = incoming.properties.all().headers().as_ref().map(|table| table.inner().len());
            assert_eq!((incoming.consumer, incoming.redelivered), (1, false));
            (incoming.tag, headers, incoming.body)
        })
        .collect()
}

/// Frames, what lapin gets of them, and what arrives in the inbox.
#[derive(Clone, Debug)]
struct Sample {
    bytes: Vec<u8>,
    shown: bool,
    arrives: Option<(u64, Option<usize>, Vec<u8>)>,
}

fn message(channel: u16, tag: u64, table: &[u8], body: &[u8]) -> Vec<u8> {
    let mut arguments = wire::short(b"1");
    arguments.extend_from_slice(&tag.to_be_bytes());
    arguments.push(0);
    arguments.extend(wire::short(b""));
    // Nobody reads the routing key here, so that it may be anything.
    arguments.extend(wire::short(b"\xc3("));
    let header = wire::content_header(body.len() as u64, 0x2000, &wire::long(table));
    let mut bytes = [wire::method(channel, 60, 60, &arguments), wire::frame(2, channel, &header)].concat();
    for part in body.chunks(1000) {
        bytes.extend(wire::frame(3, channel, part));
    }
    bytes
}

fn sample() -> impl Strategy<Value = Sample> {
    prop_oneof![
        (any::<u64>(), any::<bool>(), vec(any::<u8>(), 0..5000)).prop_map(|(tag, headers, body)| {
            let table = if headers { &b"\x01kt\x01"[..] } else { b"" };
            let bytes = message(CONSUMED, tag, table, &body);
            Sample { bytes, shown: false, arrives: Some((tag, Some(usize::from(headers)), body)) }
        }),
        (any::<u64>(), 33..2000_usize).prop_map(|(tag, depth)| {
            let bytes = message(CONSUMED, tag, &wire::nested_tables(depth), b"deep");
            Sample { bytes, shown: false, arrives: Some((tag, Some(0), b"deep".to_vec())) }
        }),
        vec(any::<u8>(), 0..300).prop_map(|body| {
            Sample { bytes: wire::delivery(LAPINS, b"tag", 1, b"", &body), shown: true, arrives: None }
        }),
        (1..4_u16)
            .prop_map(|channel| { Sample { bytes: wire::method(channel, 60, 11, &[]), shown: true, arrives: None } }),
        Just(Sample { bytes: wire::method(PUBLISHED, 85, 11, &[]), shown: false, arrives: None }),
        any::<u64>().prop_map(|tag| {
            let arguments = [&tag.to_be_bytes()[..], &[1]].concat();
            Sample { bytes: wire::method(PUBLISHED, 60, 80, &arguments), shown: false, arrives: None }
        }),
        Just(Sample { bytes: wire::frame(8, 0, b""), shown: true, arrives: None }),
    ]
}

#[test]
fn behind_its_close_of_a_channel_nothing_of_the_broker_is_heard_there_until_it_is_opened_again() {
    for channel in [LAPINS, PUBLISHED] {
        let ports = Ports::default();
        ports.publish(PUBLISHED, &sink());
        let opening = [wire::start(b""), wire::tune(2047, 131_072, 60)].concat();
        let close = wire::method(channel, 20, 40, b"\x01\x94\0\0\x3c\0\x28");
        let ack = wire::method(channel, 60, 80, &[0; 9]);
        let late = [ack, message(channel, 1, b"", b"late"), wire::method(channel, 20, 41, b"")].concat();
        let open = wire::method(channel, 20, 11, b"\0\0\0\0");
        let after = wire::method(channel, 60, 11, b"");
        for arrivals in [usize::MAX, 1, 10] {
            let input = [&opening[..], &close, &late, &open, &after].concat();
            assert_eq!(run(&ports, &input, &[arrivals]), [&opening[..], &close, &open, &after].concat());
        }
        assert!(!ports.is_closed(channel));
        run(&ports, &[&opening[..], &close].concat(), &[usize::MAX]);
        assert!(ports.is_closed(channel));
    }
}

proptest! {
    #[test]
    fn it_arrives_whole_and_in_order_and_lapin_gets_the_rest(
        samples in vec(sample(), 0..12),
        arrivals in vec(prop_oneof![1_usize..12, 1_usize..9_000], 1..20),
    ) {
        let ports = Ports::default();
        ports.let_lapin_consume();
        let mut inbox = ports.consume(CONSUMED, ANY);
        ports.publish(PUBLISHED, &sink());
        let opening = [wire::start(b""), wire::tune(2047, 131_072, 60)].concat();
        let input: Vec<u8> = samples.iter().fold(opening.clone(), |all, next| [&all[..], &next.bytes].concat());
        let shown: Vec<u8> =
            samples.iter().filter(|next| next.shown).fold(opening, |all, next| [&all[..], &next.bytes].concat());
        let arriving: Vec<_> = samples.into_iter().filter_map(|next| next.arrives).collect();
        prop_assert_eq!(run(&ports, &input, &arrivals), shown);
        prop_assert_eq!(received(&mut inbox), arriving);
    }

    #[test]
    fn garbage_for_a_port_never_panics(
        frames in vec((1..4_u8, vec(any::<u8>(), 0..60)), 0..20),
        methods in vec((prop::sample::select(vec![60_u16, 80, 120, 50]), vec(any::<u8>(), 0..30)), 0..20),
        arrivals in vec(1_usize..300, 1..10),
    ) {
        let ports = Ports::default();
        let (_inbox, ledger) = (ports.consume(CONSUMED, ANY), sink());
        ports.publish(PUBLISHED, &ledger);
        let mut input = [wire::start(b""), wire::tune(2047, 131_072, 60)].concat();
        for channel in [CONSUMED, PUBLISHED] {
            for (kind, payload) in &frames {
                input.extend(wire::frame(*kind, channel, payload));
            }
            for (method, arguments) in &methods {
                input.extend(wire::method(channel, 60, *method, arguments));
            }
        }
        replay_with(&ports, &input, &arrivals);
    }
}

#[test]
fn the_end_of_a_channel_is_told_to_both() {
    let ports = Ports::default();
    let mut inbox = ports.consume(CONSUMED, ANY);
    let close = [&[1, 148][..], &wire::short(b"NOT_FOUND"), &[0; 4]].concat();
    let last = message(CONSUMED, 7, b"", b"the last");
    let closed = wire::method(CONSUMED, 20, 40, &close);
    let after = wire::method(CONSUMED, 60, 11, b"");
    let opening = [wire::start(b""), wire::tune(0, 131_072, 60)].concat();
    let shown = run(&ports, &[&opening[..], &last, &closed, &after].concat(), &[usize::MAX]);
    assert_eq!(shown, [opening, closed].concat());
    assert_eq!(inbox.try_recv().unwrap().body, b"the last");
    assert_eq!(inbox.try_recv().unwrap_err(), tokio::sync::mpsc::error::TryRecvError::Disconnected);
}

#[test]
fn content_of_two_channels_may_take_turns() {
    let ports = Ports::default();
    let mut inboxes = [1, 2].map(|channel| ports.consume(channel, ANY));
    let (one, two) = (message(1, 7, b"", b"one"), message(2, 8, b"", b"two"));
    let size = |bytes: &[u8]| 8 + usize::from(bytes[6]) + 256 * usize::from(bytes[5]);
    let mut input = [wire::start(b""), wire::tune(2047, 131_072, 60)].concat();
    let (mut a, mut b) = (&one[..], &two[..]);
    while !a.is_empty() {
        for rest in [&mut a, &mut b] {
            let (frame, later) = rest.split_at(size(rest));
            input.extend_from_slice(frame);
            *rest = later;
        }
    }
    run(&ports, &input, &[usize::MAX]);
    for (inbox, body) in inboxes.iter_mut().zip([&b"one"[..], b"two"]) {
        assert_eq!(inbox.try_recv().unwrap().body, body);
    }
}

fn opening() -> Vec<u8> {
    [wire::start(b""), wire::tune(2047, 131_072, 60)].concat()
}

fn error(ports: &Ports, frames: &[u8]) -> Option<GuardError> {
    replay_with(ports, &[&opening(), frames].concat(), &[usize::MAX]).2
}

fn deliver(tag: u64) -> Vec<u8> {
    message(CONSUMED, tag, b"", b"")
}

fn header(size: u64) -> Vec<u8> {
    wire::frame(2, CONSUMED, &wire::content_header(size, 0, b""))
}

/// The announcement of a message alone.
fn announced(tag: u64) -> Vec<u8> {
    let whole = deliver(tag);
    whole[..8 + usize::from(whole[6])].to_vec()
}

fn body(size: usize) -> Vec<u8> {
    wire::frame(3, CONSUMED, &vec![b'x'; size])
}

#[test]
fn of_a_body_beyond_the_allowance_nothing_is_kept_and_the_next_message_arrives() {
    let ports = Ports::default();
    let mut inbox = ports.consume(CONSUMED, Allowance { messages: 9, body: 5000 });
    let oversized = [announced(1), header(70_000), body(60_000), body(10_000)].concat();
    let fits = message(CONSUMED, 2, b"", &[b'y'; 5000]);
    run(&ports, &[opening(), oversized, fits].concat(), &[usize::MAX]);
    let first = inbox.try_recv().unwrap();
    assert_eq!((first.tag, first.oversized, first.body.capacity()), (1, Some(70_000), 0));
    let second = inbox.try_recv().unwrap();
    assert_eq!((second.tag, second.oversized, second.body.len()), (2, None, 5000));
    // One that never ends takes no memory either.
    run(&ports, &[opening(), announced(3), header(1 << 63), body(60_000).repeat(50)].concat(), &[usize::MAX]);
    assert!(inbox.try_recv().is_err());
}

#[test]
fn content_that_is_out_of_step_ends_the_connection() {
    for (frames, what) in [
        ([announced(1), header(1 << 20), header(0)].concat(), "a content header without a message"),
        (header(1), "a content header without a message"),
        (body(1), "a body without a message"),
        ([announced(1), body(1)].concat(), "a body without a message"),
        ([announced(1), header(4), body(5)].concat(), "more of a body than its header announced"),
        ([announced(1), announced(2)].concat(), "a message before the previous one was complete"),
    ] {
        let ports = Ports::default();
        let _inbox = ports.consume(CONSUMED, ANY);
        assert_eq!(error(&ports, &frames), Some(GuardError::OutOfStep(what)));
    }
    for frames in [message(LAPINS, 1, b"", b"x"), wire::frame(3, LAPINS, b"x"), wire::method(LAPINS, 60, 50, &[0; 5])] {
        let what = "a message on a channel without a consumer";
        assert_eq!(error(&Ports::default(), &frames), Some(GuardError::OutOfStep(what)));
    }
}

#[test]
fn a_broker_that_ignores_the_prefetch_is_left() {
    let ports = Ports::default();
    let mut inbox = ports.consume(CONSUMED, Allowance { messages: 3, body: 10 });
    assert_eq!(error(&ports, &(1..=3).flat_map(deliver).collect::<Vec<_>>()), None);
    // Taken is not settled.
    assert!(inbox.try_recv().is_ok());
    inbox.unsettled().settled(2);
    assert_eq!(error(&ports, &(4..=5).flat_map(deliver).collect::<Vec<_>>()), None);
    let left = error(&ports, &deliver(6)).unwrap();
    assert_eq!(left.to_string(), "the broker ignores the prefetch: it sent more than 3 unacknowledged messages");
}

#[test]
fn returns_of_what_was_never_sent_end_the_connection() {
    let ports = Ports::default();
    let ledger = sink();
    ports.publish(PUBLISHED, &ledger);
    let id = [&[36][..], b"0192f0c1-2a3b-7c4d-8e5f-001122334455"].concat();
    let returned = [
        wire::method(PUBLISHED, 60, 50, &[1, 56, 0, 0, 0]),
        wire::frame(2, PUBLISHED, &wire::content_header(0, 0x0080, &id)),
    ];
    assert_eq!(error(&ports, &returned.concat()), Some(GuardError::TooManyReturns));
}

#[test]
fn a_storm_of_what_nobody_asked_for_ends_the_connection() {
    for method in [
        wire::method(0, 10, 60, b"\x01x"),
        wire::method(0, 10, 61, b""),
        wire::method(0, 10, 70, &[0; 8]),
        wire::method(LAPINS, 20, 20, b"\x01"),
        wire::method(LAPINS, 60, 30, b"\x011\x01"),
        wire::method(LAPINS, 20, 40, &[0; 7]),
    ] {
        assert_eq!(error(&Ports::default(), &method.repeat(5_000)), None);
        assert_eq!(error(&Ports::default(), &method.repeat(20_001)), Some(GuardError::TooManyUnsolicited));
    }
    assert_eq!(error(&Ports::default(), &wire::frame(8, 0, b"").repeat(50_000)), None);
}
