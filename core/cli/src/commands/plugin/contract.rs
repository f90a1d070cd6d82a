//! The contract between Vitral and its plugins, as this program has it, for those who write one without a
//! clone of the repository.

use clap::{Args, ValueEnum};
use serde_json::json;
use vitral_program::ops::{self, Arity, AttributeInfo, OpInfo};

use crate::{failure::Failure, json, print::write_out};

const WIT: &str = include_str!("../../../../../sdk/wit/vitral-plugin.wit");
const HEADER: &str = include_str!("../../../../../sdk/include/vitral_plugin.h");

/// A part of the contract.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Part {
    /// The interfaces of WebAssembly components, in WIT.
    Wit,
    /// The header of native libraries, in C.
    Header,
    /// The ops of tensor programs, with operands and attributes, and since which version they are there.
    Ops,
}

#[derive(Debug, Args)]
pub struct ContractArguments {
    /// Which part.
    pub part: Part,
    /// Print the ops as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `vitral plugin contract`.
pub fn contract(arguments: &ContractArguments) -> Result<(), Failure> {
    match arguments.part {
        Part::Ops if arguments.json => {
            let ops = all().iter().map(as_json).collect::<Vec<_>>();
            return json::print(&json!({ "version": ops::VERSION, "ops": ops }));
        }
        Part::Wit | Part::Header if arguments.json => {
            return Err(Failure::Usage("only the ops can be printed as JSON".into()));
        }
        Part::Wit => write_out(WIT, ""),
        Part::Header => write_out(HEADER, ""),
        Part::Ops => {
            println!("op set {}", ops::VERSION);
            all().iter().for_each(show);
        }
    }
    Ok(())
}

/// Every op, by name.
fn all() -> Vec<OpInfo> {
    let mut all = ops::all().to_vec();
    all.sort_by_key(|op| op.name);
    all
}

fn show(op: &OpInfo) {
    let operands: Vec<String> = op
        .operands
        .iter()
        .map(|operand| match operand.arity {
            Arity::Required => operand.name.to_owned(),
            Arity::Optional => format!("[{}]", operand.name),
            Arity::Repeated => format!("{}...", operand.name),
        })
        .collect();
    println!("{}({}){}", op.name, operands.join(", "), since(op.since));
    println!("    {}", op.doc());
    for attribute in op.attributes {
        let needed = if attribute.required { ", required" } else { "" };
        let since = since(attribute.since);
        println!("    {}: {}{needed}{since}", attribute.name, kind(attribute));
        println!("        {}", attribute.doc());
    }
}

/// What is not there from the beginning says since when it is.
fn since(version: u32) -> String {
    if version > 1 { format!(", since op set {version}") } else { String::new() }
}

fn as_json(op: &OpInfo) -> serde_json::Value {
    let operands = op.operands.iter().map(|operand| {
        json!({
            "name": operand.name,
            "optional": operand.arity == Arity::Optional,
            "repeated": operand.arity == Arity::Repeated,
        })
    });
    let attributes = op.attributes.iter().map(|attribute| {
        json!({
            "name": attribute.name,
            "type": kind(attribute),
            "required": attribute.required,
            "since": attribute.since.max(op.since),
            "doc": attribute.doc(),
        })
    });
    json!({
        "name": op.name,
        "since": op.since,
        "doc": op.doc(),
        "operands": operands.collect::<Vec<_>>(),
        "attributes": attributes.collect::<Vec<_>>(),
    })
}

fn kind(attribute: &AttributeInfo) -> String {
    format!("{:?}", attribute.kind).to_lowercase()
}
