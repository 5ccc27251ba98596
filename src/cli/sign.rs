//! `lenslet sign` and `lenslet keygen`: signatures as SEMANTICS 22 has them, made by hand. Never
//! verifies and never prints a key it was given.

use super::args::SignArgs;
use super::{FAILED, USAGE, out, refuse};
use crate::config::{self, Env, Faults};
use crate::dialect::request::origin_of;
use crate::dialect::signature::{self, Keys};
use crate::model::key::OriginName;
use std::process::ExitCode;

/// Prints the target with its signature, by the keys of the origin it names.
pub(super) fn run(args: &SignArgs, env: &Env) -> ExitCode {
    let keys = match &args.key {
        Some(key) => Keys::parse(key).map_err(|error| format!("--key: {error}")),
        None => match keys_of(&args.target, env) {
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

/// The keys of the origin a target names; one that names none is refused by whoever it is sent to.
fn keys_of(target: &str, env: &Env) -> Result<Keys, Faults> {
    let base = config::base_path(env)?;
    let path = target.split_at(path_at(target).unwrap_or_default()).1;
    let origin = base.below(path).and_then(origin_of).unwrap_or_else(OriginName::default_origin);
    config::signing_keys(env, &origin)
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

/// Where the path of a target or of a whole URL begins.
fn path_at(target: &str) -> Option<usize> {
    let Some((scheme, rest)) = target.split_once("://") else { return Some(0) };
    Some(scheme.len() + "://".len() + rest.find('/')?)
}

/// The target with `s=` behind it. A whole URL is signed from its path on: the host is no part
/// of what is signed.
fn signed(keys: &Keys, target: &str) -> Result<String, String> {
    let path_at = path_at(target).ok_or_else(|| format!("{target:?} has no path"))?;
    let (host, path) = target.split_at(path_at);
    if path.chars().any(|c| c.is_control() || c == ' ') {
        return Err(format!("{target:?} is not how a URL travels: a space is %20"));
    }
    let key =
        keys.first().ok_or("there is no key for it: set LENSLET_KEYS, or give one with --key")?;
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
    fn a_target_is_signed_by_the_keys_of_its_origin() {
        let shop = "ffffffffffffffffffffffffffffffff";
        let pairs = [
            ("LENSLET_KEYS", KEY),
            ("LENSLET_ORIGIN_MY_SHOP_KEYS", shop),
            ("LENSLET_BASE_PATH", "/img"),
        ];
        let env = Env::gather(pairs.map(|(n, v)| (n.into(), v.into())), None);
        for (target, key) in [
            ("/img/@my-shop/cat.jpg?w=1", shop),
            ("https://img.example/img/@my-shop/cat.jpg?w=1", shop),
            ("/img/cat.jpg?w=1", KEY),
            ("/img/@other/cat.jpg?w=1", KEY),
            ("/img/@/@my-shop/cat.jpg?w=1", KEY),
        ] {
            let by_env = signed(&keys_of(target, &env).unwrap(), target);
            assert_eq!(by_env, signed(&keys(key), target), "{target}");
        }
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
