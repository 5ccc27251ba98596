//! Originals in a local folder: an `ObjectStore` that can read and nothing else. Everything is
//! opened beneath a handle of the root, never by a joined path, so no spelling of a key and no
//! swapped link leads outside; only regular files are read. Never writes.

use async_trait::async_trait;
use bytes::Bytes;
use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt, OpenOptionsSyncExt};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use futures_util::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, Extensions, GetOptions, GetRange, GetResult, GetResultPayload,
    ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, RenameOptions, Result,
};
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

/// What this store calls itself in errors.
const STORE: &str = "folder";

/// What becomes of symbolic links below the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Links {
    /// They are not there.
    #[default]
    Refused,
    /// They are followed as long as they stay beneath the root.
    WithinRoot,
}

/// A folder of originals.
#[derive(Debug, Clone)]
pub struct ReadOnlyFolder {
    folder: Arc<Folder>,
}

#[derive(Debug)]
struct Folder {
    root: Dir,
    links: Links,
    path: PathBuf,
}

impl ReadOnlyFolder {
    /// Opens the root, which is held from now on: what is later mounted or linked in its place is
    /// not seen.
    ///
    /// # Errors
    /// What the system says of a root that is missing, no folder or not readable.
    pub fn open(root: &FilePath, links: Links) -> io::Result<Self> {
        let dir = Dir::open_ambient_dir(root, ambient_authority())?;
        Ok(Self { folder: Arc::new(Folder { root: dir, links, path: root.to_owned() }) })
    }

    /// Every file below a folder in the order of keys, as a bucket lists them: `a.jpg` before
    /// `a/b.jpg` before `a0.jpg`. One folder is read at a time, so that memory is bounded by the
    /// largest on the way down.
    fn walk(
        &self,
        prefix: Option<&Path>,
        after: Option<&Path>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let this = self.clone();
        let start = vec![Found::Folder(prefix.cloned().unwrap_or_default())];
        let after = after.map(|path| path.as_ref().to_owned()).unwrap_or_default();
        let files = stream::try_unfold((start, after), move |(mut left, after)| {
            let this = this.clone();
            async move {
                loop {
                    match left.pop() {
                        None => return Ok::<_, Error>(None),
                        Some(Found::File(meta)) => return Ok(Some((meta, (left, after)))),
                        Some(Found::Folder(folder)) => {
                            let (files, folders) =
                                this.blocking(move |inner| inner.entries(&folder)).await?;
                            let files = files.into_iter().map(Found::File);
                            let mut found: Vec<Found> = files
                                .chain(folders.into_iter().map(Found::Folder))
                                .filter(|found| found.reaches_beyond(&after))
                                .collect();
                            found.sort_by_cached_key(|found| std::cmp::Reverse(found.key()));
                            left.extend(found);
                        }
                    }
                }
            }
        });
        files.boxed()
    }

    /// Runs file I/O where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folder) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let folder = Arc::clone(&self.folder);
        tokio::task::spawn_blocking(move || work(&folder)).await?
    }
}

impl std::fmt::Display for ReadOnlyFolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "file://{}", self.folder.path.display())
    }
}

/// An entry of a folder.
enum Found {
    File(ObjectMeta),
    Folder(Path),
}

impl Found {
    /// What it sorts by: a folder where the keys below it do.
    fn key(&self) -> String {
        match self {
            Self::File(meta) => meta.location.as_ref().to_owned(),
            Self::Folder(path) => format!("{path}/"),
        }
    }

    /// Whether it is, or may hold, a key after this one.
    fn reaches_beyond(&self, after: &str) -> bool {
        let key = self.key();
        key.as_str() > after || (matches!(self, Self::Folder(_)) && after.starts_with(&key))
    }
}

/// A regular file, opened and looked at.
#[derive(Debug)]
struct Opened {
    file: File,
    meta: ObjectMeta,
}

impl Folder {
    /// Opens a file of the folder. A FIFO cannot hold us up: nothing waits for its writer.
    fn open_file(&self, location: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).nonblock(true);
        let file = match self.links {
            Links::WithinRoot => self.root.open_with(location.as_ref(), &options)?,
            Links::Refused => {
                options.follow(FollowSymlinks::No);
                let (parents, name) =
                    location.as_ref().rsplit_once('/').unwrap_or(("", location.as_ref()));
                let parent = self.open_parents(parents)?;
                parent.as_ref().unwrap_or(&self.root).open_with(name, &options)?
            }
        };
        Ok(file.into_std())
    }

    /// Opens a chain of folders one by one, none of them through a link; `None` is the root.
    fn open_parents(&self, parents: &str) -> io::Result<Option<Dir>> {
        let mut parent: Option<Dir> = None;
        for name in parents.split('/').filter(|name| !name.is_empty()) {
            parent = Some(parent.as_ref().unwrap_or(&self.root).open_dir_nofollow(name)?);
        }
        Ok(parent)
    }

    fn opened(&self, location: &Path) -> Result<Opened> {
        let file = self.open_file(location).map_err(|e| failure(location, e))?;
        let metadata = file.metadata().map_err(|e| failure(location, e))?;
        if !metadata.is_file() {
            return Err(failure(
                location,
                io::Error::new(ErrorKind::NotFound, "not a regular file"),
            ));
        }
        Ok(Opened { meta: object_meta(location.clone(), &metadata), file })
    }

    /// The files and folders right below a folder, each in the order of their names.
    fn entries(&self, prefix: &Path) -> Result<(Vec<ObjectMeta>, Vec<Path>)> {
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        let entries = match self.open_folder(prefix).and_then(|dir| dir.entries()) {
            Ok(entries) => entries,
            // Listing what is not there gives nothing, as in every other store.
            Err(e) if e.kind() == ErrorKind::NotFound || is_no_path(&e) => {
                return Ok((files, folders));
            }
            Err(e) => return Err(failure(prefix, e)),
        };
        for entry in entries {
            let entry = entry.map_err(|e| failure(prefix, e))?;
            let name = entry.file_name();
            // A name that is not UTF-8 or holds control characters is no key.
            let Some(location) = name.to_str().and_then(|name| below(prefix, name)) else {
                continue;
            };
            let kind = entry.file_type().map_err(|e| failure(&location, e))?;
            if kind.is_dir() {
                folders.push(location);
            } else if kind.is_file() || (kind.is_symlink() && self.links == Links::WithinRoot) {
                match self.opened(&location) {
                    Ok(opened) => files.push(opened.meta),
                    // Gone meanwhile, unreadable, or a link to a folder or to the outside.
                    Err(Error::NotFound { .. } | Error::PermissionDenied { .. }) => {}
                    Err(e) => return Err(e),
                }
            }
        }
        files.sort_by(|a, b| a.location.cmp(&b.location));
        folders.sort();
        Ok((files, folders))
    }

    fn open_folder(&self, prefix: &Path) -> io::Result<Dir> {
        match self.links {
            Links::WithinRoot if !prefix.as_ref().is_empty() => self.root.open_dir(prefix.as_ref()),
            Links::WithinRoot => self.root.try_clone(),
            Links::Refused => {
                self.open_parents(prefix.as_ref())?.map_or_else(|| self.root.try_clone(), Ok)
            }
        }
    }
}

/// `prefix/name`, if that is a path.
fn below(prefix: &Path, name: &str) -> Option<Path> {
    let joined =
        if prefix.as_ref().is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
    Path::parse(&joined).ok().filter(|path| path.as_ref() == joined)
}

/// Inode, size and time of the last change: a file that is replaced or rewritten gets another.
fn object_meta(location: Path, metadata: &Metadata) -> ObjectMeta {
    let (inode, size) = (metadata.ino(), metadata.len());
    let nanos = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    let modified = metadata.modified().unwrap_or(std::time::UNIX_EPOCH);
    let e_tag = Some(format!("\"{inode:x}-{size:x}-{nanos:x}\""));
    ObjectMeta { location, last_modified: modified.into(), size, e_tag, version: None }
}

/// Errors of paths that cannot name a file of ours: links where none are allowed, a file where a
/// folder should be, names too long, sockets, and links to the outside.
fn is_no_path(error: &io::Error) -> bool {
    let led_outside = error.kind() == ErrorKind::PermissionDenied && error.raw_os_error().is_none();
    let kinds = [ErrorKind::NotADirectory, ErrorKind::InvalidFilename, ErrorKind::InvalidInput];
    // ELOOP and ENXIO have no stable kinds; 40 and 6 on Linux, 62 and 6 on the BSDs and macOS.
    led_outside
        || kinds.contains(&error.kind())
        || matches!(error.raw_os_error(), Some(6 | 40 | 62))
}

fn failure(location: &Path, error: io::Error) -> Error {
    let path = location.to_string();
    match error.kind() {
        ErrorKind::NotFound => Error::NotFound { path, source: error.into() },
        _ if is_no_path(&error) => Error::NotFound { path, source: error.into() },
        ErrorKind::PermissionDenied => Error::PermissionDenied { path, source: error.into() },
        _ => Error::Generic { store: STORE, source: error.into() },
    }
}

fn read_only<T>() -> Result<T> {
    Err(Error::NotSupported { source: "originals are never written".into() })
}

/// The bytes a request wants of a file of `size` bytes.
fn resolve(range: Option<&GetRange>, size: u64) -> Result<Range<u64>> {
    let wanted = match range {
        None => return Ok(0..size),
        Some(GetRange::Bounded(range)) => range.start..range.end.min(size),
        Some(GetRange::Offset(start)) => *start..size,
        Some(GetRange::Suffix(length)) => size.saturating_sub(*length)..size,
    };
    if wanted.start < wanted.end {
        return Ok(wanted);
    }
    let text = format!("bytes {}..{} of a file of {size} bytes", wanted.start, wanted.end);
    Err(Error::Generic { store: STORE, source: text.into() })
}

/// Reads a range with one allocation of its exact size. A file that is not what it was when it was
/// opened, or ends early, is an error: no mixture of two versions leaves here.
fn read(opened: &mut Opened, range: &Range<u64>) -> Result<Bytes> {
    let location = opened.meta.location.clone();
    let fail = |e: io::Error| failure(&location, e);
    let length = range.end - range.start;
    let mut body = Vec::new();
    let room = usize::try_from(length).unwrap_or(usize::MAX);
    body.try_reserve_exact(room).map_err(|_| fail(ErrorKind::OutOfMemory.into()))?;
    if range.start > 0 {
        opened.file.seek(SeekFrom::Start(range.start)).map_err(fail)?;
    }
    (&opened.file).take(length).read_to_end(&mut body).map_err(fail)?;
    let now = object_meta(location.clone(), &opened.file.metadata().map_err(fail)?);
    if body.len() == room && now.e_tag == opened.meta.e_tag {
        return Ok(body.into());
    }
    Err(Error::Precondition {
        path: location.to_string(),
        source: "the file changed while it was read".into(),
    })
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for ReadOnlyFolder {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        read_only()
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        read_only()
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let place = location.clone();
        let head = options.head;
        let (mut opened, range) = self
            .blocking(move |folder| {
                let opened = folder.opened(&place)?;
                options.check_preconditions(&opened.meta)?;
                let range = resolve(options.range.as_ref(), opened.meta.size)?;
                Ok((opened, range))
            })
            .await?;
        let (meta, wanted, this) = (opened.meta.clone(), range.clone(), self.clone());
        let body = if head {
            stream::empty().boxed()
        } else {
            // Read when polled and not before, so that whoever counts memory sees the size first.
            let read = async move { this.blocking(move |_| read(&mut opened, &wanted)).await };
            stream::once(read).boxed()
        };
        Ok(GetResult {
            payload: GetResultPayload::Stream(body),
            meta,
            range,
            attributes: Attributes::new(),
            extensions: Extensions::new(),
        })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let (place, ranges) = (location.clone(), ranges.to_vec());
        self.blocking(move |folder| {
            let mut opened = folder.opened(&place)?;
            let size = opened.meta.size;
            let one = |range: Range<u64>| {
                let range = resolve(Some(&GetRange::Bounded(range)), size)?;
                opened.file.rewind().map_err(|e| failure(&place, e))?;
                read(&mut opened, &range)
            };
            ranges.into_iter().map(one).collect()
        })
        .await
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        stream::once(async { read_only() }).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.walk(prefix, None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.walk(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = prefix.cloned().unwrap_or_default();
        let (objects, common_prefixes) =
            self.blocking(move |folder| folder.entries(&prefix)).await?;
        Ok(ListResult { common_prefixes, objects, extensions: Extensions::new() })
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        read_only()
    }

    async fn rename_opts(&self, _: &Path, _: &Path, _: RenameOptions) -> Result<()> {
        read_only()
    }
}
