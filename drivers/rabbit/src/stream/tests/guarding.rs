//! The guard with its buffer: what comes out does not depend on how the bytes arrived.

use proptest::{collection::vec, prelude::*};

use super::wire;
use crate::stream::{
    guard::{GuardError, table},
    replay::replay as run,
};

fn whole(input: &[u8]) -> (Vec<u8>, usize, Option<GuardError>) {
    run(input, &[])
}

/// A frame of a valid stream, and whether the guard must change it.
#[derive(Clone, Debug)]
struct Sample {
    bytes: Vec<u8>,
    bad: bool,
}

fn good(bytes: Vec<u8>) -> Sample {
    Sample { bytes, bad: false }
}

fn flat_table() -> impl Strategy<Value = Vec<u8>> {
    vec(("[a-z]{1,9}", vec(any::<u8>(), 0..40)), 0..6).prop_map(|entries| {
        let mut table = Vec::new();
        for (key, value) in entries {
            table.extend(wire::short(key.as_bytes()));
            table.push(b'S');
            table.extend(wire::long(&value));
        }
        table
    })
}

fn header(table: &[u8]) -> Vec<u8> {
    wire::frame(2, 1, &wire::content_header(7, 0x2400, &[&wire::long(table)[..], b"\x02id"].concat()))
}

fn clean_frame() -> impl Strategy<Value = Sample> {
    prop_oneof![
        vec(any::<u8>(), 0..300).prop_map(|body| good(wire::frame(3, 1, &body))),
        (20_000_usize..131_064).prop_map(|length| good(wire::frame(3, 1, &vec![0xCE; length]))),
        Just(good(wire::frame(8, 0, b""))),
        "[a-z.]{0,30}".prop_map(|key| {
            let arguments =
                [&wire::short(b"tag")[..], &[0; 9], &wire::short(b"ex"), &wire::short(key.as_bytes())].concat();
            good(wire::method(1, 60, 60, &arguments))
        }),
        Just(good(wire::method(1, 60, 11, &[]))),
        flat_table().prop_map(|table| good(header(&table))),
        (0..table::MAX_DEPTH).prop_map(|depth| good(header(&wire::nested_tables(depth)))),
    ]
}

fn bad_frame() -> impl Strategy<Value = Sample> {
    prop_oneof![
        (table::MAX_DEPTH..18_000).prop_map(wire::nested_tables),
        (table::MAX_DEPTH..25_000).prop_map(wire::nested_arrays),
        Just(b"\x01kZ".to_vec()),
        Just(b"\x02\xff\xfeV".to_vec()),
        Just(b"\x09cut".to_vec()),
    ]
    .prop_map(|table| Sample { bytes: header(&table), bad: true })
}

fn opening() -> Vec<u8> {
    [wire::start(b"\x07productS\0\0\0\x04test"), wire::tune(2047, 131_072, 60), wire::method(0, 10, 41, b"\0")].concat()
}

fn stream(frames: &[Sample]) -> Vec<u8> {
    frames.iter().fold(opening(), |mut bytes, frame| {
        bytes.extend_from_slice(&frame.bytes);
        bytes
    })
}

proptest! {
    #[test]
    fn a_clean_stream_is_untouched(
        frames in vec(clean_frame(), 0..12),
        arrivals in vec(1_usize..4_000, 1..20),
    ) {
        let input = stream(&frames);
        prop_assert_eq!(run(&input, &arrivals), (input, 0, None));
    }

    #[test]
    fn chunks_do_not_matter(
        frames in vec(prop_oneof![3 => clean_frame(), 1 => bad_frame()], 0..8),
        arrivals in vec(prop_oneof![1_usize..12, 1_usize..80_000], 1..20),
        tail in vec(any::<u8>(), 0..20),
    ) {
        let mut input = stream(&frames);
        let (clean, changed, error) = whole(&input);
        prop_assert_eq!(error, None);
        prop_assert_eq!(changed, frames.iter().filter(|frame| frame.bad).count());
        prop_assert!(clean.len() <= input.len());
        prop_assert_eq!(&run(&input, &arrivals).0, &clean);
        // Valid frames in front of garbage pass, whatever the chunks are.
        input.extend_from_slice(&tail);
        prop_assert_eq!(run(&input, &arrivals), whole(&input));
    }

    #[test]
    fn garbage_never_panics(
        garbage in vec(any::<u8>(), 0..2_000),
        after_opening: bool,
        arrivals in vec(1_usize..300, 1..10),
    ) {
        let mut input = if after_opening { opening() } else { Vec::new() };
        input.extend_from_slice(&garbage);
        prop_assert_eq!(run(&input, &arrivals), whole(&input));
    }

    #[test]
    fn a_damaged_header_never_reaches_lapin(
        table in flat_table(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut payload = wire::content_header(7, 0x2400, &[&wire::long(&table)[..], b"\x02id"].concat());
        for (place, octet) in damage {
            let place = place.index(payload.len());
            payload[place] = octet;
        }
        assert_lapin_gets_a_frame(&wire::frame(2, 1, &payload));
    }

    #[test]
    fn an_arbitrary_header_never_reaches_lapin(flags: u16, properties in vec(any::<u8>(), 0..200)) {
        assert_lapin_gets_a_frame(&wire::frame(2, 1, &wire::content_header(7, flags, &properties)));
    }

    #[test]
    fn an_arbitrary_name_never_reaches_lapin(
        names in vec(vec(any::<u8>(), 0..20), 3),
        method in prop::sample::select(vec![60_u16, 71]),
    ) {
        let [a, b, c] = [0, 1, 2].map(|name: usize| wire::short(&names[name]));
        let arguments = match method {
            60 => [&a[..], &[0; 9], &b, &c].concat(),
            _ => [&[0; 9][..], &a, &b, &[0; 4]].concat(),
        };
        assert_lapin_gets_a_frame(&wire::method(1, 60, method, &arguments));
    }
}

/// Takes the frame through the guard, and what comes out through the very parser that lapin runs, which must take it
/// whole.
fn assert_lapin_gets_a_frame(frame: &[u8]) {
    use amq_protocol::frame::parse_frame;
    let (output, _, error) = whole(&[&opening()[..], frame].concat());
    assert_eq!(error, None);
    assert_eq!(whole(&output), (output.clone(), 0, None), "what the guard made is changed by another guard");
    let made = &output[opening().len()..];
    let (rest, _) = parse_frame(made).unwrap_or_else(|error| panic!("{error}: {made:?}"));
    assert!(rest.is_empty());
}

#[test]
fn deep_tables_are_dropped_and_the_message_stays() {
    for table in
        [wire::nested_tables(900), wire::nested_tables(5_000), wire::nested_tables(18_000), wire::nested_arrays(20_000)]
    {
        let (output, changed, error) = whole(&[opening(), header(&table), wire::frame(3, 1, b"content")].concat());
        assert_eq!((changed, error), (1, None));
        assert_eq!(output, [opening(), header(b""), wire::frame(3, 1, b"content")].concat());
    }
}

#[test]
fn a_deep_start_is_an_error() {
    let (output, _, error) = whole(&wire::start(&wire::nested_tables(900)));
    assert_eq!(output, b"");
    assert_eq!(error, Some(GuardError::ServerProperties(table::TableError::TooDeep)));
    assert!(error.unwrap().to_string().contains("nested deeper than 32"));
}

#[test]
fn a_method_with_a_table_that_only_clients_send_is_an_error() {
    let declare = [&b"\0\0\x01q\0"[..], &wire::long(&wire::nested_tables(900))].concat();
    let (output, _, error) = whole(&[opening(), wire::method(1, 50, 10, &declare)].concat());
    assert_eq!(output, opening());
    assert_eq!(error, Some(GuardError::ClientMethod { class: 50, method: 10 }));
}

#[test]
fn a_frame_beyond_what_was_agreed_is_an_error_that_says_so() {
    let opening = [wire::start(b""), wire::tune(0, 8_192, 0)].concat();
    let fits = wire::frame(3, 1, &[0; 8_184]);
    assert_eq!(whole(&[&opening[..], &fits].concat()).2, None);
    let (output, _, error) = whole(&[&opening[..], &wire::frame(3, 1, &[0; 8_185])].concat());
    assert_eq!(output, opening);
    assert_eq!(error.unwrap().to_string(), "the broker sent a body frame of 8193 bytes, the limit is 8192");
}

#[test]
fn a_header_beyond_frame_max_loses_its_table_and_not_the_connection() {
    let opening = [wire::start(b""), wire::tune(0, 4_096, 0)].concat();
    let table = [&b"\x01kS"[..], &wire::long(&[b'x'; 6_000])].concat();
    let (output, changed, error) = whole(&[&opening[..], &header(&table)].concat());
    assert_eq!((changed, error), (1, None));
    assert_eq!(output, [opening, header(b"")].concat());
}

#[test]
fn a_stream_out_of_step_is_an_error() {
    let mut body = wire::frame(3, 1, b"content");
    *body.last_mut().unwrap() = 0;
    let (output, _, error) = whole(&[opening(), body.clone()].concat());
    assert_eq!(output, [&opening()[..], &body[..body.len() - 1]].concat());
    assert_eq!(error, Some(GuardError::FrameEnd(0)));
    assert_eq!(whole(&[opening(), vec![9]].concat()).2, Some(GuardError::FrameType(9)));
}

#[test]
fn other_protocols_are_named_even_when_the_peer_says_little() {
    for (said, expected) in [
        (&b"AMQP\x03\x01\x00\x00"[..], "the peer speaks AMQP 1.0: use amqp:// or amqps://"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "the peer answers in TLS: use rabbits:// for this port"),
        (b"HTTP/1.1 400", "the peer answers in HTTP: use the AMQP port of the broker"),
        (b"no\n", "the peer does not speak AMQP 0-9-1: its first bytes are no\\n"),
    ] {
        let (output, _, error) = whole(said);
        assert_eq!((output, error.unwrap().to_string()), (Vec::new(), expected.to_owned()));
    }
}
