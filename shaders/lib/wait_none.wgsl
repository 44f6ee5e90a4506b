// The reduction contracts' wait, for kernels whose invocations read only what they wrote themselves: for nothing.
fn group_wait() {}
