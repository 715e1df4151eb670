//! The frames that the driver writes itself.

use super::layout::{self, ACK, BASIC, BODY, FRAME_HEAD, HEADER, Method, PUBLISH, REJECT, SELECT};

/// Appends frames of one channel to a buffer.
pub(crate) struct Frames<'a> {
    bytes: &'a mut Vec<u8>,
    channel: u16,
    /// The largest payload of a frame, in bytes.
    max_payload: usize,
}

impl<'a> Frames<'a> {
    /// For a channel of a connection with this negotiated `frame_max`.
    pub(super) fn new(bytes: &'a mut Vec<u8>, channel: u16, frame_max: u32) -> Self {
        let max_payload = usize::try_from(frame_max).unwrap_or(usize::MAX).saturating_sub(FRAME_HEAD + 1).max(1);
        Self { bytes, channel, max_payload }
    }

    /// Enables confirms (`confirm.select` with `nowait`).
    pub(crate) fn confirm_select(&mut self) {
        self.method(SELECT, |bytes| bytes.push(1));
    }

    /// Publishes a message. `properties` are encoded, flags first.
    ///
    /// Names are truncated to 255 bytes.
    pub(crate) fn publish(&mut self, to: (&str, &str), mandatory: bool, properties: &[u8], body: &[u8]) {
        let (exchange, routing_key) = to;
        self.bytes.reserve(body.len() + properties.len() + exchange.len() + routing_key.len() + 64);
        self.method(PUBLISH, |bytes| {
            bytes.extend_from_slice(&[0, 0]);
            short_string(bytes, exchange);
            short_string(bytes, routing_key);
            bytes.push(u8::from(mandatory));
        });
        self.frame(HEADER, |bytes| {
            bytes.extend_from_slice(&BASIC.to_be_bytes());
            bytes.extend_from_slice(&[0, 0]);
            bytes.extend_from_slice(&(body.len() as u64).to_be_bytes());
            bytes.extend_from_slice(properties);
        });
        for part in body.chunks(self.max_payload) {
            self.frame(BODY, |bytes| bytes.extend_from_slice(part));
        }
    }

    /// Acknowledges a delivery, with `multiple` also every earlier one.
    pub(crate) fn ack(&mut self, tag: u64, multiple: bool) {
        self.method(ACK, |bytes| {
            bytes.extend_from_slice(&tag.to_be_bytes());
            bytes.push(u8::from(multiple));
        });
    }

    /// Rejects a delivery, to its queue (`requeue`) or its dead-letter exchange.
    pub(crate) fn reject(&mut self, tag: u64, requeue: bool) {
        self.method(REJECT, |bytes| {
            bytes.extend_from_slice(&tag.to_be_bytes());
            bytes.push(u8::from(requeue));
        });
    }

    fn method(&mut self, method: Method, arguments: impl FnOnce(&mut Vec<u8>)) {
        layout::method_frame(self.bytes, self.channel, method, arguments);
    }

    fn frame(&mut self, kind: u8, payload: impl FnOnce(&mut Vec<u8>)) {
        layout::frame(self.bytes, kind, self.channel, payload);
    }
}

/// Appends a short string, truncated to 255 bytes.
pub(crate) fn short_string(bytes: &mut Vec<u8>, text: &str) {
    let text = text.as_bytes();
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    bytes.push(length);
    bytes.extend_from_slice(&text[..text.len().min(length.into())]);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use amq_protocol::{
        frame::{AMQPContentHeader, AMQPFrame, WriteContext, gen_frame},
        protocol::{AMQPClass, BasicProperties, basic, confirm},
    };

    use super::*;

    fn reference(frames: &[AMQPFrame]) -> Vec<u8> {
        frames
            .iter()
            .fold(Vec::new(), |bytes, frame| gen_frame(frame)(WriteContext::from(bytes)).unwrap().into_inner().0)
    }

    fn written(frame_max: u32, write: impl FnOnce(&mut Frames<'_>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut Frames::new(&mut bytes, 7, frame_max));
        bytes
    }

    fn method(method: basic::AMQPMethod) -> AMQPFrame {
        AMQPFrame::Method(7, AMQPClass::Basic(method))
    }

    #[test]
    fn frames_equal_those_of_amq_protocol() {
        let ack = basic::Ack { delivery_tag: 1 << 40, multiple: true };
        assert_eq!(
            written(4096, |frames| frames.ack(1 << 40, true)),
            reference(&[method(basic::AMQPMethod::Ack(ack))])
        );
        let reject = basic::Reject { delivery_tag: 3, requeue: true };
        assert_eq!(
            written(4096, |frames| frames.reject(3, true)),
            reference(&[method(basic::AMQPMethod::Reject(reject))])
        );
        let select = AMQPClass::Confirm(confirm::AMQPMethod::Select(confirm::Select { nowait: true }));
        assert_eq!(written(4096, |frames| frames.confirm_select()), reference(&[AMQPFrame::Method(7, select)]));
    }

    #[test]
    fn a_body_is_split_at_the_frame_max() {
        let publish = basic::Publish {
            exchange: "openstack".into(),
            routing_key: "calculator".into(),
            mandatory: true,
            immediate: false,
        };
        let header = |body_size| {
            let properties = BasicProperties::default().with_priority(9);
            AMQPFrame::Header(7, AMQPContentHeader { class_id: 60, body_size, properties })
        };
        let body = |size| AMQPFrame::Body(7, vec![b'x'; size]);
        let publish = || method(basic::AMQPMethod::Publish(publish.clone()));
        for (size, parts) in [(0, vec![]), (10, vec![10]), (4088, vec![4088]), (9000, vec![4088, 4088, 824])] {
            let mut frames = vec![publish(), header(size as u64)];
            frames.extend(parts.into_iter().map(body));
            let ours = written(4096, |frames| {
                frames.publish(("openstack", "calculator"), true, &[0x08, 0, 9], &vec![b'x'; size]);
            });
            assert_eq!(ours, reference(&frames), "{size} bytes");
        }
    }
}
