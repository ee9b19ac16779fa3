//! Pipes, through which bytes pass from one socket to another without leaving the kernel (`splice(2)`).
//!
//! In: somebody who has bytes to move. Out: a pipe, for as long as it holds some of them. A worker has few pipes; a
//! connection that has nothing on its way holds none.

use rustix::{
    io::{Errno, read},
    pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice},
};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// How much is moved at once, and how large a pipe is: a page of it holds what one packet brought, which on a network is a
/// third of a page, so that the usual 64 KiB would be full with 22.
pub(super) const PIECE: usize = 256 * 1024;
/// A pipe below this size is not worth two system calls. The kernel gives no larger ones to a user who has many already.
const SMALLEST: usize = 64 * 1024;
/// How many pipes are kept that hold nothing.
const SPARE: usize = 16;
/// How many may hold something: who has a slow reader keeps its pipe. The others copy. So many of this size fit what the kernel
/// gives a user without capabilities (`pipe-user-pages-soft`, 64 MiB); with 128, of 256 busy connections half copied, which
/// cost a tenth more CPU.
const LENT: usize = 224;
/// How many wants are passed over after a pipe could not be made: there is a lack of files, or of memory for pipes.
const PASSED_OVER: u32 = 1024;

/// The pipes of a worker.
#[derive(Debug)]
pub(super) struct Pipes {
    usable: AtomicBool,
    shelf: Arc<Mutex<Shelf>>,
}

/// A pipe that somebody uses; it goes back when this is dropped, or is closed where it holds something.
#[derive(Debug)]
pub(super) struct Lent {
    pipe: Option<Pipe>,
    held: usize,
    shelf: Arc<Mutex<Shelf>>,
}

#[derive(Debug, Default)]
struct Shelf {
    spare: Vec<Pipe>,
    lent: usize,
    pass_over: u32,
}

#[derive(Debug)]
struct Pipe {
    reading: OwnedFd,
    writing: OwnedFd,
}

// === impl Pipes ===

impl Pipes {
    /// No pipe yet; with `usable` false there never is one.
    pub(super) fn new(usable: bool) -> Self {
        Self { usable: AtomicBool::new(usable), shelf: Arc::default() }
    }

    /// A pipe that holds nothing. None where there is none to be had: then bytes have to be copied.
    pub(super) fn lend(&self) -> Option<Lent> {
        if !self.usable.load(Ordering::Relaxed) {
            return None;
        }
        let mut shelf = lock(&self.shelf);
        if shelf.pass_over > 0 {
            shelf.pass_over -= 1;
            return None;
        }
        if shelf.lent >= LENT {
            return None;
        }
        let pipe = match shelf.spare.pop().map_or_else(Pipe::new, Ok) {
            Ok(pipe) => pipe,
            Err(error) => {
                tracing::debug!(%error, "no pipe: copying for now");
                shelf.pass_over = PASSED_OVER;
                return None;
            }
        };
        shelf.lent += 1;
        Some(Lent { pipe: Some(pipe), held: 0, shelf: Arc::clone(&self.shelf) })
    }

    /// From now on there is none: this kernel does not splice.
    pub(super) fn forbid(&self, error: &io::Error) {
        if self.usable.swap(false, Ordering::Relaxed) {
            tracing::info!(%error, "bytes of TCP connections are copied: the kernel does not splice them");
        }
        lock(&self.shelf).spare.clear();
    }

    /// How many pipes hold something, and how many are kept that hold nothing.
    #[cfg(test)]
    pub(super) fn count(&self) -> (usize, usize) {
        let shelf = lock(&self.shelf);
        (shelf.lent, shelf.spare.len())
    }
}

/// Whether an error says that splicing is not possible here at all, rather than that the connection broke.
pub(super) fn is_unsupported(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM))
}

fn lock(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Lent ===

impl Lent {
    /// How many bytes are in it.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Takes bytes from a socket; 0 at its end.
    pub(super) fn fill(&mut self, from: impl AsFd) -> io::Result<usize> {
        let Self { pipe: Some(pipe), held, shelf: _ } = self else { return Err(Errno::BADF.into()) };
        let bytes = splice(from, None, &pipe.writing, None, PIECE, flags())?;
        *held += bytes;
        Ok(bytes)
    }

    /// Gives bytes to a socket.
    pub(super) fn empty(&mut self, to: impl AsFd) -> io::Result<usize> {
        let Self { pipe: Some(pipe), held, shelf: _ } = self else { return Err(Errno::BADF.into()) };
        let bytes = splice(&pipe.reading, None, to, None, *held, flags())?;
        *held -= bytes;
        Ok(bytes)
    }

    /// What is in it, for who cannot splice it on.
    pub(super) fn take_out(mut self) -> io::Result<Box<[u8]>> {
        let Self { pipe: Some(pipe), held, shelf: _ } = &mut self else { return Err(Errno::BADF.into()) };
        let mut all = vec![0; *held];
        let mut taken = 0;
        while taken < all.len() {
            match read(&pipe.reading, &mut all[taken..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                bytes => taken += bytes,
            }
        }
        *held = 0;
        Ok(all.into())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut shelf = lock(&self.shelf);
        shelf.lent -= 1;
        let keep = self.held == 0 && shelf.spare.len() < SPARE;
        if let Some(pipe) = self.pipe.take().filter(|_| keep) {
            shelf.spare.push(pipe);
        }
    }
}

fn flags() -> SpliceFlags {
    SpliceFlags::MOVE | SpliceFlags::NONBLOCK
}

// === impl Pipe ===

impl Pipe {
    fn new() -> io::Result<Self> {
        let (reading, writing) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let size = match fcntl_setpipe_size(&writing, PIECE) {
            Ok(size) => size,
            Err(_) => rustix::pipe::fcntl_getpipe_size(&writing)?,
        };
        if size < SMALLEST {
            return Err(Errno::NOMEM.into());
        }
        Ok(Self { reading, writing })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::write;

    fn filled(pipes: &Pipes) -> Lent {
        let (reading, writing) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        write(&writing, b"some").unwrap();
        let mut lent = pipes.lend().unwrap();
        assert_eq!(lent.fill(&reading).unwrap(), 4);
        lent
    }

    #[test]
    fn an_empty_pipe_is_used_again_and_a_full_one_never() {
        let pipes = Pipes::new(true);
        drop(pipes.lend().unwrap());
        assert_eq!(pipes.count(), (0, 1));
        let full = filled(&pipes);
        assert_eq!(pipes.count(), (1, 0));
        drop(full);
        assert_eq!(pipes.count(), (0, 0), "or another connection would get its bytes");
        assert_eq!(&*filled(&pipes).take_out().unwrap(), b"some");
        assert_eq!(pipes.count(), (0, 1));
    }

    #[test]
    fn there_are_only_so_many() {
        let pipes = Pipes::new(true);
        let lent: Vec<_> = (0..LENT).map(|_| pipes.lend().unwrap()).collect();
        assert!(pipes.lend().is_none());
        drop(lent);
        assert_eq!(pipes.count(), (0, SPARE));
    }

    #[test]
    fn where_it_is_not_possible_there_is_none() {
        assert!(Pipes::new(false).lend().is_none());
        let pipes = Pipes::new(true);
        drop(pipes.lend().unwrap());
        // A file that is only added to takes nothing out of a pipe.
        let named = tempfile::NamedTempFile::new().unwrap();
        let file = std::fs::OpenOptions::new().append(true).open(named.path()).unwrap();
        let error = filled(&pipes).empty(&file).unwrap_err();
        assert!(is_unsupported(&error), "{error}");
        pipes.forbid(&error);
        assert!(pipes.lend().is_none());
        assert_eq!(pipes.count(), (0, 0));
    }
}
