//! Who may ask for what (SEMANTICS 20–22, 28): signature, then expiry, then what is open without
//! one. Runs before any lookup and before 304.

pub use crate::config::Unsigned;
use crate::dialect::presets::Presets;
use crate::dialect::request::{ImageRequest, SizedPath};
use crate::dialect::signature::{self, Keys, SignatureState};
use crate::service::failure::{ErrorCode, Failure};

/// The access rules of a deployment.
#[derive(Debug)]
pub struct Access {
    /// Keys that sign; empty: no signatures here.
    pub keys: Keys,
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
        let signed = self.signed(target)?;
        if let Some(exp) = request.access.exp
            && signature::expired(exp, now)
        {
            return Err(Failure::new(ErrorCode::Expired, format!("the URL expired at {exp}")));
        }
        if let Some(sized) = &request.sized {
            return self.admit_size(*sized);
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
    /// one (SEMANTICS 22, 28).
    ///
    /// # Errors
    /// [`ErrorCode::SignatureInvalid`], [`ErrorCode::SignatureMissing`].
    pub(crate) fn admit_reader(&self, target: &str) -> Result<(), Failure> {
        let signed = self.signed(target)?;
        if !signed && self.unsigned == Unsigned::Deny {
            return Err(missing());
        }
        Ok(())
    }

    /// Whether a good signature is there; a bad one is never ignored where there are keys.
    fn signed(&self, target: &str) -> Result<bool, Failure> {
        if self.keys.is_empty() {
            return Ok(false);
        }
        match signature::verify(&self.keys, target) {
            SignatureState::Valid => Ok(true),
            SignatureState::Absent => Ok(false),
            SignatureState::Invalid(reason) => {
                Err(Failure::new(ErrorCode::SignatureInvalid, reason.to_string()))
            }
        }
    }

    /// The list alone admits sized URLs; without a list only a deployment that is open to all
    /// and has no keys does.
    fn admit_size(&self, size: SizedPath) -> Result<(), Failure> {
        let open = self.keys.is_empty() && self.unsigned == Unsigned::Allow;
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

fn missing() -> Failure {
    let message = "the URL needs a signature: s=… as its last parameter";
    Failure::new(ErrorCode::SignatureMissing, message)
}
