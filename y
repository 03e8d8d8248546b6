#!/usr/bin/env bash
# The one command of this repository. It sees to Rust and hands over to `cargo xtask`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
    cat <<'TEXT'
usage: ./x COMMAND

  run [OPTION...]   build Beaconwatch and start `beaconwatch run` (asks sudo for the rights to capture)
  test              everything that CI checks: lint, unit, property, doc and end-to-end tests
  lint              formatting, clippy, documentation, crate graph, licences, generated files, kernel object
  fmt               format the sources
  e2e               only the end-to-end tests (root)
  servers           install the servers of the end-to-end tests, and say where they are
  bench [NAME]      measure (exporter, detector, sidecar); one JSON object a line
  generate          write the generated files anew
  ebpf [--check]    rebuild the committed kernel object (--check: compare it with what the source builds)
TEXT
}

readonly minimum_minor=95

say() { printf '%s\n' "x: $*" >&2; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "this needs root, and there is no sudo: $*"
        exit 1
    fi
}

apt_install() {
    if ! command -v apt-get >/dev/null; then
        say "missing: $*; install it (this script can only do so by apt-get)"
        exit 1
    fi
    say "installing $* (apt-get)"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q --yes --no-install-recommends "$@"
}

# Whether the given command prints a Rust version that is new enough.
new_enough() {
    local version minor
    version=$("$@" --version 2>/dev/null) || return 1
    minor=$(sed -n 's/^[a-z]* 1\.\([0-9]*\)\..*/\1/p' <<<"$version")
    [ -n "$minor" ] && [ "$minor" -ge "$minimum_minor" ]
}

# Puts a `cargo` and a `rustc` of at least 1.95 on the path.
ensure_rust() {
    if [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
        PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    fi
    if new_enough rustc && new_enough cargo; then
        return
    fi
    local toolchain
    if command -v rustup >/dev/null; then
        for toolchain in $(rustup toolchain list | cut -d' ' -f1); do
            if new_enough rustup run "$toolchain" rustc; then
                say "using the rustup toolchain $toolchain"
                export RUSTUP_TOOLCHAIN=$toolchain
                return
            fi
        done
    fi
    if ! new_enough /usr/bin/rustc || ! new_enough /usr/bin/cargo; then
        apt_install rustc-web cargo-web ca-certificates
    fi
    # Before an older toolchain of rustup.
    PATH="/usr/bin:$PATH"
    if ! new_enough rustc || ! new_enough cargo; then
        say "Rust 1.$minimum_minor or newer is needed, found: $(rustc --version 2>&1 || true)"
        exit 1
    fi
}

ensure_lint_tools() {
    if cargo clippy --version >/dev/null 2>&1 && cargo fmt --version >/dev/null 2>&1; then
        return
    fi
    if [ "$(command -v cargo)" != /usr/bin/cargo ] && command -v rustup >/dev/null; then
        rustup component add clippy rustfmt
    else
        apt_install rust-web-clippy rustfmt-web
    fi
}

main() {
    local command=${1:-}
    shift || true
    case $command in
    run)
        ensure_rust
        say "building (the first time takes some minutes; nothing is changed on this host)"
        cargo build --release --locked --package beaconwatch
        say "starting: beaconwatch run $*"
        if [ "$(id -u)" -eq 0 ]; then
            exec "${CARGO_TARGET_DIR:-target}/release/beaconwatch" run "$@"
        fi
        as_root "${CARGO_TARGET_DIR:-target}/release/beaconwatch" run "$@"
        ;;
    test | lint | fmt)
        ensure_rust
        ensure_lint_tools
        exec cargo xtask "$command" "$@"
        ;;
    e2e | servers | bench | generate | ebpf)
        ensure_rust
        exec cargo xtask "$command" "$@"
        ;;
    help | --help | -h) usage ;;
    *)
        usage >&2
        exit 64
        ;;
    esac
}

main "$@"
