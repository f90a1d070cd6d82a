//! What tracing, files and the reference promise, across modules.

mod any_op;
mod attention;
mod every_op;
mod hostile;
mod limits;
mod reference;
mod serialised;
mod support;
mod tracing;
