//! The committed kernel object: building it, and proof that it is what the source builds.
//!
//! The object depends on the compilers and on the paths of the sources (symbol names and line tables
//! carry both). So it is built by Debian's compilers, whose versions are recorded beside it, and always
//! at one path: sources and their dependencies are copied to [`BUILD`] first. Then two builds by equal
//! compilers are equal byte by byte, in whatever directory the clone lies and whatever cargo has cached.
//!
//! Missing tools are installed: the compilers by apt-get (as root, or by sudo), bpf-linker by cargo
//! under `${XDG_CACHE_HOME:-~/.cache}/beaconwatch/tools`.

use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use beaconwatch_tests::{cache, tools};

use crate::workspace;

/// The one path of every build; private to the user, removed after the build.
const BUILD: &str = "/tmp/beaconwatch-ebpf-build";
const OBJECT: &str = "exporter/ebpf/beaconwatch.bpf.o";
const RECORD: &str = "exporter/ebpf/beaconwatch.bpf.toml";
const RUSTC: &str = "/usr/bin/rustc";
const CARGO: &str = "/usr/bin/cargo";
const LLVM: &str = "/usr/lib/llvm-22";
const TARGET: &str = "bpfel-unknown-none";
const BPF_LINKER: &str = "0.13.0";
const PACKAGES: [&str; 8] = [
    "rustc-web",
    "cargo-web",
    "libstd-rust-web-dev-bpf",
    "llvm-22",
    "llvm-22-dev",
    "libpolly-22-dev",
    "zlib1g-dev",
    "libzstd-dev",
];

/// Builds the object and writes it with its record, or with `check` compares it with the committed one.
pub(crate) fn run(check: bool) -> Result<()> {
    let linker = install_tools()?;
    let _folder = BuildFolder::make()?;
    BuildFolder::fill()?;
    let object = BuildFolder::build(&linker)?;
    let record = record(&linker, &object)?;
    if check {
        return compare(&object, &record);
    }
    fs::copy(&object, OBJECT).with_context(|| format!("writing {OBJECT}"))?;
    fs::write(RECORD, record).with_context(|| format!("writing {RECORD}"))?;
    Ok(())
}

/// Sees to compilers and linker; returns the linker's path.
fn install_tools() -> Result<PathBuf> {
    if !tools_are_there() {
        println!("installing {} (apt-get)", PACKAGES.join(" "));
        tools::apt_install(&PACKAGES)?;
        ensure!(
            tools_are_there(),
            "Debian's compilers for {TARGET} are not there after the installation of {}",
            PACKAGES.join(" ")
        );
    }
    let root = cache::folder()?.join(format!("tools/bpf-linker-{BPF_LINKER}"));
    let linker = root.join("bin/bpf-linker");
    if !linker.exists() {
        workspace::run(
            Command::new(CARGO)
                .args(["install", "bpf-linker", "--locked", "--version", BPF_LINKER])
                .args(["--no-default-features", "--features", "llvm-22", "--root"])
                .arg(&root)
                .env("RUSTC", RUSTC)
                .env("RUSTFLAGS", format!("-L native={LLVM}/lib"))
                .env_remove("CARGO_TARGET_DIR"),
        )?;
    }
    Ok(linker)
}

fn tools_are_there() -> bool {
    let library = Command::new(RUSTC)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let llvm = ["bin/llvm-objcopy", "bin/llvm-config", "lib/libPolly.a"];
    library.is_some_and(|folder| folder.exists())
        && Path::new(CARGO).exists()
        && llvm.iter().all(|file| Path::new(LLVM).join(file).exists())
}

/// [`BUILD`], held by this process and removed with the value.
struct BuildFolder {
    _lock: File,
}

impl BuildFolder {
    fn make() -> Result<Self> {
        let lock_path = format!("{BUILD}.lock");
        let lock = File::create(&lock_path).with_context(|| format!("opening {lock_path}"))?;
        lock.lock()
            .with_context(|| format!("locking {lock_path}"))?;
        remove_folder()?;
        DirBuilder::new()
            .mode(0o700)
            .create(BUILD)
            .with_context(|| format!("making {BUILD}, which must not exist"))?;
        Ok(Self { _lock: lock })
    }

    /// Copies the sources, and by `cargo vendor` those of the dependencies.
    fn fill() -> Result<()> {
        for path in ["Cargo.toml", "records/Cargo.toml", "records/src"] {
            copy(Path::new(path))?;
        }
        for path in ["Cargo.toml", "Cargo.lock", "src"] {
            copy(&Path::new("exporter-ebpf").join(path))?;
        }
        let vendor = workspace::cargo_command()
            .args(["vendor", "--quiet", "--locked", "--versioned-dirs"])
            .args(["--manifest-path", "exporter-ebpf/Cargo.toml"])
            .arg(format!("{BUILD}/vendor"))
            .output()
            .context("starting cargo vendor")?;
        if !vendor.status.success() {
            bail!(
                "cargo vendor: {}",
                String::from_utf8_lossy(&vendor.stderr).trim()
            );
        }
        fs::create_dir(format!("{BUILD}/cargo"))?;
        let configuration = format!("{BUILD}/cargo/config.toml");
        fs::write(
            &configuration,
            format!(
                "[source.crates-io]\nreplace-with = \"copies\"\n\
                 [source.copies]\ndirectory = \"{BUILD}/vendor\"\n"
            ),
        )
        .with_context(|| format!("writing {configuration}"))
    }

    /// Builds in an environment that holds nothing of the caller's.
    fn build(linker: &Path) -> Result<PathBuf> {
        // By its name: cargo's hash of the flags is part of every symbol name.
        let programs = format!("{BUILD}/bin");
        fs::create_dir(&programs)?;
        symlink(linker, format!("{programs}/bpf-linker")).context("linking bpf-linker")?;
        let flags = [
            "-C debuginfo=2",
            "-C linker=bpf-linker",
            "-C link-arg=--btf",
            "--cfg=bpf_target_arch=\"x86_64\"",
        ];
        workspace::run(
            Command::new(CARGO)
                .args(["build", "--quiet", "--release", "--locked", "--offline"])
                .args(["--target", TARGET])
                .current_dir(format!("{BUILD}/exporter-ebpf"))
                .env_clear()
                .env("PATH", format!("{programs}:/usr/bin:/bin"))
                .env("HOME", BUILD)
                .env("CARGO_HOME", format!("{BUILD}/cargo"))
                .env("CARGO_TARGET_DIR", format!("{BUILD}/target"))
                .env("RUSTC", RUSTC)
                .env("RUSTC_BOOTSTRAP", "1")
                .env("RUSTFLAGS", flags.join(" ")),
        )?;
        let object = PathBuf::from(format!("{BUILD}/target/beaconwatch.bpf.o"));
        workspace::run(
            Command::new(format!("{LLVM}/bin/llvm-objcopy"))
                .arg("--strip-debug")
                .arg(format!("{BUILD}/target/{TARGET}/release/beaconwatch"))
                .arg(&object),
        )?;
        Ok(object)
    }
}

impl Drop for BuildFolder {
    fn drop(&mut self) {
        if let Err(error) = remove_folder() {
            println!("{error:#}");
        }
    }
}

fn remove_folder() -> Result<()> {
    match fs::remove_dir_all(BUILD) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {BUILD}"))
        }
        _ => Ok(()),
    }
}

/// Copies a file or folder of the repository to the same place in the build folder.
fn copy(path: &Path) -> Result<()> {
    let target = Path::new(BUILD).join(path);
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
    }
    if !path.is_dir() {
        fs::copy(path, &target).with_context(|| format!("copying {}", path.display()))?;
        return Ok(());
    }
    for entry in fs::read_dir(path).with_context(|| format!("reading {}", path.display()))? {
        copy(&entry?.path())?;
    }
    Ok(())
}

/// What made the object, and what it is.
fn record(linker: &Path, object: &Path) -> Result<String> {
    let bytes = fs::metadata(object)?.len();
    let sum = first_line(Command::new("sha256sum").arg(object))?;
    let sum = sum.split(' ').next().unwrap_or_default();
    Ok(format!(
        "# Written by `./x ebpf`: what made beaconwatch.bpf.o. `./x ebpf --check` proves it.\n\
         rustc = \"{}\"\ncargo = \"{}\"\nbpf_linker = \"{}\"\nllvm = \"{}\"\n\
         bytes = {bytes}\nsha256 = \"{sum}\"\n",
        first_line(Command::new(RUSTC).arg("--version"))?,
        first_line(Command::new(CARGO).arg("--version"))?,
        first_line(Command::new(linker).arg("--version"))?,
        first_line(Command::new(format!("{LLVM}/bin/llvm-config")).arg("--version"))?,
    ))
}

fn first_line(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("starting {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} ended with {}",
        output.status
    );
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn compare(object: &Path, record: &str) -> Result<()> {
    let committed = fs::read(OBJECT).with_context(|| format!("reading {OBJECT}"))?;
    let recorded = fs::read_to_string(RECORD).with_context(|| format!("reading {RECORD}"))?;
    if fs::read(object)? == committed && recorded == record {
        return Ok(());
    }
    let compilers = |record: &str| -> Vec<String> {
        let named = |line: &&str| !line.starts_with("bytes") && !line.starts_with("sha256");
        record.lines().filter(named).map(str::to_owned).collect()
    };
    if compilers(&recorded) != compilers(record) {
        bail!(
            "{OBJECT} was built by other compilers than this machine has, so nothing is proved:\n\
             recorded:\n{recorded}here:\n{record}\
             rebuild it by `./x ebpf` and commit both files"
        );
    }
    bail!(
        "{OBJECT} is not what the source builds:\nrecorded:\n{recorded}built:\n{record}\
         rebuild it by `./x ebpf` and commit both files"
    );
}
