//! Criterion benches: the stages of a render apart, the whole render in process, and a memory hit
//! over a real socket. `cargo bench` runs them; LENSLET_BENCH_IMAGE names a photograph to use in
//! place of the drawn one. Nothing here is a promise: those are `make show`.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a picture drawn in floating point"
)]

use criterion::{Criterion, criterion_group, criterion_main};
use lenslet::codec::{self, Encoding};
use lenslet::config::{Env, Machine, Purpose, Settings};
use lenslet::dialect::{self, DialectSettings, Presets, UnknownParams};
use lenslet::model::geometry::Size;
use lenslet::model::pixels::{Layout, Pixels};
use lenslet::model::source::{Header, Scale};
use lenslet::model::transform::Accepts;
use lenslet::pipeline::plan::{Window, WindowRect};
use lenslet::pipeline::{self, ops};
use lenslet::service::compose;
use std::borrow::Cow;
use std::ffi::OsString;
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// 12 megapixels, JPEG 4:2:0 at quality 92: a photograph if one is named, else waves and grain
/// that compress about as badly as one.
fn original() -> Vec<u8> {
    if let Some(path) = std::env::var_os("LENSLET_BENCH_IMAGE") {
        return std::fs::read(path).expect("LENSLET_BENCH_IMAGE can be read");
    }
    let size = Size::new(4032, 3024);
    let mut grain = 1u32;
    let mut data = Vec::with_capacity(size.pixels() as usize * 3);
    for y in 0..size.height {
        for x in 0..size.width {
            grain = grain.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (grain >> 28) as f32;
            let wave = |a: f32, b: f32| {
                ((x as f32 * a + (y as f32 * b).sin() * 40.0).sin() * 110.0 + 128.0 + noise) as u8
            };
            data.extend([wave(0.01, 0.004), wave(0.013, 0.006), wave(0.007, 0.011)]);
        }
    }
    let pixels = Pixels::new(size, Layout::Rgb, data).expect("exactly as long");
    codec::encode(&pixels, Encoding::Jpeg { quality: 92, progressive: false }).expect("encodes")
}

fn settings(vars: &[(&str, &str)]) -> Settings {
    let vars = vars.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let env = Env::gather(vars, None);
    Settings::read(&env, &Machine::detect(), Purpose::Offline).expect("settings")
}

fn decode(c: &mut Criterion) {
    let bytes = original();
    let header = codec::probe(&bytes).expect("a JPEG");
    let mut group = c.benchmark_group("decode 12 MP JPEG");
    group.sample_size(20);
    for scale in Scale::ALL {
        group.bench_function(format!("1/{}", scale.denominator()), |b| {
            b.iter(|| codec::decode(black_box(&bytes), &header, scale));
        });
    }
}

fn small() -> (Vec<u8>, Header, Pixels) {
    let bytes = original();
    let header = codec::probe(&bytes).expect("a JPEG");
    let pixels = codec::decode(&bytes, &header, Scale::Quarter).expect("decodes");
    (bytes, header, pixels)
}

fn resize(c: &mut Criterion) {
    let (_, _, pixels) = small();
    let window = Window::Fixed(WindowRect::of(pixels.size()));
    let to = Size::new(800, 800 * pixels.size().height / pixels.size().width);
    c.bench_function("resize 1/4 of 12 MP to 800 px", |b| {
        b.iter(|| ops::resize(Cow::Borrowed(black_box(&pixels)), window, to));
    });
}

fn encode(c: &mut Criterion) {
    let (_, _, pixels) = small();
    let window = Window::Fixed(WindowRect::of(pixels.size()));
    let to = Size::new(800, 800 * pixels.size().height / pixels.size().width);
    let pixels = ops::resize(Cow::Owned(pixels), window, to).expect("resizes");
    let mut group = c.benchmark_group("encode 800 px");
    group.sample_size(20);
    for (name, encoding) in [
        ("JPEG", Encoding::Jpeg { quality: 80, progressive: false }),
        ("WebP", Encoding::Webp { quality: 80 }),
        ("AVIF", Encoding::Avif { quality: 65 }),
        ("PNG", Encoding::Png),
    ] {
        group.bench_function(name, |b| b.iter(|| codec::encode(black_box(&pixels), encoding)));
    }
}

fn render(c: &mut Criterion) {
    let (bytes, header, _) = small();
    let limits = settings(&[]).limits;
    let presets = Presets::parse("").expect("no presets");
    let settings =
        DialectSettings { presets: &presets, unknown: UnknownParams::Refuse, ignored: &[] };
    let mut group = c.benchmark_group("render 12 MP JPEG to 800 px");
    group.sample_size(20);
    for format in ["jpeg", "webp", "avif"] {
        let request =
            dialect::parse(&format!("/a.jpg?w=800&f={format}"), &settings).expect("a URL");
        let wish = request.resolve(Accepts::Classic, &limits).expect("a wish");
        let plan = pipeline::plan(&header, &wish, &limits).expect("a plan");
        group.bench_function(format, |b| {
            b.iter(|| pipeline::run(black_box(&bytes), &header, &plan, |_stage| {}));
        });
    }
}

/// One keep-alive connection asking for the same picture: the whole hit path, socket included.
fn hit(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let bytes = original();
    std::fs::write(folder.path().join("a.jpg"), bytes).expect("written");
    let origin = format!("file://{}", folder.path().display());
    let running = compose::start(settings(&[
        ("LENSLET_LISTEN", "127.0.0.1:0"),
        ("LENSLET_ADMIN_LISTEN", "127.0.0.1:0"),
        ("LENSLET_ORIGIN", &origin),
        ("LENSLET_UNSIGNED", "allow"),
        ("LENSLET_DRAIN_DELAY", "0"),
        ("LENSLET_SOURCE_TTL", "immutable"),
    ]))
    .expect("starts");
    let mut socket = TcpStream::connect(running.public).expect("connects");
    socket.set_nodelay(true).expect("no delay");
    let mut ask = |head: &str| {
        socket.write_all(head.as_bytes()).expect("sent");
        let mut buffer = vec![0u8; 1 << 20];
        let mut filled = 0;
        loop {
            filled += socket.read(&mut buffer[filled..]).expect("received");
            let Some(end) = buffer[..filled].windows(4).position(|w| w == b"\r\n\r\n") else {
                continue;
            };
            let text = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length = length.and_then(|n| n.parse::<usize>().ok()).unwrap_or(0);
            if filled >= end + 4 + length {
                return filled;
            }
        }
    };
    let get = "GET /a.jpg?w=400 HTTP/1.1\r\nHost: bench\r\n\r\n";
    ask(get);
    c.bench_function("memory hit over a socket", |b| b.iter(|| ask(get)));
    drop(socket);
    running.stop();
}

criterion_group!(stages, decode, resize, encode, render, hit);
criterion_main!(stages);
