//! The page and its workers: one wasm binary in three roles. In the window it shows and listens; in a dedicated
//! worker it runs the engine; in another it hashes what that one downloads. All GPU work and all reading of files is the worker's, so that the page never freezes.

mod adapter;
mod chatting;
mod download;
mod facts;
mod folder;
mod giving_way;
mod hooks;
mod measuring;
mod opening;
mod page;
mod platform;
mod prompt_cache;
mod protocol;
mod source;
mod store;
mod tunings;
mod worker;

use download::hashing;
use wasm_bindgen::JsCast;
use web_sys::DedicatedWorkerGlobalScope;

/// Takes up the role that the global scope calls for: the engine's in a worker, the page's in a window.
pub fn main() {
    match js_sys::global().dyn_into::<DedicatedWorkerGlobalScope>() {
        Ok(scope) if scope.name() == hashing::NAME => hashing::serve(&scope),
        Ok(scope) => worker::start(scope),
        Err(_window) => {
            console_error_panic_hook::set_once();
            page::mount();
        }
    }
}
