use amq_protocol::{
    protocol::basic::parse_properties,
    types::{AMQPType, FieldTable},
};
use oxlo_wire::envelope::Poison;

use super::{
    body::{UNCHECKED_SIZE, compress},
    *,
};

const LIMIT: usize = 1 << 20;

fn outgoing(id: Uuid, expiration: Option<Duration>, compression: Option<CompressionAlgorithm>) -> Received {
    let bytes = super::outgoing(id, expiration, compression);
    let (rest, properties) = parse_properties(bytes.as_slice()).unwrap();
    assert!(rest.is_empty());
    assert_eq!(encode(&properties).unwrap(), bytes);
    received(&properties)
}

fn received(properties: &BasicProperties) -> Received {
    let received = Received::new(&encode(properties).unwrap());
    assert_eq!(received.all(), *properties);
    received
}

fn json_properties() -> BasicProperties {
    BasicProperties::default().with_content_type(JSON.into())
}

#[test]
fn a_call_carries_what_python_sends_and_a_message_id() {
    let id = Uuid::from_u128(7);
    let properties = outgoing(id, Some(Duration::from_millis(1500)), None);
    let expected = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_headers(FieldTable::default())
        .with_delivery_mode(2)
        .with_priority(0)
        .with_expiration("1500".into())
        .with_message_id("00000000000000000000000000000007".into());
    assert_eq!(properties.all(), expected);
    assert_eq!(message_id(&properties), Some(id));
    assert_eq!(expiration(&properties), Some(Duration::from_millis(1500)));
    assert_eq!(expiration(&outgoing(id, None, None)), None, "a cast does not expire");
    assert_eq!(expiration(&outgoing(id, Some(Duration::from_micros(1)), None)), Some(Duration::from_millis(1)));
    assert_eq!(outgoing(id, Some(Duration::MAX), None).expiration(), Some("315360000000"), "ten years");
}

#[test]
fn only_json_is_read() {
    for (properties, wanted) in [
        (BasicProperties::default(), "content type none is not application/json"),
        (
            BasicProperties::default().with_content_type("text/plain".into()),
            "content type `text/plain` is not application/json",
        ),
        (
            BasicProperties::default().with_content_type("application/octet-stream".into()),
            "content type `application/octet-stream` is not application/json",
        ),
    ] {
        assert_eq!(body(&received(&properties), b"{}".as_slice().into(), LIMIT).unwrap_err().to_string(), wanted);
    }
    for encoding in ["utf-8", "binary"] {
        assert!(
            body(&received(&json_properties().with_content_encoding(encoding.into())), b"{}".as_slice().into(), LIMIT)
                .is_ok()
        );
    }
    assert!(body(&received(&json_properties()), b"{}".as_slice().into(), LIMIT).is_ok());
}

#[test]
fn kombus_gzip_is_zlib_both_ways() {
    let packed = compress(b"{\"a\": 1}", CompressionAlgorithm::Zlib);
    assert_eq!(packed[0], 0x78, "RFC 1950, not RFC 1952");
    let read = body(&outgoing(Uuid::nil(), None, Some(CompressionAlgorithm::Zlib)), packed.into(), LIMIT).unwrap();
    assert_eq!(read, "{\"a\": 1}");
}

#[test]
fn bzip2_goes_both_ways() {
    let packed = compress(b"{\"a\": 1}", CompressionAlgorithm::Bzip2);
    assert_eq!(&packed[..3], b"BZh");
    let read = body(&outgoing(Uuid::nil(), None, Some(CompressionAlgorithm::Bzip2)), packed.into(), LIMIT).unwrap();
    assert_eq!(read, "{\"a\": 1}");
    let bomb = compress(&vec![b'['; 8 << 20], CompressionAlgorithm::Bzip2);
    let refused =
        body(&outgoing(Uuid::nil(), None, Some(CompressionAlgorithm::Bzip2)), bomb.into(), LIMIT).unwrap_err();
    assert!(matches!(refused, Poison::TooLarge { .. }), "{refused}");
}

#[test]
fn a_body_that_unpacks_beyond_the_limit_is_stopped_there() {
    let packed = compress(&vec![b'['; 8 << 20], CompressionAlgorithm::Zlib);
    assert!(packed.len() < LIMIT);
    let refused =
        body(&outgoing(Uuid::nil(), None, Some(CompressionAlgorithm::Zlib)), packed.into(), LIMIT).unwrap_err();
    assert!(matches!(refused, Poison::TooLarge { .. }), "{refused}");
}

/// Bodies of the same ratio on either side of the unchecked size, and a large body with an ordinary ratio.
#[test]
fn a_body_that_is_packed_too_tightly_is_stopped_early() {
    const MOST: usize = 16 << 20;
    for packing in [CompressionAlgorithm::Zlib, CompressionAlgorithm::Bzip2] {
        let read =
            |text: &[u8]| body(&outgoing(Uuid::nil(), None, Some(packing)), compress(text, packing).into(), MOST);
        assert_eq!(read(&vec![b'0'; UNCHECKED_SIZE]).unwrap().len(), UNCHECKED_SIZE);
        let refused = read(&vec![b'0'; 8 << 20]).unwrap_err();
        assert!(matches!(refused, Poison::Inflates { limit, .. } if limit < 2 * UNCHECKED_SIZE), "{refused}");
        let records: String =
            (0..100_000).map(|n| format!(r#"{{"id": {n}, "state": "ACTIVE", "host": null}}, "#)).collect();
        assert_eq!(read(records.as_bytes()).unwrap().len(), records.len());
    }
}

#[test]
fn what_would_be_refused_packed_is_sent_as_it_is() {
    for packing in [CompressionAlgorithm::Zlib, CompressionAlgorithm::Bzip2] {
        let tight = vec![b'0'; 8 << 20];
        assert_eq!(compress_if_accepted(tight.clone(), Some(packing)), (tight, None));
        let usual = vec![b'0'; UNCHECKED_SIZE];
        assert_eq!(compress_if_accepted(usual.clone(), Some(packing)), (compress(&usual, packing), Some(packing)));
        assert_eq!(compress_if_accepted(usual.clone(), None), (usual, None));
    }
}

#[test]
fn other_compressions_are_named() {
    let mut headers = FieldTable::default();
    headers.insert("compression".into(), AMQPValue::LongString("application/x-lzma".into()));
    assert_eq!(headers.inner()["compression"].get_type(), AMQPType::LongString);
    let refused =
        body(&received(&json_properties().with_headers(headers)), b"BZh9".as_slice().into(), LIMIT).unwrap_err();
    assert_eq!(refused.to_string(), "compression `application/x-lzma` is not supported");
    let torn = body(&outgoing(Uuid::nil(), None, Some(CompressionAlgorithm::Zlib)), b"{}".as_slice().into(), LIMIT)
        .unwrap_err();
    assert_eq!(torn.to_string(), "cannot decompress the body as zlib, which its header `compression` names");
}
