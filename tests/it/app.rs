//! The whole service in this process: real configuration, real sockets on port 0, a scratch
//! folder for originals and one for variants. Tests say what differs.

use crate::client::{self, Reply};
use lenslet::codec::{self, Encoding};
use lenslet::config::{Env, Machine, Purpose, Settings};
use lenslet::model::geometry::Size;
use lenslet::model::pixels::{Layout, Pixels};
use lenslet::service::compose;
use lenslet::service::run::Running;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A running service with its scratch folders.
pub(crate) struct TestApp {
    running: Option<Running>,
    folder: tempfile::TempDir,
    vars: Vec<(String, String)>,
}

impl TestApp {
    /// Starts with the given settings over the test defaults (`ORIGIN`, not `LENSLET_ORIGIN`).
    pub(crate) fn start(vars: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for sub in ["originals", "variants"] {
            std::fs::create_dir(folder.path().join(sub)).unwrap();
        }
        let url = |sub: &str| format!("file://{}", folder.path().join(sub).display());
        let mut all = vec![
            ("LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("ADMIN_LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("UNSIGNED".to_owned(), "allow".to_owned()),
            ("DRAIN_DELAY".to_owned(), "0".to_owned()),
            ("WRITE_BACK".to_owned(), "sync".to_owned()),
            ("ORIGIN".to_owned(), url("originals")),
            ("VARIANTS".to_owned(), url("variants")),
        ];
        for (name, value) in vars {
            all.retain(|(known, _)| known != name);
            all.push(((*name).to_owned(), (*value).to_owned()));
        }
        let mut app = Self { running: None, folder, vars: all };
        app.restart();
        app
    }

    /// Stops in order and starts again with the same settings and folders.
    pub(crate) fn restart(&mut self) {
        self.stop();
        let env = self.vars.iter().map(|(name, value)| {
            (OsString::from(format!("LENSLET_{name}")), OsString::from(value))
        });
        let settings = Settings::read(&Env::gather(env, None), &Machine::detect(), Purpose::Serve)
            .unwrap_or_else(|faults| panic!("{faults}"));
        self.running = Some(compose::start(settings).unwrap());
    }

    /// Stops in order: accepted writes are written.
    pub(crate) fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("started")
    }

    /// The public address.
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.running().public
    }

    /// The folder of originals.
    pub(crate) fn originals(&self) -> PathBuf {
        self.folder.path().join("originals")
    }

    /// The folder of variants.
    pub(crate) fn variants(&self) -> PathBuf {
        self.folder.path().join("variants")
    }

    /// Puts an original there.
    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        put(&self.originals(), key, bytes);
    }

    /// GET.
    pub(crate) fn get(&self, target: &str) -> Reply {
        client::get(self.address(), target, &[])
    }

    /// GET with headers.
    pub(crate) fn get_with(&self, target: &str, headers: &[(&str, &str)]) -> Reply {
        client::get(self.address(), target, headers)
    }

    /// The admin address.
    pub(crate) fn admin_address(&self) -> std::net::SocketAddr {
        self.running().admin
    }

    /// GET on the admin listener.
    pub(crate) fn admin(&self, target: &str) -> Reply {
        client::get(self.running().admin, target, &[])
    }

    /// GET with headers on the admin listener.
    pub(crate) fn admin_with(&self, target: &str, headers: &[(&str, &str)]) -> Reply {
        client::get(self.running().admin, target, headers)
    }

    /// POST without a body and without a token on the admin listener.
    pub(crate) fn order(&self, target: &str) -> Reply {
        client::request(self.running().admin, "POST", target, &[("Content-Length", "0")])
    }

    /// A counter or gauge from the metrics page, summed over its labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let page = self.admin("/metrics").expect(200).text();
        let lines = page.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Puts a file into a folder, making the folders between.
pub(crate) fn put(folder: &Path, key: &str, bytes: &[u8]) {
    let path = folder.join(key);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// A picture with enough in it to compress like one: waves of colour, no two rows alike. `seed`
/// makes another of the same size.
pub(crate) fn picture(width: u32, height: u32, seed: u32) -> Pixels {
    let mut data = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let wave = |a: u32, b: u32| {
                let t = f64::from(x * a + y * b + seed * 97) / 40.0;
                ((t.sin() + 1.0) * 127.0) as u8
            };
            data.extend([wave(1, 3), wave(2, 1), wave(1, seed % 7 + 1)]);
        }
    }
    Pixels::new(Size::new(width, height), Layout::Rgb, data).unwrap()
}

/// The same as a JPEG.
pub(crate) fn jpeg(width: u32, height: u32, seed: u32) -> Vec<u8> {
    let encoding = Encoding::Jpeg { quality: 90, progressive: false };
    codec::encode(&picture(width, height, seed), encoding).unwrap()
}

/// Every file below a folder, as paths relative to it.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}
