//! Finishes the module that the compiler made for browsers: writes the JavaScript around it and TypeScript's declarations.
//!
//! `cargo xtask` builds and calls it. The version is the one of `wasm-bindgen` in the lock file, which is all that matters.

use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let [module, folder, name] = given.as_slice() else {
        eprintln!("samenspraak-web-bindgen MODULE.wasm FOLDER NAME");
        return ExitCode::FAILURE;
    };
    let mut bindgen = Bindgen::new();
    let made = bindgen.input_path(module).out_name(name).typescript(true).omit_default_module_path(true).web(true);
    match made.and_then(|bindgen| bindgen.generate(folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("samenspraak-web-bindgen: {problem:#}");
            ExitCode::FAILURE
        }
    }
}
