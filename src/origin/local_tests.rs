//! Tests of the read-only folder: containment, special files, changes under a read.

use super::local::{Links, ReadOnlyFolder};
use crate::model::key::SourceKey;
use futures_util::StreamExt;
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const CANARY: &str = "the canary outside the root";

/// `base/outside/secret` and `base/root`, with a few files inside.
struct Scratch {
    base: tempfile::TempDir,
}

impl Scratch {
    fn new() -> Self {
        let this = Self { base: tempfile::tempdir().unwrap() };
        fs::create_dir_all(this.base.path().join("outside")).unwrap();
        fs::create_dir_all(this.root().join("a/b")).unwrap();
        for canary in ["outside/secret", "secret", "root.secret"] {
            fs::write(this.base.path().join(canary), CANARY).unwrap();
        }
        fs::write(this.root().join("cat.jpg"), "a cat").unwrap();
        fs::write(this.root().join("a/b/deep.jpg"), "a deep cat").unwrap();
        this
    }

    fn root(&self) -> PathBuf {
        self.base.path().join("root")
    }

    fn open(&self, links: Links) -> ReadOnlyFolder {
        ReadOnlyFolder::open(&self.root(), links).unwrap()
    }
}

async fn text(store: &ReadOnlyFolder, key: &str) -> Result<String, Error> {
    let bytes = store.get(&Path::parse(key)?).await?.bytes().await?;
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

fn is_missing<T: std::fmt::Debug>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::NotFound { .. } | Error::InvalidPath { .. }))
}

#[tokio::test]
async fn files_are_read_whole_and_in_ranges() {
    let scratch = Scratch::new();
    let store = scratch.open(Links::Refused);
    assert_eq!(text(&store, "cat.jpg").await.unwrap(), "a cat");
    assert_eq!(text(&store, "a/b/deep.jpg").await.unwrap(), "a deep cat");
    let place = Path::from("cat.jpg");
    assert_eq!(store.head(&place).await.unwrap().size, 5);
    assert_eq!(store.get_range(&place, 2..4).await.unwrap(), "ca");
    let ranges = store.get_ranges(&place, &[2..5, 0..1]).await.unwrap();
    assert_eq!(ranges, ["cat", "a"]);
    let options = GetOptions { range: Some(GetRange::Suffix(3)), ..GetOptions::default() };
    let part = store.get_opts(&place, options).await.unwrap();
    assert_eq!((part.range.clone(), part.bytes().await.unwrap().as_ref()), (2..5, &b"cat"[..]));
}

#[tokio::test]
async fn nothing_can_be_written() {
    let scratch = Scratch::new();
    let store = scratch.open(Links::Refused);
    let (here, there) = (Path::from("cat.jpg"), Path::from("dog.jpg"));
    let refused =
        |result: Result<(), Error>| assert!(matches!(result, Err(Error::NotSupported { .. })));
    refused(store.put(&there, "x".into()).await.map(drop));
    refused(store.put_multipart(&there).await.map(drop));
    refused(store.delete(&here).await);
    refused(store.copy(&here, &there).await);
    refused(store.rename(&here, &there).await);
    assert_eq!(text(&store, "cat.jpg").await.unwrap(), "a cat");
}

#[tokio::test]
async fn a_tag_changes_with_the_file_and_conditions_hold() {
    let scratch = Scratch::new();
    let store = scratch.open(Links::Refused);
    let place = Path::from("cat.jpg");
    let first = store.head(&place).await.unwrap().e_tag.unwrap();
    assert!(first.starts_with('"') && first.ends_with('"'), "{first} is no strong tag");
    let pinned = || GetOptions { if_match: Some(first.clone()), ..GetOptions::default() };
    assert!(store.get_opts(&place, pinned()).await.is_ok());
    fs::write(scratch.root().join("new"), "a dog").unwrap();
    fs::rename(scratch.root().join("new"), scratch.root().join("cat.jpg")).unwrap();
    assert_ne!(store.head(&place).await.unwrap().e_tag.unwrap(), first);
    assert!(matches!(store.get_opts(&place, pinned()).await, Err(Error::Precondition { .. })));
}

#[tokio::test]
async fn a_file_that_changes_under_a_read_is_an_error_and_never_a_mixture() {
    let scratch = Scratch::new();
    let (store, place) = (scratch.open(Links::Refused), Path::from("cat.jpg"));
    let file = scratch.root().join("cat.jpg");
    for change in ["a cat and more", "a c", "a dog"] {
        fs::write(&file, "a cat").unwrap();
        // The clock of a file system may tick only every few milliseconds.
        std::thread::sleep(Duration::from_millis(20));
        let opened = store.get(&place).await.unwrap();
        fs::write(&file, change).unwrap();
        let read = opened.bytes().await;
        assert!(matches!(read, Err(Error::Precondition { .. })), "{change}: {read:?}");
    }
    // A file that is replaced is still whole for whoever opened it.
    fs::write(&file, "a cat").unwrap();
    let opened = store.get(&place).await.unwrap();
    fs::write(scratch.root().join("new"), "a dog").unwrap();
    fs::rename(scratch.root().join("new"), &file).unwrap();
    assert_eq!(opened.bytes().await.unwrap(), "a cat");
}

#[tokio::test]
async fn special_files_are_missing_at_once() {
    let scratch = Scratch::new();
    let root = scratch.root();
    assert!(Command::new("mkfifo").arg(root.join("fifo")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    symlink("/dev/zero", root.join("zero")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    for links in [Links::Refused, Links::WithinRoot] {
        let store = scratch.open(links);
        for key in [
            "fifo",
            "socket",
            "zero",
            "loop",
            "a",
            "a/b",
            "cat.jpg/x",
            "missing",
            "missing/x",
            &"n".repeat(300),
        ] {
            let start = Instant::now();
            let result = text(&store, key).await;
            assert!(is_missing(&result), "{key}: {result:?}");
            assert!(
                start.elapsed() < Duration::from_millis(500),
                "{key} took {:?}",
                start.elapsed()
            );
        }
    }
}

#[tokio::test]
async fn empty_and_sparse_files_tell_their_size_without_being_read() {
    let scratch = Scratch::new();
    let store = scratch.open(Links::Refused);
    fs::write(scratch.root().join("empty"), "").unwrap();
    fs::File::create(scratch.root().join("sparse")).unwrap().set_len(10 << 30).unwrap();
    assert_eq!(text(&store, "empty").await.unwrap(), "");
    let start = Instant::now();
    assert_eq!(store.get(&Path::from("sparse")).await.unwrap().meta.size, 10 << 30);
    assert!(start.elapsed() < Duration::from_millis(500));
}

#[tokio::test]
async fn an_unreadable_file_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    let file = scratch.root().join("cat.jpg");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(&file).is_ok() {
        eprintln!("SKIPPED: this user may read everything, so no file is unreadable");
        return;
    }
    let result = text(&scratch.open(Links::Refused), "cat.jpg").await;
    assert!(matches!(result, Err(Error::PermissionDenied { .. })), "{result:?}");
}

#[tokio::test]
async fn links_are_refused_unless_told_and_never_lead_outside() {
    let scratch = Scratch::new();
    let root = scratch.root();
    symlink("cat.jpg", root.join("inside")).unwrap();
    symlink("a/b", root.join("folder")).unwrap();
    symlink("../outside/secret", root.join("out")).unwrap();
    symlink("../outside", root.join("out-folder")).unwrap();
    symlink(scratch.base.path().join("outside/secret"), root.join("absolute")).unwrap();
    symlink("a/../../outside/secret", root.join("detour")).unwrap();
    let outside = ["out", "out-folder/secret", "absolute", "detour"];

    let strict = scratch.open(Links::Refused);
    for key in ["inside", "folder/deep.jpg"].iter().chain(&outside) {
        assert!(is_missing(&text(&strict, key).await), "{key}");
    }
    let following = scratch.open(Links::WithinRoot);
    assert_eq!(text(&following, "inside").await.unwrap(), "a cat");
    assert_eq!(text(&following, "folder/deep.jpg").await.unwrap(), "a deep cat");
    for key in outside {
        assert!(is_missing(&text(&following, key).await), "{key}");
    }
}

/// Over 200 ways to spell a way out, as they arrive in a URL.
fn spellings() -> BTreeSet<String> {
    let ups = [
        "..",
        "%2e%2e",
        "%2E.",
        ".%2e",
        "%252e%252e",
        "..%00",
        "..;",
        "...",
        "....",
        "%c0%ae%c0%ae",
        "%u002e%u002e",
        "\u{ff0e}\u{ff0e}",
        "\u{2024}\u{2024}",
        ".. ",
        " ..",
        "..\\",
        "..%5c",
        "%uff0e%uff0e",
        "~",
        ".",
    ];
    let slashes =
        ["/", "%2f", "%2F", "%252f", "\\", "%5c", "//", "/./", "%c0%af", "\u{2215}", "/%2e/"];
    let ends = ["outside/secret", "secret", "root.secret"];
    let mut all = BTreeSet::new();
    for up in ups {
        for slash in slashes {
            for (depth, start) in [(1, ""), (2, "a/"), (6, "/")] {
                for end in ends {
                    all.insert(format!("{start}{}{end}", format!("{up}{slash}").repeat(depth)));
                }
            }
        }
    }
    all
}

#[tokio::test]
async fn no_spelling_of_a_key_leads_outside() {
    let scratch = Scratch::new();
    let outside = scratch.base.path().join("outside/secret").display().to_string();
    let mut all = spellings();
    all.extend([
        outside.clone(),
        format!("/{outside}"),
        format!("file://{outside}"),
        outside.replace('/', "%2f"),
        "/proc/self/cwd".to_owned(),
        "a/b/../../../secret".to_owned(),
        "root.secret".to_owned(),
        "cat.jpg%00../../secret".to_owned(),
    ]);
    assert!(all.len() > 200, "{}", all.len());
    let stores = [scratch.open(Links::Refused), scratch.open(Links::WithinRoot)];
    for spelling in &all {
        let once = percent_encoding::percent_decode_str(spelling);
        let decoded = once.decode_utf8_lossy().into_owned();
        // As a key of ours, as a path nobody checked, and as a path object_store encodes.
        let as_key = SourceKey::new(&decoded).ok().map(|key| Path::parse(key.as_str()));
        let paths = as_key.into_iter().chain([
            Path::parse(spelling),
            Path::parse(&decoded),
            Ok(Path::from(decoded)),
        ]);
        for path in paths.flatten() {
            for store in &stores {
                if let Ok(read) = store.get(&path).await {
                    let bytes = read.bytes().await.unwrap();
                    assert_ne!(bytes, CANARY, "{spelling} as {path}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_swapped_for_a_link_never_leads_outside() {
    let scratch = Scratch::new();
    let root = scratch.root();
    fs::create_dir(root.join("real")).unwrap();
    fs::write(root.join("real/secret"), "inside").unwrap();
    symlink("../outside", root.join("link")).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let swapper = {
        let (stop, root) = (Arc::clone(&stop), root.clone());
        std::thread::spawn(move || {
            let mut swaps = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                // `swap` is now the folder, now the link, now nothing.
                for name in ["real", "link"] {
                    fs::rename(root.join(name), root.join("swap")).unwrap();
                    fs::rename(root.join("swap"), root.join(name)).unwrap();
                    swaps += 1;
                }
            }
            swaps
        })
    };
    let stores = [scratch.open(Links::Refused), scratch.open(Links::WithinRoot)];
    let (start, mut inside, mut rounds) = (Instant::now(), 0, 0);
    while rounds < 100_000 && start.elapsed() < Duration::from_secs(3) {
        for store in &stores {
            rounds += 1;
            match text(store, "swap/secret").await {
                Ok(read) if read == "inside" => inside += 1,
                Ok(read) => panic!("read {read:?} after {rounds} rounds"),
                Err(_) => {}
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    let swaps = swapper.join().unwrap();
    assert!(
        swaps > 1_000 && rounds > 1_000 && inside > 0,
        "{swaps} swaps, {rounds} rounds, {inside} hits"
    );
}

#[tokio::test]
async fn listing_walks_real_files_in_the_order_of_keys() {
    let scratch = Scratch::new();
    let root = scratch.root();
    symlink("../outside", root.join("out")).unwrap();
    symlink("cat.jpg", root.join("link.jpg")).unwrap();
    assert!(Command::new("mkfifo").arg(root.join("fifo")).status().unwrap().success());
    let names = async |store: &ReadOnlyFolder, prefix: Option<&str>| {
        let prefix = prefix.map(Path::from);
        let listed: Vec<_> = store.list(prefix.as_ref()).collect().await;
        listed.into_iter().map(|meta| meta.unwrap().location.to_string()).collect::<Vec<_>>()
    };
    let strict = scratch.open(Links::Refused);
    assert_eq!(names(&strict, None).await, ["a/b/deep.jpg", "cat.jpg"]);
    assert_eq!(names(&strict, Some("a")).await, ["a/b/deep.jpg"]);
    assert!(names(&strict, Some("missing")).await.is_empty());
    let following = scratch.open(Links::WithinRoot);
    assert_eq!(names(&following, None).await, ["a/b/deep.jpg", "cat.jpg", "link.jpg"]);
    let level = strict.list_with_delimiter(None).await.unwrap();
    assert_eq!((level.objects.len(), level.common_prefixes), (1, vec![Path::from("a")]));
}
