//! Where the lines of a server's log wait to be written: the lines of all threads in one buffer, taken
//! in large pieces by a thread of its own, so that a request pays for a copy of its line and not for a
//! system call. Nothing waits longer than [`LINGER`]; what is urgent goes at once, with all before it.
//! Never makes a request wait for whoever reads the log: where that one is slower than the service for
//! long, lines are lost, counted and told of once there is room again.

use super::logs::REQUEST_TARGET;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// How long a line may wait for others.
const LINGER: Duration = Duration::from_millis(200);

/// Bytes that are worth a write of their own.
const PIECE: usize = 64 << 10;

/// Bytes that may wait while nothing is taken from us: some 20,000 requests.
const MOST: usize = 8 << 20;

/// A buffer that grew beyond this is given back once it is empty.
const KEPT: usize = 4 * PIECE;

/// Lines that were lost in this process, which has one log.
static LOST: AtomicU64 = AtomicU64::new(0);

/// How many lines were lost so far: their reader was too slow for too long, or has gone.
pub(super) fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// The buffer with its writing thread. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Sink(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// There is something to do for the writer.
    work: Condvar,
    /// A piece has been written, or the writer has ended.
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// What waits must not wait for more.
    urgent: bool,
    /// A piece is on its way out.
    writing: bool,
    life: Life,
}

/// Where in its life the log is.
#[derive(Debug, Default, PartialEq, Eq)]
enum Life {
    /// It takes lines.
    #[default]
    Open,
    /// It takes no more, and writes those it has.
    Closed,
    /// All are written.
    Ended,
}

impl Sink {
    /// Starts the writer.
    ///
    /// # Errors
    /// When no thread can be had.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let state = Mutex::new(State::default());
        let sink = Self(Arc::new(Shared { state, work: Condvar::new(), written: Condvar::new() }));
        let own = sink.clone();
        std::thread::Builder::new().name("log".to_owned()).spawn(move || own.write_all(out))?;
        Ok(sink)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a whole line over, or loses it.
    fn push(&self, line: &[u8], urgent: bool) {
        let mut state = self.lock();
        if state.life != Life::Open || state.waiting.len() + line.len() > MOST {
            LOST.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let before = state.waiting.len();
        state.waiting.extend_from_slice(line);
        state.urgent |= urgent;
        // The writer sleeps for the first line, and in its pause for a full piece or an urgent line.
        let full = before < PIECE && state.waiting.len() >= PIECE;
        let wake = before == 0 || urgent || full;
        drop(state);
        if wake {
            self.0.work.notify_one();
        }
    }

    /// The writer: takes what waits, in pieces, until the log is closed and everything is written.
    fn write_all(&self, mut out: impl Write) {
        let (mut piece, mut told) = (Vec::new(), lost());
        loop {
            let mut state = self.lock();
            while state.waiting.is_empty() && state.life == Life::Open {
                state = self.0.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.waiting.is_empty() {
                state.life = Life::Ended;
                self.0.written.notify_all();
                return;
            }
            let until = Instant::now() + LINGER;
            while !state.urgent && state.life == Life::Open && state.waiting.len() < PIECE {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                let woken = self.0.work.wait_timeout(state, left);
                state = woken.unwrap_or_else(PoisonError::into_inner).0;
            }
            std::mem::swap(&mut state.waiting, &mut piece);
            (state.urgent, state.writing) = (false, true);
            drop(state);
            if out.write_all(&piece).and_then(|()| out.flush()).is_err() {
                // Nobody reads any more; a log has nobody to complain to.
                let lines = piece.split(|byte| *byte == b'\n').count().saturating_sub(1) as u64;
                LOST.fetch_add(lines, Ordering::Relaxed);
                told = lost();
            }
            piece.clear();
            if piece.capacity() > KEPT {
                piece = Vec::new();
            }
            self.lock().writing = false;
            self.0.written.notify_all();
            let lines = lost().saturating_sub(told);
            if lines > 0 {
                told = lost();
                tracing::warn!(lines, "log lines were lost: whoever reads them is too slow");
            }
        }
    }

    /// Waits until everything that waits now is written, at most for `grace`. May be called while a
    /// thread panics: it never waits for the lock itself.
    pub(super) fn flush(&self, grace: Duration) {
        let until = Instant::now() + grace;
        while Instant::now() < until {
            if let Ok(mut state) = self.0.state.try_lock() {
                if state.life == Life::Ended || (state.waiting.is_empty() && !state.writing) {
                    return;
                }
                state.urgent = true;
                self.0.work.notify_one();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Takes no more lines and waits until all are written, at most for `grace`.
    pub(super) fn close(&self, grace: Duration) {
        let until = Instant::now() + grace;
        let mut state = self.lock();
        if state.life == Life::Open {
            state.life = Life::Closed;
        }
        self.0.work.notify_one();
        while state.life != Life::Ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let woken = self.0.written.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// One event's way into the buffer. The subscriber writes each event whole, in one call.
#[derive(Debug)]
pub(super) struct Line<'a> {
    sink: &'a Sink,
    urgent: bool,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sink.push(bytes, self.urgent);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { sink: self, urgent: true }
    }

    fn make_writer_for(&'a self, of: &Metadata<'_>) -> Line<'a> {
        // Lines of requests come in masses; what the service says of itself is rare and awaited.
        let urgent = of.target() != REQUEST_TARGET || *of.level() == Level::ERROR;
        Line { sink: self, urgent }
    }
}

/// Where lines go: a server's through a buffer, those that somebody watches at once, each in one
/// write, since events are formatted whole before they are written.
#[derive(Debug)]
pub(super) enum Out {
    Buffered(Sink),
    Stdout,
    Stderr,
}

/// The way of one event.
#[derive(Debug)]
pub(super) enum Way<'a> {
    Buffered(Line<'a>),
    Stdout(io::Stdout),
    Stderr(io::Stderr),
}

impl Write for Way<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Buffered(line) => line.write(bytes),
            Self::Stdout(stream) => stream.write(bytes),
            Self::Stderr(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Buffered(line) => line.flush(),
            Self::Stdout(stream) => stream.flush(),
            Self::Stderr(stream) => stream.flush(),
        }
    }
}

impl<'a> MakeWriter<'a> for Out {
    type Writer = Way<'a>;

    fn make_writer(&'a self) -> Way<'a> {
        match self {
            Self::Buffered(sink) => Way::Buffered(sink.make_writer()),
            Self::Stdout => Way::Stdout(io::stdout()),
            Self::Stderr => Way::Stderr(io::stderr()),
        }
    }

    fn make_writer_for(&'a self, of: &Metadata<'_>) -> Way<'a> {
        match self {
            Self::Buffered(sink) => Way::Buffered(sink.make_writer_for(of)),
            Self::Stdout | Self::Stderr => self.make_writer(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{self, Receiver, Sender};

    /// Hands on what is written, and takes the next piece only when it is told to.
    struct Slow {
        pieces: Sender<Vec<u8>>,
        go: Receiver<()>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.go.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.pieces.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (Sink, Sender<()>, Receiver<Vec<u8>>) {
        let ((pieces, written), (tell, go)) = (mpsc::channel(), mpsc::channel());
        (Sink::start(Slow { pieces, go }).unwrap(), tell, written)
    }

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn lines_leave_together_and_in_their_order() {
        let (sink, go, written) = slow();
        for n in 0..1_000 {
            sink.push(format!("{n}\n").as_bytes(), false);
        }
        for _ in 0..1_000 {
            go.send(()).unwrap();
        }
        sink.close(SOON);
        let pieces: Vec<_> = written.try_iter().collect();
        let expected = (0..1_000).map(|n| n.to_string() + "\n").collect::<Vec<_>>().concat();
        assert_eq!(String::from_utf8(pieces.concat()).unwrap(), expected);
        assert!(pieces.len() < 10, "{} writes", pieces.len());
    }

    #[test]
    fn a_line_that_nothing_follows_is_written_all_the_same() {
        let (sink, go, written) = slow();
        go.send(()).unwrap();
        sink.push(b"alone\n", false);
        assert_eq!(written.recv_timeout(SOON).unwrap(), b"alone\n");
    }

    #[test]
    fn what_is_urgent_takes_what_waits_along() {
        let (sink, go, written) = slow();
        go.send(()).unwrap();
        sink.push(b"a\n", false);
        sink.push(b"b\n", true);
        assert_eq!(written.recv_timeout(SOON).unwrap(), b"a\nb\n");
    }

    #[test]
    fn a_reader_who_stands_still_costs_lines_and_no_time() {
        let (sink, go, written) = slow();
        let (line, before) = ([b'x'; 1_000], lost());
        // Nothing is taken meanwhile: every push has to come back all the same.
        for _ in 0..3 * MOST / line.len() {
            sink.push(&line, false);
        }
        assert!(sink.lock().waiting.len() <= MOST);
        assert!(lost() - before >= (MOST / line.len()) as u64);
        drop(go);
        sink.close(SOON);
        assert_eq!(written.try_iter().count(), 0);
    }

    #[test]
    fn a_flush_waits_for_what_waits_but_not_for_ever() {
        let (sink, go, written) = slow();
        sink.push(b"a\n", false);
        sink.flush(Duration::from_millis(20));
        assert_eq!(written.try_iter().count(), 0, "nobody took it");
        go.send(()).unwrap();
        sink.flush(SOON);
        assert_eq!(written.try_iter().collect::<Vec<_>>(), [b"a\n"]);
    }

    #[test]
    fn after_the_end_lines_are_counted_as_lost() {
        let (sink, go, written) = slow();
        drop(go);
        sink.close(SOON);
        let before = lost();
        sink.push(b"late\n", true);
        assert!(lost() > before && written.try_iter().count() == 0);
    }
}
