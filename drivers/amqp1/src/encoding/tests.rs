use proptest::prelude::*;

use super::{
    length::{Malformed, Reader},
    *,
};

fn length(bytes: &[u8]) -> Result<usize, Malformed> {
    super::length::length(bytes, Reader::Raw)
}

/// A list in a list in a list.
fn nested(levels: usize) -> Vec<u8> {
    let mut value = vec![0x45];
    for _ in 1..levels {
        let mut outer = vec![0xd0];
        outer.extend_from_slice(&u32::try_from(value.len() + 4).unwrap().to_be_bytes());
        outer.extend_from_slice(&1_u32.to_be_bytes());
        outer.append(&mut value);
        value = outer;
    }
    value
}

#[test]
fn values_of_all_widths_are_measured() {
    let list = [0xc0, 6, 3, 0x40, 0x52, 7, 0x41, 0x00];
    assert_eq!(length(&list[..7]), Err(Malformed::Truncated));
    let list = [0xc0, 5, 3, 0x40, 0x52, 7, 0x41, 0xff];
    assert_eq!(length(&list), Ok(7), "what follows is not looked at");
    assert_eq!(length(b"\xa1\x02hi"), Ok(4));
    assert_eq!(length(b"\xb1\0\0\0\x02hi"), Ok(7));
    assert_eq!(length(&[0x98; 17]), Ok(17));
    // Described by a number, and by a symbol.
    assert_eq!(length(&[0, 0x53, 0x24, 0x45]), Ok(4));
    assert_eq!(length(b"\0\xa3\x03abc\x45"), Ok(7));
    // Arrays: of symbols, of described lists, of nothing.
    assert_eq!(length(b"\xe0\x08\x02\xa3\x02ab\x02cd"), Ok(10));
    assert_eq!(length(&[0xe0, 6, 2, 0, 0x53, 0x24, 0x45, 0xff]), Err(Malformed::Contradiction));
    assert_eq!(length(&[0xe0, 5, 2, 0, 0x53, 0x24, 0x45]), Ok(7));
}

#[test]
fn nesting_ends_where_it_should() {
    assert!(length(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(length(&nested(MAX_DEPTH + 2)), Err(Malformed::TooDeep));
    assert_eq!(length(&nested(3_000)), Err(Malformed::TooDeep));
    let described: Vec<u8> = [0, 0x44].repeat(100_000);
    assert_eq!(length(&described), Err(Malformed::TooDeep));
}

#[test]
fn bytes_and_elements_must_agree() {
    for wrong in [
        &[0xc0, 4, 1, 0x40, 0x40, 0x40][..],
        &[0xc0, 2, 2, 0x40, 0x40],
        &[0xc0, 1, 200],
        &[0xd0, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff],
        &[0xf0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x40],
    ] {
        assert_eq!(length(wrong), Err(Malformed::Contradiction), "{wrong:?}");
    }
    assert_eq!(length(&[0xd0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]), Err(Malformed::Truncated));
    assert_eq!(length(&[0x3f]), Err(Malformed::UnknownType));
    assert_eq!(length(&[]), Err(Malformed::Truncated));
}

#[test]
fn what_serde_amqp_reads_otherwise_is_not_given_to_it() {
    // To serde_amqp the type of the elements of an empty array begins the next value: here a list of one value, which
    // lies in the binary that follows.
    let deep = nested(3_000);
    let size = u32::try_from(deep.len() + 4).unwrap().to_be_bytes();
    let shifted = [&size[..], &1_u32.to_be_bytes(), &deep].concat();
    let binary = [&[0xb0][..], &u32::try_from(shifted.len()).unwrap().to_be_bytes(), &shifted].concat();
    let fields = [&[0xe0, 2, 0, 0xd0][..], &binary].concat();
    let size = u32::try_from(fields.len() + 4).unwrap().to_be_bytes();
    let list = [&[0xd0][..], &size, &2_u32.to_be_bytes(), &fields].concat();
    assert_eq!(length(&list), Ok(list.len()));
    for array in [&list[..], &[0xe0, 5, 2, 0, 0x53, 0x24, 0x45], &[0xe0, 6, 2, 0xc0, 1, 0, 1, 0]] {
        assert_eq!(super::length::length(array, Reader::SerdeAmqp), Err(Malformed::Array));
    }
    assert_eq!(super::length::length(b"\xe0\x08\x02\xa3\x02ab\x02cd", Reader::SerdeAmqp), Ok(10));
    assert_eq!(length(&[0xc1, 4, 3, 0x40, 0x40, 0x40]), Err(Malformed::Contradiction), "a key without a value");
}

#[test]
fn fields_are_read() {
    let contradictory = [0, 0x53, 0x70, 0xc0, 6, 3, 0x41, 0x40, 0x70, 0, 0, 1, 0];
    assert!(Raw::first(&contradictory).is_err(), "six bytes are not enough for three elements");
    let bytes = [0, 0x53, 0x70, 0xc0, 8, 3, 0x41, 0x40, 0x70, 0, 0, 1, 0];
    let (value, _) = Raw::first(&bytes).unwrap();
    let (descriptor, header) = value.described().unwrap();
    let fields: Vec<_> = header.elements().collect();
    assert_eq!((descriptor, fields.len()), (0x70, 3));
    assert_eq!((fields[0].boolean(), fields[1].is_null(), fields[2].unsigned()), (Some(true), true, Some(256)));
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(length) = length(&bytes) {
            prop_assert!(length > 0 && length <= bytes.len());
            let (value, _) = Raw::first(&bytes).unwrap();
            let _ = (value.described(), value.text(), value.elements().count());
        }
    }

    #[test]
    fn nothing_that_begins_like_a_value_makes_it_panic(
        bytes in prop::collection::vec(prop::sample::select(&[0_u8, 1, 2, 3, 5, 0x40, 0x45, 0x53, 0xa1, 0xc0, 0xd0, 0xe0, 0xf0][..]), 0..60)
    ) {
        if let Ok(length) = length(&bytes) {
            prop_assert!(length <= bytes.len());
        }
    }
}
