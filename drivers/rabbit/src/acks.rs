//! Coalesced acknowledgements: all deliveries that were settled since the last write go out in as few frames as
//! possible.

use std::collections::VecDeque;

use oxlo_transport::Settlement;

use crate::stream::{ChannelSender, Frames};

/// A frame that settles deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AckFrame {
    /// Acknowledges one delivery, with `multiple` also every earlier one.
    Ack { tag: u64, multiple: bool },
    /// Rejects one delivery.
    Reject { tag: u64, requeue: bool },
}

/// The deliveries of one channel that are not settled at the broker, in the order of their tags.
#[derive(Debug, Default)]
pub(crate) struct AckWindow {
    deliveries: VecDeque<Delivery>,
}

#[derive(Debug)]
struct Delivery {
    tag: u64,
    settled: bool,
}

impl AckWindow {
    /// Adds a delivery. Tags of a channel ascend.
    pub(crate) fn delivered(&mut self, tag: u64) {
        self.deliveries.push_back(Delivery { tag, settled: false });
    }

    /// The number of deliveries that are unsettled, or settled after an unsettled one.
    pub(crate) fn len(&self) -> usize {
        self.deliveries.len()
    }

    /// Whether every delivery is settled.
    pub(crate) fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
    }

    /// Appends the frames for these settlements, and returns how many deliveries they settled. An unknown tag (settled
    /// before, or of another channel) is skipped: acknowledging it would close the channel.
    pub(crate) fn settle(
        &mut self,
        settlements: impl IntoIterator<Item = (u64, Settlement)>,
        frames: &mut Vec<AckFrame>,
    ) -> usize {
        let mut acked = Vec::new();
        let mut settled = 0;
        for (tag, settlement) in settlements {
            let Ok(index) = self.deliveries.binary_search_by_key(&tag, |delivery| delivery.tag) else { continue };
            if std::mem::replace(&mut self.deliveries[index].settled, true) {
                continue;
            }
            settled += 1;
            match settlement {
                Settlement::Ack => acked.push(tag),
                Settlement::Requeue | Settlement::Defer(_) => frames.push(AckFrame::Reject { tag, requeue: true }),
                Settlement::Reject => frames.push(AckFrame::Reject { tag, requeue: false }),
            }
        }
        // Rejections first: an acknowledgement of several tags may cover theirs.
        let mut covered = 0;
        while let Some(delivery) = self.deliveries.front().filter(|delivery| delivery.settled) {
            covered = delivery.tag;
            self.deliveries.pop_front();
        }
        if let Some(tag) = acked.iter().copied().filter(|tag| *tag <= covered).max() {
            let multiple = acked.iter().filter(|acked| **acked <= covered).count() > 1;
            frames.push(AckFrame::Ack { tag, multiple });
        }
        frames.extend(acked.into_iter().filter(|tag| *tag > covered).map(|tag| AckFrame::Ack { tag, multiple: false }));
        settled
    }
}

/// Sends frames, if their channel is still open.
pub(crate) fn send(sender: &ChannelSender, settled: impl IntoIterator<Item = AckFrame>) {
    if let Some(mut guard) = sender.lock() {
        write(&mut guard.frames(), settled);
    }
}

/// Appends frames to a buffer.
pub(crate) fn write(frames: &mut Frames<'_>, settled: impl IntoIterator<Item = AckFrame>) {
    for frame in settled {
        match frame {
            AckFrame::Ack { tag, multiple } => frames.ack(tag, multiple),
            AckFrame::Reject { tag, requeue } => frames.reject(tag, requeue),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn window(tags: u64) -> AckWindow {
        let mut window = AckWindow::default();
        (1..=tags).for_each(|tag| window.delivered(tag));
        window
    }

    fn frames(window: &mut AckWindow, settlements: &[(u64, Settlement)]) -> Vec<AckFrame> {
        let mut frames = Vec::new();
        window.settle(settlements.iter().copied(), &mut frames);
        frames
    }

    #[test]
    fn a_run_of_acks_is_one_frame() {
        let mut window = window(5);
        let acked = [(2, Settlement::Ack), (1, Settlement::Ack), (3, Settlement::Ack)];
        assert_eq!(frames(&mut window, &acked), [AckFrame::Ack { tag: 3, multiple: true }]);
        assert!(!window.is_empty());
    }

    #[test]
    fn a_gap_is_not_covered() {
        let mut window = window(4);
        let acked = [(1, Settlement::Ack), (3, Settlement::Ack)];
        assert_eq!(
            frames(&mut window, &acked),
            [AckFrame::Ack { tag: 1, multiple: false }, AckFrame::Ack { tag: 3, multiple: false }]
        );
        assert_eq!(frames(&mut window, &[(2, Settlement::Ack)]), [AckFrame::Ack { tag: 2, multiple: false }]);
    }

    #[test]
    fn what_is_not_open_is_left_out() {
        let mut window = window(1);
        assert_eq!(frames(&mut window, &[(99, Settlement::Ack)]), []);
        assert_eq!(frames(&mut window, &[(1, Settlement::Ack)]).len(), 1);
        assert_eq!(frames(&mut window, &[(1, Settlement::Ack)]), []);
    }

    /// A model of the broker: its unacknowledged deliveries, and the outcome of each.
    fn broker(open: &mut BTreeMap<u64, ()>, ended: &mut BTreeMap<u64, Settlement>, frame: AckFrame) {
        match frame {
            AckFrame::Ack { tag, multiple: true } => {
                assert!(open.contains_key(&tag), "a multiple ack up to an unknown tag ends the channel");
                let covered: Vec<u64> = open.range(..=tag).map(|(tag, ())| *tag).collect();
                for tag in covered {
                    open.remove(&tag);
                    ended.insert(tag, Settlement::Ack);
                }
            }
            AckFrame::Ack { tag, multiple: false } => {
                assert!(open.remove(&tag).is_some(), "an ack of an unknown tag ends the channel");
                ended.insert(tag, Settlement::Ack);
            }
            AckFrame::Reject { tag, requeue } => {
                assert!(open.remove(&tag).is_some(), "a reject of an unknown tag ends the channel");
                ended.insert(tag, if requeue { Settlement::Requeue } else { Settlement::Reject });
            }
        }
    }

    proptest! {
        #[test]
        fn every_delivery_ends_as_it_was_settled(
            order in Just((1..=40_u64).collect::<Vec<_>>()).prop_shuffle(),
            kinds in prop::collection::vec(0..3_u8, 40),
            batches in prop::collection::vec(1..8_usize, 40),
        ) {
            let settlement = |tag: u64| match kinds[usize::try_from(tag).unwrap_or(0) - 1] {
                0 => Settlement::Requeue,
                1 => Settlement::Reject,
                _ => Settlement::Ack,
            };
            let mut window = window(40);
            let (mut open, mut ended) = ((1..=40).map(|tag| (tag, ())).collect(), BTreeMap::new());
            let mut rest = order.as_slice();
            for size in batches {
                let (batch, later) = rest.split_at(size.min(rest.len()));
                rest = later;
                let batch: Vec<_> = batch.iter().map(|tag| (*tag, settlement(*tag))).collect();
                for frame in frames(&mut window, &batch) {
                    broker(&mut open, &mut ended, frame);
                }
            }
            for (tag, how) in &ended {
                prop_assert_eq!(*how, settlement(*tag));
            }
            prop_assert_eq!(open.is_empty(), window.is_empty());
            prop_assert_eq!(ended.len() + open.len(), 40);
        }
    }
}
