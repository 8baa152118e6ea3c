//! The program `samenspraak`.

use std::process::ExitCode;

/// glibc keeps what was freed in an arena for each thread that ever allocated; after start and catch-up that was half of the
/// server's memory. This one gives pages back to the system (when: `.cargo/config.toml`).
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    samenspraak_server::cli::run()
}
