//! Sizes as values of a graph: numbers, or what is computed of the input's.

use vitral_model::vit_program::ImageDim;
use vitral_program::Dim;

use super::{
    sizes::{Formula, Sizes},
    walk::Builder,
};

/// What two sizes become.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arithmetic {
    Sum,
    Product,
    Quotient,
}

/// A format whose nodes compute sizes.
pub(crate) trait Dimensions: Builder {
    /// The size of the input along an axis.
    fn input_size(&mut self, axis: usize) -> String;

    /// A number as a size.
    fn size(&mut self, value: usize) -> String;

    /// Numbers as sizes side by side.
    fn listed(&mut self, values: &[usize]) -> String;

    /// A size of two others.
    fn computed(&mut self, operation: Arithmetic, operands: [&str; 2]) -> String;

    /// Sizes side by side.
    fn beside(&mut self, parts: &[String]) -> String;

    /// What is computed once, under a name.
    fn once(&mut self, name: &str, compute: impl FnOnce(&mut Self) -> String) -> String {
        if let Some(computed) = self.ledger().computed(name) {
            return computed;
        }
        let place = self.ledger_mut().move_to(name);
        let computed = compute(self);
        self.ledger_mut().move_to(&place);
        self.ledger_mut().keep(name, &computed);
        computed
    }

    /// The batch size.
    fn batch(&mut self) -> String {
        self.once("batch", |graph| graph.input_size(0))
    }

    /// A size that follows from the images'.
    fn image_dim(&mut self, size: ImageDim) -> String {
        let formula = self.ledger().sizes().formula(size);
        self.once(Sizes::name(size), |graph| {
            let (operation, of, with) = match formula {
                Formula::Input(axis) => return graph.input_size(axis),
                Formula::Quotient(of, by) => (Arithmetic::Quotient, of, graph.size(by)),
                Formula::Product(of, with) => (Arithmetic::Product, of, graph.image_dim(with)),
                Formula::Sum(of, with) => (Arithmetic::Sum, of, graph.size(with)),
            };
            let of = graph.image_dim(of);
            graph.computed(operation, [&of, &with])
        })
    }

    /// A dimension.
    fn dim(&mut self, dim: Dim) -> String {
        if let Some(size) = self.ledger().sizes().meaning(dim) {
            return self.image_dim(size);
        }
        match dim {
            Dim::Fixed(size) => self.size(size),
            Dim::Batch(1) => self.batch(),
            Dim::Batch(factor) => {
                let (batch, factor) = (self.batch(), self.dim(Dim::Fixed(factor)));
                self.computed(Arithmetic::Product, [&batch, &factor])
            }
        }
    }

    /// Dimensions side by side.
    fn shape(&mut self, dims: &[Dim]) -> String {
        let sizes = self.ledger().sizes();
        let fixed: Option<Vec<_>> = dims.iter().map(|&dim| sizes.fixed(dim)).collect();
        if let Some(fixed) = fixed {
            return self.listed(&fixed);
        }
        let parts: Vec<_> = dims.iter().map(|&dim| self.dim(dim)).collect();
        self.beside(&parts)
    }
}
