//! The counted paths: the work of drivers per call, without broker and runtime.

use std::{
    hint::black_box,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use oxlo_driver_kit::pending::PendingCalls;
use oxlo_transport::{
    Payload,
    json::Limits,
    message::{Reply, Request},
};
use oxlo_wire::{
    reply::{self, ReplyPart},
    request::{self, CallLabels, Labels},
};

/// The length of the text in a call, as in `oxlo-bench`.
const TEXT: usize = 270;
const MINUTE: Duration = Duration::from_secs(60);
const ID: &str = "c43db2cf6fef4e459052653534e37c4a";
const UNIQUE: &str = "8ace41576c8f4233bd858831e9908f71";
const QUEUE: &str = "reply_2c5b1afb859e409a94903388b7dc0fc1";

/// A code path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    EncodeRequest,
    DecodeRequest,
    EncodeReply,
    DecodeReply,
    /// Registers a call, delivers its reply, and takes it.
    Pending,
}

impl Path {
    pub(crate) const ALL: [Self; 5] =
        [Self::EncodeRequest, Self::DecodeRequest, Self::EncodeReply, Self::DecodeReply, Self::Pending];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::EncodeRequest => "encode_request",
            Self::DecodeRequest => "decode_request",
            Self::EncodeReply => "encode_reply",
            Self::DecodeReply => "decode_reply",
            Self::Pending => "pending",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|path| path.name() == name)
    }

    /// Executes the path `times` times.
    pub(crate) fn run(self, times: usize) -> anyhow::Result<()> {
        let result = Payload::encode(&"x".repeat(TEXT))?;
        match self {
            Self::EncodeRequest => {
                let request = asked()?;
                for _ in 0..times {
                    black_box(request::encode(black_box(&request), &labels())?);
                }
            }
            Self::DecodeRequest => {
                let body = Bytes::from(request::encode(&asked()?, &labels())?);
                for _ in 0..times {
                    black_box(request::decode(black_box(&body), Limits::default())?);
                }
            }
            Self::EncodeReply => {
                let reply = Reply::Result(result);
                for _ in 0..times {
                    black_box(reply::encode(black_box(ID), UNIQUE, black_box(&reply))?);
                }
            }
            Self::DecodeReply => {
                let body = Bytes::from(reply::encode(ID, UNIQUE, &Reply::Result(result))?);
                for _ in 0..times {
                    black_box(reply::decode(black_box(&body), Limits::default())?);
                }
            }
            Self::Pending => pending(times, &result)?,
        }
        Ok(())
    }
}

fn pending(times: usize, result: &Payload) -> anyhow::Result<()> {
    let calls = PendingCalls::new();
    // As many other calls are pending as in the benchmark scenario.
    let others: Vec<_> = (0..64).map(|_| calls.register(MINUTE, None)).collect::<Result<_, _>>()?;
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..times {
        let mut call = calls.register(MINUTE, None)?;
        let id = call.message_id();
        ensure!(calls.deliver(&id, ReplyPart::Final(Some(Reply::Result(result.clone())))), "the call is not pending");
        let Poll::Ready(reply) = Pin::new(&mut call).poll(&mut context) else {
            anyhow::bail!("the reply is not ready")
        };
        black_box(reply.context("the call failed")?);
    }
    drop(others);
    Ok(())
}

fn asked() -> anyhow::Result<Request> {
    let args = Payload::encode(&serde_json::json!({"value": "x".repeat(TEXT)}))?;
    Ok(Request { version: Some("1.0".into()), ..Request::new("echo", args) })
}

fn labels() -> Labels<'static> {
    let call = CallLabels { message_id: black_box(ID), reply_queue: black_box(QUEUE), monitor_timeout: None };
    Labels { unique_id: black_box(UNIQUE), call: Some(call) }
}
