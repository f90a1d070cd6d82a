//! Tracing the program of a component.

use std::sync::Arc;

use vitral_abi::wit::ToWit;
use vitral_program::Program;
use wasmtime::component::Resource;

use super::{
    exports::Exports,
    keeper::{Keeper, Request, Wasm},
};
use crate::{
    Call, CallError, Cause, Settings,
    trace::{Subject, Trace},
};

pub(super) fn trace(
    wasm: &Wasm,
    plugin: &str,
    settings: &Settings,
    subject: Subject,
    trace: Trace,
) -> Result<Program, CallError> {
    let mut keeper = Keeper::new(wasm, plugin, settings)?;
    let exports = Arc::clone(keeper.exports());
    let inputs = trace.inputs().to_vec();
    let request = Request {
        call: Call::Trace,
        words: &|| subject.words(),
        time: keeper.setup_time(),
        seed: None,
        trace: Some(trace),
    };
    keeper.call(request, async |store, instance| {
        let handles = inputs.iter().map(|&input| store.data_mut().hand_out(input));
        let handles: Vec<_> = handles.collect::<wasmtime::Result<_>>()?;
        let lent = |index: usize| Resource::new_borrow(handles[index].rep());
        let results = match (&*exports, subject) {
            (Exports::Attention(indices), Subject::Attention(layer)) => {
                let guest = indices.load(&mut *store, instance)?;
                let layer = layer.to_wit();
                let result = guest.call_trace(&mut *store, layer, lent(0), lent(1), lent(2));
                result.await?.map(|output| vec![output])
            }
            (Exports::Batch(indices), Subject::Batch(batch)) => {
                let guest = indices.load(&mut *store, instance)?;
                let batch = batch.to_wit();
                let result = guest.call_trace(&mut *store, batch, lent(0), lent(1));
                result.await?.map(|changed| vec![changed.images, changed.targets])
            }
            _ => return Ok(Err("it is of another kind".to_owned())),
        };
        let Ok(results) = results else { return Ok(results.map(drop)) };
        for result in results {
            let state = store.data_mut();
            let tensor = state.take_back(result)?;
            if let Some(trace) = &mut state.trace {
                trace.result(tensor);
            }
        }
        Ok(Ok(()))
    })?;
    let program = match keeper.take_trace() {
        Some(trace) => trace.finish(),
        None => Err(Cause::BadResult("it returned no program".into())),
    };
    program.map_err(|cause| keeper.error(Call::Trace, subject.words(), cause))
}
