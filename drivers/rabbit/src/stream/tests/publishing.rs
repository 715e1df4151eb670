//! What the broker says of publishing is told and withheld, however it arrives.

use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;

use super::wire;
use crate::stream::guard::Guard;
use crate::stream::guard::publishing::News;
use crate::stream::inbound::{Inbound, Notice};

/// What lapin gets of `input`, and what is told, when it arrives in chunks of the given sizes.
fn run(input: &[u8], arrivals: &[usize]) -> (Vec<u8>, Vec<News>) {
    let mut inbound = Inbound::new(Guard::new(0));
    let mut arrivals = arrivals.iter().copied().cycle();
    let (mut output, mut told, mut left) = (Vec::new(), Vec::new(), input);
    let mut out = [0; 4096];
    loop {
        let taken = inbound.take(&mut out, |notice| match notice {
            Notice::News(news) => told.push(news),
            Notice::Changed(reason) => panic!("{reason:?}"),
        });
        match taken.unwrap() {
            0 if left.is_empty() => return (output, told),
            0 => {
                let space = inbound.space();
                let bytes = arrivals.next().unwrap_or(usize::MAX).min(left.len()).min(space.len());
                let (now, later) = left.split_at(bytes);
                space[..bytes].copy_from_slice(now);
                left = later;
                inbound.filled(bytes);
            }
            bytes => output.extend_from_slice(&out[..bytes]),
        }
    }
}

/// Frames, what lapin gets of them, and what is told.
#[derive(Clone, Debug)]
struct Sample {
    bytes: Vec<u8>,
    shown: bool,
    told: Option<News>,
}

fn settled(channel: u16, tag: u64, multiple: bool, acked: bool) -> Sample {
    let flags = u8::from(multiple) | if acked { 0 } else { 2 };
    let arguments = [&tag.to_be_bytes()[..], &[flags]].concat();
    let bytes = wire::method(channel, 60, if acked { 80 } else { 120 }, &arguments);
    Sample { bytes, shown: false, told: Some(News::Settled { channel, tag, multiple, acked }) }
}

fn returned(channel: u16, id: u128, body: &[u8]) -> Sample {
    let id = Uuid::from_u128(id);
    let arguments = [&[1, 56][..], &wire::short(b"NO_ROUTE"), &wire::short(b"ex"), &wire::short(b"\xc3(")].concat();
    // Headers, expiration and message id.
    let text = id.simple().to_string();
    let properties = [&wire::long(b"")[..], &wire::short(b"1000"), &wire::short(text.as_bytes())].concat();
    let header = wire::content_header(body.len() as u64, 0x2000 | 0x0100 | 0x0080, &properties);
    let mut bytes = [wire::method(channel, 60, 50, &arguments), wire::frame(2, channel, &header)].concat();
    for part in body.chunks(1000) {
        bytes.extend(wire::frame(3, channel, part));
    }
    Sample { bytes, shown: false, told: Some(News::Returned { channel, id }) }
}

fn sample() -> impl Strategy<Value = Sample> {
    prop_oneof![
        (1..4_u16, any::<u64>(), any::<bool>(), any::<bool>())
            .prop_map(|(channel, tag, multiple, acked)| { settled(channel, tag, multiple, acked) }),
        (1..4_u16, any::<u128>(), vec(any::<u8>(), 0..5000))
            .prop_map(|(channel, id, body)| { returned(channel, id, &body) }),
        Just(Sample { bytes: wire::method(1, 85, 11, &[]), shown: false, told: None }),
        (1..4_u16).prop_map(|channel| {
            let arguments = [&[1, 148][..], &wire::short(b"NOT_FOUND"), &[0; 4]].concat();
            let bytes = wire::method(channel, 20, 40, &arguments);
            Sample { bytes, shown: true, told: Some(News::ChannelClosed { channel }) }
        }),
        vec(any::<u8>(), 0..300)
            .prop_map(|body| { Sample { bytes: wire::delivery(1, b"tag", 1, b"", &body), shown: true, told: None } }),
        Just(Sample { bytes: wire::frame(8, 0, b""), shown: true, told: None }),
    ]
}

proptest! {
    #[test]
    fn it_is_told_in_order_and_withheld_from_lapin(
        samples in vec(sample(), 0..12),
        arrivals in vec(prop_oneof![1_usize..12, 1_usize..9_000], 1..20),
    ) {
        let opening = [wire::start(b""), wire::tune(2047, 131_072, 60)].concat();
        let input: Vec<u8> = samples.iter().fold(opening.clone(), |all, next| [&all[..], &next.bytes].concat());
        let shown: Vec<u8> =
            samples.iter().filter(|next| next.shown).fold(opening, |all, next| [&all[..], &next.bytes].concat());
        let told: Vec<News> = samples.iter().filter_map(|next| next.told).collect();
        prop_assert_eq!(run(&input, &arrivals), (shown, told));
    }
}

#[test]
fn content_of_two_channels_may_take_turns() {
    let (one, two) = (returned(1, 7, b"one"), returned(2, 8, b"two"));
    let delivery = wire::delivery(3, b"tag", 1, b"", b"body");
    let size = |bytes: &[u8]| 8 + usize::from(bytes[6]) + 256 * usize::from(bytes[5]);
    let mut input = [wire::start(b""), wire::tune(2047, 131_072, 60)].concat();
    let opening = input.clone();
    let (mut a, mut b) = (&one.bytes[..], &two.bytes[..]);
    while !a.is_empty() {
        for rest in [&mut a, &mut b] {
            let (frame, later) = rest.split_at(size(rest));
            input.extend_from_slice(frame);
            *rest = later;
        }
    }
    input.extend_from_slice(&delivery);
    let (shown, told) = run(&input, &[usize::MAX]);
    assert_eq!(shown, [opening, delivery].concat());
    assert_eq!(told, [one.told.unwrap(), two.told.unwrap()]);
}
