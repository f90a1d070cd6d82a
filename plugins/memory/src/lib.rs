//! Memory in use, and whether it leaks.

mod growth;

#[cfg(test)]
mod tests;

use vitral_sdk::Memory as InUse;
use vitral_sdk::prelude::*;

use growth::Growth;
use vitral_sdk::state::{Reader, Writer};

/// First line of the state.
const HEADER: &str = "memory 1";

const MIB: f64 = 1024.0 * 1024.0;

/// When memory is reported, and what counts as a leak.
#[derive(Clone, Debug, Parameters)]
pub struct Settings {
    /// Steps between reports.
    #[parameter(default = 50, min = 1)]
    every: u32,
    /// Reports in a row over which memory must not have shrunk to count as a leak.
    #[parameter(default = 20, min = 2, max = 10_000)]
    window: u32,
    /// By how much it must have grown over these reports, in MiB.
    #[parameter(default = 256, min = 1)]
    leak_mib: f64,
}

/// Reports memory in use.
#[derive(Debug)]
pub struct Memory {
    settings: Settings,
    host: Growth,
    device: Growth,
}

impl Plugin for Memory {
    type Parameters = Settings;

    const IDENTITY: Identity = identity!("memory", "Memory in use, and whether it leaks");

    fn new(settings: Settings) -> Result<Self> {
        let growth = Growth::new(settings.window as usize);
        Ok(Self { settings, host: growth.clone(), device: growth })
    }

    fn examples() -> Vec<Example> {
        vec![
            Example::new("A report every 10 steps").set("every", 10),
            Example::new("Small leaks: 20 MiB over 100 reports")
                .set("window", 100)
                .set("leak_mib", 20),
        ]
    }
}

impl Monitor for Memory {
    fn interests(&self) -> Interests {
        Interests { steps: self.settings.every, layers: 0 }
    }

    fn observe(&mut self, event: &Event) -> Result<Vec<Action>> {
        match event {
            // Another process, whose memory has nothing to do with what was before.
            Event::Started(_) => {
                self.host.forget();
                self.device.forget();
                Ok(Vec::new())
            }
            Event::Stepped(step) => Ok(self.report(&step.memory)),
            _ => Ok(Vec::new()),
        }
    }

    fn save(&self) -> Vec<u8> {
        let mut state = Writer::new(HEADER);
        state.put("host", self.host.reports());
        state.put("device", self.device.reports());
        state.finish()
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        let Some(state) = Reader::new(state, HEADER)? else { return Ok(()) };
        let window = self.settings.window as usize;
        let growth = |key| Ok::<_, Error>(Growth::of(window, state.list(key)?));
        (self.host, self.device) = (growth("host")?, growth("device")?);
        Ok(())
    }
}

impl Memory {
    fn report(&mut self, memory: &InUse) -> Vec<Action> {
        let figures = [
            ("host_mib", Some(memory.host)),
            ("host_peak_mib", Some(memory.host_peak)),
            ("device_mib", memory.device),
            ("device_peak_mib", memory.device_peak),
        ];
        let metric = |(name, bytes): (&str, Option<u64>)| {
            Some(Action::Metric { name: name.to_owned(), value: bytes? as f64 / MIB })
        };
        let mut actions: Vec<_> = figures.into_iter().filter_map(metric).collect();
        let least = (self.settings.leak_mib * MIB) as u64;
        let places = [
            ("the host's", &mut self.host, Some(memory.host)),
            ("the device's", &mut self.device, memory.device),
        ];
        for (whose, growth, bytes) in places {
            let Some(bytes) = bytes else { continue };
            if let Some(grown) = growth.add(bytes, least) {
                actions.push(Action::Warn(format!(
                    "{whose} memory has not shrunk over {} reports and grown by {:.0} MiB, to {:.0} \
                     MiB: something may keep what it no longer needs",
                    self.settings.window,
                    grown as f64 / MIB,
                    bytes as f64 / MIB
                )));
            }
        }
        actions
    }
}

#[cfg(not(feature = "compiled-in"))]
vitral_sdk::export!(Memory: monitor);

/// The plugin, for programs that link it in.
pub fn plugin() -> &'static vitral_sdk::abi::c::Plugin {
    vitral_sdk::native::monitor::<Memory>()
}
