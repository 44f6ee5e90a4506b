// As of the reduction contracts, where an invocation reads only what it wrote itself.
fn group_wait() {}
