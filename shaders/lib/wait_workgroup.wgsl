// As of the reduction contracts: what a workgroup wrote to storage is there for all of it.
fn group_wait() {
    storageBarrier();
}
