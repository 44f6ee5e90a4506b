//! The names of files that are parts of one: `stem-00002-of-00003.gguf`, as gguf-split and transformers write them.

/// The name of a part, taken to pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartName {
    /// What stands before the numbers, the same for all parts.
    pub stem: String,
    /// Which part it is, from 1.
    pub number: u32,
    /// How many parts there are.
    pub count: u32,
    /// The digits of both numbers, filled up with zeros: five each by custom, and others are in use.
    digits: (usize, usize),
    /// What stands behind the numbers, with its dot.
    extension: String,
}

impl PartName {
    /// Takes the name of a file, a path or an address to pieces; `None` where it is not the name of a part.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (name, extension) = split_extension(file_name(name));
        let (name, count) = name.rsplit_once("-of-")?;
        let (stem, number) = name.rsplit_once('-')?;
        let digits = (number.len(), count.len());
        let (number, count) = (whole_number(number)?, whole_number(count)?);
        let is_part = (1..=count).contains(&number);
        is_part.then(|| Self { stem: stem.to_owned(), number, count, digits, extension: extension.to_owned() })
    }

    /// The name of another part.
    #[must_use]
    pub fn of_number(&self, number: u32) -> String {
        let Self { stem, count, digits: (of_number, of_count), extension, .. } = self;
        format!("{stem}-{number:0of_number$}-of-{count:0of_count$}{extension}")
    }

    /// Whether both are parts of one whole.
    #[must_use]
    pub fn belongs_to(&self, other: &Self) -> bool {
        self.of_number(1) == other.of_number(1)
    }
}

/// The last piece of a path or an address: what a file is called in its folder.
#[must_use]
pub fn file_name(path: &str) -> &str {
    let path = match path.split_once("://") {
        Some((_, address)) => address.split(['?', '#']).next().unwrap_or(address),
        None => path,
    };
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// Some of a list of names, for messages: the first three, and how many more there are.
#[must_use]
pub(crate) fn some_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 3;
    let mut names = names.into_iter();
    let mut text = names.by_ref().take(SHOWN).map(super::directory::shown).collect::<Vec<_>>().join(", ");
    let more = names.count();
    if more > 0 {
        text += &format!(" and {more} more");
    }
    text
}

fn split_extension(name: &str) -> (&str, &str) {
    name.rfind('.').map_or((name, ""), |dot| name.split_at(dot))
}

/// Zeros before a number fill it up, but not without end: no text can be written so wide.
const MOST_DIGITS: usize = 32;

fn whole_number(text: &str) -> Option<u32> {
    let is_number = text.len() <= MOST_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_parts_are_taken_to_pieces_and_put_together() {
        assert_eq!(PartName::parse(&format!("a-{}1-of-2.gguf", "0".repeat(70_000))), None);
        let part = PartName::parse("folder/R1-Q4_K-00002-of-00012.gguf").expect("a part");
        assert_eq!((part.stem.as_str(), part.number, part.count), ("R1-Q4_K", 2, 12));
        assert_eq!(part.of_number(11), "R1-Q4_K-00011-of-00012.gguf");
        let address = PartName::parse("https://host/a/model-00001-of-00002.safetensors?download=true").expect("a part");
        assert_eq!(address.of_number(2), "model-00002-of-00002.safetensors");
        assert!(!part.belongs_to(&address) && part.belongs_to(&PartName { number: 1, ..part.clone() }));
        let long = PartName::parse("model-00001-of-000163.safetensors").expect("a part");
        assert_eq!(long.of_number(163), "model-00163-of-000163.safetensors");
        let short = PartName::parse("model-1-of-12.gguf").expect("a part");
        assert_eq!(short.of_number(12), "model-12-of-12.gguf");
        assert!(!short.belongs_to(&PartName::parse("model-00001-of-00012.gguf").expect("a part")));
        for other in [
            "model.gguf",
            "model--of-2.gguf",
            "model-1-of-99999999999.gguf",
            "model-00000-of-00002.gguf",
            "model-00003-of-00002.gguf",
            "model-0000é-of-00002.gguf",
            "-of-",
            "",
        ] {
            assert_eq!(PartName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn the_last_piece_of_a_path_is_the_files_name() {
        let names = ["a/b/c.gguf", "c.gguf", r"C:\b\c.gguf", "https://h/b/c.gguf?x=/d", "https://h/c.gguf#d/e"];
        assert!(names.iter().all(|name| file_name(name) == "c.gguf"));
        assert_eq!(file_name("why?.gguf"), "why?.gguf");
        assert_eq!(some_of(["a", "b", "c", "d", "e"]), r#""a", "b", "c" and 2 more"#);
    }
}
