//! Which trace a request belongs to: ids, the W3C `traceparent` header, and whether it is
//! recorded. Never sends anything, and trusts a header only as far as its form is right.

use crate::config::Sampling;
use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};
use ring::rand::{SecureRandom as _, SystemRandom};
use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};

/// One trace, 16 bytes of which not all are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(pub(super) [u8; 16]);

/// One span, 8 bytes of which not all are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(pub(super) [u8; 8]);

/// A span's place in the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The span within it.
    pub span: SpanId,
    /// Whether it is recorded.
    pub sampled: bool,
}

fn write_hex(f: &mut impl fmt::Write, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl EncodeLabelValue for TraceId {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        write_hex(encoder, &self.0)
    }
}

impl TraceId {
    pub(super) fn random() -> Self {
        loop {
            let (high, low) = (random(), random());
            if high | low != 0 {
                return Self(((u128::from(high) << 64) | u128::from(low)).to_be_bytes());
            }
        }
    }

    /// Whether the id falls into the given share of all ids, the same at every service that asks
    /// with the same share: its last 63 bits decide.
    fn is_within(self, ratio: f64) -> bool {
        let low = u128::from_be_bytes(self.0) & u128::from(u64::MAX >> 1);
        #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
        let place = low as f64 / (u64::MAX >> 1) as f64;
        ratio >= 1.0 || place < ratio
    }
}

impl SpanId {
    pub(super) fn random() -> Self {
        loop {
            let id = random();
            if id != 0 {
                return Self(id.to_be_bytes());
            }
        }
    }
}

impl TraceContext {
    /// Reads a `traceparent` header (W3C Trace Context, level 1). `None` for whatever is not one:
    /// the trace then begins here.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.trim_matches([' ', '\t']).splitn(4, '-');
        let (version, trace, span, rest) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let [version] = hex::<1>(version)?;
        // A later version may say more behind the flags; this one may not.
        let flags = match rest.split_once('-') {
            Some((flags, _)) if version > 0 => flags,
            Some(_) => return None,
            None => rest,
        };
        let (trace, span, [flags]) = (hex::<16>(trace)?, hex::<8>(span)?, hex::<1>(flags)?);
        let nothing = version == 0xff || trace == [0; 16] || span == [0; 8];
        (!nothing).then_some(Self {
            trace: TraceId(trace),
            span: SpanId(span),
            sampled: flags & 1 == 1,
        })
    }

    /// A span of this service below `parent`, or one that begins a trace.
    pub(super) fn below(parent: Option<Self>, sampling: Sampling) -> Self {
        let trace = parent.map_or_else(TraceId::random, |parent| parent.trace);
        let sampled = match parent {
            Some(parent) if sampling.by_parent => parent.sampled,
            _ => trace.is_within(sampling.ratio),
        };
        Self { trace, span: SpanId::random(), sampled }
    }
}

/// `N` bytes of lower-case hex and nothing else.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

/// Eight random bytes, without a system call. Each thread has a generator (xoshiro256++) with a
/// seed of its own from the system: ids must be different, not secret.
pub(crate) fn random() -> u64 {
    thread_local! {
        static STATE: Cell<[u64; 4]> = Cell::new(seed());
    }
    STATE.with(|state| {
        let [mut a, mut b, mut c, mut d] = state.get();
        let drawn = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let shifted = b << 17;
        c ^= a;
        d ^= b;
        b ^= c;
        a ^= d;
        c ^= shifted;
        d = d.rotate_left(45);
        state.set([a, b, c, d]);
        drawn
    })
}

fn seed() -> [u64; 4] {
    let mut bytes = [0; 32];
    let filled = SystemRandom::new().fill(&mut bytes).is_ok();
    let mut seed = [0; 4];
    for (word, chunk) in seed.iter_mut().zip(bytes.chunks_exact(8)) {
        let mut drawn = [0; 8];
        drawn.copy_from_slice(chunk);
        // Where the system has nothing to give, the keys of a hash map are random enough.
        *word = if filled { u64::from_be_bytes(drawn) } else { RandomState::new().hash_one(chunk) };
    }
    // The one state the generator never leaves.
    if seed == [0; 4] { [1; 4] } else { seed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    const HEADER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const ALL: Sampling = Sampling { by_parent: true, ratio: 1.0 };

    #[test]
    fn a_callers_context_is_read_as_w3c_writes_it() {
        let context = TraceContext::parse(HEADER).unwrap();
        assert_eq!(context.trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(context.span.to_string(), "b7ad6b7169203331");
        assert!(context.sampled);
        assert!(!TraceContext::parse(&HEADER.replace("-01", "-00")).unwrap().sampled);
        assert!(TraceContext::parse(&HEADER.replace("-01", "-03")).unwrap().sampled);
        let later = format!("{}-what-ever", HEADER.replacen("00", "cc", 1));
        assert_eq!(TraceContext::parse(&later), Some(context));
    }

    #[test]
    fn whatever_is_no_context_begins_a_trace() {
        for header in [
            "",
            "00",
            &HEADER.to_uppercase(),
            &HEADER.replacen("00", "ff", 1),
            &format!("{HEADER}-00"),
            &format!("{HEADER}0"),
            &HEADER.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &HEADER.replace("b7ad6b7169203331", &"0".repeat(16)),
            &HEADER.replace('b', "g"),
            &HEADER.replace('-', "_"),
        ] {
            assert_eq!(TraceContext::parse(header), None, "{header}");
        }
    }

    #[test]
    fn the_caller_decides_where_it_is_asked() {
        let parent = TraceContext::parse(HEADER);
        let own = TraceContext::below(parent, Sampling { by_parent: true, ratio: 0.0 });
        assert!(own.sampled);
        assert_eq!(Some(own.trace), parent.map(|parent| parent.trace));
        assert_ne!(Some(own.span), parent.map(|parent| parent.span));
        assert!(!TraceContext::below(parent, Sampling { by_parent: false, ratio: 0.0 }).sampled);
        let unsampled = TraceContext::parse(&HEADER.replace("-01", "-00"));
        assert!(!TraceContext::below(unsampled, ALL).sampled);
        assert!(TraceContext::below(None, ALL).sampled);
    }

    #[test]
    fn a_share_of_traces_is_about_that_share() {
        let sampling = Sampling { by_parent: true, ratio: 0.25 };
        let drawn = (0..20_000).filter(|_| TraceContext::below(None, sampling).sampled).count();
        assert!((4_500..5_500).contains(&drawn), "{drawn} of 20,000");
        assert!(!TraceId([0xff; 16]).is_within(0.999));
        assert!(TraceId([0xff; 16]).is_within(1.0));
        assert!(!TraceId::random().is_within(0.0));
    }

    #[test]
    fn ids_do_not_repeat_on_any_thread() {
        let draw = || (0..10_000).map(|_| random()).collect::<Vec<_>>();
        let drawn: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(draw)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(drawn.iter().collect::<HashSet<_>>().len(), drawn.len());
    }

    proptest! {
        #[test]
        fn no_header_is_a_panic_and_a_good_one_is_read_back(text in ".{0,70}", ids: ([u8; 16], [u8; 8]), flags: u8) {
            let _ = TraceContext::parse(&text);
            prop_assume!(ids.0 != [0; 16] && ids.1 != [0; 8]);
            let (trace, span) = (TraceId(ids.0), SpanId(ids.1));
            let read = TraceContext::parse(&format!("00-{trace}-{span}-{flags:02x}"));
            prop_assert_eq!(read, Some(TraceContext { trace, span, sampled: flags & 1 == 1 }));
        }
    }
}
