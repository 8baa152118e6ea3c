//! Writes the bindings of the built library; see `cargo xtask bindings`.

fn main() {
    uniffi::uniffi_bindgen_main();
}
