//! A kept prompt cache with any of its bytes changed, or any bytes at all as one: no panic, and where it is refused the
//! session computes what it computed before. The first byte chooses; then come changes, each of a place in two bytes and a
//! value.
#![no_main]

use headstart::engine::{ExecutorChoice, LoadOptions, ModelFiles, Sampling, Session};
use headstart::error::{Error, Result};
use headstart::format::Memory;
use libfuzzer_sys::fuzz_target;
use pollster::block_on;
use std::cell::RefCell;
use std::rc::Rc;

const MODEL: &[u8] = include_bytes!("../../tests/fixtures/families/llama/model.gguf");
const HASH: [u8; 32] = [7; 32];
const IDS: [u32; 3] = [1, 2, 3];

struct State {
    session: Session,
    written: Vec<u32>,
    kept: Vec<u8>,
}

thread_local! {
    static STATE: RefCell<Option<State>> = RefCell::new(state().ok());
}

/// What the model writes behind the prompt, from what is in the cache of it.
fn written(session: &mut Session) -> Result<Vec<u32>> {
    let mut ids = Vec::new();
    let mut generation = block_on(session.go_on(&IDS, &Sampling::default(), 3, &[]))?;
    while let Some(id) = block_on(generation.next())? {
        ids.push(id);
    }
    block_on(generation.finish())?;
    Ok(ids)
}

fn state() -> Result<State> {
    let files = ModelFiles::gguf(Rc::new(Memory::new("model.gguf", MODEL)));
    let options = LoadOptions { n_context: Some(8), ..LoadOptions::default() };
    let mut session = block_on(Session::load(&files, ExecutorChoice::Cpu, &options, &mut |_| ()))?;
    let written = written(&mut session)?;
    let mut kept = Vec::new();
    let mut write = |bytes: &[u8]| {
        kept.extend_from_slice(bytes);
        Ok(())
    };
    let n = block_on(session.keep_past(&HASH, &mut write))?;
    assert!(n.is_some_and(|n| n > 3));
    Ok(State { session, written, kept })
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else { return };
    STATE.with_borrow_mut(|state| {
        let Some(State { session, written: right, kept }) = state.as_mut() else { panic!("no session") };
        let mut bytes = if kind % 2 == 0 { kept.clone() } else { rest.to_vec() };
        if kind % 2 == 0 {
            for change in rest.chunks_exact(3) {
                let place = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
                bytes[place] = change[2];
            }
        }
        let is_sound = bytes == *kept;
        let mut left = bytes.as_slice();
        let mut read = |buffer: &mut [u8]| {
            let (taken, rest) = left.split_at_checked(buffer.len()).ok_or_else(|| Error::file("cache", "cut off"))?;
            buffer.copy_from_slice(taken);
            left = rest;
            Ok(())
        };
        let recalled = block_on(session.recall_past(&HASH, &mut read));
        assert_eq!(recalled.is_ok(), is_sound);
        assert_eq!(written(session).ok().as_ref(), Some(&*right));
    });
});
