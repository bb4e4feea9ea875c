//! Has the linker put together what runs together, and leave out what never does: see `layout.ld` and
//! `no-unwind.ld`.

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=layout.ld");
    println!("cargo:rerun-if-changed=no-unwind.ld");
    println!("cargo:rerun-if-env-changed=RUSTC_LINKER");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|it| it == value);
    // GNU's linker and LLVM's read the file. Whoever has chosen another may have one that does not.
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let has_chosen = env::var_os("RUSTC_LINKER").is_some() || flags.contains("link");
    if is("PROFILE", "release")
        && is("CARGO_CFG_TARGET_OS", "linux")
        && is("CARGO_CFG_TARGET_ENV", "gnu")
        && !has_chosen
        && let Ok(directory) = env::var("CARGO_MANIFEST_DIR")
    {
        println!("cargo:rustc-link-arg-bins=-Wl,-T,{directory}/layout.ld");
        // Cargo tells a build script neither the profile's own name nor what a panic does in it.
        let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
        let profile = out.ancestors().nth(3).and_then(Path::file_name);
        let features = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
        let is_static = features.split(',').any(|feature| feature == "crt-static");
        if profile.is_some_and(|name| name == "small") && !is_static {
            println!("cargo:rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
            println!("cargo:rustc-link-arg-bins=-Wl,-T,{directory}/no-unwind.ld");
        }
    }
}
