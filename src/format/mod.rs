//! Files and the weight formats in them: sources of bytes, directories of tensors, block layouts. Knows no model and no GPU.
