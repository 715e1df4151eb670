#![allow(clippy::unwrap_used)]

use std::{collections::VecDeque, sync::Mutex};

use oxlo_transport::{Settlement, budget::Budget};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    duplicates::Duplicates,
    intake::{Intake, Marks, Read},
    link::{AttemptError, Dialler, Pace, Plan, Role},
    resend::{Deferring, Resend},
    send_budget::SendBudget,
    supervisor::Failover,
};

/// A connection that lasts until it is cut.
struct Incarnation(CancellationToken);

impl Session for Incarnation {
    async fn ended(&self) {
        self.0.cancelled().await;
    }
}

/// Connects at once, unless the broker is away.
#[derive(Clone, Default)]
struct Host {
    is_away: Arc<Mutex<bool>>,
    cut: Arc<Mutex<CancellationToken>>,
}

impl Dialler for Host {
    const SYSTEM: &'static str = "test";
    type Session = Incarnation;
    type ConnectionGuard = ();

    async fn open(&self, _: usize) -> Result<(Arc<Incarnation>, ()), AttemptError> {
        if *self.is_away.lock().unwrap() {
            return Err(AttemptError::passing("mq:1".to_owned(), Duration::ZERO, None));
        }
        let token = CancellationToken::new();
        *self.cut.lock().unwrap() = token.clone();
        Ok((Arc::new(Incarnation(token)), ()))
    }

    async fn follow(&self, session: &Incarnation, (): &mut ()) -> String {
        session.ended().await;
        "cut".to_owned()
    }

    fn abandon(&self, _: &Incarnation, (): ()) {}

    async fn farewell(&self, _: &Incarnation, (): ()) {}
}

type Settler = Box<dyn FnOnce(Settlement) + Send>;

/// Attempts to subscribe end as the script says, and then well.
struct Scripted {
    script: VecDeque<AttachError>,
    log: mpsc::UnboundedSender<&'static str>,
    lost: Arc<Notify>,
    drained: Arc<Notify>,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

impl Source for Scripted {
    type Session = Incarnation;
    type Live = ();

    async fn subscribe(&mut self, _: &Arc<Incarnation>) -> Result<(), AttachError> {
        let _ = self.log.send("subscribe");
        self.script.pop_front().map_or(Ok(()), Err)
    }

    async fn take(&mut self, (): &mut ()) -> String {
        self.lost.notified().await;
        "cancelled".to_owned()
    }

    async fn stop(&mut self, (): &mut ()) {
        let _ = self.log.send("stop");
    }

    async fn drained(&mut self, (): &mut ()) -> Result<(), String> {
        self.drained.notified().await;
        Ok(())
    }

    async fn close(&mut self, (): ()) {
        let _ = self.log.send("close");
    }

    async fn leave(&mut self, session: Option<Arc<Incarnation>>) {
        let _ = self.log.send(if session.is_some() { "leave connected" } else { "leave" });
    }
}

struct Rig {
    host: Host,
    log: mpsc::UnboundedReceiver<&'static str>,
    lost: Arc<Notify>,
    drained: Arc<Notify>,
    intake: Arc<Intake<u32, Settler>>,
    subscriber: Option<Box<Subscriber<u32>>>,
}

impl Rig {
    async fn new(script: Vec<AttachError>) -> Result<Self, TransportError> {
        let host = Host::default();
        let plan = Plan {
            role: Role::Consume,
            places: vec!["mq:1".to_owned()],
            failover: Failover::RoundRobin,
            pace: Pace::default(),
        };
        let link = Arc::new(Link::spawn(host.clone(), plan, &watch::Sender::new(())));
        link.begin();
        let (intake, outlet) = Intake::new(Budget::new(1 << 20), Arc::new(Duplicates::default()));
        let (sender, log) = mpsc::unbounded_channel();
        let (intake, lost, drained) = (Arc::new(intake), Arc::new(Notify::new()), Arc::new(Notify::new()));
        let source = Scripted { script: script.into(), log: sender, lost: lost.clone(), drained: drained.clone() };
        let subscriber = Subscriber::subscribe(source, outlet, 7, link, Duration::from_secs(30)).await?;
        Ok(Self { host, log, lost, drained, intake, subscriber: Some(Box::new(subscriber)) })
    }

    async fn subscribed() -> Self {
        Self::new(Vec::new()).await.unwrap()
    }

    fn take(&mut self) -> Box<Subscriber<u32>> {
        self.subscriber.take().unwrap()
    }

    fn log(&mut self) -> Vec<&'static str> {
        std::iter::from_fn(|| self.log.try_recv().ok()).collect()
    }

    fn subscriber(&mut self) -> &mut Subscriber<u32> {
        self.subscriber.as_mut().unwrap()
    }
}

fn refused() -> AttachError {
    AttachError::Refused(TransportError::Topology { object: "queue".to_owned(), reason: "no".to_owned() })
}

async fn a_while() {
    sleep(Duration::from_secs(20)).await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_an_error_and_a_loss_is_retried() {
    let error = Rig::new(vec![refused()]).await.err();
    assert!(matches!(error, Some(TransportError::Topology { .. })), "{error:?}");
    let lost = AttachError::Lost(TransportError::ConnectionLost { source: None });
    let mut rig = Rig::new(vec![lost]).await.unwrap();
    assert!(rig.subscriber().is_subscribed());
    assert_eq!((rig.log(), rig.subscriber().prefetch()), (vec!["subscribe", "subscribe"], Some(7)));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_ends_is_made_again() {
    let mut rig = Rig::subscribed().await;
    let mut subscribed = rig.subscriber().subscribed();
    rig.lost.notify_one();
    subscribed.wait_for(|subscribed| !subscribed).await.unwrap();
    subscribed.wait_for(|subscribed| *subscribed).await.unwrap();
    rig.host.cut.lock().unwrap().cancel();
    subscribed.wait_for(|subscribed| !subscribed).await.unwrap();
    subscribed.wait_for(|subscribed| *subscribed).await.unwrap();
    assert_eq!(rig.log(), ["subscribe"; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_without_a_connection_is_remembered() {
    let mut rig = Rig::subscribed().await;
    *rig.host.is_away.lock().unwrap() = true;
    rig.host.cut.lock().unwrap().cancel();
    a_while().await;
    rig.subscriber().stop().await;
    *rig.host.is_away.lock().unwrap() = false;
    a_while().await;
    assert_eq!(rig.log(), ["subscribe"]);
    rig.take().close().await;
    assert_eq!(rig.log.recv().await, Some("leave connected"));
}

#[tokio::test(start_paused = true)]
async fn what_was_handed_out_can_be_settled_after_the_listener_is_gone() {
    let mut rig = Rig::subscribed().await;
    drop(rig.take());
    a_while().await;
    assert_eq!(rig.log(), ["subscribe", "stop"]);
    assert!(rig.intake.is_leaving());
    rig.drained.notify_one();
    a_while().await;
    assert_eq!(rig.log(), ["close"]);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_subscription_ends_when_it_is_drained() {
    let mut rig = Rig::subscribed().await;
    rig.subscriber().stop().await;
    assert!(!rig.subscriber().is_subscribed());
    rig.drained.notify_one();
    a_while().await;
    rig.take().close().await;
    assert_eq!(rig.log(), ["subscribe", "stop", "close"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_stopped_listener_did_not_take_goes_back() {
    let mut rig = Rig::subscribed().await;
    let settled = Arc::new(Mutex::new(Vec::new()));
    for message in 0..2 {
        let settled = settled.clone();
        let settler: Settler = Box::new(move |settlement| settled.lock().unwrap().push((message, settlement)));
        let read = Read { message, unique_id: None, replier: None, deadline: None, bytes: 1 };
        let marks = Marks { redelivered: false, redeliveries: 0, way: crate::deferral::Way::default() };
        rig.intake.take(settler, Ok(read), None, marks, Deferring::<Never>::Unsupported);
    }
    let first = rig.subscriber().recv().await.unwrap();
    rig.subscriber().stop().await;
    assert_eq!(*settled.lock().unwrap(), [(1, Settlement::Requeue)]);
    first.settle.ack();
    assert_eq!(settled.lock().unwrap().last(), Some(&(0, Settlement::Ack)));
}

enum Never {}

impl Resend for Never {
    fn queue(&self) -> &str {
        match *self {}
    }

    async fn resend(&self, _: crate::deferral::Way, _: Option<Instant>, _: &SendBudget) -> Result<(), TransportError> {
        match *self {}
    }
}
