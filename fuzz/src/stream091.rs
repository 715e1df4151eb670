//! AMQP 0-9-1: a broker's bytes before lapin.

use amq_protocol::frame::{AMQPFrame, parse_frame};
use oxlo_driver_rabbit::__fuzz as driver;

/// The input is the chunking of the bytes, then the bytes: verbatim, or each part as the content of a frame.
pub(crate) fn check(data: &[u8]) {
    let Some((&[_, arrival, other], _)) = data.split_first_chunk::<3>() else { return };
    let input = amqp091_bytes(data);
    let whole = driver::stream(&input, &[]);
    let sizes = |octet: u8| [usize::from(octet) + 1, usize::from(octet >> 4) * 40 + 1, 3];
    assert_eq!(driver::stream(&input, &sizes(arrival)), whole, "the result depends on the chunking");

    let taken = driver::ports(&input, &[]);
    assert_eq!(driver::ports(&input, &sizes(other)), taken, "the result depends on the chunking");
    let (messages, _, error) = taken;
    assert!(whole.2.is_none() || error.is_some(), "an error was ignored");
    assert!(messages.iter().map(|(_, body)| body.len()).sum::<usize>() <= input.len());

    let (output, changed, error) = whole;
    assert!(output.len() <= input.len());
    assert!(changed > 0 || input.starts_with(&output), "a change was not counted");
    assert!(changed > 0 || error.is_some() || input.starts_with(&output));
    let (again, changed, _) = driver::stream(&output, &[]);
    assert_eq!((&again, changed), (&output, 0), "the guard is idempotent");
    readable(&output);
}

/// The broker's bytes for an input of the target `amqp091_stream`.
#[must_use]
pub fn amqp091_bytes(data: &[u8]) -> Vec<u8> {
    let Some((&[how, ..], bytes)) = data.split_first_chunk::<3>() else { return Vec::new() };
    let mut input = if how & 1 == 0 { Vec::new() } else { opening(if how & 4 == 0 { 131_072 } else { 4_096 }) };
    if how & 2 == 0 {
        input.extend_from_slice(bytes);
    } else {
        frames(&mut input, bytes);
    }
    input
}

/// Checks that lapin parses each frame without overflowing the stack, and each content header without an error.
fn readable(mut output: &[u8]) {
    while let Some(head) = output.first_chunk::<7>() {
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize + 8;
        let Some((frame, rest)) = output.split_at_checked(size) else { return };
        let parsed = parse_frame(frame);
        match head[0] {
            2 => {
                assert!(matches!(parsed, Ok((&[], AMQPFrame::Header(..)))), "lapin would close the connection")
            }
            3 => assert!(matches!(parsed, Ok((&[], AMQPFrame::Body(..))))),
            // Only the broker writes these, and lapin reports them as errors without aborting.
            _ => drop(parsed),
        }
        output = rest;
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, channel: u8, payload: &[u8]) {
    out.extend_from_slice(&[kind, 0, channel]);
    out.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
    out.extend_from_slice(payload);
    out.push(0xCE);
}

/// `connection.start` without properties, and `connection.tune`.
fn opening(frame_max: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let start = [&[0, 10, 0, 10, 0, 9, 0, 0, 0, 0, 0, 0, 0, 5][..], b"PLAIN", &[0, 0, 0, 5], b"en_US"].concat();
    frame(&mut out, 1, 0, &start);
    let tune = [&[0, 10, 0, 30, 7, 255][..], &frame_max.to_be_bytes(), &[0, 60]].concat();
    frame(&mut out, 1, 0, &tune);
    out
}

/// Parts with a header: one octet for the kind, two for the length.
fn frames(out: &mut Vec<u8>, mut bytes: &[u8]) {
    while let Some((&[what, high, low], rest)) = bytes.split_first_chunk::<3>() {
        let (content, rest) = rest.split_at(rest.len().min(usize::from(u16::from_be_bytes([high, low]))));
        bytes = rest;
        let header = |flags: u8| [&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, flags, 0][..]].concat();
        match what % 8 {
            0 => frame(out, 3, 1, content),
            1 => frame(out, 8, 0, content),
            2 => frame(out, 1, 1, &[&[0, 60, 0, 60][..], content].concat()),
            3 => frame(out, 1, 1, &[&[0, 60, 0, 50][..], content].concat()),
            4 => frame(out, 1, 1, &[&[0, 60, 0, 71][..], content].concat()),
            5 => frame(out, 1, what / 8, content),
            // A header table.
            6 => {
                let length = u32::try_from(content.len()).unwrap().to_be_bytes();
                frame(out, 2, 1, &[&header(0x20)[..], &length, content].concat());
            }
            // A whole header.
            _ => frame(out, 2, 1, &[&header(content.first().copied().unwrap_or(0))[..], content].concat()),
        }
    }
}
