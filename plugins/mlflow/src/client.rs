//! Goes on with whatever the server is to be asked next, one request at a time, without waiting for it.

use std::time::Duration;

use crate::{
    api::Said,
    book::{Asked, Book, Problem},
    http,
    server::Server,
    transport::{Connection, Progress, Transport},
};

/// How long a server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it is left alone after a failure, which doubles with each one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A call waits for one part in so many of the time since the one before, and no longer.
const SHARE: u32 = 200;

/// Speaks with a server.
pub(crate) struct Client<T: Transport> {
    server: Server,
    transport: T,
    exchange: Option<Exchange<T::Connection>>,
    /// Failures since anything worked, and until when nothing is tried.
    failures: u32,
    pause: Duration,
    problem: Option<String>,
    /// When it was called last.
    called: Duration,
}

/// A request that was made.
struct Exchange<C> {
    asked: Asked,
    since: Duration,
    connection: C,
    received: Vec<u8>,
}

impl<T: Transport> Client<T> {
    pub fn new(server: Server, transport: T) -> Self {
        let called = transport.time();
        Self {
            server,
            transport,
            exchange: None,
            failures: 0,
            pause: Duration::ZERO,
            problem: None,
            called,
        }
    }

    /// The server's host and port.
    pub fn peer(&self) -> String {
        self.server.peer()
    }

    /// Milliseconds since 1970.
    pub fn time_of_day(&self) -> u64 {
        self.transport.time_of_day()
    }

    /// What was wrong the last time, if nothing has worked since.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Does what can be done within a time, or, where it is the last, all that can. The problem that there
    /// was, in words.
    pub fn go_on(&mut self, book: &mut Book, last: Option<Duration>) -> Option<Problem> {
        let start = self.transport.time();
        let since = start.saturating_sub(self.called);
        self.called = start;
        let wait = last.unwrap_or(since.min(LONGEST_PAUSE) / SHARE);
        if last.is_some() {
            self.pause = Duration::ZERO;
        }
        let mut found = None;
        loop {
            let left = wait.saturating_sub(self.transport.time().saturating_sub(start));
            match self.advance(book, left) {
                Ok(true) => {}
                Ok(false) => return found,
                Err(problem) => {
                    let (Problem::Passing(words) | Problem::Refused(words)) = &problem;
                    self.problem = Some(words.clone());
                    let is_passing = matches!(problem, Problem::Passing(_));
                    found.get_or_insert(problem);
                    if is_passing {
                        let pause = FIRST_PAUSE * 2_u32.pow(self.failures.min(6));
                        self.failures = self.failures.saturating_add(1);
                        self.pause = self.transport.time() + pause.min(LONGEST_PAUSE);
                        return found;
                    }
                }
            }
        }
    }

    /// Goes a step further; whether there is more to do at once.
    fn advance(&mut self, book: &mut Book, wait: Duration) -> Result<bool, Problem> {
        let now = self.transport.time();
        let Some(exchange) = &mut self.exchange else {
            if now < self.pause {
                return Ok(false);
            }
            let Some((asked, request)) = book.next() else { return Ok(false) };
            let bytes = http::request(&self.server, &request.path, request.body.as_deref());
            let connection =
                self.transport.connect(&self.server, bytes).map_err(Problem::Passing)?;
            self.exchange = Some(Exchange { asked, since: now, connection, received: Vec::new() });
            return Ok(true);
        };
        let progress = exchange.connection.go_on(wait, &mut exchange.received);
        let answer = match progress {
            Ok(Progress::Waiting) if now.saturating_sub(exchange.since) < PATIENCE => {
                return Ok(false);
            }
            Ok(Progress::Waiting) => Err(format!("no answer in {} s", PATIENCE.as_secs())),
            Ok(_) if exchange.received.len() > http::MAX_ANSWER => {
                Err("its answer has more than a mebibyte".into())
            }
            Ok(progress) => http::answer(&exchange.received, progress == Progress::Closed),
            Err(problem) => Err(problem),
        };
        let asked = exchange.asked;
        match answer {
            Ok(None) => Ok(true),
            Ok(Some(answer)) => {
                self.exchange = None;
                book.answered(asked, Said::of(&answer))?;
                (self.failures, self.problem) = (0, None);
                Ok(true)
            }
            Err(problem) => {
                self.exchange = None;
                Err(Problem::Passing(problem))
            }
        }
    }
}
