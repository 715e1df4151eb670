//! Unusual but valid requests: a Python server and a Rust server treat each of them alike.

use oxlo_test_support::{PythonPeer, TestVhost, eventually};
use serde_json::{Value, json};

use crate::{
    fixture::{Ask, SOON, TOPIC, python_server, raw, with},
    twin::Twin,
};

/// A server's reply to one request: the call's id as returned, and the result or the fact of a failure.
async fn answer(raw: &mut PythonPeer, server: &str, message: &Value) -> Value {
    let order = json!({"op": "publish", "exchange": "openstack", "key": format!("{TOPIC}.{server}")});
    assert_eq!(raw.ok(with(order, message.clone())).await, true);
    let reply = raw.ok(json!({"op": "get", "queue": "reply_odd"})).await;
    let envelope: Value = serde_json::from_str(reply["body"].as_str().expect("an answer")).unwrap();
    let reply: Value = serde_json::from_str(envelope["oslo.message"].as_str().unwrap()).unwrap();
    json!({"id": reply["_msg_id"], "failed": !reply["failure"].is_null(), "result": reply["result"]})
}

/// A call of `echo` without an envelope, with additional members.
fn request(further: Value) -> Value {
    with(json!({"method": "echo", "args": {"value": "\u{e9}"}, "_msg_id": "a", "_reply_q": "reply_odd"}), further)
}

fn hex(bytes: impl IntoIterator<Item = u8>) -> Value {
    let digits: String = bytes.into_iter().map(|byte| format!("{byte:02x}")).collect();
    json!({"hex": digits})
}

fn encoded(at: usize, encoding: &str, encode: impl Fn(&str) -> Vec<u8>) -> (String, Value) {
    let text = request(json!({"_unique_id": format!("encoded{at}")})).to_string();
    let properties = json!({"content_type": "application/json", "content_encoding": encoding});
    (encoding.to_owned(), json!({"body": hex(encode(&text)), "properties": properties}))
}

fn little_endian(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// UTF-8 padded with spaces to a length with this remainder.
fn of_length(text: &str, remainder: usize) -> Vec<u8> {
    let padding = if text.len() % 2 == remainder { "" } else { " " };
    [text.as_bytes(), padding.as_bytes()].concat()
}

fn latin_1(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(u32::from(character)).unwrap()).collect()
}

fn messages() -> Vec<(String, Value)> {
    let members = [
        json!({"version": 1.0}),
        json!({"version": 1}),
        json!({"version": true}),
        json!({"version": [1]}),
        json!({"namespace": 7}),
        json!({"namespace": false}),
        json!({"method": 7}),
        json!({"method": null}),
        json!({"_msg_id": 7}),
        json!({"_msg_id": 1.5}),
        json!({"_msg_id": [1]}),
        json!({"_msg_id": true}),
        json!({"_unique_id": 77}),
        json!({"_unique_id": "77"}),
        json!({"_unique_id": [77]}),
        json!({"args": null}),
        json!({"args": [1]}),
        json!({"args": "x"}),
    ];
    let mut messages: Vec<_> = members
        .into_iter()
        .enumerate()
        .map(|(at, member)| {
            let unique = json!({"_unique_id": format!("member{at}")});
            (member.to_string(), json!({"body": with(request(unique), member).to_string()}))
        })
        .collect();
    messages.extend([
        encoded(0, "utf-16", |text| [vec![0xff, 0xfe], little_endian(text)].concat()),
        encoded(1, "utf-16", little_endian),
        encoded(2, "UTF-16LE", little_endian),
        encoded(3, "utf-16-be", |text| text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        encoded(4, "utf-32", |text| text.chars().flat_map(|it| u32::from(it).to_le_bytes()).collect()),
        encoded(5, "latin-1", latin_1),
        encoded(6, "ISO-8859-1", latin_1),
        encoded(7, "utf-8-sig", |text| [b"\xef\xbb\xbf", text.as_bytes()].concat()),
        encoded(8, "latin-1", |text| text.as_bytes().to_vec()),
        encoded(9, "us-ascii", |text| text.as_bytes().to_vec()),
        encoded(10, "binary", |text| text.as_bytes().to_vec()),
        encoded(11, "nonsense", |text| text.as_bytes().to_vec()),
        // Half a character is not UTF-16, so it is read as UTF-8.
        encoded(15, "utf-16", |text| of_length(text, 1)),
    ]);
    messages
}

/// Python rejects without an answer: a body that cannot be decoded, and any other content type.
fn unanswered() -> Vec<(String, Value)> {
    let text = request(json!({"_unique_id": "charset"})).to_string();
    let properties = json!({"content_type": "application/json; charset=latin-1", "content_encoding": "latin-1"});
    vec![
        encoded(12, "utf-8", latin_1),
        encoded(13, "utf-8", little_endian),
        encoded(14, "utf-16", |text| of_length(text, 0)),
        ("charset".to_owned(), json!({"body": hex(latin_1(&text)), "properties": properties})),
    ]
}

#[tokio::test]
async fn odd_requests_are_answered_as_python_answers_them() {
    let vhost = TestVhost::new().await;
    let url = vhost.url();
    let (_python, _rust, mut raw) = tokio::join!(python_server(&url, "python"), Twin::start(&url, "rust"), raw(&url));
    raw.ok(json!({"op": "declare", "queue": "reply_odd"})).await;
    for (what, message) in messages() {
        let python = answer(&mut raw, "python", &message).await;
        assert_eq!(answer(&mut raw, "rust", &message).await, python, "{what}");
    }
    for (what, message) in unanswered() {
        for server in ["python", "rust"] {
            let order = json!({"op": "publish", "exchange": "openstack", "key": format!("{TOPIC}.{server}")});
            assert_eq!(raw.ok(with(order, message.clone())).await, true, "{what}");
        }
    }
    // A reply to one of them would arrive before the reply to a later request, or be left over.
    for server in ["python", "rust"] {
        let last = json!({"body": request(json!({"_msg_id": "last", "_unique_id": "last"})).to_string()});
        assert_eq!(answer(&mut raw, server, &last).await["id"], "last");
        let drained = async || vhost.queue(&format!("{TOPIC}.{server}")).await.map(|it| it.messages);
        eventually(SOON, "the requests are taken", drained, |left| *left == Some(0)).await;
    }
    assert_eq!(vhost.queue("reply_odd").await.map(|it| it.messages), Some(0));
}
