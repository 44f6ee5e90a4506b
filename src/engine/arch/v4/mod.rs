//! DeepSeek V4: hyper-connections, compressed entries, an indexer, a mixture of experts.

pub mod attention;
pub mod buffers;
pub mod ffn;
pub mod forward;
