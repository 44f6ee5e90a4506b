//! The program: the command line natively, the page and its worker in a browser.

#[cfg(not(target_arch = "wasm32"))]
fn main() -> std::process::ExitCode {
    headstart::host::native::main()
}

#[cfg(target_arch = "wasm32")]
fn main() {
    headstart::host::web::main();
}
