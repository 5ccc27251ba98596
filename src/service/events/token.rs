//! Who may send events: whoever shows the token, in one of the ways senders can: as Bearer, as the
//! password of Basic, verbatim, or in the query. Never keeps the token itself nor says it back.

use base64::Engine as _;

/// The token senders show, as its digest.
#[derive(Debug, Clone)]
pub(super) struct Gate(blake3::Hash);

impl Gate {
    pub(super) fn new(token: &str) -> Self {
        Self(blake3::hash(token.as_bytes()))
    }

    /// Whether a request shows it. Digests are compared in constant time, and every way is tried.
    pub(super) fn admits(&self, authorization: Option<&[u8]>, query: &str) -> bool {
        let header = authorization.is_some_and(|value| self.in_header(value));
        let in_query = query.split('&').any(|field| {
            field.strip_prefix("token=").is_some_and(|value| {
                let token: Vec<u8> = percent_encoding::percent_decode_str(value).collect();
                self.is(&token)
            })
        });
        header | in_query
    }

    fn in_header(&self, value: &[u8]) -> bool {
        let scheme = |name: &[u8]| {
            let (own, rest) = value.split_at_checked(name.len())?;
            own.eq_ignore_ascii_case(name).then(|| rest.trim_ascii())
        };
        let bearer = scheme(b"Bearer ").is_some_and(|token| self.is(token));
        let basic = scheme(b"Basic ").is_some_and(|encoded| {
            let decoded = base64::engine::general_purpose::STANDARD.decode(encoded);
            let decoded = decoded.unwrap_or_default();
            let colon = decoded.iter().position(|b| *b == b':');
            colon.and_then(|at| decoded.get(at + 1..)).is_some_and(|password| self.is(password))
        });
        bearer | basic | self.is(value.trim_ascii())
    }

    fn is(&self, token: &[u8]) -> bool {
        // `Hash` compares in constant time.
        blake3::hash(token) == self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "correct-horse+battery/=";

    #[test]
    fn the_token_is_known_in_every_way_it_can_be_shown() {
        let gate = Gate::new(TOKEN);
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("any:{TOKEN}"));
        for header in [
            format!("Bearer {TOKEN}"),
            format!("bearer  {TOKEN}"),
            TOKEN.to_owned(),
            format!("Basic {basic}"),
            format!("BASIC {basic}"),
        ] {
            assert!(gate.admits(Some(header.as_bytes()), ""), "{header}");
        }
        assert!(gate.admits(None, "a=1&token=correct-horse%2Bbattery%2F%3D"));
        assert!(gate.admits(None, &format!("token={TOKEN}")));
        assert!(gate.admits(Some(b"Bearer wrong"), &format!("token={TOKEN}")));
    }

    #[test]
    fn nothing_else_opens() {
        let gate = Gate::new(TOKEN);
        let user = base64::engine::general_purpose::STANDARD.encode(TOKEN);
        for header in ["", "Bearer", "Bearer ", "Basic", "Basic !!!", "Bearer correct-horse"] {
            assert!(!gate.admits(Some(header.as_bytes()), ""), "{header}");
        }
        assert!(!gate.admits(Some(format!("Basic {user}").as_bytes()), ""));
        assert!(!gate.admits(Some(format!("Token {TOKEN}").as_bytes()), ""));
        for query in ["", "token=", "token", &format!("Token={TOKEN}"), &format!("xtoken={TOKEN}")]
        {
            assert!(!gate.admits(None, query), "{query}");
        }
        assert!(!format!("{gate:?}").contains("horse"));
    }
}
