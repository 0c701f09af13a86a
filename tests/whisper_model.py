"""A Whisper model as CTranslate2 keeps one, small and with invented weights.

It hears nothing, but everything that reads, loads and asks a model does so with this one.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from ctranslate2.specs.whisper_spec import WhisperSpec
from faster_whisper.tokenizer import _LANGUAGE_CODES
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

WIDTH, LAYERS, HEADS = 64, 2, 2
MELS, WINDOW, TEXT = 80, 1500, 448
VOCABULARY = 51865  # of the models for many languages; a smaller one is taken for English
_TASKS = ("translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps")


def make(folder: Path) -> Path:
    """Writes the model; its folder."""
    spec = WhisperSpec(LAYERS, HEADS, LAYERS, HEADS)
    _weigh(spec, np.random.default_rng(1))
    tokenizer, languages = _tokenizer()
    spec.register_vocabulary([tokenizer.id_to_token(n) for n in range(VOCABULARY)])
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [0]
    spec.config.lang_ids = languages
    spec.config.alignment_heads = [(LAYERS - 1, 0)]
    spec.validate()
    spec.optimize(quantization="int8")
    folder.mkdir(parents=True)
    spec.save(str(folder))
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def _weigh(spec: Any, dice: np.random.Generator) -> None:
    def some(*shape: int) -> Any:
        return (dice.standard_normal(shape) * 0.05).astype(np.float32)

    def linear(into: Any, out: int, of: int = WIDTH) -> None:
        into.weight, into.bias = some(out, of), some(out)

    def norm(into: Any) -> None:
        into.gamma, into.beta = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)

    def attention(into: Any, *widths: int) -> None:
        norm(into.layer_norm)
        for layer, width in zip(into.linear, widths, strict=True):
            linear(layer, width)

    encoder, decoder = spec.encoder, spec.decoder
    for convolution, channels in ((encoder.conv1, MELS), (encoder.conv2, WIDTH)):
        convolution.weight, convolution.bias = some(WIDTH, channels, 3), some(WIDTH)
    encoder.position_encodings.encodings = some(WINDOW, WIDTH)
    decoder.position_encodings.encodings = some(TEXT, WIDTH)
    decoder.embeddings.weight = some(VOCABULARY, WIDTH)
    decoder.projection.weight = some(VOCABULARY, WIDTH)
    for part in (encoder, decoder):
        norm(part.layer_norm)
    for layer in decoder.layer:
        attention(layer.attention, WIDTH, 2 * WIDTH, WIDTH)
    for layer in chain(encoder.layer, decoder.layer):
        attention(layer.self_attention, 3 * WIDTH, WIDTH)
        norm(layer.ffn.layer_norm)
        linear(layer.ffn.linear_0, 4 * WIDTH)
        linear(layer.ffn.linear_1, WIDTH, 4 * WIDTH)


def _tokenizer() -> tuple[Tokenizer, list[int]]:
    """Bytes and invented words, then Whisper's own marks in its order; ids of languages."""
    languages = [f"<|{code}|>" for code in _LANGUAGE_CODES[:99]]
    marks = ["<|endoftext|>", "<|startoftranscript|>", *languages]
    marks += [f"<|{task}|>" for task in _TASKS]
    times = [f"<|{n * 0.02:.2f}|>" for n in range(1501)]
    words = sorted(pre_tokenizers.ByteLevel.alphabet())
    missing = VOCABULARY - len(words) - len(marks) - len(times)
    words += [f"Ġsana{n}" for n in range(missing)]
    made = Tokenizer(models.BPE(vocab={word: n for n, word in enumerate(words)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(mark, normalized=False) for mark in marks])
    made.add_tokens([AddedToken(time, normalized=False) for time in times])
    return made, [made.token_to_id(language) for language in languages]
