//! A GGUF in several files, as gguf-split writes them. Each part has a header of its own, with the tensors that lie in
//! it; the first has the keys of the model, and every one says which part it is, of how many, of how many tensors.

use super::super::part_name::{PartName, file_name, some_of};
use super::super::{Directory, Source};
use super::header::DAMAGED;
use super::{Gguf, Metadata, read};
use crate::error::{Error, Result};
use crate::format::sorted::sort;
use std::rc::Rc;

/// Which part a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// From 0.
    index: u32,
    /// How many parts there are, at least 2.
    count: u32,
    /// The tensors of all parts, where the file tells.
    n_tensors: Option<u64>,
}

impl Place {
    /// What a file says of itself; `None` for a whole model.
    fn of(metadata: &Metadata) -> Result<Option<Self>> {
        let count = metadata.get_u32("split.count")?.unwrap_or(1);
        if count <= 1 {
            return Ok(None);
        }
        let index = metadata.require_u32("split.no")?;
        if index >= count {
            let key = format!("{}: key \"split.no\"", metadata.file());
            return Err(Error::file(key, index.to_string()).expected(format!("less than {count}")).advice(DAMAGED));
        }
        Ok(Some(Self { index, count, n_tensors: metadata.get_u64("split.tensors.count")? }))
    }
}

/// Reads the header of a GGUF, or those of all its parts, in their order: keys from the first, tensors from all.
///
/// # Errors
/// When a header is damaged, a part is missing, stands in another's place, or is of another model.
pub async fn read_parts(sources: &[Rc<dyn Source>]) -> Result<Gguf> {
    let Some((first, others)) = sources.split_first() else {
        return Err(Error::usage("model", "no file").expected("a GGUF file"));
    };
    let mut whole = read(first.as_ref(), 0).await?;
    let Some(place) = Place::of(&whole.metadata)? else {
        return if others.is_empty() { Ok(whole) } else { Err(not_parts(sources)) };
    };
    check_names(sources, place)?;
    if place.index != 0 {
        return Err(out_of_order(first.as_ref(), place, 0));
    }
    let mut tensors = whole.directory.tensors().to_vec();
    for (index, source) in (1..).zip(others) {
        let part = read(source.as_ref(), index).await?;
        match Place::of(&part.metadata)? {
            None => return Err(not_parts(sources)),
            Some(found) if (found.count, found.n_tensors) != (place.count, place.n_tensors) => {
                return Err(Error::file(source.name(), format!("a part of another model than {}", first.name()))
                    .expected(told(place))
                    .advice("Take all parts from one place."));
            }
            Some(found) if found.index as usize != index => return Err(out_of_order(source.as_ref(), found, index)),
            Some(_) => tensors.extend_from_slice(part.directory.tensors()),
        }
    }
    if let Some(expected) = place.n_tensors
        && expected != tensors.len() as u64
    {
        return Err(Error::file(first.name(), format!("{} tensors in all {} parts", tensors.len(), place.count))
            .expected(expected.to_string())
            .advice("The parts are damaged, or of several models: take all of them from one place."));
    }
    whole.directory = Directory::new(tensors)?;
    Ok(whole)
}

/// The same files in the order of their parts; as they are where they are no parts.
///
/// # Errors
/// When a header is damaged.
pub async fn in_order(sources: Vec<Rc<dyn Source>>) -> Result<Vec<Rc<dyn Source>>> {
    if sources.len() < 2 {
        return Ok(sources);
    }
    let mut placed = Vec::with_capacity(sources.len());
    for source in sources {
        let place = Place::of(&read(source.as_ref(), 0).await?.metadata)?;
        placed.push((place.map_or(0, |place| place.index), source));
    }
    sort(&mut placed, |(index, _)| u64::from(*index));
    Ok(placed.into_iter().map(|(_, source)| source).collect())
}

/// Fails where there are not as many files as parts, naming those that are missing, or where names tell that files
/// belong to several models.
fn check_names(sources: &[Rc<dyn Source>], place: Place) -> Result<()> {
    let first = &sources[0];
    let names: Vec<Option<PartName>> = sources.iter().map(|source| PartName::parse(source.name())).collect();
    let named = names[0].as_ref().filter(|name| name.count == place.count);
    let stranger =
        named.and_then(|named| names.iter().position(|name| name.as_ref().is_some_and(|n| !n.belongs_to(named))));
    if let Some(stranger) = stranger {
        return Err(Error::file(sources[stranger].name(), format!("a part of another model than {}", first.name()))
            .expected("the parts of one model")
            .advice("Take all parts from one place."));
    }
    if sources.len() == place.count as usize {
        return Ok(());
    }
    let given = if sources.len() == 1 { "1 part".to_owned() } else { format!("{} parts", sources.len()) };
    let missing = named.map(|named| {
        let given = |number: &u32| names.iter().flatten().any(|name| name.number == *number);
        let missing: Vec<String> =
            (1..=place.count).filter(|number| !given(number)).map(|number| named.of_number(number)).collect();
        format!("; missing: {}", some_of(missing.iter().map(String::as_str)))
    });
    Err(Error::file(first.name(), format!("{given} of a model in {}{}", place.count, missing.unwrap_or_default()))
        .expected(format!("all {} parts", place.count))
        .advice("Keep all parts in one folder, under the names that they had; in the page, choose all of them."))
}

fn told(place: Place) -> String {
    let tensors = place.n_tensors.map_or_else(String::new, |n| format!(" with {n} tensors"));
    format!("parts of a model in {}{tensors}", place.count)
}

fn not_parts(sources: &[Rc<dyn Source>]) -> Error {
    let names = some_of(sources.iter().map(|source| file_name(source.name())));
    Error::file(format!("{} GGUF files", sources.len()), format!("{names}: not the parts of one model"))
        .expected("one GGUF file, or all parts of one")
}

fn out_of_order(source: &dyn Source, found: Place, index: usize) -> Error {
    Error::file(source.name(), format!("part {} of {}", found.index + 1, found.count))
        .expected(format!("part {}", index + 1))
        .advice("A part is there twice, or missing: take all parts from one place.")
}
