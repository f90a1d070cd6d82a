//! The live view of a run, on a terminal. A thread draws it from a copy of its state a few times a second and
//! watches the keyboard, so that training neither waits for the terminal nor for a key.

mod series;
mod terminal;
mod view;

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ratatui::Terminal;
use vitral_train::memory;

use self::terminal::Screen;
pub use self::{
    terminal::{give_back, is_free},
    view::View,
};
use crate::print;

/// Time between two pictures.
const INTERVAL: Duration = Duration::from_millis(500);
/// Lines that are kept for when the terminal is given back; older ones are in the run's metrics.
const KEPT: usize = 10_000;

/// What the view and whoever fills it share.
struct Shared {
    view: Mutex<View>,
    /// What was said meanwhile.
    said: Mutex<Vec<String>>,
    /// Whether it is to end.
    ends: AtomicBool,
}

/// A view that is shown.
pub struct Live {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Live {
    /// Takes the terminal, and shows the view until it is dropped or the user wants it no longer. What is said
    /// to the user meanwhile is shown in it, and printed in the end.
    ///
    /// # Errors
    /// The terminal cannot be had.
    pub fn start(view: View) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            view: Mutex::new(view),
            said: Mutex::default(),
            ends: AtomicBool::new(false),
        });
        let screen = Terminal::new(Screen::default())?;
        terminal::take()?;
        let taker = Arc::clone(&shared);
        print::divert(Some(Box::new(move |line: &str| taker.say(line))));
        let drawn = Arc::clone(&shared);
        let thread = thread::Builder::new().name("vitral-view".into()).spawn(move || {
            show(screen, &drawn);
            drawn.finish();
        });
        match thread {
            Ok(thread) => Ok(Self { shared, thread: Some(thread) }),
            Err(error) => {
                shared.finish();
                Err(error)
            }
        }
    }

    /// Whether the user has not ended it.
    pub fn is_shown(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Changes what is shown.
    pub fn update(&self, change: impl FnOnce(&mut View)) {
        change(&mut self.shared.view());
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Should it have panicked, the terminal is still to be given back.
            let _ = thread.join();
            self.shared.finish();
        }
    }
}

impl Shared {
    fn view(&self) -> MutexGuard<'_, View> {
        // A change is never left half made.
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, line: &str) {
        self.view().say(line);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() == KEPT {
            said.remove(0);
        }
        said.push(line.to_owned());
    }

    /// Gives the terminal back, and prints what was said.
    fn finish(&self) {
        give_back();
        print::divert(None);
        let said = std::mem::take(&mut *self.said.lock().unwrap_or_else(PoisonError::into_inner));
        said.iter().for_each(|line| print::err_as_it_is(line));
    }
}

/// Draws until it is to end, the user asks for it, or the terminal is gone.
fn show(mut screen: Terminal<Screen>, shared: &Shared) {
    let mut drawn: Option<Instant> = None;
    while !shared.ends.load(Ordering::Relaxed) {
        if drawn.is_none_or(|drawn| drawn.elapsed() >= INTERVAL) {
            let view = shared.view().clone();
            let memory = Some(memory().host).filter(|&bytes| bytes > 0);
            if screen.draw(|frame| view.draw(frame, memory)).is_err() {
                return;
            }
            drawn = Some(Instant::now());
        }
        if terminal::asks_to_quit() {
            return;
        }
    }
}
