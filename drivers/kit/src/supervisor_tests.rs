//! The supervisor's rules: a table under explicit times, and properties of long failures.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};

use super::*;

const MS: Duration = Duration::from_millis(1);

/// A supervisor with its clock and its dice, and a record of when which host was tried.
struct Run {
    supervisor: Supervisor,
    rng: StdRng,
    now: Instant,
    next: Next,
    attempts: Vec<(Instant, usize)>,
}

impl Run {
    fn new(hosts: usize, start: Start, failover: Failover, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let hosts = NonZeroUsize::new(hosts).expect("at least one host");
        let mut supervisor = Supervisor::new(hosts, start, failover, &mut rng);
        let now = Instant::now();
        let next = supervisor.start(now);
        Self { supervisor, rng, now, next, attempts: Vec::new() }
    }

    fn in_order(hosts: usize) -> Self {
        Self::new(hosts, Start::AsGiven, Failover::RoundRobin, 7)
    }

    /// Waits as told and begins the attempt.
    fn attempt(&mut self) -> (usize, Duration) {
        let Next::Connect { host, after } = self.next else { panic!("gave up: {:?}", self.next) };
        self.now += after;
        self.attempts.push((self.now, host));
        (host, after)
    }

    /// Begins the attempt, lets it fail after `took`.
    fn fail(&mut self, permanent: bool, took: Duration) -> (usize, Duration) {
        let begun = self.attempt();
        self.now += took;
        self.next = self.supervisor.failed(permanent, self.now, &mut self.rng);
        begun
    }

    fn connect(&mut self) -> (usize, Duration) {
        let begun = self.attempt();
        self.now += 5 * MS;
        self.supervisor.connected(self.now);
        begun
    }

    fn lose_after(&mut self, lasted: Duration) {
        self.now += lasted;
        self.next = self.supervisor.lost(self.now, &mut self.rng);
    }
}

#[test]
fn the_first_cycle_goes_through_all_hosts_at_once() {
    let mut run = Run::in_order(3);
    assert_eq!(run.fail(false, MS), (0, Duration::ZERO));
    assert_eq!(run.fail(false, MS), (1, Duration::ZERO));
    assert_eq!(run.fail(false, MS), (2, Duration::ZERO));
    let (host, after) = run.attempt();
    assert_eq!(host, 0);
    assert!(after >= 499 * MS && after <= 600 * MS, "{after:?}");
}

#[test]
fn permanent_errors_give_up_only_when_every_host_was_tried_and_nothing_ever_connected() {
    let mut run = Run::in_order(3);
    run.fail(true, MS);
    run.fail(false, MS);
    assert!(matches!(run.next, Next::Connect { host: 2, .. }));
    run.fail(false, MS);
    assert_eq!(run.next, Next::GiveUp { host: 0 });

    let mut alone = Run::in_order(1);
    alone.fail(true, MS);
    assert_eq!(alone.next, Next::GiveUp { host: 0 });
}

#[test]
fn a_permanent_error_in_a_later_cycle_still_gives_up_before_the_first_connection() {
    let mut run = Run::in_order(2);
    for _ in 0..6 {
        run.fail(false, MS);
    }
    run.fail(false, MS);
    run.fail(true, MS);
    assert_eq!(run.next, Next::GiveUp { host: 1 });
}

#[test]
fn passing_errors_never_give_up() {
    let mut run = Run::in_order(2);
    for _ in 0..10_000 {
        run.fail(false, MS);
    }
    assert!(run.attempt().1 <= Duration::from_secs(5));
}

#[test]
fn after_the_loss_of_a_stable_connection_the_next_host_is_tried_within_100_ms() {
    let mut run = Run::in_order(3);
    for round in 0..50 {
        let (host, after) = run.connect();
        assert_eq!(host, round % 3);
        assert!(after <= 100 * MS, "{after:?}");
        run.lose_after(Duration::from_secs(2));
    }
}

#[test]
fn the_whole_first_cycle_after_a_loss_is_quick() {
    let mut run = Run::in_order(3);
    run.connect();
    run.lose_after(Duration::from_secs(60));
    let lost = run.now;
    for expected in [1, 2, 0] {
        let (host, after) = run.fail(false, MS);
        assert_eq!(host, expected);
        assert!(after <= 100 * MS, "{after:?}");
    }
    assert!(run.now - lost < 310 * MS);
    assert!(run.attempt().1 >= 499 * MS);
}

#[test]
fn a_thousand_clients_do_not_come_back_together() {
    let mut slots = [0; 10];
    for seed in 0..1000 {
        let mut run = Run::new(1, Start::AsGiven, Failover::RoundRobin, seed);
        run.connect();
        run.lose_after(Duration::from_secs(60));
        let (_, after) = run.attempt();
        slots[(after.as_millis() / 10).min(9) as usize] += 1;
    }
    assert!(slots.iter().all(|clients| (60..150).contains(clients)), "clients per 10 ms: {slots:?}");
}

#[test]
fn permanent_errors_of_a_reconnect_are_retried_slowly() {
    let mut run = Run::in_order(2);
    run.connect();
    run.lose_after(Duration::from_secs(60));
    run.fail(true, MS);
    run.fail(true, MS);
    for _ in 0..20 {
        let (_, after) = run.fail(true, MS);
        assert!(after >= Duration::from_secs(5) && after <= Duration::from_millis(5100), "{after:?}");
    }
    run.connect();
    assert!(run.supervisor.has_ever_connected());
}

#[test]
fn a_broker_that_accepts_and_drops_is_not_hammered() {
    let mut run = Run::in_order(1);
    for _ in 0..40 {
        run.connect();
        run.lose_after(10 * MS);
    }
    let lasted = run.now - run.attempts[0].0;
    assert!(lasted > Duration::from_secs(30), "40 connections within {lasted:?}");
    run.connect();
    run.lose_after(Duration::from_secs(1));
    assert!(run.attempt().1 <= 100 * MS, "a stable connection resets the backoff");
}

#[test]
fn one_loss_soon_after_connecting_costs_little() {
    let mut run = Run::in_order(1);
    run.connect();
    run.lose_after(300 * MS);
    assert!(run.attempt().1 <= 300 * MS);
}

#[test]
fn a_shuffled_start_spreads_over_the_hosts() {
    let mut first = [0; 4];
    for seed in 0..400 {
        first[Run::new(4, Start::Shuffled, Failover::RoundRobin, seed).attempt().0] += 1;
    }
    assert!(first.iter().all(|clients| (60..140).contains(clients)), "{first:?}");
}

#[test]
fn the_shuffle_strategy_never_begins_with_the_host_that_just_failed() {
    let mut run = Run::new(3, Start::AsGiven, Failover::Shuffle, 11);
    let mut orders = std::collections::HashSet::new();
    for _ in 0..200 {
        let cycle = [(); 3].map(|()| run.fail(false, MS).0);
        orders.insert(cycle);
    }
    for pair in run.attempts.windows(2) {
        assert_ne!(pair[0].1, pair[1].1);
    }
    assert_eq!(orders.len(), 6, "every order comes up: {orders:?}");
}

fn any_failover() -> impl Strategy<Value = Failover> {
    prop_oneof![Just(Failover::RoundRobin), Just(Failover::Shuffle)]
}

proptest! {
    /// Beyond the first cycle two attempts are at least 500 ms apart, no wait is above 5 s, and each cycle tries every
    /// host once.
    #[test]
    fn steady_failure_is_bounded(
        hosts in 1_usize..8,
        failover in any_failover(),
        seed: u64,
        reconnecting: bool,
        took in prop::collection::vec(0_u64..2_000, 1..200),
    ) {
        let mut run = Run::new(hosts, Start::Shuffled, failover, seed);
        if reconnecting {
            run.connect();
            run.lose_after(Duration::from_secs(60));
            run.attempts.clear();
        }
        for millis in took {
            let (_, after) = run.fail(false, Duration::from_millis(millis));
            prop_assert!(after <= Duration::from_secs(5));
        }
        for cycle in run.attempts.chunks_exact(hosts) {
            let mut tried: Vec<usize> = cycle.iter().map(|(_, host)| *host).collect();
            tried.sort_unstable();
            prop_assert_eq!(tried, (0..hosts).collect::<Vec<_>>());
        }
        for pair in run.attempts[hosts.min(run.attempts.len()) - 1..].windows(2) {
            prop_assert!(pair[1].0 - pair[0].0 >= Duration::from_millis(500));
        }
    }

    /// Whatever happens in whatever order: the host is in the list, and once connected nothing is given up.
    #[test]
    fn no_history_confuses_it(
        hosts in 1_usize..5,
        failover in any_failover(),
        seed: u64,
        history in prop::collection::vec((0_u8..4, 0_u64..3_000), 0..200),
    ) {
        let mut run = Run::new(hosts, Start::Shuffled, failover, seed);
        for (event, millis) in history {
            if let Next::GiveUp { host } = run.next {
                prop_assert!(host < hosts && !run.supervisor.has_ever_connected());
                break;
            }
            let time = Duration::from_millis(millis);
            let host = match event {
                0 => run.fail(true, time).0,
                1 => run.fail(false, time).0,
                _ => {
                    let (host, _) = run.connect();
                    run.lose_after(time);
                    host
                }
            };
            prop_assert!(host < hosts);
        }
    }
}

#[test]
fn a_host_where_nobody_listens_is_asked_about_twice_a_second() {
    let mut run = Run::in_order(1);
    run.attempt();
    for _ in 0..50 {
        run.now += MS;
        run.next = run.supervisor.refused(run.now, &mut run.rng);
        let (_, after) = run.attempt();
        assert!(after >= 499 * MS && after <= 600 * MS, "{after:?}");
    }
    // Once it fails otherwise, the backoff is where it would have been.
    run.now += MS;
    let mut longest = Duration::ZERO;
    for _ in 0..50 {
        run.next = run.supervisor.failed(false, run.now, &mut run.rng);
        longest = longest.max(run.attempt().1);
    }
    assert!(longest > 3000 * MS && longest <= 5000 * MS, "{longest:?}");
}
