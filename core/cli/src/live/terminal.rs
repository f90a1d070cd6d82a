//! The terminal: a screen of its own, keys without Enter, and how they are given back.

use std::{
    io::{self, Read as _, Write as _},
    sync::{Mutex, PoisonError},
};

use ratatui::{
    backend::{Backend, ClearType, WindowSize},
    buffer::Cell,
    layout::{Position, Size},
    style::{Color, Modifier},
};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcgetwinsize,
    tcsetattr,
};

/// Another screen, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[2J";
const LEAVE: &str = "\x1b[?1049l\x1b[?25h";
/// Tenths of a second that a key is waited for.
const PATIENCE: u8 = 2;

/// How the terminal was before the view took it.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Whether the terminal can be taken: it has a size and control codes, and this process is in its foreground,
/// where it may read keys.
pub fn is_free() -> bool {
    let has_codes = std::env::var_os("TERM").is_some_and(|name| !name.is_empty() && name != "dumb");
    let is_foreground =
        tcgetpgrp(io::stdin()).is_ok_and(|group| group == rustix::process::getpgrp());
    has_codes && is_foreground && size().is_ok_and(|size| size.width > 0 && size.height > 0)
}

/// Takes the terminal. Signals of its keys stay, as of Ctrl-C, but for that of Ctrl-Z, after which nobody would
/// give it back.
///
/// # Errors
/// The system does not let it.
pub fn take() -> io::Result<()> {
    let before = tcgetattr(io::stdin())?;
    let mut keys = before.clone();
    keys.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
    keys.special_codes[SpecialCodeIndex::VSUSP] = 0;
    keys.special_codes[SpecialCodeIndex::VMIN] = 0;
    keys.special_codes[SpecialCodeIndex::VTIME] = PATIENCE;
    tcsetattr(io::stdin(), OptionalActions::Now, &keys)?;
    *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
    write(ENTER)
}

/// Gives the terminal back as it was, if it is taken.
pub fn give_back() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before {
        // Nothing better can be done than to try.
        let _ = write(LEAVE);
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
    }
}

/// Waits a little for keys; tells whether `q` is among them.
pub fn asks_to_quit() -> bool {
    let mut keys = [0; 64];
    let count = io::stdin().lock().read(&mut keys).unwrap_or_default();
    keys[..count].iter().any(|key| matches!(key, b'q' | b'Q'))
}

fn size() -> io::Result<Size> {
    let size = tcgetwinsize(io::stderr())?;
    Ok(Size::new(size.ws_col, size.ws_row))
}

fn write(codes: &str) -> io::Result<()> {
    let mut out = io::stderr().lock();
    out.write_all(codes.as_bytes())?;
    out.flush()
}

/// What ratatui draws on, in the control codes that every terminal of today has.
#[derive(Default)]
pub struct Screen {
    codes: String,
}

impl Backend for Screen {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut next = None;
        let mut style = None;
        for (x, y, cell) in content {
            if next != Some((x, y)) {
                self.codes += &format!("\x1b[{};{}H", y + 1, x + 1);
            }
            next = Some((x + 1, y));
            let own = (cell.fg, cell.bg, cell.modifier);
            if style != Some(own) {
                self.codes += &codes_of(own);
                style = Some(own);
            }
            self.codes += cell.symbol();
        }
        self.codes += "\x1b[0m";
        Ok(())
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, _: P) -> io::Result<()> {
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.codes += "\x1b[2J";
        Ok(())
    }

    fn clear_region(&mut self, _: ClearType) -> io::Result<()> {
        self.clear()
    }

    fn size(&self) -> io::Result<Size> {
        size()
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize { columns_rows: size()?, pixels: Size::ZERO })
    }

    fn flush(&mut self) -> io::Result<()> {
        write(&std::mem::take(&mut self.codes))
    }
}

/// The codes of colours and weight.
fn codes_of((front, back, modifier): (Color, Color, Modifier)) -> String {
    let mut codes = vec!["0".to_owned()];
    let weights = [(Modifier::BOLD, "1"), (Modifier::DIM, "2"), (Modifier::REVERSED, "7")];
    let weights = weights.iter().filter(|(weight, _)| modifier.contains(*weight));
    codes.extend(weights.map(|(_, code)| (*code).to_owned()));
    codes.extend([(front, 30), (back, 40)].into_iter().filter_map(|(colour, first)| {
        let number = number_of(colour)?;
        Some(match number {
            0..8 => (first + number).to_string(),
            _ => (first + 60 + number - 8).to_string(),
        })
    }));
    format!("\x1b[{}m", codes.join(";"))
}

/// A colour's number of the 16 that terminals have; none is the terminal's own.
fn number_of(colour: Color) -> Option<u16> {
    const COLOURS: [Color; 16] = [
        Color::Black,
        Color::Red,
        Color::Green,
        Color::Yellow,
        Color::Blue,
        Color::Magenta,
        Color::Cyan,
        Color::Gray,
        Color::DarkGray,
        Color::LightRed,
        Color::LightGreen,
        Color::LightYellow,
        Color::LightBlue,
        Color::LightMagenta,
        Color::LightCyan,
        Color::White,
    ];
    COLOURS.iter().position(|&known| known == colour).map(|number| number as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_in_a_row_are_written_without_moving() {
        let mut screen = Screen::default();
        let plain = |symbol: &'static str| Cell::new(symbol);
        let mut red = Cell::new("c");
        red.set_fg(Color::LightRed);
        let (a, b, d) = (plain("a"), plain("b"), plain("d"));
        screen.draw([(4, 2, &a), (5, 2, &b), (6, 2, &red), (0, 3, &d)].into_iter()).unwrap();
        assert_eq!(screen.codes, "\x1b[3;5H\x1b[0mab\x1b[0;91mc\x1b[4;1H\x1b[0md\x1b[0m");
    }
}
