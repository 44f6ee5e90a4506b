//! A compiled template with every instruction that makes or compares values replaced by a call of our own operation
//! (see [`super::operations`]), and every literal text by an expression, so that all output passes the formatter.
//! The library bounds its steps ("fuel") and its recursion, but not what one step makes.

use super::shape::COMPARED;
use super::{methods, operations as ops};
use minijinja::machinery::{Instruction, Instructions};
use minijinja::{Error, ErrorKind, Value};

/// The same program within bounds.
pub(super) fn rewrite<'a>(program: &Instructions<'a>) -> Result<Instructions<'a>, Error> {
    let all: Vec<&Instruction<'a>> = (0..).map_while(|index| program.get(index)).collect();
    let macros = macros_of(&all);
    let order = in_order(all.len(), &macros);
    // Into how many instructions each becomes does not depend on where they go.
    let mut places = vec![0; all.len()];
    let mut n = 0;
    for &index in &order {
        places[index] = n;
        n += replacements(&all, &macros, index, &|_| 0)?.len() as u32;
    }
    let place = |index: u32| places.get(index as usize).copied().unwrap_or(n);
    let mut out = Instructions::new(program.name(), program.source());
    for index in order {
        let line_of = u32::try_from(index).unwrap_or(u32::MAX);
        let line = u16::try_from(program.get_line(line_of).unwrap_or(0)).unwrap_or(u16::MAX);
        for instruction in replacements(&all, &macros, index, &place)? {
            out.add_with_line(instruction, line);
        }
    }
    Ok(out)
}

/// A macro, and whether it asks for arguments beyond its own, as `varargs` and `kwargs`.
struct Macro<'a> {
    /// Where its body begins, and where the names of its arguments are loaded.
    body: usize,
    names: usize,
    by_place: bool,
    by_name: bool,
    /// Its own arguments, if one of them has a default; none otherwise.
    arguments: Vec<Argument<'a>>,
}

/// The instructions, from one to another, that give an argument its name, and its default if it was left out.
struct Argument<'a> {
    name: &'a str,
    begin: usize,
    end: usize,
}

fn macros_of<'a>(all: &[&Instruction<'a>]) -> Vec<Macro<'a>> {
    let uses = |body: &[&Instruction<'_>], name: &str| {
        body.iter().any(|instruction| matches!(instruction, Instruction::Lookup(looked_up) if *looked_up == name))
    };
    let found = |(index, instruction): (usize, &&Instruction<'a>)| match (instruction, all.get(index.wrapping_sub(1))) {
        (Instruction::BuildMacro(_, body, _), Some(Instruction::LoadConst(names))) => {
            let body = *body as usize;
            let within = all.get(body..index)?;
            let (by_place, by_name) = (uses(within, "varargs"), uses(within, "kwargs"));
            let arguments = arguments_of(all, body, names.len()?).unwrap_or_default();
            Some(Macro { body, names: index - 1, by_place, by_name, arguments })
        }
        _ => None,
    };
    all.iter().enumerate().filter_map(found).collect()
}

/// The arguments of a macro in the order in which it names them. The library takes them off the stack, the last one first.
fn arguments_of<'a>(all: &[&Instruction<'a>], body: usize, n: usize) -> Option<Vec<Argument<'a>>> {
    use Instruction as I;
    let (mut arguments, mut begin) = (Vec::new(), body);
    for _ in 0..n {
        let end = match all.get(begin..)? {
            [I::DupTop, I::IsUndefined, I::JumpIfFalse(end), ..] => *end as usize,
            _ => begin,
        };
        let I::StoreLocal(name) = all.get(end)? else { return None };
        arguments.push(Argument { name, begin, end });
        begin = end + 1;
    }
    arguments.reverse();
    arguments.iter().any(|argument| argument.begin < argument.end).then_some(arguments)
}

/// The order in which the instructions stand in the new program: a default may ask for the arguments named before it, so
/// those of a macro come in its own order.
fn in_order(n: usize, macros: &[Macro<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for Macro { body, arguments, .. } in macros {
        let moved = arguments.iter().flat_map(|argument| argument.begin..=argument.end);
        order.iter_mut().skip(*body).zip(moved).for_each(|(place, index)| *place = index);
    }
    order
}

/// What stands in the place of one instruction: of a macro that asks for more arguments, these stand last in the list
/// of its own, and its body begins by taking them. One with defaults first gives every argument its name, and then
/// looks at each.
fn replacements<'a>(
    all: &[&Instruction<'a>],
    macros: &[Macro<'a>],
    index: usize,
    place: &impl Fn(u32) -> u32,
) -> Result<Vec<Instruction<'a>>, Error> {
    use Instruction as I;
    let entry = |of: &Macro<'_>| of.arguments.first().map_or(of.body, |first| first.begin);
    let mut out = Vec::new();
    if let Some(of) = macros.iter().find(|of| entry(of) == index) {
        if of.by_place || of.by_name {
            out.extend([I::StoreLocal("kwargs"), I::StoreLocal("varargs")]);
        }
        out.extend(of.arguments.iter().rev().map(|argument| I::StoreLocal(argument.name)));
    }
    if let Some(argument) = macros.iter().flat_map(|of| &of.arguments).find(|argument| argument.begin == index) {
        out.push(I::Lookup(argument.name));
    }
    match all[index] {
        I::LoadConst(names) if macros.iter().any(|of| of.names == index && (of.by_place || of.by_name)) => {
            let more = ["varargs", "kwargs"].map(Value::from);
            out.push(I::LoadConst(names.try_iter()?.chain(more).collect::<Vec<_>>().into()));
        }
        I::BuildMacro(name, at, flags) => {
            let of = macros.iter().find(|of| of.names + 1 == index);
            let (by_place, by_name) = of.map_or((false, false), |of| (of.by_place, of.by_name));
            let at = of.and_then(|of| u32::try_from(entry(of)).ok()).unwrap_or(*at);
            out.extend([
                I::BuildMacro(name, place(at), *flags),
                I::LoadConst(by_place.into()),
                I::LoadConst(by_name.into()),
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
        I::GetAttr(name) if methods::is_name(name) => {
            Ok(vec![I::LoadConst(Value::from(name)), I::CallFunction(ops::METHOD, Some(2))])
        }
        I::ApplyFilter(COMPARED, ..) => Ok(Vec::new()),
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
        // `a < b < c`: what came of the first two, and b.
        I::CompareAndPreserve(ref by) => {
            let name = Value::from(format!("{by:?}"));
            Ok(vec![I::LoadConst(name), I::CallFunction(ops::CHAINED, Some(3)), I::UnpackList(2)])
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
