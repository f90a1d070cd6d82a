//! From a component's bytes to a plugin: what it imports and exports, and what it says of itself.

use std::sync::Arc;

use semver::Version;
use vitral_abi::{Kind, wit::FromWit};
use vitral_seed::Seed;
use wasmtime::component::{Component, InstancePre, Linker, ResourceType, types::ComponentItem};
use wasmtime_wasi::p2::bindings::{
    random::{insecure, insecure_seed, random},
    sockets::ip_name_lookup,
};

use super::{
    bindings::{
        exports::vitral::plugin::description,
        vitral::plugin::{logging, tensors},
    },
    config::MAX_COMPONENT,
    deadline::Time,
    engine::WasmEngine,
    exports::{Exports, NAMESPACE},
    instance::{Module, Session},
    keeper::Wasm,
    network::Names,
    options::WasmOptions,
    state::{Access, State},
    wasi::Random,
};
use crate::{Declared, OpenError, loaded::Loaded};

/// The contract that this host speaks.
const VERSION: Version =
    Version::new(vitral_abi::VERSION.0 as u64, vitral_abi::VERSION.1 as u64, 0);

/// Opens a component.
pub(crate) fn open(
    engine: &WasmEngine,
    name: &str,
    bytes: &[u8],
    options: WasmOptions,
) -> Result<(Declared, Box<dyn Loaded>), OpenError> {
    let refuse = |problem: String| OpenError::new(name, problem);
    if bytes.len() > MAX_COMPONENT {
        return Err(refuse(format!("it has more than {} MiB", MAX_COMPONENT >> 20)));
    }
    let component = engine.compile(bytes).map_err(refuse)?;
    let (kind, uses_wasi) = interfaces(engine, &component).map_err(refuse)?;
    let pre = link(engine, &component, uses_wasi)
        .map_err(|error| refuse(format!("it cannot be linked: {error:#}")))?;
    let missing = |error: wasmtime::Error| {
        refuse(format!("its exports are not those of contract {VERSION}: {error:#}"))
    };
    let exports = Exports::find(kind, &pre).map_err(missing)?;
    let describe = description::GuestIndices::new(&pre).map_err(missing)?;
    let interrupt = engine.interrupt().clone();
    let module = Arc::new(Module { pre, options, uses_wasi, interrupt });
    let mut session =
        Session::new(&module, &name.into()).map_err(|cause| refuse(cause.to_string()))?;
    let time = Time::of_setup(module.options.setup_time);
    let described = session.run(time, Seed::new(0), None, async |store, instance| {
        let guest = describe.load(&mut *store, instance)?;
        guest.call_describe(store).await
    });
    let described = described.map_err(|cause| refuse(format!("it failed in describe: {cause}")))?;
    let declared = Declared { kind, description: FromWit::from_wit(described) };
    Ok((declared, Box::new(Wasm { module, exports: Arc::new(exports) })))
}

/// The kind of a component, and whether it imports WASI.
fn interfaces(engine: &WasmEngine, component: &Component) -> Result<(Kind, bool), String> {
    let r#type = component.component_type();
    let mut uses_wasi = false;
    for (import, _) in r#type.imports(engine.engine()) {
        if import.starts_with("wasi:") {
            uses_wasi = true;
        } else if ours(import)?.is_none() {
            return Err(format!(
                "it imports `{import}`, which does not exist: plugins may import \
                 `{NAMESPACE}logging`, `{NAMESPACE}tensors` and WASI"
            ));
        }
    }
    let mut kinds = Vec::new();
    for (export, _) in r#type.exports(engine.engine()) {
        let Some(interface) = ours(export)? else { continue };
        kinds.extend(Kind::ALL.into_iter().find(|kind| format!("{kind}s") == interface));
    }
    match kinds[..] {
        [kind] => Ok((kind, uses_wasi)),
        [] => Err(format!(
            "it is not a plugin, as it exports none of {}",
            Kind::ALL.map(|kind| format!("`{NAMESPACE}{kind}s`")).join(", ")
        )),
        _ => {
            let kinds: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
            Err(format!("it is of several kinds ({}), but must be of one", kinds.join(", ")))
        }
    }
}

/// The name of an interface of the contract; none if it is another's.
fn ours(name: &str) -> Result<Option<&str>, String> {
    let Some((interface, version)) =
        name.strip_prefix(NAMESPACE).and_then(|name| name.split_once('@'))
    else {
        return Ok(None);
    };
    let fits = Version::parse(version).is_ok_and(|version| {
        version.major == VERSION.major && (0..=VERSION.minor).contains(&version.minor)
    });
    if !fits {
        return Err(format!(
            "it is built for contract {version} (`{name}`), but this vitral supports {VERSION}"
        ));
    }
    Ok(Some(interface))
}

fn link(
    engine: &WasmEngine,
    component: &Component,
    uses_wasi: bool,
) -> wasmtime::Result<InstancePre<State>> {
    let mut linker = Linker::new(engine.engine());
    logging::add_to_linker::<State, Access>(&mut linker, |state| state)?;
    tensors::add_to_linker::<State, Access>(&mut linker, |state| state)?;
    if uses_wasi {
        link_wasi(&mut linker)?;
        link_absent(&mut linker, engine, component)?;
    }
    linker.instantiate_pre(component)
}

/// What interpreters import, whether a plugin uses it or not, and what plugins do not have.
const ABSENT: &str = "wasi:http/";
/// How a component does without it.
const WITHOUT: &str =
    "plugins have no HTTP: build it without, as by `--disable http fetch-event` of componentize-js";

/// A resource of which there is never one.
struct Absent;

/// Adds what plugins do not have: whatever they call of it fails, by its name.
fn link_absent(
    linker: &mut Linker<State>,
    engine: &WasmEngine,
    component: &Component,
) -> wasmtime::Result<()> {
    let engine = engine.engine();
    let r#type = component.component_type();
    let mut known: Vec<ResourceType> = Vec::new();
    for (interface, import) in r#type.imports(engine) {
        let ComponentItem::ComponentInstance(exports) = import.ty else { continue };
        let is_absent = interface.starts_with(ABSENT);
        for (name, export) in exports.exports(engine) {
            match export.ty {
                // One that an interface before has is the same there, and that one's.
                ComponentItem::Resource(resource) if !known.contains(&resource) => {
                    known.push(resource);
                    if is_absent {
                        let kind = ResourceType::host::<Absent>();
                        linker.instance(interface)?.resource(name, kind, |_, _| Ok(()))?;
                    }
                }
                ComponentItem::ComponentFunc(_) if is_absent => {
                    let called = format!("{interface}#{name}");
                    linker.instance(interface)?.func_new(name, move |_, _, _, _| {
                        Err(wasmtime::Error::msg(format!("it called `{called}`, but {WITHOUT}")))
                    })?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Adds WASI, with the host's random numbers, and with no names but those of hosts that are granted.
fn link_wasi(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    random::add_to_linker::<State, Random>(linker, State::random)?;
    insecure::add_to_linker::<State, Random>(linker, State::random)?;
    insecure_seed::add_to_linker::<State, Random>(linker, State::random)?;
    ip_name_lookup::add_to_linker::<State, Names>(linker, State::names)?;
    linker.allow_shadowing(false);
    Ok(())
}
