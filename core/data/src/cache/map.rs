//! A file in memory that can still be read when somebody cuts it short.
//!
//! A page of a mapped file that is not there any more is no error of a call: its first byte that is read
//! ends the process by a signal. Here zeros take the place of what is gone, and the map says that they did.

use std::fs::File;
use std::io;
use std::ops::Deref;

use memmap2::Mmap;

/// A mapped file.
pub(super) struct Map {
    /// First: nothing is looked after that is not mapped any more.
    #[cfg(unix)]
    watched: watched::Watched,
    map: Mmap,
}

impl Map {
    /// Maps a file, which is only read.
    pub(super) fn new(file: &File) -> io::Result<Self> {
        // SAFETY: the map is only read. A cache appears under its name when it is finished and is
        // never written again by this program. Should another one write to it, the bytes that are
        // read change; they are plain numbers, of which any are valid, and checked before their use.
        // Should it be cut short, zeros are read.
        let map = unsafe { Mmap::map(file) }?;
        Ok(Self {
            #[cfg(unix)]
            watched: watched::Watched::new(&map)?,
            map,
        })
    }

    /// Whether all of what was read until now was in the file.
    pub(super) fn is_whole(&self) -> bool {
        #[cfg(unix)]
        return self.watched.is_whole();
        // Other systems do not let a file become shorter while it is mapped.
        #[cfg(not(unix))]
        true
    }

    /// Says that the file is going to be read from start to end, or in any order.
    #[cfg(unix)]
    pub(super) fn advise(&self, advice: memmap2::Advice) {
        // It is as good without.
        let _ = self.map.advise(advice);
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

#[cfg(unix)]
mod watched {
    use std::io;
    use std::ptr;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

    use libc::{c_int, c_void, sigaction, siginfo_t};

    /// Memory in which zeros take the place of what cannot be read.
    pub(super) struct Watched(&'static Range);

    /// Where it is. Handlers of signals look through all of these, so that none is ever freed: those of
    /// nobody are used again.
    struct Range {
        is_taken: AtomicBool,
        start: AtomicUsize,
        /// 0 where there is nothing to look after.
        end: AtomicUsize,
        is_whole: AtomicBool,
        next: *const Range,
    }

    // SAFETY: `next` is set before others see it, and leads to another one that is never freed.
    unsafe impl Sync for Range {}

    static FIRST: AtomicPtr<Range> = AtomicPtr::new(ptr::null_mut());
    /// What was done about the signal before.
    static BEFORE: OnceLock<sigaction> = OnceLock::new();
    static PAGE: AtomicUsize = AtomicUsize::new(0);

    impl Watched {
        pub(super) fn new(memory: &[u8]) -> io::Result<Self> {
            static HANDLED: OnceLock<Result<(), i32>> = OnceLock::new();
            let handled = *HANDLED
                .get_or_init(|| handle().map_err(|error| error.raw_os_error().unwrap_or_default()));
            handled.map_err(io::Error::from_raw_os_error)?;
            let range = all().find(|range| range.take()).unwrap_or_else(Range::add);
            let bytes = memory.as_ptr_range();
            range.is_whole.store(true, Ordering::Relaxed);
            range.start.store(bytes.start as usize, Ordering::Relaxed);
            range.end.store(bytes.end as usize, Ordering::Release);
            Ok(Self(range))
        }

        pub(super) fn is_whole(&self) -> bool {
            self.0.is_whole.load(Ordering::Acquire)
        }
    }

    impl Drop for Watched {
        fn drop(&mut self) {
            self.0.end.store(0, Ordering::Release);
            self.0.is_taken.store(false, Ordering::Release);
        }
    }

    impl Range {
        fn take(&self) -> bool {
            let taken =
                self.is_taken.compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed);
            taken.is_ok()
        }

        /// Another one, which is taken.
        fn add() -> &'static Self {
            let range = Box::leak(Box::new(Self {
                is_taken: AtomicBool::new(true),
                start: AtomicUsize::new(0),
                end: AtomicUsize::new(0),
                is_whole: AtomicBool::new(true),
                next: ptr::null(),
            }));
            let mut first = FIRST.load(Ordering::Acquire);
            loop {
                range.next = first;
                let added =
                    FIRST.compare_exchange(first, range, Ordering::AcqRel, Ordering::Acquire);
                match added {
                    Ok(_) => return range,
                    Err(other) => first = other,
                }
            }
        }
    }

    fn all() -> impl Iterator<Item = &'static Range> {
        let first = FIRST.load(Ordering::Acquire).cast_const();
        // SAFETY: each is null, or leads to one that is never freed.
        let at = |range: *const Range| unsafe { range.as_ref() };
        std::iter::successors(at(first), move |range| at(range.next))
    }

    /// Has this process look after memory from now on.
    fn handle() -> io::Result<()> {
        // SAFETY: the number of a setting is all that is given.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        PAGE.store(usize::try_from(page).map_err(io::Error::other)?, Ordering::Release);
        // SAFETY: all of these are numbers and pointers, of which zeros are valid.
        let mut before: sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: nothing is changed, and there is room for the answer.
        if unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), &raw mut before) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // The handler needs it from its first call on. It is set once only.
        let _ = BEFORE.set(before);
        // SAFETY: as above.
        let mut ours: sigaction = unsafe { std::mem::zeroed() };
        ours.sa_sigaction = on_fault as *const () as usize;
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: the handler has the form that the flags say, and does only what a handler may do.
        match unsafe { libc::sigaction(libc::SIGBUS, &raw const ours, ptr::null_mut()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// What is called where a byte cannot be read. It reads atomic numbers and calls the system, and does
    /// nothing else.
    extern "C" fn on_fault(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
        // SAFETY: the system gives what is known of a signal. Of one that it made itself, which has a
        // positive code, that has an address.
        let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
        if code > 0 && replace(address) {
            return;
        }
        let Some(before) = BEFORE.get() else { return };
        match before.sa_sigaction {
            libc::SIG_DFL | libc::SIG_IGN => {
                // The same byte is read once more, which ends the process as it would have without us.
                // SAFETY: it is what was set before, or what is without anybody's doing.
                unsafe { libc::signal(signal, libc::SIG_DFL) };
            }
            handler if before.sa_flags & libc::SA_SIGINFO != 0 => {
                // SAFETY: whoever has set it has said that it is of this form.
                let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) =
                    unsafe { std::mem::transmute(handler) };
                handler(signal, info, context);
            }
            handler => {
                // SAFETY: as above.
                let handler: extern "C" fn(c_int) = unsafe { std::mem::transmute(handler) };
                handler(signal);
            }
        }
    }

    /// Puts zeros from the page of an address on where one is looked after.
    fn replace(address: usize) -> bool {
        let page = PAGE.load(Ordering::Acquire);
        for range in all() {
            let end = range.end.load(Ordering::Acquire);
            let start = range.start.load(Ordering::Relaxed);
            // A file's last page is in memory to its end.
            if page == 0 || address < start || address >= end.next_multiple_of(page) {
                continue;
            }
            // Before: whoever reads zeros can know.
            range.is_whole.store(false, Ordering::Release);
            let from = address - address % page;
            // SAFETY: these pages are of a map of ours, which is only read, and stays mapped while it is
            // looked after. Nobody can have read from them what is not there.
            let zeros = unsafe {
                libc::mmap(
                    ptr::with_exposed_provenance_mut(from),
                    end - from,
                    libc::PROT_READ,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                    -1,
                    0,
                )
            };
            return zeros != libc::MAP_FAILED;
        }
        false
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_off_is_zeros_and_what_stays_is_read() {
        const PAGES: usize = 1 << 16;
        let file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut &file, &vec![7; 3 * PAGES]).unwrap();
        let maps = [Map::new(&file).unwrap(), Map::new(&file).unwrap()];
        assert!(maps.iter().all(|map| map[3 * PAGES - 1] == 7 && map.is_whole()));
        file.set_len(PAGES as u64).unwrap();
        assert!(maps[0].is_whole(), "nothing of what is gone was read");
        assert_eq!([maps[0][2 * PAGES], maps[0][3 * PAGES - 1], maps[0][0]], [0, 0, 7]);
        assert!(!maps[0].is_whole() && maps[1].is_whole());
        drop(maps);
        // Its place is taken by another one.
        let whole = Map::new(&file).unwrap();
        assert!(whole.iter().all(|&byte| byte == 7) && whole.is_whole());
    }
}
