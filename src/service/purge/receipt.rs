//! What a purge says of itself: counts, and whether all of it was done. JSON for machines, lines
//! for people. Never claims what it has not counted.

use super::{PeerReport, PeerStatus, Swept, WebhookReport};
use serde::Serialize;
use serde_json::Value;

/// The receipt of a purge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// Whether every part of it was done: no object left, no pod unheard, no write unsettled, the
    /// webhook taken. What was not done is tried again in the second pass.
    pub complete: bool,
    /// What was purged.
    pub scope: Value,
    /// Variants dropped from the memory of this process.
    pub memory: u64,
    /// Decoded originals dropped from the memory of this process.
    pub decoded: u64,
    /// Originals dropped from the memory of this process.
    pub originals: u64,
    /// Work under way in this process whose result is not kept.
    pub flights: u64,
    /// Writes that had begun before and were still under way when the store was listed.
    pub unsettled: u64,
    /// The store; absent: there is none.
    pub store: Option<Swept>,
    /// The other pods.
    pub peers: Vec<PeerReport>,
    /// What a CDN has to forget: values of `Cache-Tag` and `Surrogate-Key`.
    pub tags: Vec<String>,
    /// The CDN's webhook; absent: there is none.
    pub webhook: Option<WebhookReport>,
    /// What is still to come; absent: nothing is.
    pub second_pass: Option<SecondPass>,
    /// How long it took.
    pub duration_ms: u64,
}

/// What is still to come of a purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SecondPass {
    /// The store is listed again, and the webhook called again, after this long.
    pub after_seconds: u64,
    /// Whether the pods are told again, too.
    pub tells_pods: bool,
}

impl Receipt {
    pub(super) const fn empty(scope: Value, tags: Vec<String>) -> Self {
        Self {
            complete: false,
            scope,
            memory: 0,
            decoded: 0,
            originals: 0,
            flights: 0,
            unsettled: 0,
            store: None,
            peers: Vec::new(),
            tags,
            webhook: None,
            second_pass: None,
            duration_ms: 0,
        }
    }

    /// Of a purge that ended by a bug or with the process.
    pub(super) fn broken_off(scope: Value, tags: Vec<String>) -> Self {
        let error = Some("the purge broke off".to_owned());
        Self { store: Some(Swept { error, ..Swept::default() }), ..Self::empty(scope, tags) }
    }

    /// Pods that may still have what was purged.
    pub(super) fn peers_failed(&self) -> usize {
        self.peers.iter().filter(|peer| peer.status == PeerStatus::Failed).count()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.unsettled == 0
            && self.store.as_ref().is_none_or(Swept::is_complete)
            && self.peers.iter().all(|p| p.status != PeerStatus::Failed && p.error.is_none())
            && self.webhook.as_ref().is_none_or(|webhook| webhook.taken)
    }

    /// As JSON, one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Numbers and strings always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn anything_left_undone_makes_a_receipt_incomplete() {
        let whole = Receipt::empty(json!({"all": true}), vec!["lenslet".to_owned()]);
        assert!(whole.is_complete());
        let peer = |status, error: Option<&str>| PeerReport {
            address: "10.0.0.7:8081".to_owned(),
            status,
            instance: None,
            memory: 0,
            decoded: 0,
            originals: 0,
            flights: 0,
            error: error.map(str::to_owned),
        };
        let webhook = WebhookReport { taken: false, status: Some(500), attempts: 3, error: None };
        let swept = Swept { listed: 2, deleted: 1, failed: 1, error: None };
        let unlisted = Swept { error: Some("refused".to_owned()), ..Swept::default() };
        for receipt in [
            Receipt { unsettled: 1, ..whole.clone() },
            Receipt { store: Some(swept), ..whole.clone() },
            Receipt { store: Some(unlisted), ..whole.clone() },
            Receipt { peers: vec![peer(PeerStatus::Failed, None)], ..whole.clone() },
            Receipt { peers: vec![peer(PeerStatus::Told, Some("slow"))], ..whole.clone() },
            Receipt { webhook: Some(webhook), ..whole.clone() },
            Receipt::broken_off(json!({}), Vec::new()),
        ] {
            assert!(!receipt.is_complete(), "{receipt:?}");
        }
        let own = Receipt { peers: vec![peer(PeerStatus::Itself, None)], ..whole };
        assert!(own.is_complete());
        assert!(own.to_json().contains(r#""status":"itself""#));
    }
}
