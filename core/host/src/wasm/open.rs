//! From a component's bytes to a plugin: what it imports and exports, and what it says of itself.

use std::sync::Arc;

use semver::Version;
use vitral_abi::Kind;
use vitral_seed::Seed;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker};

use super::{
    Wasm, WasmEngine, WasmOptions,
    bindings::{
        exports::vitral::plugin::{
            attentions, batch_augmentations, data_monitors, description, image_augmentations,
            monitors,
        },
        vitral::plugin::{logging, tensors},
    },
    convert,
    deadline::Time,
    instance::{Module, Session},
    state::{Access, State},
    wasi,
};
use crate::{Declared, OpenError, plugin::Loaded};

/// The interfaces of this contract, `vitral:plugin/<name>@1.1.0`; those of an earlier minor version
/// are the same or fewer.
const NAMESPACE: &str = "vitral:plugin/";
const VERSION: Version =
    Version::new(vitral_abi::VERSION.0 as u64, vitral_abi::VERSION.1 as u64, 0);
/// The largest component; those of Python have 40 MiB.
pub(super) const MAX_COMPONENT: usize = 256 << 20;

/// Where the exports of each kind are found.
pub(super) enum Exports {
    /// `augment` beside, which has types of its own here.
    Image(image_augmentations::GuestIndices, ComponentExportIndex),
    Batch(batch_augmentations::GuestIndices),
    Attention(attentions::GuestIndices),
    /// A monitor hears of the data path since contract 1.1.
    Monitor(monitors::GuestIndices, Option<data_monitors::GuestIndices>),
}

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
    let Interfaces { kind, uses_wasi, has_data } =
        interfaces(engine, &component).map_err(refuse)?;
    let pre = link(engine, &component, uses_wasi)
        .map_err(|error| refuse(format!("it cannot be linked: {error:#}")))?;
    let missing = |error: wasmtime::Error| {
        refuse(format!("its exports are not those of contract {VERSION}: {error:#}"))
    };
    let exports = match kind {
        Kind::ImageAugmentation => image_augmentations::GuestIndices::new(&pre)
            .and_then(|image| Ok(Exports::Image(image, super::image::export(&component)?))),
        Kind::BatchAugmentation => batch_augmentations::GuestIndices::new(&pre).map(Exports::Batch),
        Kind::Attention => attentions::GuestIndices::new(&pre).map(Exports::Attention),
        Kind::Monitor => monitors::GuestIndices::new(&pre).and_then(|monitor| {
            let data = has_data.then(|| data_monitors::GuestIndices::new(&pre)).transpose()?;
            Ok(Exports::Monitor(monitor, data))
        }),
    };
    let exports = exports.map_err(missing)?;
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
    let declared = Declared { kind, description: convert::description(described) };
    Ok((declared, Box::new(Wasm { module, exports: Arc::new(exports) })))
}

/// What a component exports and imports.
struct Interfaces {
    kind: Kind,
    uses_wasi: bool,
    /// Whether it hears of the data path.
    has_data: bool,
}

fn interfaces(engine: &WasmEngine, component: &Component) -> Result<Interfaces, String> {
    let r#type = component.component_type();
    let mut uses_wasi = false;
    for (import, _) in r#type.imports(engine.engine()) {
        if import.starts_with("wasi:") {
            uses_wasi = true;
        } else if ours(import)?.is_none() {
            return Err(format!(
                "it imports `{import}`, which there is not: plugins may import \
                 `{NAMESPACE}logging`, `{NAMESPACE}tensors` and WASI"
            ));
        }
    }
    let (mut kinds, mut has_data) = (Vec::new(), false);
    for (export, _) in r#type.exports(engine.engine()) {
        let Some(interface) = ours(export)? else { continue };
        has_data |= interface == "data-monitors";
        kinds.extend(Kind::ALL.into_iter().find(|kind| format!("{kind}s") == interface));
    }
    match kinds[..] {
        [kind] => Ok(Interfaces { kind, uses_wasi, has_data }),
        [] => Err(format!(
            "it is no plugin, as it exports none of {}",
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
            "it is built for contract {version} (`{name}`), and this vitral speaks {VERSION}"
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
        wasi::add_to_linker(&mut linker)?;
    }
    linker.instantiate_pre(component)
}
