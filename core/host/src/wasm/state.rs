//! What belongs to one instance: its limits, its view of the system, and the call that goes on.

use std::sync::Arc;

use vitral_abi::{LogLevel, wit::FromWit};
use vitral_program::Tensor;
use vitral_seed::Seed;
use wasmtime::{
    Result, bail,
    component::{HasData, Resource, ResourceTable},
};
use wasmtime_wasi::{WasiCtxView, WasiView, sockets::WasiSocketsCtxView};

use super::{
    bindings::vitral::plugin::{logging, tensors},
    deadline::Deadline,
    handle::TensorHandle,
    limits::Limits,
    network::NamesView,
    wasi::{Random, System},
};
use crate::{
    Interrupt,
    log::{Log, clean},
    trace::Trace,
};

/// The most tensors that a plugin may hold at once, and other resources with them.
const MAX_RESOURCES: usize = 100_000;
/// The most bytes of an error that is kept.
const MAX_ERROR: usize = 4 << 10;

/// The data of a store.
pub(super) struct State {
    pub(super) limits: Limits,
    pub(super) deadline: Deadline,
    table: ResourceTable,
    system: System,
    log: Log,
    /// The program that is traced.
    pub(super) trace: Option<Trace>,
    /// The last error that the plugin logged, as when it panics.
    pub(super) last_error: Option<String>,
}

/// Gives interfaces the state itself.
pub(super) struct Access;

impl HasData for Access {
    type Data<'a> = &'a mut State;
}

impl State {
    pub(super) fn new(
        plugin: Arc<str>,
        memory: usize,
        system: System,
        interrupt: Interrupt,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        Self {
            limits: Limits::new(memory),
            deadline: Deadline::new(interrupt),
            table,
            system,
            log: Log::new(plugin),
            trace: None,
            last_error: None,
        }
    }

    /// A call begins, with a trace if it is one.
    pub(super) fn begin(&mut self, seed: Seed, trace: Option<Trace>) {
        self.limits.begin();
        self.log.begin();
        self.system.begin(seed);
        self.trace = trace;
        self.last_error = None;
    }

    /// A call has ended: what it printed goes to the log, and which connections it was refused.
    pub(super) fn end(&mut self) {
        self.system.printed(|line| self.log.line(Some(LogLevel::Info), line));
        for refused in self.system.network.take_refused() {
            self.log.line(Some(LogLevel::Warn), &refused);
        }
    }

    /// What the plugin said before it gave up, if it did: to its standard error, or as an error to the log.
    pub(super) fn last_words(&self) -> Option<String> {
        let printed = clean(&self.system.last_words(), MAX_ERROR);
        Some(printed).filter(|printed| !printed.is_empty()).or_else(|| self.last_error.clone())
    }

    pub(super) const fn random(&mut self) -> &mut Random {
        &mut self.system.random
    }

    /// The names of other machines, as far as it may look them up.
    pub(super) fn names(&mut self) -> NamesView<'_> {
        let ctx = self.system.wasi.sockets();
        let sockets = WasiSocketsCtxView { ctx, table: &mut self.table };
        NamesView { sockets, network: &mut self.system.network }
    }

    /// Puts a tensor into the plugin's hands.
    pub(super) fn hand_out(&mut self, tensor: Tensor) -> Result<Resource<TensorHandle>> {
        Ok(self.table.push(TensorHandle(tensor))?)
    }

    /// Takes a tensor back.
    pub(super) fn take_back(&mut self, handle: Resource<TensorHandle>) -> Result<Tensor> {
        Ok(self.table.delete(handle)?.0)
    }

    fn tracing(&mut self) -> Result<&mut Trace> {
        match &mut self.trace {
            Some(trace) => Ok(trace),
            None => bail!("it used tensors, but nothing is traced"),
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.system.wasi, table: &mut self.table }
    }
}

impl logging::Host for State {
    fn log(&mut self, level: logging::Level, message: String) -> Result<()> {
        let level = LogLevel::from_wit(level);
        self.log.line(Some(level), &message);
        if level == LogLevel::Error {
            self.last_error = Some(clean(&message, MAX_ERROR));
        }
        Ok(())
    }
}

impl tensors::Host for State {
    fn apply(
        &mut self,
        op: String,
        attributes: Vec<tensors::Attribute>,
        operands: Vec<Resource<TensorHandle>>,
        label: String,
    ) -> Result<Vec<Resource<TensorHandle>>> {
        let operands: Vec<Tensor> =
            operands.iter().map(|operand| Ok(self.table.get(operand)?.0)).collect::<Result<_>>()?;
        let attributes = FromWit::from_wit(attributes);
        let results = self.tracing()?.apply(&op, attributes, &operands, &label);
        results.into_iter().map(|result| self.hand_out(result)).collect()
    }

    fn parameter(
        &mut self,
        name: String,
        shape: Vec<u32>,
        initializer: tensors::Initializer,
        decay: bool,
    ) -> Result<Resource<TensorHandle>> {
        let initializer = FromWit::from_wit(initializer);
        let tensor = self.tracing()?.parameter(&name, &shape, initializer, decay);
        self.hand_out(tensor)
    }
}

impl tensors::HostTensor for State {
    fn type_(&mut self, tensor: Resource<TensorHandle>) -> Result<Option<String>> {
        let tensor = self.table.get(&tensor)?.0;
        Ok(self.tracing()?.type_of(tensor))
    }

    fn drop(&mut self, tensor: Resource<TensorHandle>) -> Result<()> {
        self.table.delete(tensor)?;
        Ok(())
    }
}
