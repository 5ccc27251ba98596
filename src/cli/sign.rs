//! `lenslet sign` and `lenslet keygen`: signatures as SEMANTICS 22 has them, made by hand. Never
//! verifies and never prints a key it was given.

use super::args::SignArgs;
use super::{FAILED, USAGE, out, refuse};
use crate::config::{self, Env};
use crate::dialect::signature::{self, Keys};
use std::process::ExitCode;

/// Prints the target with its signature.
pub(super) fn run(args: &SignArgs, env: &Env) -> ExitCode {
    let keys = match &args.key {
        Some(key) => Keys::parse(key).map_err(|error| format!("--key: {error}")),
        None => match config::signing_keys(env) {
            Ok(keys) => Ok(keys),
            Err(faults) => return refuse(&faults),
        },
    };
    match keys.and_then(|keys| signed(&keys, &args.target)) {
        Ok(signed) => {
            out::say(&signed);
            ExitCode::SUCCESS
        }
        Err(rule) => {
            out::complain(&rule);
            ExitCode::from(USAGE)
        }
    }
}

/// Prints a new key.
pub(super) fn keygen() -> ExitCode {
    match signature::keygen() {
        Ok(key) => {
            out::say(&key);
            ExitCode::SUCCESS
        }
        Err(error) => {
            out::complain(&error.to_string());
            ExitCode::from(FAILED)
        }
    }
}

/// The target with `s=` behind it. A whole URL is signed from its path on: the host is no part
/// of what is signed.
fn signed(keys: &Keys, target: &str) -> Result<String, String> {
    let path_at = match target.split_once("://") {
        Some((scheme, rest)) => {
            let authority = rest.find('/').ok_or_else(|| format!("{target:?} has no path"))?;
            scheme.len() + "://".len() + authority
        }
        None => 0,
    };
    let (host, path) = target.split_at(path_at);
    if path.chars().any(|c| c.is_control() || c == ' ') {
        return Err(format!("{target:?} is not how a URL travels: a space is %20"));
    }
    let key = keys.first().ok_or("there is no key: set LENSLET_KEYS, or give one with --key")?;
    let path = signature::sign(key, path).map_err(|error| format!("{target:?}: {error}"))?;
    Ok(format!("{host}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn keys(text: &str) -> Keys {
        Keys::parse(text).unwrap()
    }

    #[test]
    fn the_signature_is_the_hmac_of_every_byte_before_it() {
        // Made with Python: hmac.new(bytes(range(32)), b"/cat.jpg?w=300", "sha256").
        let signature = "wNHgqdmLSfFhPSp5ayuWgk8aixo3ZC3mBEfZMQWGkiA";
        let signed_path = signed(&keys(KEY), "/cat.jpg?w=300").unwrap();
        assert_eq!(signed_path, format!("/cat.jpg?w=300&s={signature}"));
        let url = signed(&keys(KEY), "https://img.example/cat.jpg?w=300").unwrap();
        assert_eq!(url, format!("https://img.example/cat.jpg?w=300&s={signature}"));
        let bare = signed(&keys(KEY), "/300x200/cat.jpg").unwrap();
        assert_eq!(bare, "/300x200/cat.jpg?s=SG4wGcmCSWrrU_VPqEfAHD8EZOjphFon4_NJKIgxRHs");
    }

    #[test]
    fn the_first_key_signs() {
        let two = format!("{KEY},ffffffffffffffffffffffffffffffff");
        assert_eq!(signed(&keys(&two), "/a"), signed(&keys(KEY), "/a"));
    }

    #[test]
    fn what_cannot_be_signed_is_refused() {
        for target in ["cat.jpg", "https://img.example", "/a?s=x", "/a?w=1&s=x", "/a b", "/a#b", ""]
        {
            assert!(signed(&keys(KEY), target).is_err(), "{target:?}");
        }
    }
}
