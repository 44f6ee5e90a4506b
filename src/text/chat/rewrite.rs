//! A compiled template with every instruction that makes or compares values replaced by a call of our own operation
//! (see [`super::operations`]), and every literal text by an expression, so that all output passes the formatter.
//! The library bounds its steps ("fuel") and its recursion, but not what one step makes.

use super::{methods, operations as ops};
use minijinja::machinery::{Instruction, Instructions};
use minijinja::{Error, ErrorKind, Value};

/// The same program within bounds.
pub(super) fn rewrite<'a>(program: &Instructions<'a>) -> Result<Instructions<'a>, Error> {
    let all: Vec<&Instruction<'a>> = (0..).map_while(|index| program.get(index)).collect();
    let macros = macros_of(&all);
    // Into how many instructions each becomes does not depend on where they go.
    let mut places = Vec::with_capacity(all.len() + 1);
    let mut n = 0;
    for index in 0..all.len() {
        places.push(n);
        n += replacements(&all, &macros, index, &|_| 0)?.len() as u32;
    }
    places.push(n);
    let place = |index: u32| places.get(index as usize).copied().unwrap_or(n);
    let mut out = Instructions::new(program.name(), program.source());
    for (index, line_of) in (0..all.len()).zip(0..) {
        let line = u16::try_from(program.get_line(line_of).unwrap_or(0)).unwrap_or(u16::MAX);
        for instruction in replacements(&all, &macros, index, &place)? {
            out.add_with_line(instruction, line);
        }
    }
    Ok(out)
}

/// A macro that asks for arguments beyond its own, as `varargs` and `kwargs`.
struct Open {
    /// Where its body begins, and where the names of its arguments are loaded.
    body: usize,
    names: usize,
    by_place: bool,
    by_name: bool,
}

fn macros_of(all: &[&Instruction<'_>]) -> Vec<Open> {
    let uses = |body: &[&Instruction<'_>], name: &str| {
        body.iter().any(|instruction| matches!(instruction, Instruction::Lookup(looked_up) if *looked_up == name))
    };
    let open = |(index, instruction): (usize, &&Instruction<'_>)| match instruction {
        Instruction::BuildMacro(_, body, _) => {
            let within = all.get(*body as usize..index)?;
            let (by_place, by_name) = (uses(within, "varargs"), uses(within, "kwargs"));
            (by_place || by_name).then_some(Open { body: *body as usize, names: index - 1, by_place, by_name })
        }
        _ => None,
    };
    all.iter().enumerate().filter_map(open).collect()
}

/// What stands in the place of one instruction: of a macro that asks for more arguments, these stand last in the list
/// of its own, and its body begins by taking them.
fn replacements<'a>(
    all: &[&Instruction<'a>],
    macros: &[Open],
    index: usize,
    place: &impl Fn(u32) -> u32,
) -> Result<Vec<Instruction<'a>>, Error> {
    use Instruction as I;
    let mut out = Vec::new();
    if macros.iter().any(|open| open.body == index) {
        out.extend([I::StoreLocal("kwargs"), I::StoreLocal("varargs")]);
    }
    match all[index] {
        I::LoadConst(names) if macros.iter().any(|open| open.names == index) => {
            let more = ["varargs", "kwargs"].map(Value::from);
            out.push(I::LoadConst(names.try_iter()?.chain(more).collect::<Vec<_>>().into()));
        }
        I::BuildMacro(name, at, flags) => {
            let open = macros.iter().find(|open| open.names + 1 == index);
            let takes = open.map_or((false, false), |open| (open.by_place, open.by_name));
            out.extend([
                I::BuildMacro(name, place(*at), *flags),
                I::LoadConst(takes.0.into()),
                I::LoadConst(takes.1.into()),
                I::CallFunction(ops::MACRO, Some(3)),
            ]);
        }
        instruction => out.extend(replacement(instruction, place)?),
    }
    Ok(out)
}

fn replacement<'a>(instruction: &Instruction<'a>, place: &impl Fn(u32) -> u32) -> Result<Vec<Instruction<'a>>, Error> {
    use Instruction as I;
    let call = |name, n: usize| match u16::try_from(n) {
        Ok(n) => Ok(vec![I::CallFunction(name, Some(n))]),
        Err(_) => Err(Error::new(ErrorKind::SyntaxError, "a list of more than 65535 items")),
    };
    let parts = || Err(Error::new(ErrorKind::SyntaxError, "blocks and other templates are not supported"));
    match *instruction {
        I::EmitRaw(text) => Ok(vec![I::LoadConst(Value::from(text)), I::Emit]),
        I::SetAttr(name) => {
            Ok(vec![I::LoadConst(Value::from(name)), I::CallFunction(ops::ASSIGN, Some(3)), I::DiscardTop])
        }
        I::UnpackList(_) => Ok(vec![I::CallFunction(ops::UNPACK, Some(1)), instruction.clone()]),
        I::GetAttr(name) if methods::OF_DICTS.contains(&name) => {
            Ok(vec![I::LoadConst(Value::from(name)), I::CallFunction(ops::METHOD, Some(2))])
        }
        I::StringConcat => call(ops::CONCAT, 2),
        I::Add => call(ops::ADD, 2),
        I::Mul => call(ops::MULTIPLY, 2),
        I::BuildList(Some(n)) => call(ops::LIST, n),
        I::BuildTuple(Some(n)) => call(ops::TUPLE, n),
        I::BuildMap(n) => call(ops::MAP, n.saturating_mul(2)),
        // What passed the filter of a loop: items that are there already, and their number.
        I::BuildList(None) => Ok(vec![I::BuildList(None), I::CallFunction(ops::MADE, Some(1))]),
        I::BuildTuple(None) => Err(Error::new(ErrorKind::SyntaxError, "a tuple that is spread with *")),
        I::UnpackLists(n) => {
            let mut one = call(ops::SPREAD, n)?;
            one.push(I::UnpackLists(1));
            Ok(one)
        }
        I::MergeKwargs(n) => call(ops::MERGE, n),
        I::Rem => call(ops::REMAINDER, 2),
        I::PushLoop(_) => Ok(vec![I::CallFunction(ops::ITERABLE, Some(1)), instruction.clone()]),
        I::PushAutoEscape | I::PopAutoEscape => Err(Error::new(ErrorKind::SyntaxError, "autoescape is not supported")),
        I::BuildMacro(..) => Err(Error::new(ErrorKind::SyntaxError, "a macro in an odd place")),
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
        // What neither makes nor goes through a value of any size. Filters, tests, functions and methods are this
        // program's own, and charge what they do; numbers are small. No wildcard: an instruction that a newer library adds
        // has to be judged before this compiles.
        I::StoreLocal(_)
        | I::Lookup(_)
        | I::GetAttr(_)
        | I::GetItem
        | I::LoadConst(_)
        | I::BuildKwargs(_)
        | I::Sub
        | I::Div
        | I::IntDiv
        | I::Pow
        | I::Neg
        | I::Not
        | I::ApplyFilter(..)
        | I::PerformTest(..)
        | I::Emit
        | I::PushWith
        | I::PushDidNotIterate
        | I::PopFrame
        | I::PopLoopFrame
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
