//! Writes a text with the library: the model in a file on the best adapter, or on the CPU where there is none.
//!
//! `cargo run --release --example generate [-- MODEL.gguf [PROMPT]]`

#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::io::Write;
use std::rc::Rc;

use headstart::engine::{ExecutorChoice, LoadOptions, ModelFiles, Sampling, Session};
use headstart::gpu::Adapter;
use headstart::host::native::source::File;
use headstart::text::{Bos, Control};
use headstart::{Error, Result};

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let path = words.next().unwrap_or_else(|| "www/models/headstart-v4-11m.gguf".to_owned());
    let prompt = words.next().unwrap_or_else(|| "It was late, and the prince".to_owned());
    // The library never blocks, since a browser may not; here one call of an executor is the whole of it.
    pollster::block_on(write(&path, &prompt))
}

async fn write(path: &str, prompt: &str) -> Result<()> {
    // A model is read from anything that implements `Source`; a header is all that is read before the weights.
    let files = ModelFiles::gguf(Rc::new(File::open(path)?));
    let place = Adapter::preferred(false).await.map_or(ExecutorChoice::Cpu, ExecutorChoice::Gpu);
    let mut session = Session::load(&files, place, &LoadOptions::default(), &mut |_| ()).await?;
    for notice in session.notices() {
        eprintln!("{notice}");
    }

    let tokenizer = session.tokenizer().ok_or_else(|| Error::file(path, "no tokenizer"))?;
    let ids = tokenizer.encode(prompt, Bos::AsModelSays)?;
    // Joins tokens to text: a character may be spread over several of them.
    let mut text = tokenizer.stream(Control::Hide);
    print!("{prompt}");

    let sampling = Sampling { temperature: 0.8, top_k: 40, seed: 7, ..Sampling::default() };
    let mut generation = session.generate(&ids, &sampling, 64).await?;
    while let Some(id) = generation.next().await? {
        print!("{}", text.push(id));
        std::io::stdout().flush().map_err(|error| Error::io("stdout", error))?;
    }
    println!("{}", text.finish());

    let took = generation.finish().await?;
    eprintln!("{} tokens in {:.0} ms", took.n_decoded, took.decode_ms);
    Ok(())
}
