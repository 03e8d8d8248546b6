//! Lists the files of the web page, to be embedded.

#![expect(clippy::expect_used, reason = "a build that fails here says why")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("web");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files = Vec::new();
    if folder.is_dir() {
        collect(&folder, &mut files);
    }
    let mut named: Vec<(String, PathBuf)> = files
        .into_iter()
        .map(|file| {
            let name = file.strip_prefix(&folder).expect("it lies in the folder");
            (
                format!("/{}", name.to_str().expect("names are UTF-8")),
                file,
            )
        })
        .collect();
    named.sort();
    let mut list = String::from("static FILES: &[(&str, &[u8])] = &[\n");
    for (name, file) in named {
        let file = file.to_str().expect("names are UTF-8");
        writeln!(list, "    ({name:?}, include_bytes!({file:?})),").expect("strings take text");
    }
    list.push_str("];\n");
    let target = Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("web_files.rs");
    fs::write(target, list).expect("the build folder takes files");
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}
