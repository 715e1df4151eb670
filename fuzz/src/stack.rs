//! Stack space for the recursive reference parsers, which recurse as deep as the input; the tested parsers must not.

/// Runs `read` on a stack with space for one level of recursion per three bytes of input.
pub(crate) fn roomy<T: Send>(bytes: usize, read: impl FnOnce() -> T + Send) -> T {
    // Spawning a thread per small input would dominate the run time.
    if bytes < 300 {
        return read();
    }
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().stack_size((64 << 20) + bytes * 4096);
        match builder.spawn_scoped(scope, read).unwrap().join() {
            Ok(read) => read,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
