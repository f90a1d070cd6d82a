//! An interpreter of pickles (protocols 2 to 5) that makes tensors and plain containers, and nothing else.
//!
//! A pickle is a program for a machine with a stack.

use std::collections::HashMap;

use super::{
    class::Class,
    objects::{Id, MOST_DIMENSIONS, MOST_OBJECTS, Objects, Storage, Tensor, Value, too_many},
};

/// What to do about a file that has more than weights.
pub(crate) const SAVE: &str = "save the weights alone, in PyTorch: `torch.save(model.state_dict(), \"weights.pth\")`, or with `safetensors.torch.save_file`";

/// Runs a pickle, and gives what it has made, and which of it is the result.
///
/// # Errors
/// It is damaged, or wants something that is no tensor and no plain container; in words.
pub(super) fn read(bytes: &[u8]) -> Result<(Objects, Id), String> {
    let mut machine = Machine { left: bytes, ..Machine::default() };
    loop {
        if let Some(top) = machine.step()? {
            return match machine.left.is_empty() {
                true => Ok((machine.objects, top)),
                false => Err("its pickle is followed by something else".into()),
            };
        }
    }
}

#[derive(Default)]
struct Machine<'a> {
    left: &'a [u8],
    objects: Objects,
    stack: Vec<Id>,
    /// Where on the stack the marks are.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// How many pairs were copied from one dictionary to another.
    copied: usize,
}

fn damaged() -> String {
    "its pickle is damaged or cut short".into()
}

impl Machine<'_> {
    /// One instruction; the result after the last.
    fn step(&mut self) -> Result<Option<Id>, String> {
        let [code] = self.array()?;
        match code {
            // PROTO, FRAME.
            0x80 => match self.array()? {
                [0..=5] => {}
                [version] => {
                    return Err(format!("its pickle is of the unknown protocol {version}"));
                }
            },
            0x95 => {
                self.array::<8>()?;
            }
            b'.' => return self.pop().map(Some),

            // NONE, NEWTRUE, NEWFALSE, BINFLOAT.
            b'N' | 0x88 | 0x89 => self.push(Value::Plain)?,
            b'G' => {
                self.take(8)?;
                self.push(Value::Plain)?;
            }
            // BININT, BININT1, BININT2, LONG1, LONG4.
            b'J' => {
                let value = i32::from_le_bytes(self.array()?);
                self.push(Value::Int(value.into()))?;
            }
            b'K' => {
                let value = self.length::<1>()?;
                self.push(Value::Int(value as i64))?;
            }
            b'M' => {
                let value = self.length::<2>()?;
                self.push(Value::Int(value as i64))?;
            }
            0x8a => {
                let length = self.length::<1>()?;
                self.long(length)?;
            }
            0x8b => {
                let length = self.length::<4>()?;
                self.long(length)?;
            }
            // BINUNICODE, SHORT_BINUNICODE, BINUNICODE8, and Python 2's BINSTRING, SHORT_BINSTRING.
            b'X' | b'T' => self.text::<4>()?,
            0x8c | b'U' => self.text::<1>()?,
            0x8d => self.text::<8>()?,
            // BINBYTES, SHORT_BINBYTES, BINBYTES8, BYTEARRAY8.
            b'B' => self.bytes::<4>()?,
            b'C' => self.bytes::<1>()?,
            0x8e | 0x96 => self.bytes::<8>()?,

            // EMPTY_LIST, EMPTY_TUPLE, EMPTY_DICT, EMPTY_SET.
            b']' | b')' => self.push(Value::Sequence(Vec::new()))?,
            b'}' => self.push(Value::Dict(Vec::new()))?,
            0x8f => self.push(Value::Plain)?,
            // MARK, POP_MARK, POP, DUP.
            b'(' => {
                if self.marks.len() >= MOST_OBJECTS {
                    return Err(too_many());
                }
                self.marks.push(self.stack.len());
            }
            b'1' => drop(self.pop_mark()?),
            b'0' => {
                self.pop()?;
            }
            b'2' => self.stack.push(*self.stack.last().ok_or_else(damaged)?),
            // TUPLE, LIST, TUPLE1, TUPLE2, TUPLE3, DICT, FROZENSET.
            b't' | b'l' => {
                let items = self.pop_mark()?;
                self.push(Value::Sequence(items))?;
            }
            0x85..=0x87 => {
                let at = self.stack.len().checked_sub(usize::from(code - 0x84));
                let at = self.above_mark(at)?;
                let items = self.stack.split_off(at);
                self.push(Value::Sequence(items))?;
            }
            b'd' => {
                let items = self.pop_mark()?;
                let pairs = pairs(&items)?;
                self.push(Value::Dict(pairs))?;
            }
            0x91 => {
                self.pop_mark()?;
                self.push(Value::Plain)?;
            }
            // APPEND, APPENDS, SETITEM, SETITEMS, ADDITEMS.
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            b'e' => {
                let items = self.pop_mark()?;
                self.append(&items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.set(&items)?;
            }
            0x90 => drop(self.pop_mark()?),

            // BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET.
            b'q' => {
                let at = self.length::<1>()?;
                self.remember(at)?;
            }
            b'r' => {
                let at = self.length::<4>()?;
                self.remember(at)?;
            }
            0x94 => self.remember(self.memo.len())?,
            b'h' => {
                let at = self.length::<1>()?;
                self.recall(at)?;
            }
            b'j' => {
                let at = self.length::<4>()?;
                self.recall(at)?;
            }

            // GLOBAL, INST, STACK_GLOBAL.
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                let class = class(&module, &name)?;
                self.push(Value::Class(class))?;
            }
            b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                class(&module, &name)?;
                return Err(unknown(code));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let text = |id| self.objects.text(id).ok_or_else(damaged);
                let class = class(text(module)?, text(name)?)?;
                self.push(Value::Class(class))?;
            }
            // REDUCE, NEWOBJ, BUILD, BINPERSID.
            b'R' | 0x81 => {
                let (arguments, class) = (self.pop()?, self.pop()?);
                let made = self.call(class, arguments)?;
                self.stack.push(made);
            }
            b'b' => {
                // The attributes of what holds no weights, or of a dictionary (`_metadata`).
                self.pop()?;
                let object = *self.stack.last().ok_or_else(damaged)?;
                if !matches!(self.objects.get(object), Value::Plain | Value::Dict(_)) {
                    return Err(damaged());
                }
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self
                    .storage(id)
                    .ok_or("its pickle refers to something outside of it that is not a storage")?;
                self.push(Value::Storage(storage))?;
            }
            _ => return Err(unknown(code)),
        }
        Ok(None)
    }

    fn take(&mut self, length: usize) -> Result<&[u8], String> {
        let (taken, left) = self.left.split_at_checked(length).ok_or_else(damaged)?;
        self.left = left;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (taken, left) = self.left.split_first_chunk().ok_or_else(damaged)?;
        self.left = left;
        Ok(*taken)
    }

    /// A number of `N` bytes, least first.
    fn length<const N: usize>(&mut self) -> Result<usize, String> {
        let bytes: [u8; N] = self.array()?;
        let value = bytes.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
        usize::try_from(value).map_err(|_| damaged())
    }

    fn line(&mut self) -> Result<String, String> {
        let end = self.left.iter().position(|&byte| byte == b'\n').ok_or_else(damaged)?;
        let line = String::from_utf8_lossy(self.take(end)?).into_owned();
        self.take(1)?;
        Ok(line)
    }

    fn push(&mut self, value: Value) -> Result<(), String> {
        let id = self.objects.add(value)?;
        self.stack.push(id);
        Ok(())
    }

    /// Takes what is above the last mark, which hides what is below it.
    fn pop(&mut self) -> Result<Id, String> {
        let at = self.above_mark(self.stack.len().checked_sub(1))?;
        let id = self.stack[at];
        self.stack.truncate(at);
        Ok(id)
    }

    /// A place on the stack, if it is above the last mark.
    fn above_mark(&self, at: Option<usize>) -> Result<usize, String> {
        let mark = self.marks.last().copied().unwrap_or(0);
        at.filter(|&at| at >= mark).ok_or_else(damaged)
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or_else(damaged)?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    /// An integer of any length; those that no size has are nothing of interest.
    fn long(&mut self, length: usize) -> Result<(), String> {
        let bytes = self.take(length)?;
        let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
        let value = match bytes.len() {
            0..=8 => {
                let mut whole = [if negative { 0xff } else { 0 }; 8];
                whole[..bytes.len()].copy_from_slice(bytes);
                Value::Int(i64::from_le_bytes(whole))
            }
            _ => Value::Plain,
        };
        self.push(value)
    }

    fn text<const N: usize>(&mut self) -> Result<(), String> {
        let length = self.length::<N>()?;
        let text = str::from_utf8(self.take(length)?).map(str::to_owned);
        // Python 2's strings may be bytes.
        self.push(text.map_or(Value::Plain, Value::Text))
    }

    fn bytes<const N: usize>(&mut self) -> Result<(), String> {
        let length = self.length::<N>()?;
        self.take(length)?;
        self.push(Value::Plain)
    }

    /// The object on top of the stack, which is changed in place.
    fn top(&mut self) -> Result<&mut Value, String> {
        let at = self.above_mark(self.stack.len().checked_sub(1))?;
        Ok(self.objects.get_mut(self.stack[at]))
    }

    fn append(&mut self, items: &[Id]) -> Result<(), String> {
        match self.top()? {
            Value::Sequence(list) => list.extend_from_slice(items),
            Value::Plain => {}
            _ => return Err(damaged()),
        }
        Ok(())
    }

    fn set(&mut self, items: &[Id]) -> Result<(), String> {
        let new = pairs(items)?;
        match self.top()? {
            Value::Dict(pairs) => pairs.extend(new),
            Value::Plain => {}
            _ => return Err(damaged()),
        }
        Ok(())
    }

    fn remember(&mut self, at: usize) -> Result<(), String> {
        let at = u32::try_from(at).map_err(|_| damaged())?;
        let top = *self.stack.last().ok_or_else(damaged)?;
        self.memo.insert(at, top);
        if self.memo.len() > MOST_OBJECTS {
            return Err(too_many());
        }
        Ok(())
    }

    fn recall(&mut self, at: usize) -> Result<(), String> {
        let id = u32::try_from(at).ok().and_then(|at| self.memo.get(&at)).ok_or_else(damaged)?;
        self.stack.push(*id);
        Ok(())
    }

    /// What Python would get by calling a name.
    fn call(&mut self, class: Id, arguments: Id) -> Result<Id, String> {
        let Value::Class(class) = *self.objects.get(class) else { return Err(damaged()) };
        let arguments = self.objects.sequence(arguments).ok_or_else(damaged)?;
        match (class, arguments) {
            (Class::Dict, []) => self.objects.add(Value::Dict(Vec::new())),
            (Class::Dict, &[from]) => {
                let pairs = self.pairs_of(from).ok_or_else(damaged)?;
                self.copied += pairs.len();
                if self.copied > MOST_OBJECTS {
                    return Err(too_many());
                }
                self.objects.add(Value::Dict(pairs))
            }
            (Class::Size, &[tuple]) if self.objects.sequence(tuple).is_some() => Ok(tuple),
            (Class::Plain, _) => self.objects.add(Value::Plain),
            (Class::Tensor, &[storage, offset, shape, strides, ..]) => {
                let tensor = self.tensor(storage, offset, shape, strides).ok_or_else(damaged)?;
                self.objects.add(Value::Tensor(Box::new(tensor)))
            }
            (Class::Parameter, &[tensor, ..])
                if matches!(self.objects.get(tensor), Value::Tensor(_)) =>
            {
                Ok(tensor)
            }
            // What makes the tensor is one of the two above, so this goes no deeper.
            (Class::FromType, &[make, _, arguments, ..])
                if matches!(
                    self.objects.get(make),
                    Value::Class(Class::Tensor | Class::Parameter)
                ) =>
            {
                self.call(make, arguments)
            }
            _ => Err(damaged()),
        }
    }

    fn pairs_of(&self, from: Id) -> Option<Vec<(Id, Id)>> {
        match self.objects.get(from) {
            Value::Dict(pairs) => Some(pairs.clone()),
            Value::Sequence(items) => items
                .iter()
                .map(|&item| match self.objects.sequence(item) {
                    Some(&[key, value]) => Some((key, value)),
                    _ => None,
                })
                .collect(),
            _ => None,
        }
    }

    fn tensor(&self, storage: Id, offset: Id, shape: Id, strides: Id) -> Option<Tensor> {
        let Value::Storage(_) = self.objects.get(storage) else { return None };
        // Checked before they are copied: many tensors may name one list.
        if self.objects.sequence(shape)?.len() > MOST_DIMENSIONS {
            return None;
        }
        let lengths = self.objects.numbers(shape)?;
        let shape: Option<Vec<usize>> =
            lengths.into_iter().map(|length| length.try_into().ok()).collect();
        let shape = shape?;
        if self.objects.sequence(strides)?.len() != shape.len() {
            return None;
        }
        let strides = self.objects.numbers(strides)?;
        Some(Tensor { storage, offset: self.objects.number(offset)?, shape, strides })
    }

    /// What a reference out of the pickle means: `("storage", torch.FloatStorage, "0", "cpu", 42)`.
    fn storage(&self, id: Id) -> Option<Storage> {
        let &[word, class, key, _, count] = self.objects.sequence(id)? else { return None };
        let Value::Class(Class::Storage(kind)) = *self.objects.get(class) else { return None };
        if self.objects.text(word)? != "storage" {
            return None;
        }
        self.objects.text(key)?;
        Some(Storage { kind, key, count: self.objects.number(count)? })
    }
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, String> {
    let (pairs, []) = items.as_chunks::<2>() else { return Err(damaged()) };
    Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
}

fn class(module: &str, name: &str) -> Result<Class, String> {
    Class::named(module, name).ok_or_else(|| {
        let module: String = module.chars().take(100).collect();
        let name: String = name.chars().take(100).collect();
        format!(
            "it has a `{}.{}`, and only tensors and plain containers are read, since Python could run anything for the rest; {SAVE}",
            module.escape_debug(),
            name.escape_debug()
        )
    })
}

fn unknown(code: u8) -> String {
    format!("its pickle has the instruction {code:#04x}, which files of weights do not have")
}
