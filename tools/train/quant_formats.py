"""Weight formats: encoders and decoders for every GGUF format that headstart reads.

`encode` turns an f32 array into the bytes of one format, `decode` turns them back. PyPI `gguf` supplies both for most
formats and the decoders for all; the two K-quant encoders that it lacks are written here, plainly: the scale of each
sub-block comes from its extremes, nothing is searched. The layouts are those of ggml's `block_q4_K` and `block_q6_K`.
"""

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Format

FORMATS = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_K", "Q6_K", "MXFP4")
"""The formats that the exporter may choose from, by GGUF's names."""


def block_len(name: str) -> int:
    """Elements per block; a row must be a multiple of it."""
    return gguf.GGML_QUANT_SIZES[Format[name]][0]


def n_bytes(name: str, n_elements: int) -> int:
    """Bytes that `n_elements` take in the format."""
    block, size = gguf.GGML_QUANT_SIZES[Format[name]]
    return n_elements // block * size


def encode(array: np.ndarray, name: str) -> np.ndarray:
    """Bytes of `array` (f32, last axis a multiple of the block) in the named format: shape [..., bytes per row].

    F32 and F16 come back in their own dtype, everything else as u8, which is what `gguf.GGUFWriter` wants.
    """
    array = np.ascontiguousarray(array, np.float32)
    if name == "F32":
        return array
    if name == "F16":
        return array.astype(np.float16)
    if name in K_ENCODERS:
        blocks = array.reshape(-1, 256)
        return K_ENCODERS[name](blocks).reshape(*array.shape[:-1], -1)
    return gguf.quants.quantize(array, Format[name])


def decode(data: np.ndarray, name: str) -> np.ndarray:
    """The f32 values that the bytes stand for, as gguf-py decodes them."""
    if name in ("F32", "F16"):
        return data.astype(np.float32)
    return gguf.quants.dequantize(data, Format[name])


def round_trip(array: np.ndarray, name: str) -> np.ndarray:
    """What is left of `array` after storing it in the format."""
    return decode(encode(array, name), name)


def _reciprocal(x: np.ndarray) -> np.ndarray:
    """1/x, and 0 where x is 0 (a block of zeros has scale 0)."""
    return np.divide(1.0, x, out=np.zeros_like(x), where=x != 0)


def _f16_bytes(x: np.ndarray) -> np.ndarray:
    """[n, 1] f32 -> [n, 2] bytes of the f16."""
    return x.astype(np.float16).view(np.uint8)


def _encode_q4_k(blocks: np.ndarray) -> np.ndarray:
    """[n, 256] -> [n, 144]: value = d * scale * q - dmin * minimum, eight sub-blocks of 32, 6-bit scales."""
    n = len(blocks)
    sub = blocks.reshape(n, 8, 32)
    low = np.minimum(sub.min(-1), 0.0)
    step = (sub.max(-1).clip(0.0) - low) / 15.0
    d = (step.max(-1, keepdims=True) / 63.0).astype(np.float16).astype(np.float32)
    d_min = ((-low).max(-1, keepdims=True) / 63.0).astype(np.float16).astype(np.float32)
    scale = np.rint(step * _reciprocal(d)).clip(0, 63).astype(np.uint8)
    minimum = np.rint(-low * _reciprocal(d_min)).clip(0, 63).astype(np.uint8)
    width = (d * scale)[..., None]
    q = np.rint((sub + (d_min * minimum)[..., None]) * _reciprocal(width)).clip(0, 15).astype(np.uint8)
    packed = np.concatenate(
        [
            scale[:, :4] | (scale[:, 4:] >> 4) << 6,
            minimum[:, :4] | (minimum[:, 4:] >> 4) << 6,
            (scale[:, 4:] & 15) | (minimum[:, 4:] & 15) << 4,
        ],
        axis=1,
    )
    pairs = q.reshape(n, 4, 2, 32)
    nibbles = (pairs[:, :, 0] | pairs[:, :, 1] << 4).reshape(n, 128)
    return np.concatenate([_f16_bytes(d), _f16_bytes(d_min), packed, nibbles], axis=1)


def _encode_q6_k(blocks: np.ndarray) -> np.ndarray:
    """[n, 256] -> [n, 210]: value = d * scale * (q - 32), sixteen sub-blocks of 16, scale i8, q 6 bits."""
    n = len(blocks)
    sub = blocks.reshape(n, 16, 16)
    peak = np.take_along_axis(sub, np.abs(sub).argmax(-1)[..., None], -1)[..., 0]
    step = -peak / 32.0
    d = (np.abs(step).max(-1, keepdims=True) / 127.0).astype(np.float16).astype(np.float32)
    scale = np.rint(step * _reciprocal(d)).clip(-127, 127).astype(np.int8)
    width = (d * scale)[..., None]
    q = (np.rint(sub * _reciprocal(width)).clip(-32, 31) + 32).astype(np.uint8).reshape(n, 2, 4, 32)
    low = q & 15
    ql = np.concatenate([low[:, :, 0] | low[:, :, 2] << 4, low[:, :, 1] | low[:, :, 3] << 4], axis=-1)
    high = q >> 4
    qh = high[:, :, 0] | high[:, :, 1] << 2 | high[:, :, 2] << 4 | high[:, :, 3] << 6
    return np.concatenate([ql.reshape(n, 128), qh.reshape(n, 64), scale.view(np.uint8), _f16_bytes(d)], axis=1)


K_ENCODERS = {"Q4_K": _encode_q4_k, "Q6_K": _encode_q6_k}
