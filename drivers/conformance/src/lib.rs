//! The conformance suite that every driver runs in its own tests. Each case is one rule of [`Transport`], with the rule as its
//! doc comment.
//!
//! A driver implements [`Harness`] and writes, in its `tests/conformance.rs`:
//!
//! ```ignore
//! oxlo_conformance::conformance_suite!(MyHarness::start().await);
//! ```
//!
//! which expands to one `#[tokio::test]` per case. The expression is evaluated in each of them, and may await. Cases use
//! separate topics, so they can share a broker and run concurrently; they require a running clock, wait for conditions
//! instead of fixed times, and take well under two seconds. A case for a capability that the driver does not have
//! ([`Capabilities`](oxlo_transport::Capabilities)) is skipped.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]

use std::{fmt, future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use oxlo_transport::{Settings, Transport};

mod fixture;

pub mod calls;
pub mod lifecycle;
pub mod notifications;
pub mod queues;
pub mod routing;
pub mod settling;
pub mod timing;

/// The driver's side of the suite.
#[async_trait]
pub trait Harness: fmt::Debug + Send + Sync {
    /// Creates a new transport with these settings. All transports of one harness use the same broker.
    async fn connect(&self, settings: Settings) -> Arc<dyn Transport>;
}

/// How long a case may take before it counts as hanging.
pub const CASE_DEADLINE: Duration = Duration::from_secs(30);

/// Runs one case with a deadline of [`CASE_DEADLINE`].
///
/// # Panics
///
/// If the case does not complete in time.
pub async fn within_deadline(case: impl Future<Output = ()>) {
    assert!(
        tokio::time::timeout(CASE_DEADLINE, case).await.is_ok(),
        "the case did not complete within {CASE_DEADLINE:?}"
    );
}

/// Lists the cases once, for the macro and for [`CASES`]. The first argument is a dollar sign, which a macro that defines a
/// macro cannot write itself.
macro_rules! cases {
    (($d:tt) $($group:ident { $($case:ident)+ })+) => {
        /// Every case, as `group::case`.
        pub const CASES: &[&str] = &[$($(concat!(stringify!($group), "::", stringify!($case))),+),+];

        /// Runs the cases that `selected` accepts, by their names in [`CASES`], one after the other and each with its deadline:
        /// for a broker that is started for this purpose.
        pub async fn run(harness: &dyn Harness, selected: impl Fn(&str) -> bool) {
            $($(
                let name = concat!(stringify!($group), "::", stringify!($case));
                if selected(name) {
                    println!("case {name}");
                    within_deadline(Box::pin($group::$case(harness))).await;
                }
            )+)+
        }

        /// Expands to one `#[tokio::test]` per case; see the [crate](crate).
        #[macro_export]
        macro_rules! conformance_suite {
            ($d harness:expr) => {
                $(
                    mod $group {
                        #[allow(unused_imports)]
                        use super::*;

                        $(
                            #[tokio::test]
                            async fn $case() {
                                let harness = $d harness;
                                let case = $crate::$group::$case(&harness);
                                $crate::within_deadline(Box::pin(case)).await;
                            }
                        )+
                    }
                )+
            };
        }
    };
}

cases! { ($)
    calls {
        the_result_reaches_the_caller
        falsy_results_arrive_as_themselves
        a_failure_travels_with_all_its_fields
        arguments_arrive_unchanged
        a_refusal_arrives_as_one
        numbers_that_are_not_finite_travel_as_python_writes_them
        the_context_arrives_in_order_and_unchanged
        namespace_and_version_travel
        replies_out_of_order_reach_their_callers
        two_transports_get_their_own_replies
        two_hundred_calls_at_once
        one_mebibyte_travels_both_ways
        start_returns_before_the_reply
        a_dropped_call_harms_nobody
    }
    routing {
        a_cast_runs_once_and_is_not_answered
        fanout_reaches_every_server
        fanout_wins_over_server
        fanout_to_nobody_is_no_error
        a_server_is_reached_by_its_name
        a_topic_is_served_in_turn
        servers_on_one_transport_share_a_topic
        a_call_to_nobody_fails_at_once
        a_mandatory_cast_to_nobody_fails_at_once
        a_cast_to_nobody_is_no_error
        messages_wait_for_the_next_server
        a_named_exchange_is_used
        exchanges_are_kept_apart_where_promised
        exchanges_share_a_topic_where_they_are_not_kept_apart
        listeners_are_counted
    }
    settling {
        a_requeued_message_goes_to_another_listener
        a_requeued_message_is_no_duplicate
        redeliveries_are_counted
        a_deferred_message_goes_behind_the_others
        a_deferred_message_says_when_it_is_due
        a_deferred_call_can_be_answered
        a_rejected_message_is_never_seen_again
        an_acknowledged_message_is_never_seen_again
        an_unsettled_message_goes_back_when_dropped
        a_dropped_listener_gives_back_what_it_held
        prefetch_bounds_what_is_handed_out
        memory_bounds_what_is_handed_out
        two_hundred_messages_are_each_handed_out_once
        after_stop_nothing_more_is_taken
        what_was_handed_out_can_be_answered_after_stop
        a_dropped_recv_loses_nothing
    }
    timing {
        a_call_ends_at_its_timeout
        a_late_reply_harms_nobody
        an_expired_request_is_never_delivered
        the_deadline_reaches_the_server
        heartbeats_keep_a_monitored_call_alive
        heartbeats_never_extend_the_timeout
        a_silent_server_fails_a_monitored_call
        the_server_learns_the_heartbeat_interval
    }
    lifecycle {
        unusable_targets_are_refused
        a_message_that_is_too_large_is_not_sent
        the_state_is_connected_then_closed
        closing_ends_pending_calls
        closing_ends_a_waiting_recv
        after_close_everything_is_refused
        closing_twice_is_harmless
        closing_gives_back_what_was_not_settled
        closing_one_transport_spares_the_others
        a_transport_that_outlives_its_runtime_keeps_nobody_waiting
    }
    queues {
        a_request_queue_is_reached_by_its_key
        an_unknown_key_is_undeliverable_at_once
        requests_wait_in_a_declared_queue
        a_removed_queue_is_gone_and_can_come_back
        a_queue_that_is_listened_on_is_not_removed
        a_queue_that_holds_requests_is_removed_only_when_told_so
        a_queue_declared_otherwise_is_refused
        an_unused_queue_expires
        unusable_queues_are_refused
        a_scope_takes_nothing_else
        paused_publishing_loses_nothing
    }
    notifications {
        a_notification_arrives_with_all_its_fields
        each_priority_has_its_own_queue
        one_listener_takes_several_topics
        nothing_is_lost_before_the_first_listener
        listeners_without_pool_share
        a_pool_shares
        pools_and_the_rest_each_get_everything
        a_requeued_notification_comes_back
        a_deferred_notification_comes_back_to_its_own_queue
    }
}

#[cfg(test)]
mod tests {
    use super::CASES;

    /// A case that is not listed would never run.
    #[test]
    fn every_case_is_listed() {
        let sources = [
            ("calls", include_str!("calls.rs")),
            ("routing", include_str!("routing.rs")),
            ("settling", include_str!("settling.rs")),
            ("timing", include_str!("timing.rs")),
            ("lifecycle", include_str!("lifecycle.rs")),
            ("queues", include_str!("queues.rs")),
            ("notifications", include_str!("notifications.rs")),
        ];
        let mut written = Vec::new();
        for (group, source) in sources {
            let cases = source.lines().filter_map(|line| line.strip_prefix("pub async fn ")?.split('(').next());
            written.extend(cases.map(|case| format!("{group}::{case}")));
        }
        written.sort();
        let mut listed = CASES.to_vec();
        listed.sort_unstable();
        assert_eq!(written, listed);
    }
}
