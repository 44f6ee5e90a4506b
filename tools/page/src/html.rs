//! What index.html asks for by its `data-trunk` links, and the page with what stands in their place.

use anyhow::{Context, Result, bail};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// A page to build.
#[derive(Debug, PartialEq)]
pub struct Page {
    /// The page's text, its links in place.
    pub html: String,
    /// Files and folders to copy into the page's folder, each under its last name.
    pub copies: Vec<String>,
    pub program: Program,
}

/// The binary behind the page.
#[derive(Debug, PartialEq)]
pub struct Program {
    pub bin: String,
    pub cargo_profile: String,
    /// What wasm-opt is called with.
    pub wasm_opt: Vec<String>,
}

/// Reads the page's source.
///
/// # Errors
/// Markup that cannot be followed, a link of an unknown kind or without what it needs, no program or two.
pub fn read(source: &str) -> Result<Page> {
    let mut reader = Reader::from_str(source);
    // HTML has tags that are never closed; none of them matters here.
    reader.config_mut().check_end_names = false;
    let (mut html, mut copies, mut program) = (String::new(), Vec::new(), None);
    let mut at = 0;
    loop {
        let event = reader.read_event().with_context(|| format!("index.html, byte {at}"))?;
        let end = usize::try_from(reader.buffer_position())?;
        match event {
            Event::Eof => break,
            Event::Empty(tag) | Event::Start(tag) if is_ours(&tag) => {
                let rel = attribute(&tag, "rel")?;
                let mut copied = || -> Result<String> {
                    let path = attribute(&tag, "href")?;
                    copies.push(path.clone());
                    Ok(file_name(&path).to_owned())
                };
                match rel.as_str() {
                    "icon" => html += &format!("<link rel=\"icon\" href=\"./{}\"/>", copied()?),
                    "css" => html += &format!("<link rel=\"stylesheet\" href=\"./{}\"/>", copied()?),
                    "copy-file" | "copy-dir" => drop(copied()?),
                    "rust" => {
                        let found = Program::of(&tag)?;
                        html += &found.start();
                        if program.replace(found).is_some() {
                            bail!("index.html: two links of rel=\"rust\"; expected one program");
                        }
                    }
                    other => bail!(
                        "index.html: a link of rel=\"{other}\"; expected icon, css, copy-file, copy-dir or rust. \
                         Trunk knows more: teach it to tools/page too"
                    ),
                }
            }
            Event::End(tag) if tag.name().as_ref() == b"head" => {
                html += &program.as_ref().map(Program::preloads).unwrap_or_default();
                html += &source[at..end];
            }
            _ => html += &source[at..end],
        }
        at = end;
    }
    let program = program.context("index.html: no link of rel=\"rust\"; expected the program")?;
    Ok(Page { html, copies, program })
}

impl Program {
    fn of(link: &BytesStart<'_>) -> Result<Self> {
        let level = attribute(link, "data-wasm-opt")?;
        let more = attribute(link, "data-wasm-opt-params")?;
        Ok(Self {
            bin: attribute(link, "data-bin")?,
            cargo_profile: attribute(link, "data-cargo-profile")?,
            wasm_opt: [format!("-O{level}")].into_iter().chain(more.split_whitespace().map(str::to_owned)).collect(),
        })
    }

    /// The script that starts it, in Trunk's words: a page may wait for the event.
    fn start(&self) -> String {
        let bin = &self.bin;
        format!(
            "
<script type=\"module\">
import init, * as bindings from './{bin}.js';
const wasm = await init({{ module_or_path: './{bin}_bg.wasm' }});


window.wasmBindings = bindings;


dispatchEvent(new CustomEvent(\"TrunkApplicationStarted\", {{detail: {{wasm}}}}));

</script>"
        )
    }

    /// Lets the browser fetch the module while it still reads its JavaScript.
    fn preloads(&self) -> String {
        let bin = &self.bin;
        format!(
            "<link rel=\"modulepreload\" href=\"./{bin}.js\" crossorigin=\"anonymous\">\
             <link rel=\"preload\" href=\"./{bin}_bg.wasm\" crossorigin=\"anonymous\" as=\"fetch\" type=\"application/wasm\">"
        )
    }
}

/// The last name of a path as index.html writes it.
pub fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn is_ours(tag: &BytesStart<'_>) -> bool {
    tag.name().as_ref() == b"link" && tag.html_attributes().flatten().any(|a| a.key.as_ref() == b"data-trunk")
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Result<String> {
    let found = tag.html_attributes().flatten().find(|a| a.key.as_ref() == name.as_bytes());
    let found = found.with_context(|| format!("index.html: a data-trunk link without {name}"))?;
    Ok(found.unescape_value()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: &str = "<link data-trunk rel=\"rust\" data-bin=\"it\" data-cargo-profile=\"web\"\n \
                           data-wasm-opt=\"3\" data-wasm-opt-params=\"--a --b\" />";

    #[test]
    fn links_become_what_they_stand_for() {
        let page = read(&format!(
            "<!doctype html><head><meta charset=\"utf-8\"><title>a &amp; b</title>\
             <link data-trunk rel=\"css\" href=\"www/style.css\"/><link data-trunk rel=\"copy-dir\" href=\"www/models\">\
             {PROGRAM}<!-- <link data-trunk> --></head><body>x<br>y</body>"
        ))
        .unwrap();
        assert_eq!(page.copies, ["www/style.css", "www/models"]);
        assert_eq!(page.program.bin, "it");
        assert_eq!(page.program.wasm_opt, ["-O3", "--a", "--b"]);
        let start = "<!doctype html><head><meta charset=\"utf-8\"><title>a &amp; b</title>\
                     <link rel=\"stylesheet\" href=\"./style.css\"/>\n<script type=\"module\">";
        assert!(page.html.starts_with(start), "{}", page.html);
        assert!(page.html.contains("import init, * as bindings from './it.js';"));
        assert!(page.html.contains("<!-- <link data-trunk> --><link rel=\"modulepreload\" href=\"./it.js\""));
        assert!(page.html.ends_with("type=\"application/wasm\"></head><body>x<br>y</body>"), "{}", page.html);
    }

    #[test]
    fn what_it_does_not_know_is_named() {
        let fault = |html: &str| read(html).unwrap_err().to_string();
        assert!(fault("<link data-trunk rel=\"sass\" href=\"a\"/>").contains("rel=\"sass\""));
        assert!(fault("<link data-trunk rel=\"icon\"/>").contains("without href"));
        assert!(fault("<link data-trunk/>").contains("without rel"));
        assert!(fault("<head></head>").contains("no link of rel=\"rust\""));
        assert!(fault(&PROGRAM.repeat(2)).contains("two links"));
    }
}
