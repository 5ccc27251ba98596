//! The other pods: every address behind the names of `LENSLET_PEERS` is told of a purge once.
//! Which of them is this very process, the answer tells, never the address. Never forwards what
//! was forwarded.

use super::outgoing::Outgoing;
use crate::config::{Peer, Token};
use futures_util::StreamExt as _;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// The header of a forwarded purge; its value is the instance that forwards it.
pub(super) const FORWARDED: &str = "x-lenslet-forwarded-by";

/// Peers told at a time.
const AT_A_TIME: usize = 64;

/// For a connection to a peer, and for its name.
const CONNECT: Duration = Duration::from_secs(1);

/// The other pods.
#[derive(Debug)]
pub(super) struct Peers {
    listed: Vec<Peer>,
    token: Option<Token>,
    instance: String,
    outgoing: Outgoing,
}

/// What a pod says of a purge it heard.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Heard {
    /// Which process answers.
    pub(super) instance: String,
    /// Variants dropped from its memory.
    pub(super) memory: u64,
    /// Decoded originals dropped from its memory; a pod of an earlier version has none.
    #[serde(default)]
    pub(super) decoded: u64,
    /// Originals dropped from its memory, likewise.
    #[serde(default)]
    pub(super) originals: u64,
    /// Work under way there whose result is not kept.
    pub(super) flights: u64,
    /// Writes that had begun before and are still under way.
    pub(super) unsettled: u64,
}

/// How telling one address went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PeerReport {
    /// Address and port; the name where it has no address.
    pub address: String,
    /// How it went.
    pub status: PeerStatus,
    /// Which process answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Variants dropped from its memory.
    pub memory: u64,
    /// Decoded originals dropped from its memory.
    pub decoded: u64,
    /// Originals dropped from its memory.
    pub originals: u64,
    /// Work under way there whose result is not kept.
    pub flights: u64,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How telling one address went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PeerStatus {
    /// It has done it.
    Told,
    /// It is this process.
    Itself,
    /// It may still have what was purged.
    Failed,
}

impl PeerReport {
    fn failed(address: String, error: String) -> Self {
        let status = PeerStatus::Failed;
        Self {
            address,
            status,
            instance: None,
            memory: 0,
            decoded: 0,
            originals: 0,
            flights: 0,
            error: Some(error),
        }
    }
}

impl Peers {
    /// `patience` is what a pod may take to do it.
    pub(super) fn new(
        listed: Vec<Peer>,
        token: Option<Token>,
        instance: String,
        patience: Duration,
    ) -> Self {
        let outgoing = Outgoing::new(CONNECT, CONNECT + patience);
        Self { listed, token, instance, outgoing }
    }

    /// Tells every pod; one report for each address, in no order. Takes as long as the slowest.
    pub(super) async fn tell(&self, order: &serde_json::Value) -> Vec<PeerReport> {
        let (addresses, mut reports) = self.resolve().await;
        let order = order.to_string();
        let told = stream::iter(addresses)
            .map(|address| self.tell_one(address, &order))
            .buffer_unordered(AT_A_TIME);
        reports.extend(told.collect::<Vec<_>>().await);
        reports
    }

    /// Every address once, and a report for each name that has none.
    async fn resolve(&self) -> (BTreeSet<SocketAddr>, Vec<PeerReport>) {
        let (mut addresses, mut failed) = (BTreeSet::new(), Vec::new());
        for peer in &self.listed {
            let name = peer.to_string();
            let found = tokio::time::timeout(CONNECT, tokio::net::lookup_host(name.clone())).await;
            match found {
                Ok(Ok(found)) => {
                    let found: Vec<SocketAddr> = found.collect();
                    if found.is_empty() {
                        failed.push(PeerReport::failed(name, "it has no address".to_owned()));
                    }
                    addresses.extend(found);
                }
                Ok(Err(error)) => failed.push(PeerReport::failed(name, error.to_string())),
                Err(_) => {
                    failed.push(PeerReport::failed(name, "its name is not found in time".into()));
                }
            }
        }
        (addresses, failed)
    }

    async fn tell_one(&self, address: SocketAddr, order: &str) -> PeerReport {
        let url = format!("http://{address}/purge");
        let token = self.token.as_ref().map(Token::expose);
        let by = [(FORWARDED, self.instance.as_str())];
        let answered = self.outgoing.post(&url, order.as_bytes().to_vec(), token, &by).await;
        let heard = answered.and_then(|answered| match answered.status {
            200 => serde_json::from_slice::<Heard>(&answered.body)
                .map_err(|_| "its answer cannot be read".to_owned()),
            status => Err(format!("it answered {status}")),
        });
        match heard {
            Err(error) => PeerReport::failed(address.to_string(), error),
            Ok(heard) => {
                let own = heard.instance == self.instance;
                let unsettled = (heard.unsettled > 0)
                    .then(|| format!("{} writes there are still under way", heard.unsettled));
                PeerReport {
                    address: address.to_string(),
                    status: if own { PeerStatus::Itself } else { PeerStatus::Told },
                    instance: Some(heard.instance),
                    memory: if own { 0 } else { heard.memory },
                    decoded: if own { 0 } else { heard.decoded },
                    originals: if own { 0 } else { heard.originals },
                    flights: if own { 0 } else { heard.flights },
                    error: unsettled,
                }
            }
        }
    }
}
