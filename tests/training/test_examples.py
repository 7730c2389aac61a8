"""The items of a run depend on their number alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from refbss import InputError
from refbss.data.layouts import Corpus, only_speakers, open_corpus
from refbss.training.config import RunConfig
from refbss.training.examples import Examples, posterior_noise


@pytest.fixture(scope="module")
def corpora() -> list[Corpus]:
    """Two corpora of two voices each."""
    from dataclasses import replace

    voices = open_corpus("embedded")
    pairs = [only_speakers([voices], names)[0] for names in (["arthur", "bella"], ["gus", "hana"])]
    return [replace(corpus, name=name) for corpus, name in zip(pairs, ("first", "second"), strict=True)]


def test_items_do_not_depend_on_their_batch(corpora: list[Corpus], small: Callable[..., RunConfig]) -> None:
    examples = Examples(corpora, small().mix, seed=5, split="train")
    whole = examples.batch(range(3, 9), epoch_items=5)
    parts = [examples.batch(numbers, epoch_items=5) for numbers in ([3], [4, 5], [6, 7, 8])]
    assert whole.ids == tuple(name for part in parts for name in part.ids)
    assert whole.ids[:3] == ("s5e0i000003", "s5e0i000004", "s5e1i000000")
    assert np.array_equal(whole.sources, np.concatenate([part.sources for part in parts]))
    assert np.array_equal(whole.mix, np.concatenate([part.mix for part in parts]))


def test_the_speakers_of_a_mixture_come_from_one_corpus(corpora: list[Corpus], small: Callable[..., RunConfig]) -> None:
    examples = Examples(corpora, small().mix, seed=0, split="train", weights=(3.0, 1.0))
    chosen = Counter[str]()
    for index in range(80):
        names = {speaker.split("/")[0] for speaker in examples.item(0, index).recipe["speakers"]}
        assert len(names) == 1
        chosen[names.pop()] += 1
    assert 50 <= chosen["first"] <= 70 and chosen["first"] + chosen["second"] == 80


def test_weights_fit_the_corpora(corpora: list[Corpus], small: Callable[..., RunConfig]) -> None:
    with pytest.raises(InputError, match="data_weights has 1 values, wanted 2, one per data folder"):
        Examples(corpora, small().mix, seed=0, split="train", weights=(1.0,))


def test_posterior_noise_is_a_function_of_the_item() -> None:
    whole = posterior_noise(1, [4, 5, 6], (2, 50, 3))
    assert whole.shape == (3, 2, 50, 3) and whole.dtype == np.float32
    assert np.array_equal(whole[1:], posterior_noise(1, [5, 6], (2, 50, 3)))
    assert not np.array_equal(whole, posterior_noise(2, [4, 5, 6], (2, 50, 3)))
    assert abs(float(whole.mean())) < 0.15 and abs(float(whole.std()) - 1.0) < 0.1
