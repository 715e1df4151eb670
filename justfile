# Short names for the commands of CONTRIBUTING.md. `just` lists them.

_default:
    @just --list

# Build everything that the tests need.
build:
    cargo nextest run --workspace --all-features --no-run

# Run every test that needs no broker; nothing has to be installed.
test *arguments:
    cargo test --workspace {{ arguments }}

# Install what the tests need, start brokers, and run every test; arguments go to the test runner.
test-all *arguments:
    tests/run {{ arguments }}

# Format, lint, and build the documentation.
lint:
    cargo fmt --all && cargo clippy --workspace --all-targets --all-features -- -D warnings && RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features

# Everything that a change must pass.
ci:
    .ci/run

# Serve and call on memory://, or on the broker at `url`.
quickstart url="memory://quickstart":
    cargo run --package quickstart --features rabbit -- {{ url }}

# Open the documentation with the guide.
doc:
    cargo doc --open --package oxlo --all-features

# Fuzz one target for some seconds; without arguments, list the targets.
fuzz *arguments:
    fuzz/run {{ arguments }}

# Compare with peers on a broker of its own.
bench *arguments:
    cargo run --release --package oxlo-bench -- compare {{ arguments }}
