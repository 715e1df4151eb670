//! References recurse as deep as hostile input wants; what they are held against must not.

/// Runs `read` where there is room for one level of recursion in every three bytes.
pub(crate) fn roomy<T: Send>(bytes: usize, read: impl FnOnce() -> T + Send) -> T {
    // A thread for each small input would be most of the time.
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
