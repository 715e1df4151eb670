#![allow(clippy::unwrap_used)]

use std::{collections::VecDeque, sync::Mutex};

use oxlo_transport::Payload;

use super::*;

/// Sends as the script says, and then well; keeps what was sent.
#[derive(Debug, Default)]
struct Scripted {
    script: Mutex<VecDeque<TransportError>>,
    sent: Mutex<Vec<(u32, String)>>,
    labels: Mutex<u32>,
}

impl ReplySender for Scripted {
    type Caller = &'static str;
    type Label = u32;
    type Body = String;

    fn reply_to<'a>(&self, caller: &'a &'static str) -> &'a str {
        caller
    }

    fn describe(&self, caller: &&'static str) -> Caller {
        Caller::new(*caller, "id")
    }

    fn heartbeat_interval(&self, _: &&'static str) -> Option<Duration> {
        None
    }

    fn label(&self) -> u32 {
        let mut labels = self.labels.lock().unwrap();
        *labels += 1;
        *labels
    }

    fn encode(&self, _: &&'static str, label: &u32, reply: &Reply) -> Result<String, TransportError> {
        let text = match reply {
            Reply::Result(payload) => String::from_utf8_lossy(payload.as_bytes()).into_owned(),
            Reply::Failure(failure) => failure.message.clone(),
        };
        Ok(format!("{label} {text}"))
    }

    fn give_up(&self, begun: Instant, deadline: Option<Instant>) -> Instant {
        deadline.unwrap_or(begun + Duration::from_secs(1))
    }

    fn attempt_until(&self, _: Instant, give_up: Instant) -> Instant {
        give_up
    }

    async fn send(&self, _: &&'static str, body: String, _: &SendBudget) -> Result<bool, TransportError> {
        let (label, text) = body.split_once(' ').unwrap();
        self.sent.lock().unwrap().push((label.parse().unwrap(), text.to_owned()));
        self.script.lock().unwrap().pop_front().map_or(Ok(true), Err)
    }

    async fn heartbeat(&self, _: &&'static str, _: &SendBudget) -> Result<bool, TransportError> {
        Ok(true)
    }

    fn verdict(&self, failed: &TransportError, attempt: Attempt) -> Verdict {
        match failed {
            TransportError::ConnectionLost { .. } if attempt.may_retry => Verdict::Retry,
            TransportError::Rejected { .. } => Verdict::Hold,
            TransportError::Topology { .. } if !attempt.is_substitute => {
                Verdict::Substitute(Failure::builtin("RuntimeError", "refused"))
            }
            _ => Verdict::GiveUp,
        }
    }
}

fn replies(script: Vec<TransportError>) -> Arc<Replies<Scripted>> {
    let sender = Scripted { script: Mutex::new(script.into()), ..Scripted::default() };
    Arc::new(Replies::new(sender, Duration::from_secs(60), 40))
}

async fn reply(replies: &Arc<Replies<Scripted>>, text: &str) -> Result<(), TransportError> {
    replies.replier("queue", None).reply(Reply::Result(Payload::from_raw(text.to_owned().into()))).await
}

fn sent(replies: &Replies<Scripted>) -> Vec<(u32, String)> {
    std::mem::take(&mut replies.sender.sent.lock().unwrap())
}

fn lost() -> TransportError {
    TransportError::ConnectionLost { source: None }
}

fn rejected() -> TransportError {
    TransportError::Rejected { routing_key: "queue".to_owned(), reason: "full".to_owned() }
}

fn refused() -> TransportError {
    TransportError::Topology { object: "queue".to_owned(), reason: "no".to_owned() }
}

#[tokio::test(start_paused = true)]
async fn a_reply_goes_again_under_its_label_until_there_is_no_time() {
    let answers = replies(vec![lost(), lost()]);
    reply(&answers, "1").await.unwrap();
    assert_eq!(sent(&answers), vec![(1, "1".to_owned()); 3]);
    let answers = replies((0..9).map(|_| lost()).collect());
    assert!(matches!(reply(&answers, "1").await, Err(TransportError::ConnectionLost { .. })));
    assert_eq!(sent(&answers).len(), 4, "within a second, a quarter of it apart");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_refused_or_too_large_is_replaced_once() {
    let answers = replies(vec![refused(), refused()]);
    assert!(matches!(reply(&answers, "1").await, Err(TransportError::Topology { .. })));
    assert_eq!(sent(&answers), [(1, "1".to_owned()), (1, "refused".to_owned())]);
    reply(&answers, &"1".repeat(50)).await.unwrap();
    assert_eq!(sent(&answers), [(2, "the reply has 52 bytes, the limit is 40".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn one_that_its_queue_does_not_take_is_held_and_those_after_it_wait() {
    let answers = replies(vec![rejected(), rejected()]);
    reply(&answers, "1").await.unwrap();
    reply(&answers, "2").await.unwrap();
    assert_eq!((sent(&answers).len(), answers.held.len()), (1, 2), "the second one was not sent");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(answers.held.is_empty());
    let delivered: Vec<u32> = sent(&answers).into_iter().map(|(label, _)| label).collect();
    assert!(delivered.contains(&1) && delivered.contains(&2), "{delivered:?}");
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_missing_is_an_error_that_names_it() {
    let missing = TransportError::Undeliverable { exchange: "x".to_owned(), routing_key: "y".to_owned() };
    let failed = reply(&replies(vec![missing]), "1").await.unwrap_err();
    assert!(
        matches!(&failed, TransportError::Undeliverable { routing_key, .. } if routing_key == "queue"),
        "{failed:?}"
    );
}
