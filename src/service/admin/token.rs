//! `Authorization: Bearer` on the admin listener. Compared in constant time; neither the right
//! token nor the one presented is ever shown.

use crate::config::Token;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};

/// Lets a request through that carries the token.
///
/// # Errors
/// 401 in a sentence, with `WWW-Authenticate`.
#[expect(clippy::result_large_err, reason = "the error is the answer, on its way out")]
pub(in crate::service) fn admit(request: &HttpRequest, token: &Token) -> Result<(), HttpResponse> {
    let Some(presented) = bearer(request) else {
        return Err(refused("an order needs Authorization: Bearer and the admin token"));
    };
    if admits(token, presented) { Ok(()) } else { Err(refused("that is not the admin token")) }
}

/// What a request presents as its bearer token.
pub(in crate::service) fn bearer(request: &HttpRequest) -> Option<&[u8]> {
    let value = request.headers().get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// Whether `presented` is the token. Digests are compared, in constant time, so neither how much
/// of it is right nor its length can be measured.
pub(in crate::service) fn admits(token: &Token, presented: &[u8]) -> bool {
    blake3::hash(token.expose().as_bytes()) == blake3::hash(presented)
}

fn refused(sentence: &str) -> HttpResponse {
    HttpResponse::Unauthorized()
        .insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"lenslet admin\""))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .content_type("text/plain; charset=utf-8")
        .body(format!("{sentence}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    const TOKEN: &str = "0123456789abcdef-token";

    fn status(authorization: Option<&str>) -> u16 {
        let mut request = TestRequest::default();
        if let Some(value) = authorization {
            request = request.insert_header((header::AUTHORIZATION, value));
        }
        let answer = admit(&request.to_http_request(), &TOKEN.parse().unwrap());
        answer.map_or_else(|refused| refused.status().as_u16(), |()| 200)
    }

    #[test]
    fn only_the_whole_token_opens() {
        assert_eq!(status(Some(&format!("Bearer {TOKEN}"))), 200);
        assert_eq!(status(Some(&format!("bearer  {TOKEN} "))), 200, "the scheme has no case");
        for wrong in [
            TOKEN.to_owned(),
            "Bearer".to_owned(),
            "Bearer ".to_owned(),
            format!("Bearer {}", &TOKEN[1..]),
            format!("Bearer {TOKEN}x"),
            format!("Bearer {}", TOKEN.to_uppercase()),
            format!("Basic {TOKEN}"),
        ] {
            assert_eq!(status(Some(&wrong)), 401, "{wrong}");
        }
        assert_eq!(status(None), 401);
    }

    #[test]
    fn a_refusal_says_how_to_ask_and_shows_no_token() {
        let request = TestRequest::default().to_http_request();
        let refused = admit(&request, &TOKEN.parse().unwrap()).unwrap_err();
        assert!(refused.headers().get(header::WWW_AUTHENTICATE).is_some());
        assert!(!format!("{:?}", refused.body()).contains(TOKEN));
    }
}
