//! `lenslet --version`: this build, every codec in it, and how wide the processor's arithmetic
//! is. Never looks at the environment.

use crate::codec;
use std::fmt::Write as _;

/// Several lines, the first of which is `lenslet 1.2.3`.
pub(super) fn text() -> String {
    let mut text = format!("lenslet {}", env!("CARGO_PKG_VERSION"));
    for (name, version) in codec::versions() {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{name} {version}");
    }
    let _ = write!(text, "\n{} {}", std::env::consts::ARCH, simd());
    text
}

/// The widest instruction set of this processor that resizing and the codecs have code for.
#[cfg(target_arch = "x86_64")]
fn simd() -> &'static str {
    if std::arch::is_x86_feature_detected!("avx2") {
        "avx2"
    } else if std::arch::is_x86_feature_detected!("sse4.1") {
        "sse4.1"
    } else {
        "sse2"
    }
}

/// Part of the architecture itself.
#[cfg(target_arch = "aarch64")]
fn simd() -> &'static str {
    "neon"
}

/// None that is used.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn simd() -> &'static str {
    "scalar"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_has_a_line() {
        let text = text();
        assert!(text.starts_with(concat!("lenslet ", env!("CARGO_PKG_VERSION"), "\n")));
        for (name, _) in codec::versions() {
            assert!(text.lines().any(|line| line.starts_with(&format!("{name} "))), "{name}");
        }
    }
}
