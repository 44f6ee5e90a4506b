//! A compiled template with every instruction that makes or compares values replaced by a call of our own operation
//! (see [`super::operations`]), and every literal text by an expression, so that all output passes the formatter.
//! The library bounds its steps ("fuel") and its recursion, but not what one step makes.

use super::operations as ops;
use minijinja::machinery::{Instruction, Instructions};
use minijinja::{Error, ErrorKind, Value};

/// The same program within bounds.
pub(super) fn rewrite<'a>(program: &Instructions<'a>) -> Result<Instructions<'a>, Error> {
    let all: Vec<&Instruction<'a>> = (0..).map_while(|index| program.get(index)).collect();
    let mut places = Vec::with_capacity(all.len() + 1);
    let mut n = 0;
    for instruction in &all {
        places.push(n);
        n += length(instruction);
    }
    places.push(n);
    let place = |index: u32| places.get(index as usize).copied().unwrap_or(n);
    let mut out = Instructions::new(program.name(), program.source());
    for (index, instruction) in (0..).zip(all) {
        let line = u16::try_from(program.get_line(index).unwrap_or(0)).unwrap_or(u16::MAX);
        for instruction in replacement(instruction, &place)? {
            out.add_with_line(instruction, line);
        }
    }
    Ok(out)
}

/// Into how many instructions one becomes.
fn length(instruction: &Instruction<'_>) -> u32 {
    match instruction {
        Instruction::EmitRaw(_) => 2,
        Instruction::SetAttr(_) => 3,
        Instruction::BuildList(None) => 2,
        Instruction::CompareAndPreserve(_) => 5,
        _ => 1,
    }
}

fn replacement<'a>(instruction: &Instruction<'a>, place: &impl Fn(u32) -> u32) -> Result<Vec<Instruction<'a>>, Error> {
    use Instruction as I;
    let call = |name, n: usize| match u16::try_from(n) {
        Ok(n) => Ok(vec![I::CallFunction(name, Some(n))]),
        Err(_) => Err(Error::new(ErrorKind::SyntaxError, "a list of more than 65535 items")),
    };
    let parts = || Err(Error::new(ErrorKind::SyntaxError, "blocks and other templates are not supported"));
    let spread = || Err(Error::new(ErrorKind::SyntaxError, "lists that are spread with * are not supported"));
    match *instruction {
        I::EmitRaw(text) => Ok(vec![I::LoadConst(Value::from(text)), I::Emit]),
        I::SetAttr(name) => {
            Ok(vec![I::LoadConst(Value::from(name)), I::CallFunction(ops::ASSIGN, Some(3)), I::DiscardTop])
        }
        I::StringConcat => call(ops::CONCAT, 2),
        I::Add => call(ops::ADD, 2),
        I::Mul => call(ops::MULTIPLY, 2),
        I::BuildList(Some(n)) => call(ops::LIST, n),
        I::BuildTuple(Some(n)) => call(ops::TUPLE, n),
        I::BuildMap(n) => call(ops::MAP, n.saturating_mul(2)),
        // What passed the filter of a loop: items that are there already, and their number.
        I::BuildList(None) => Ok(vec![I::BuildList(None), I::CallFunction(ops::MADE, Some(1))]),
        I::BuildTuple(None) | I::UnpackLists(_) => spread(),
        // `a < b < c`: a and b are measured, and the library compares them and keeps b.
        I::CompareAndPreserve(_) => {
            let measure = I::CallFunction(ops::MEASURE, Some(1));
            Ok(vec![I::Swap, measure.clone(), I::Swap, measure, instruction.clone()])
        }
        I::CallBlock(_) | I::LoadBlocks | I::FastSuper | I::Include(_) | I::ExportLocals => parts(),
        I::Slice => call(ops::SLICE, 4),
        I::Eq => call(ops::EQUAL, 2),
        I::Ne => call(ops::UNEQUAL, 2),
        I::Lt => call(ops::LESS, 2),
        I::Lte => call(ops::LESS_OR_EQUAL, 2),
        I::Gt => call(ops::GREATER, 2),
        I::Gte => call(ops::GREATER_OR_EQUAL, 2),
        I::In => call(ops::IN, 2),
        I::Jump(to) => Ok(vec![I::Jump(place(to))]),
        I::JumpIfFalse(to) => Ok(vec![I::JumpIfFalse(place(to))]),
        I::JumpIfFalseOrPop(to) => Ok(vec![I::JumpIfFalseOrPop(place(to))]),
        I::JumpIfTrueOrPop(to) => Ok(vec![I::JumpIfTrueOrPop(place(to))]),
        I::Iterate(to) => Ok(vec![I::Iterate(place(to))]),
        I::BuildMacro(name, at, flags) => Ok(vec![I::BuildMacro(name, place(at), flags)]),
        // What neither makes nor goes through a value of any size. Filters, tests, functions and methods are this
        // program's own, and charge what they do; numbers are small. No wildcard: an instruction that a newer library adds
        // has to be judged before this compiles.
        I::StoreLocal(_)
        | I::Lookup(_)
        | I::GetAttr(_)
        | I::GetItem
        | I::LoadConst(_)
        | I::BuildKwargs(_)
        | I::MergeKwargs(_)
        | I::UnpackList(_)
        | I::Sub
        | I::Div
        | I::IntDiv
        | I::Rem
        | I::Pow
        | I::Neg
        | I::Not
        | I::ApplyFilter(..)
        | I::PerformTest(..)
        | I::Emit
        | I::PushLoop(_)
        | I::PushWith
        | I::PushDidNotIterate
        | I::PopFrame
        | I::PopLoopFrame
        | I::PushAutoEscape
        | I::PopAutoEscape
        | I::BeginCapture(_)
        | I::EndCapture
        | I::CallFunction(..)
        | I::CallMethod(..)
        | I::CallObject(_)
        | I::DupTop
        | I::DiscardTop
        | I::FastRecurse
        | I::Swap
        | I::Return
        | I::IsUndefined
        | I::Enclose(_)
        | I::GetClosure => Ok(vec![instruction.clone()]),
    }
}
