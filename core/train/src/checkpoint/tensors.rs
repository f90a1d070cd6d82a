//! Tensors in safetensors files, and on their way to and from a device.

use std::{
    collections::HashMap,
    io::{self, Write},
};

use burn::tensor::{Device, Tensor};
use safetensors::{
    Dtype, SafeTensors,
    tensor::{Metadata, TensorInfo},
};
use vitral_burn::kernels::lasting;
use vitral_model::parameters::ParameterInfo;

use super::expected::{Shapes, average_name, compare, of_model};
use crate::{Error, experiment::Experiment, plugins::Programs};

/// Values that are written at once.
const PART: usize = 1 << 18;

/// A named tensor in memory.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NamedTensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

impl NamedTensor {
    /// Reads a flat tensor back from its device.
    pub(crate) fn from_device(
        name: String,
        shape: &[usize],
        tensor: &Tensor<1>,
    ) -> Result<Self, Error> {
        let values =
            tensor.try_to_vec_as::<f32>().map_err(|error| Error::Device(error.to_string()))?;
        Ok(Self { name, shape: shape.to_vec(), values })
    }
}

/// Writes tensors one after the other, in the order of their names, as a file of safetensors has them.
pub(super) fn write(mut to: impl Write, tensors: &[NamedTensor]) -> io::Result<()> {
    let mut tensors: Vec<&NamedTensor> = tensors.iter().collect();
    tensors.sort_by(|one, other| one.name.cmp(&other.name));
    let mut end = 0;
    let mut info = |tensor: &NamedTensor| {
        let start = end;
        end += size_of_val(&tensor.values[..]);
        let (shape, data_offsets) = (tensor.shape.clone(), (start, end));
        (tensor.name.clone(), TensorInfo { dtype: Dtype::F32, shape, data_offsets })
    };
    let infos = tensors.iter().map(|tensor| info(tensor)).collect();
    let metadata = Metadata::new(None, infos).map_err(io::Error::other)?;
    let mut header = serde_json::to_vec(&metadata)?;
    // So that the values are where they can be read in place.
    header.resize(header.len().next_multiple_of(8), b' ');
    to.write_all(&(header.len() as u64).to_le_bytes())?;
    to.write_all(&header)?;
    let mut bytes = Vec::new();
    for values in tensors.iter().flat_map(|tensor| tensor.values.chunks(PART)) {
        bytes.clear();
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        to.write_all(&bytes)?;
    }
    Ok(())
}

/// The tensors of a learner, as checkpoints hold them.
pub(crate) struct Tensors {
    pub model: Vec<NamedTensor>,
    pub ema: Option<Vec<NamedTensor>>,
    pub optimizer: Vec<NamedTensor>,
    /// What heads and hidden neurons matter, of a run that prunes by it.
    pub importance: Option<Vec<NamedTensor>>,
}

impl Tensors {
    /// Makes sure that all values are numbers.
    ///
    /// # Errors
    /// The first tensor that has others.
    pub(crate) fn check_finite(&self) -> Result<(), String> {
        let [ema, importance] =
            [&self.ema, &self.importance].map(|tensors| tensors.as_deref().unwrap_or_default());
        [&self.model, ema, &self.optimizer, importance].into_iter().try_for_each(check_finite)
    }
}

/// Reads the tensors of a file, which must be exactly those that are expected.
///
/// # Errors
/// What is wrong with the file, in words.
pub(super) fn read(bytes: &[u8], expected: &Shapes) -> Result<Vec<NamedTensor>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let tensors = file.tensors();
    compare(tensors.iter().map(|(name, view)| (name.as_str(), view.shape())), expected)?;
    let tensor = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        if view.dtype() != Dtype::F32 {
            return Err(format!("`{name}` is {:?}, not F32", view.dtype()));
        }
        let (values, _) = view.data().as_chunks::<4>();
        let values = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Ok(NamedTensor { name, shape: view.shape().to_vec(), values })
    };
    let tensors: Vec<NamedTensor> = tensors.into_iter().map(tensor).collect::<Result<_, _>>()?;
    check_finite(&tensors)?;
    Ok(tensors)
}

/// Makes sure that all values are numbers: one that is none would make every result so.
///
/// # Errors
/// The first tensor that has others.
pub(crate) fn check_finite(tensors: &[NamedTensor]) -> Result<(), String> {
    // In pieces and without branches in them, which is as fast as memory.
    let is_finite =
        |piece: &[f32]| piece.iter().fold(true, |finite, value| finite & value.is_finite());
    match tensors.iter().find(|tensor| !tensor.values.chunks(4096).all(is_finite)) {
        None => Ok(()),
        Some(NamedTensor { name, values, .. }) => {
            let count = values.iter().filter(|value| !value.is_finite()).count();
            Err(format!("{count} of the {} values of `{name}` are not finite", values.len()))
        }
    }
}

/// Makes sure that tensors are exactly those of an experiment's model.
///
/// # Errors
/// The first one that is missing, superfluous or of another shape.
pub(crate) fn compare_model(
    tensors: &[NamedTensor],
    experiment: &Experiment,
    programs: &Programs,
) -> Result<(), String> {
    let found = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice()));
    compare(found, &of_model(experiment, programs))
}

/// Puts the tensors of a model on a device, flat and in its order.
///
/// # Errors
/// The first tensor that is missing, superfluous or of another shape, in words.
pub(crate) fn to_device(
    tensors: &[NamedTensor],
    infos: &[ParameterInfo],
    device: &Device,
) -> Result<Vec<Tensor<1>>, String> {
    let names = infos.iter().map(|info| (info.name.clone(), info.shape.clone()));
    in_order(tensors, names.collect(), device)
}

/// The same with an optimizer's averages: of each of the model's parameters a list, in the order of the
/// slots that it has.
///
/// # Errors
/// As [`to_device`].
pub(crate) fn averages_to_device(
    tensors: &[NamedTensor],
    slots: impl Fn(&ParameterInfo) -> &'static [&'static str],
    infos: &[ParameterInfo],
    device: &Device,
) -> Result<Vec<Vec<Tensor<1>>>, String> {
    let of_parameter = |info: &ParameterInfo| {
        let named = |slot: &&str| (average_name(slot, &info.name), info.shape.clone());
        slots(info).iter().map(named).collect::<Vec<_>>()
    };
    let wanted = infos.iter().flat_map(of_parameter).collect();
    let mut averages = in_order(tensors, wanted, device)?.into_iter();
    Ok(infos.iter().map(|info| averages.by_ref().take(slots(info).len()).collect()).collect())
}

fn in_order(
    tensors: &[NamedTensor],
    wanted: Vec<(String, Vec<usize>)>,
    device: &Device,
) -> Result<Vec<Tensor<1>>, String> {
    let names: Vec<String> = wanted.iter().map(|(name, _)| name.clone()).collect();
    let found = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice()));
    compare(found, &wanted.into_iter().collect())?;
    let by_name: HashMap<&str, &NamedTensor> =
        tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let on_device = |name: &String| {
        // All of them were found.
        let values = &by_name[name.as_str()].values;
        lasting(values, [values.len()], device)
    };
    Ok(names.iter().map(on_device).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors(names: &[&str]) -> Vec<NamedTensor> {
        let tensor = |name: &&str| NamedTensor {
            name: (*name).to_owned(),
            shape: vec![2],
            values: vec![1.0, 2.0],
        };
        names.iter().map(tensor).collect()
    }

    fn file(tensors: &[NamedTensor]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, tensors).unwrap();
        bytes
    }

    fn shapes(names: &[&str]) -> Shapes {
        names.iter().map(|name| ((*name).to_owned(), vec![2])).collect()
    }

    #[test]
    fn a_file_has_exactly_the_tensors_that_are_expected() {
        let written = tensors(&["a", "b"]);
        let bytes = file(&written);
        let mut found = read(&bytes, &shapes(&["a", "b"])).unwrap();
        // A file has them in no order.
        found.sort_by(|one, other| one.name.cmp(&other.name));
        assert_eq!(found, written);
        let refused = |expected: &Shapes| read(&bytes, expected).unwrap_err();
        assert_eq!(refused(&shapes(&["a", "b", "c"])), "`c` is missing");
        assert_eq!(refused(&shapes(&["a"])), "`b` is present, but the model has no such parameter");
        let larger = Shapes::from([("a".into(), vec![2]), ("b".into(), vec![2, 1])]);
        assert_eq!(refused(&larger), "`b` is [2], but the model has [2, 1]");
    }

    #[test]
    fn a_file_is_the_one_that_the_library_writes() {
        use safetensors::tensor::TensorView;

        let written = tensors(&["b", "a", "longer"]);
        let bytes = [1.0_f32, 2.0].map(f32::to_le_bytes).concat();
        let view = || TensorView::new(Dtype::F32, vec![2], &bytes).unwrap();
        let views = written.iter().map(|tensor| (&tensor.name, view()));
        assert!(file(&written) == safetensors::serialize(views, None).unwrap());
        let mut wrong = written;
        wrong[1].shape = vec![3];
        assert!(write(Vec::new(), &wrong).is_err(), "as many values as its shape has");
    }

    #[test]
    fn values_that_are_not_finite_are_counted() {
        let mut written = tensors(&["a", "b"]);
        assert_eq!(check_finite(&written), Ok(()));
        written[1].values = vec![0.0; 10_000];
        written[1].values[9_999] = f32::NAN;
        written[1].values[3] = f32::NEG_INFINITY;
        let said = "2 of the 10000 values of `b` are not finite";
        assert_eq!(check_finite(&written), Err(said.into()));
        written[1].shape = vec![10_000];
        let mut expected = shapes(&["a"]);
        expected.insert("b".into(), vec![10_000]);
        assert_eq!(read(&file(&written), &expected), Err(said.into()));
    }

    #[test]
    fn tensors_on_their_way_to_a_device_are_exactly_the_models() {
        let device = Device::flex();
        let infos: Vec<ParameterInfo> = ["b", "a"]
            .map(|name| ParameterInfo { name: name.into(), shape: vec![2], decay: None })
            .into();
        assert_eq!(to_device(&tensors(&["a", "b"]), &infos, &device).unwrap().len(), 2);
        let superfluous = to_device(&tensors(&["a", "b", "c"]), &infos, &device);
        assert!(superfluous.unwrap_err().contains("`c` is present"));
        let written = tensors(&["m/a", "m/b", "v/a"]);
        // As of Muon, which keeps more of some parameters than of others.
        let slots = |info: &ParameterInfo| -> &'static [&'static str] {
            if info.name == "a" { &["m", "v"] } else { &["m"] }
        };
        let found = averages_to_device(&written, slots, &infos, &device).unwrap();
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2]);
        // As of an optimizer that keeps less.
        let superfluous = averages_to_device(&written, |_| &["m"], &infos, &device);
        assert!(superfluous.unwrap_err().contains("`v/a` is present"));
    }
}
