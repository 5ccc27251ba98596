//! The names of the other pods: do they lead anywhere. Connects to nobody.

use super::Checks;
use crate::config::Peer;

/// Looks every peer up.
pub(super) async fn check(checks: &mut Checks<'_>, peers: &[Peer]) {
    for peer in peers {
        let name = peer.to_string();
        let looked_up = async {
            let found = tokio::net::lookup_host(name.as_str()).await;
            match found.map(Iterator::count) {
                Ok(0) => Err(format!("{name} leads to no address")),
                Ok(count) => Ok(format!("{name} leads to {count} addresses")),
                Err(_) => Err(format!(
                    "{name} cannot be looked up: a headless Service gives a name to the pods"
                )),
            }
        };
        checks.run("resolve", looked_up).await;
    }
}
