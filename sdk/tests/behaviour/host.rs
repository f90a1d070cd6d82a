//! A host of the C boundary that keeps what it is told.

use std::ffi::c_void;

use vitral_program::{Limits, Tensor, TraceErrors, Tracer};
use vitral_sdk::abi::c::{self, List, Text};
use vitral_sdk::abi::convert::{self, FromC, items};
use vitral_sdk::{Action, Attribute, AttributeValue, Initializer, LogLevel};

/// An op as the host was asked for it.
#[derive(Debug)]
pub struct Applied {
    pub op: String,
    pub attributes: Vec<Attribute>,
    pub operands: usize,
    pub label: String,
}

/// What a call has told.
pub struct Recorder {
    pub tracer: Tracer,
    pub results: Vec<Tensor>,
    pub applied: Vec<Applied>,
    pub parameters: Vec<(String, Initializer, bool)>,
    pub logged: Vec<(LogLevel, String)>,
    pub failure: Option<String>,
    pub actions: Vec<Action>,
    pub state: Vec<u8>,
    pub image: Option<(u32, u32, u32, Vec<u8>)>,
    /// Larger images are refused.
    pub largest_image: usize,
}

impl Recorder {
    pub fn new() -> Self {
        Self {
            tracer: Tracer::new("test", Limits::default()),
            results: Vec::new(),
            applied: Vec::new(),
            parameters: Vec::new(),
            logged: Vec::new(),
            failure: None,
            actions: Vec::new(),
            state: Vec::new(),
            image: None,
            largest_image: 1 << 20,
        }
    }

    pub fn input(&mut self, name: &str, r#type: &str) -> u64 {
        self.tracer.input(name, r#type.parse().unwrap()).to_raw()
    }

    /// The trace's program as text, or its errors.
    pub fn finish(self, outputs: &[&str]) -> Result<String, TraceErrors> {
        let outputs: Vec<_> = outputs.iter().copied().zip(self.results).collect();
        self.tracer.finish(&outputs).map(|program| program.to_string())
    }

    /// The table, valid as long as this stands where it stands.
    pub fn table(&mut self) -> c::Host {
        c::Host {
            struct_size: size_of::<c::Host>(),
            major: c::MAJOR,
            minor: c::MINOR,
            context: std::ptr::from_mut(self).cast(),
            log,
            fail,
            apply,
            parameter,
            tensor_type,
            result,
            new_image,
            act,
            state,
        }
    }
}

fn recorder<'a>(context: *mut c_void) -> &'a mut Recorder {
    // SAFETY: the context is a recorder, which nobody else uses during the call.
    unsafe { &mut *context.cast() }
}

fn string(text: Text) -> String {
    // SAFETY: the SDK keeps to the rules.
    unsafe { convert::text(text) }.unwrap().to_owned()
}

unsafe extern "C" fn log(context: *mut c_void, level: u32, message: Text) {
    recorder(context).logged.push((convert::level(level).unwrap(), string(message)));
}

unsafe extern "C" fn fail(context: *mut c_void, message: Text) {
    recorder(context).failure = Some(string(message));
}

unsafe extern "C" fn apply(
    context: *mut c_void,
    op: Text,
    attributes: List<c::Setting>,
    operands: List<c::Tensor>,
    label: Text,
    results: *mut c::Tensor,
    capacity: usize,
) -> usize {
    let recorder = recorder(context);
    // SAFETY: the SDK keeps to the rules.
    let (attributes, operands) =
        unsafe { (convert::attributes(attributes).unwrap(), items(operands).unwrap()) };
    let operands: Vec<_> = operands.iter().map(|&raw| Tensor::from_raw(raw)).collect();
    let (op, label) = (string(op), string(label));
    let given = attributes.iter().cloned().map(attribute).collect();
    let made = recorder.tracer.apply_named(&op, given, &operands, &label);
    for (index, tensor) in made.iter().take(capacity).enumerate() {
        // SAFETY: there is room for `capacity` of them.
        unsafe { results.add(index).write(tensor.to_raw()) };
    }
    recorder.applied.push(Applied { op, attributes, operands: operands.len(), label });
    made.len()
}

fn attribute(given: Attribute) -> vitral_program::Attribute {
    use vitral_program::AttributeValue as Value;
    let value = match given.value {
        AttributeValue::Boolean(value) => Value::Bool(value),
        AttributeValue::Integer(value) => Value::Int(value),
        AttributeValue::Number(value) => Value::Float(value),
        AttributeValue::Integers(values) => Value::Ints(values),
        AttributeValue::Numbers(values) => Value::Floats(values),
        AttributeValue::Text(text) => Value::Text(text),
    };
    vitral_program::Attribute { name: given.name, value }
}

unsafe extern "C" fn parameter(
    context: *mut c_void,
    name: Text,
    shape: List<u32>,
    initializer: c::Initializer,
    decay: u8,
) -> c::Tensor {
    let recorder = recorder(context);
    // SAFETY: the SDK keeps to the rules.
    let dims: Vec<_> = unsafe { items(shape) }.unwrap().iter().map(u32::to_string).collect();
    let shape = format!("[{}]", dims.join(", ")).parse().unwrap();
    let name = string(name);
    recorder.parameters.push((name.clone(), initializer.try_into().unwrap(), decay == 1));
    let zero = vitral_program::Initializer::Constant(0.0);
    recorder.tracer.parameter(&name, shape, zero, decay == 1).to_raw()
}

unsafe extern "C" fn tensor_type(
    context: *mut c_void,
    tensor: c::Tensor,
    buffer: *mut u8,
    capacity: usize,
) -> usize {
    let r#type = recorder(context).tracer.type_of(Tensor::from_raw(tensor));
    let text = r#type.map(ToString::to_string).unwrap_or_default();
    let count = text.len().min(capacity);
    // SAFETY: there is room for `capacity` bytes.
    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), buffer, count) };
    text.len()
}

unsafe extern "C" fn result(context: *mut c_void, tensor: c::Tensor) {
    recorder(context).results.push(Tensor::from_raw(tensor));
}

unsafe extern "C" fn new_image(
    context: *mut c_void,
    width: u32,
    height: u32,
    channels: u32,
) -> *mut u8 {
    let recorder = recorder(context);
    let bytes = width as usize * height as usize * channels as usize;
    if bytes > recorder.largest_image {
        return std::ptr::null_mut();
    }
    recorder.image.insert((width, height, channels, vec![0; bytes])).3.as_mut_ptr()
}

unsafe extern "C" fn act(context: *mut c_void, action: *const c::Action) {
    // SAFETY: the SDK keeps to the rules.
    let action = unsafe { Action::from_c(&*action) };
    recorder(context).actions.push(action.unwrap());
}

unsafe extern "C" fn state(context: *mut c_void, bytes: List<u8>) {
    // SAFETY: the SDK keeps to the rules.
    recorder(context).state = unsafe { items(bytes) }.unwrap().to_vec();
}
