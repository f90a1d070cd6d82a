//! Logs runs to an MLflow server, from the sandbox: it reaches the one host that it is granted, and waits
//! for nothing while a run goes on.
//!
//! `book` keeps what is to be logged and knows what the server has, `api` says that in MLflow's words,
//! `http` in bytes, `transport` carries these without waiting, and `client` goes on with whatever is next.

mod api;
mod book;
mod client;
mod http;
mod server;
mod transport;

#[cfg(test)]
mod tests;

use std::time::Duration;

use vitral_sdk::prelude::*;

use book::{Book, Problem, Status};
use client::Client;
use server::Server;
use transport::{System, Transport};

/// Where a run is logged.
#[derive(Clone, Debug, Parameters)]
pub struct Settings {
    /// The server, as in `http://mlflow.lab:5000`; it is the host that the plugin must be granted.
    #[parameter(default = "http://localhost:5000")]
    server: String,
    /// The experiment in MLflow, which is made if there is none of this name.
    #[parameter(default = "vitral")]
    experiment: String,
    /// The run's name in MLflow; the name of its folder if empty.
    #[parameter(default = "")]
    run: String,
    /// Log points that wait for a server that is away; of more, the oldest are dropped.
    #[parameter(default = 500, min = 1, max = 10_000)]
    keep: u32,
    /// How long the end of a run waits for the server, in milliseconds. More than 900 needs a larger
    /// `call_ms` of the plugin.
    #[parameter(default = 800, min = 0, max = 600_000)]
    end_wait_ms: u32,
}

/// Logs a run to MLflow.
pub struct Mlflow(Logger<System>);

/// The same, over any transport.
struct Logger<T: Transport> {
    book: Book,
    client: Client<T>,
    end_wait: Duration,
}

impl Plugin for Mlflow {
    type Parameters = Settings;

    const IDENTITY: Identity = identity!("mlflow", "Logs runs to an MLflow server");

    fn new(settings: Settings) -> Result<Self> {
        Logger::new(settings, System).map(Self)
    }

    fn examples() -> Vec<Example> {
        vec![
            Example::new("A server of the lab, runs of one project together")
                .set("server", "http://mlflow.lab:5000")
                .set("experiment", "flowers"),
            Example::new("A run with a name of its own, whose end waits for a slow server")
                .set("run", "deit3-s16, seed 1")
                .set("end_wait_ms", 900),
        ]
    }
}

impl Monitor for Mlflow {
    fn interests(&self) -> Interests {
        // Figures are there on the steps that the experiment logs, whichever these are.
        Interests { steps: 1, layers: 0 }
    }

    fn observe(&mut self, event: &Event) -> Result<Vec<Action>> {
        Ok(self.0.observe(event))
    }

    fn save(&self) -> Vec<u8> {
        self.0.book.save()
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        self.0.book.restore(state)
    }
}

impl<T: Transport> Logger<T> {
    fn new(settings: Settings, transport: T) -> Result<Self> {
        let server = Server::parse(&settings.server)?;
        if settings.experiment.is_empty() {
            bail!("`experiment` is empty, but must be the name of an experiment in MLflow");
        }
        Ok(Self {
            book: Book::new(settings.experiment, settings.run, settings.keep as usize),
            client: Client::new(server, transport),
            end_wait: Duration::from_millis(settings.end_wait_ms.into()),
        })
    }

    /// Notes what happened, and goes on with the server. At the end of a run that may take as long as is
    /// set, and else next to nothing.
    fn observe(&mut self, event: &Event) -> Vec<Action> {
        let now = self.client.time_of_day();
        let mut last = None;
        match event {
            Event::Started(run) => self.book.start(run, now),
            Event::Configured(configuration) => self.book.configure(configuration),
            Event::Stepped(step) => self.book.step(step, now),
            Event::Evaluated(evaluation) => self.book.evaluation(evaluation, now),
            Event::Ended(reason) => {
                self.book.end(Status::of(reason), now);
                last = Some(self.end_wait);
            }
            _ => {}
        }
        let problem = self.client.go_on(&mut self.book, last);
        let mut said = Vec::new();
        if let Some(problem) = problem.filter(|_| self.book.tell()) {
            let (words, end) = match problem {
                Problem::Passing(words) => (words, "it is tried again now and then"),
                Problem::Refused(words) => (words, "what it takes is logged"),
            };
            let peer = self.client.peer();
            said.push(format!("the MLflow server at {peer} does not log this run: {words}; {end}"));
        }
        if last.is_some() {
            said.extend(self.book.left(self.client.problem()));
        }
        said.into_iter().map(Action::Warn).collect()
    }
}

#[cfg(target_family = "wasm")]
vitral_sdk::export!(Mlflow: monitor);
