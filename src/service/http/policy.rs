//! Who may ask for what (SEMANTICS 20–22, 28): signature, then expiry, then what is open without
//! one. Runs before any lookup and before 304.

pub use crate::config::Unsigned;
use crate::dialect::presets::Presets;
use crate::dialect::request::{ImageRequest, SizedPath};
use crate::dialect::signature::{self, Keys, SignatureState};
use crate::model::key::OriginName;
use crate::service::failure::{ErrorCode, Failure};
use std::collections::HashMap;

/// The access rules of a deployment.
#[derive(Debug)]
pub struct Access {
    /// Keys that sign; empty: no signatures here.
    pub keys: Keys,
    /// Keys of single origins, which sign their URLs in place of `keys`.
    pub own_keys: HashMap<OriginName, Keys>,
    /// What is open without one.
    pub unsigned: Unsigned,
    /// Sizes of the sized dialect, 0 for a free side. Empty: none listed.
    pub allowed_sizes: Vec<SizedPath>,
}

impl Access {
    /// Lets a request through, or says why not. `target` is the request target as received;
    /// `now` in seconds since 1970.
    ///
    /// # Errors
    /// 403s: [`ErrorCode::SignatureMissing`], `SignatureInvalid`, `Expired`, `Policy`.
    pub(crate) fn admit(
        &self,
        request: &ImageRequest,
        target: &str,
        presets: &Presets,
        now: u64,
    ) -> Result<(), Failure> {
        let keys = self.keys_of(&request.source.origin);
        let signed = signed(keys, target)?;
        if let Some(exp) = request.access.exp
            && signature::expired(exp, now)
        {
            return Err(Failure::new(ErrorCode::Expired, format!("the URL expired at {exp}")));
        }
        if let Some(sized) = &request.sized {
            return self.admit_size(keys, *sized);
        }
        if signed || self.unsigned == Unsigned::Allow {
            return Ok(());
        }
        match self.unsigned {
            Unsigned::Presets => request
                .check_closed(presets)
                .map_err(|violation| Failure::new(ErrorCode::Policy, violation.to_string())),
            Unsigned::Sizes => Err(Failure::new(
                ErrorCode::Policy,
                "only sized URLs such as /300x200/photo.jpg are open without a signature",
            )),
            Unsigned::Deny | Unsigned::Allow => Err(missing()),
        }
    }

    /// Lets those see what is wrong with a URL who might have sent a right one: a wrong signature
    /// is told before a wrong parameter, and where everything has to be signed, so is a missing
    /// one (SEMANTICS 22, 28). `origin` is the one the target names, where it names any.
    ///
    /// # Errors
    /// [`ErrorCode::SignatureInvalid`], [`ErrorCode::SignatureMissing`].
    pub(crate) fn admit_reader(
        &self,
        target: &str,
        origin: Option<&OriginName>,
    ) -> Result<(), Failure> {
        let signed = signed(origin.map_or(&self.keys, |origin| self.keys_of(origin)), target)?;
        if !signed && self.unsigned == Unsigned::Deny {
            return Err(missing());
        }
        Ok(())
    }

    /// The keys that sign URLs of an origin: its own, else everybody's.
    fn keys_of(&self, origin: &OriginName) -> &Keys {
        self.own_keys.get(origin).unwrap_or(&self.keys)
    }

    /// The list alone admits sized URLs; without a list only a deployment that is open to all
    /// and has no keys does.
    fn admit_size(&self, keys: &Keys, size: SizedPath) -> Result<(), Failure> {
        let open = keys.is_empty() && self.unsigned == Unsigned::Allow;
        if self.allowed_sizes.contains(&size) || (self.allowed_sizes.is_empty() && open) {
            return Ok(());
        }
        let allowed: Vec<String> = self.allowed_sizes.iter().map(SizedPath::to_string).collect();
        let message = if allowed.is_empty() {
            format!("size {size} is not allowed: no sizes are")
        } else {
            format!("size {size} is not allowed, these are: {}", allowed.join(", "))
        };
        Err(Failure::new(ErrorCode::Policy, message))
    }
}

/// Whether a good signature is there; a bad one is never ignored where there are keys.
fn signed(keys: &Keys, target: &str) -> Result<bool, Failure> {
    if keys.is_empty() {
        return Ok(false);
    }
    match signature::verify(keys, target) {
        SignatureState::Valid => Ok(true),
        SignatureState::Absent => Ok(false),
        SignatureState::Invalid(reason) => {
            Err(Failure::new(ErrorCode::SignatureInvalid, reason.to_string()))
        }
    }
}

fn missing() -> Failure {
    let message = "the URL needs a signature: s=… as its last parameter";
    Failure::new(ErrorCode::SignatureMissing, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::request::{DialectSettings, UnknownParams, origin_of, parse};

    const COMMON: &str = "000102030405060708090a0b0c0d0e0f";
    const SHOP: &str = "ffeeddccbbaa99887766554433221100";

    fn keys(hex: &str) -> Keys {
        Keys::parse(hex).unwrap()
    }

    fn access(unsigned: Unsigned, common: &str) -> Access {
        let shop = OriginName::new("shop").unwrap();
        Access {
            keys: keys(common),
            own_keys: HashMap::from([(shop, keys(SHOP))]),
            unsigned,
            allowed_sizes: Vec::new(),
        }
    }

    fn asked(access: &Access, target: &str) -> Result<(), ErrorCode> {
        let presets = Presets::default();
        let dialect =
            DialectSettings { presets: &presets, unknown: UnknownParams::Refuse, ignored: &[] };
        let request = parse(target, &dialect).unwrap();
        access.admit(&request, target, &presets, 0).map_err(|failure| failure.code)
    }

    fn signed_by(hex: &str, target: &str) -> String {
        signature::sign(keys(hex).first().unwrap(), target).unwrap()
    }

    #[test]
    fn the_keys_of_an_origin_sign_its_urls_and_no_others() {
        let access = access(Unsigned::Deny, COMMON);
        for (hex, target, expected) in [
            (SHOP, "/@shop/cat.jpg?w=1", Ok(())),
            (SHOP, "/%40shop/cat.jpg?w=1", Ok(())),
            (COMMON, "/@shop/cat.jpg?w=1", Err(ErrorCode::SignatureInvalid)),
            (COMMON, "/cat.jpg?w=1", Ok(())),
            (COMMON, "/@other/cat.jpg?w=1", Ok(())),
            (SHOP, "/cat.jpg?w=1", Err(ErrorCode::SignatureInvalid)),
            (SHOP, "/@/cat.jpg?w=1", Err(ErrorCode::SignatureInvalid)),
            (SHOP, "/@other/cat.jpg?w=1", Err(ErrorCode::SignatureInvalid)),
        ] {
            let target = signed_by(hex, target);
            assert_eq!(asked(&access, &target), expected, "{target}");
        }
        assert_eq!(asked(&access, "/@shop/cat.jpg?w=1"), Err(ErrorCode::SignatureMissing));
    }

    #[test]
    fn an_origin_with_keys_in_a_deployment_without_stays_verified() {
        let access = access(Unsigned::Allow, "");
        assert_eq!(asked(&access, "/cat.jpg?w=1"), Ok(()));
        assert_eq!(asked(&access, "/@shop/cat.jpg?w=1"), Ok(()));
        let forged = signed_by(COMMON, "/@shop/cat.jpg?w=1");
        assert_eq!(asked(&access, &forged), Err(ErrorCode::SignatureInvalid));
    }

    #[test]
    fn what_is_wrong_with_a_url_is_told_to_those_with_the_right_keys_only() {
        let access = access(Unsigned::Deny, COMMON);
        let read = |target: &str| {
            access.admit_reader(target, origin_of(target).as_ref()).map_err(|f| f.code)
        };
        assert_eq!(read(&signed_by(SHOP, "/@shop/cat.jpg?widht=1")), Ok(()));
        let foreign = signed_by(COMMON, "/@shop/cat.jpg?widht=1");
        assert_eq!(read(&foreign), Err(ErrorCode::SignatureInvalid));
        assert_eq!(read("/@shop/cat.jpg?widht=1"), Err(ErrorCode::SignatureMissing));
    }
}
