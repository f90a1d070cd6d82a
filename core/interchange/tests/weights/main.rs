//! Weights in and out, held against the projects that they come from and go to.

mod as_they_come;
mod google;
mod hostile;
mod hugging_face;
mod support;
mod timm;
