"""Text, tokenizer and batches: what the embedded model reads.

A file of chapters (`CHAPTER I` on a line of its own) becomes one document per chapter, its lines unwrapped into
paragraphs; any other file becomes one document per run of twelve speeches or paragraphs. Every 37th document is held
out and never trained on.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

BEGIN, END, PAD = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"
SPLITS = (
    r"\p{N}{1,3}",
    "[一-龥぀-ゟ゠-ヿ]+",
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    r"""| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+""",
)
"""DeepSeek V4's pre-tokenizer: three splits, one after the other."""

HELD_OUT_EVERY = 37
SHORTEST = 200
"""Characters below which a document is a heading or a scrap, and left out."""


def unwrap(chapter: str) -> str:
    """Joins the lines of each paragraph; paragraphs stay apart by an empty line."""
    paragraphs = (re.sub(r"\s*\n\s*", " ", part).strip() for part in re.split(r"\n\s*\n", chapter))
    return "\n\n".join(part for part in paragraphs if part) + "\n"


def documents(path: Path) -> list[str]:
    """The documents of one file, in its order."""
    text = path.read_text(encoding="utf-8-sig").replace("\r\n", "\n")
    chapters = re.split(r"\n(?=CHAPTER [IVXLC]+\b)", text)
    if len(chapters) > 1:
        found = [unwrap(chapter) for chapter in chapters]
    else:
        found = [run + "\n" for run in re.findall(r"(?:.+\n)+(?:\n(?:.+\n)+){0,11}", text)]
    return [document for document in found if len(document) > SHORTEST]


def pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    """V4's splits, then bytes as printable characters."""
    splits = [pre_tokenizers.Split(Regex(split), "isolated") for split in SPLITS]
    return pre_tokenizers.Sequence([*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def decoder() -> decoders.Decoder:
    """Printable characters back into bytes."""
    return decoders.ByteLevel()


def train_tokenizer(texts: list[str], vocab_size: int) -> Tokenizer:
    """A byte-level BPE behind V4's pre-tokenizer; ids 0, 1, 2 are begin, end and pad."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizer(), decoder()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[BEGIN, END, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


@dataclass
class Corpus:
    """Both parts of the text as one run of ids each, every document between begin and end."""

    train: Tensor
    held_out: Tensor
    held_out_bytes: int
    tokenizer: Tokenizer

    def cut(self, n_tokens: int) -> "Corpus":
        """The same with only the first `n_tokens` held out."""
        held_out = self.held_out[:n_tokens]
        return replace(self, held_out=held_out, held_out_bytes=len(self.tokenizer.decode(held_out.tolist()).encode()))


def split(paths: list[Path]) -> tuple[list[str], list[str]]:
    """Documents to train on, and documents held out."""
    found = [document for path in paths for document in documents(path)]
    return [document for index, document in enumerate(found) if index % HELD_OUT_EVERY], found[::HELD_OUT_EVERY]


def split_corpus(paths: list[Path], tokenizer: Tokenizer) -> Corpus:
    """Reads, splits and encodes the texts."""
    train, held_out = split(paths)

    def encode(texts: list[str]) -> Tensor:
        return torch.tensor([i for e in tokenizer.encode_batch(texts) for i in (0, *e.ids, 1)])

    n_bytes = sum(len(document.encode()) for document in held_out)
    return Corpus(encode(train), encode(held_out), n_bytes, tokenizer)


def load_corpus(paths: list[Path], tokenizer_path: Path, vocab_size: int) -> Corpus:
    """The corpus behind the tokenizer at the path, which is trained and stored where there is none yet."""
    if not tokenizer_path.exists():
        train_tokenizer(split(paths)[0], vocab_size).save(str(tokenizer_path))
    tokenizer = Tokenizer.from_file(str(tokenizer_path))
    if tokenizer.get_vocab_size() != vocab_size:
        found = tokenizer.get_vocab_size()
        raise SystemExit(f"{tokenizer_path}: {found} tokens, the model has {vocab_size}; delete it")
    return split_corpus(paths, tokenizer)


def batch(tokens: Tensor, index: int, n_sequences: int, length: int, seed: int) -> tuple[Tensor, Tensor]:
    """Batch number `index` of an endless run of epochs: inputs and targets [n_sequences, length].

    Each epoch cuts the text into windows at another offset and shuffles them; everything follows from seed and index,
    so a resumed run goes on exactly where it stopped.
    """
    per_epoch = (len(tokens) - 1 - length) // length // n_sequences
    epoch, within = divmod(index, per_epoch)
    random = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    offset = int(torch.randint(length, (), generator=random))
    order = torch.randperm(per_epoch * n_sequences, generator=random)
    starts = offset + order[within * n_sequences : (within + 1) * n_sequences] * length
    rows = torch.stack([tokens[start : start + length + 1] for start in starts.tolist()])
    return rows[:, :-1], rows[:, 1:]
