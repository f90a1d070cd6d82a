//! What a plugin does while it is traced: any ops with any attributes on any handles, in any order.
//!
//! Each call is a byte that chooses it, and what it is given follows.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vitral_program::{
    Attribute, AttributeKind, AttributeValue, Dim, Initializer, Limits, Program, Shape, Tensor,
    TensorType, Tracer, ops,
};

/// Reads what a call is given; zeros at the end.
struct Given<'d>(&'d [u8]);

impl Given<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn number(&mut self) -> i64 {
        match self.byte() {
            255 => i64::from_le_bytes([(); 8].map(|()| self.byte())),
            254 => i64::from(u32::from_le_bytes([(); 4].map(|()| self.byte()))),
            253 => -1,
            small => i64::from(small % 16),
        }
    }

    fn float(&mut self) -> f64 {
        match self.byte() {
            255 => f64::from_le_bytes([(); 8].map(|()| self.byte())),
            254 => f64::NAN,
            253 => f64::INFINITY,
            small => f64::from(small) / 64.0,
        }
    }

    fn text(&mut self) -> String {
        let length = usize::from(self.byte() % 32);
        let bytes: Vec<u8> = (0..length).map(|_| self.byte()).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn shape(&mut self) -> Option<Shape> {
        let rank = self.byte() % 6;
        let dim = |given: &mut Self| match given.byte() {
            0..8 => Dim::BATCH,
            n => Dim::Fixed(usize::from(n % 8)),
        };
        Shape::new((0..rank).map(|_| dim(self)).collect::<Vec<_>>()).ok()
    }

    fn value(&mut self, kind: AttributeKind) -> AttributeValue {
        let count = self.byte() % 5;
        match kind {
            AttributeKind::Bool => AttributeValue::Bool(count > 2),
            AttributeKind::Int => AttributeValue::Int(self.number()),
            AttributeKind::Float => AttributeValue::Float(self.float()),
            AttributeKind::Ints => {
                AttributeValue::Ints((0..count).map(|_| self.number()).collect())
            }
            AttributeKind::Floats => {
                AttributeValue::Floats((0..count).map(|_| self.float()).collect())
            }
            AttributeKind::Text => AttributeValue::Text(match self.shape() {
                Some(shape) if count > 1 => shape.to_string(),
                _ => self.text(),
            }),
        }
    }

    fn tensor(&mut self, known: &[Tensor]) -> Tensor {
        match known.get(usize::from(self.byte())) {
            Some(tensor) => *tensor,
            // A number that the plugin made up.
            None => Tensor::from_raw(self.number() as u64),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let limits = Limits { nodes: 64, bytes: 1 << 24, ..Limits::default() };
    let mut tracer = Tracer::new("fuzz", limits.clone());
    let mut given = Given(data);
    let r#type: TensorType = "f32[B,2,3,4]".parse().expect("a type");
    let mut known = vec![tracer.input("query", r#type)];
    while !given.0.is_empty() {
        match given.byte() {
            255 => {
                let (name, decay) = (given.text(), given.byte() > 9);
                let initializer = Initializer::Normal { std: given.float() };
                let Some(shape) = given.shape() else { continue };
                known.push(tracer.parameter(&name, shape, initializer, decay));
            }
            254 => {
                let name = given.text();
                let operands: Vec<_> =
                    (0..given.byte() % 4).map(|_| given.tensor(&known)).collect();
                known.extend(tracer.apply_named(&name, Vec::new(), &operands, &name));
            }
            op => {
                let info = ops::all()[usize::from(op) % ops::all().len()];
                let operands: Vec<_> =
                    (0..given.byte() % 5).map(|_| given.tensor(&known)).collect();
                let attributes = info.attributes.iter();
                let attributes =
                    attributes.filter(|attribute| attribute.required || data.len() % 2 == 0);
                let attributes: Vec<_> = attributes
                    .map(|attribute| Attribute {
                        name: attribute.name.to_owned(),
                        value: given.value(attribute.kind),
                    })
                    .collect();
                let results = tracer.apply_named(info.name, attributes, &operands, "label");
                assert!(!results.is_empty());
                known.extend(results);
            }
        }
    }
    let outputs: Vec<_> =
        known.iter().rev().take(2).zip(["a", "b"]).map(|(&t, n)| (n, t)).collect();
    match tracer.finish(&outputs) {
        Ok(program) => {
            assert!(program.cost().bytes <= limits.bytes);
            let again = Program::from_bytes(&program.to_bytes(), &limits);
            assert_eq!(again.as_ref(), Ok(&program));
        }
        Err(errors) => assert!(!errors.to_string().is_empty() && errors.errors.len() <= 32),
    }
});
