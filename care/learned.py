"""Which posts need a reply, learned from those that somebody labelled; used only where it beats the rules.

TF-IDF of words and pairs of words (Salton & Buckley 1988; log counts, unit length) and a logistic regression.
Judged on the labels of customers that it has not seen, against the rules on the same posts, by McNemar's
exact test. Words with digits, and words that fewer than five customers use, are no features: a model goes
into the bundle, and no name and no order number shall go with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from histories.arrays import Flags, Float

FEWEST_LABELS: Final = 200
FEWEST_OF_A_KIND: Final = 30
"""Labels from which anything is learned, in all and of each answer."""
FEWEST_CUSTOMERS: Final = 5
MOST_WORDS: Final = 5_000
HELD_OUT: Final = 0.3
CHANCE: Final = 0.05
_WORD: Final = r"(?u)\b[^\W\d_]{2,}\b"


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsReplyModel:
    """Plain parameters of the model.

    Attributes
    ----------
    words
        Features: words, and pairs of them with a blank between.
    idf, weights
        Inverse document frequency and coefficient of each, shape (V,).
    intercept
        Log odds of needing a reply without any of them.
    """

    words: tuple[str, ...]
    idf: Float
    weights: Float
    intercept: float

    def probabilities(self, texts: Sequence[str]) -> Float:
        """Chance that each text needs a reply, shape (n,)."""
        odds = _features(texts, self.words, self.idf) @ self.weights + self.intercept
        return np.asarray(1.0 / (1.0 + np.exp(-odds)), dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as the bundle keeps them."""
        return {
            "words": list(self.words),
            "idf": self.idf.tolist(),
            "weights": self.weights.tolist(),
            "intercept": self.intercept,
        }

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> NeedsReplyModel:
        """The model of `to_dict`."""
        return cls(
            words=tuple(kept["words"]),
            idf=np.asarray(kept["idf"], dtype=np.float64),
            weights=np.asarray(kept["weights"], dtype=np.float64),
            intercept=float(kept["intercept"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The model against the rules on held-out labels.

    Attributes
    ----------
    n
        Labels held out.
    model, rules
        Share of them that each gets right.
    better, worse
        Posts that only the model, and only the rules, get right.
    p_value
        Two-sided, of as many by chance.
    """

    n: int
    model: float
    rules: float
    better: int
    worse: int
    p_value: float

    @property
    def is_better(self) -> bool:
        """Whether the model is better by more than chance."""
        return self.better > self.worse and self.p_value < CHANCE


def _counts(texts: Sequence[str], words: Sequence[str] | None = None) -> tuple[csr_array, tuple[str, ...]]:
    from sklearn.feature_extraction.text import CountVectorizer  # a second, and most desks label nothing

    counter = CountVectorizer(
        token_pattern=_WORD, ngram_range=(1, 2), vocabulary=None if words is None else list(words)
    )
    counts = counter.fit_transform(texts) if words is None else counter.transform(texts)
    return csr_array(counts), tuple(counter.get_feature_names_out())


def _features(texts: Sequence[str], words: tuple[str, ...], idf: Float) -> csr_array:
    counts = _counts(texts, words)[0].astype(np.float64)
    counts.data = 1.0 + np.log(counts.data)
    weighted = csr_array(counts.multiply(idf[None, :]))
    length = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    return csr_array(diags_array(1.0 / np.where(length > 0, length, 1.0)) @ weighted)


def fit_model(texts: Sequence[str], labels: Flags, customers: NDArray[np.int64]) -> NeedsReplyModel | None:
    """Fit to labelled texts; None where no word is used by five customers.

    Parameters
    ----------
    texts, labels, customers
        Each text, whether it needs a reply, and the number of its author; shape (n,).
    """
    from sklearn.linear_model import LogisticRegression

    try:
        counts, words = _counts(texts)
    except ValueError:  # no text has a word
        return None
    rows, columns = counts.nonzero()
    users = np.unique(np.column_stack([columns, customers[rows]]), axis=0)[:, 0]
    spread = np.bincount(users, minlength=len(words))
    kept = np.flatnonzero(spread >= FEWEST_CUSTOMERS)
    kept = np.sort(kept[np.argsort(-spread[kept], kind="stable")][:MOST_WORDS])
    if not len(kept):
        return None
    chosen = tuple(words[place] for place in kept)
    present = np.bincount(columns, minlength=len(words))[kept]
    idf = np.log((1.0 + len(texts)) / (1.0 + present)) + 1.0
    fitted = LogisticRegression(C=10.0, max_iter=1000).fit(_features(texts, chosen, idf), labels)
    return NeedsReplyModel(
        words=chosen,
        idf=idf,
        weights=fitted.coef_[0].astype(np.float64),
        intercept=float(fitted.intercept_[0]),
    )


def learn_needs_reply(
    labelled: pl.DataFrame, *, seed: int = 0
) -> tuple[NeedsReplyModel | None, Comparison | None]:
    """The model, where it is better than the rules by more than chance, and how both fared.

    Parameters
    ----------
    labelled
        Customers' posts with text and label: key (the customer), text, needs_reply, by_rule (what the rules
        say).
    seed
        Of the choice of held-out customers.
    """
    labels = labelled["needs_reply"].to_numpy().astype(bool)
    of_a_kind = min(int(labels.sum()), int((~labels).sum()))
    if len(labels) < FEWEST_LABELS or of_a_kind < FEWEST_OF_A_KIND:
        return None, None
    texts = labelled["text"].to_list()
    customers = labelled["key"].rank("dense").cast(pl.Int64).to_numpy()
    if len(np.unique(customers)) < 2 * FEWEST_CUSTOMERS:
        return None, None
    from sklearn.model_selection import GroupShuffleSplit

    split = GroupShuffleSplit(n_splits=1, test_size=HELD_OUT, random_state=seed)
    train, test = next(split.split(texts, labels, customers))
    if len(np.unique(labels[train])) < 2:
        return None, None
    model = fit_model([texts[place] for place in train], labels[train], customers[train])
    if model is None:
        return None, None
    said = model.probabilities([texts[place] for place in test]) >= 0.5
    compared = _compared(said, labelled["by_rule"].to_numpy().astype(bool)[test], labels[test])
    return (fit_model(texts, labels, customers) if compared.is_better else None), compared


def _compared(model: Flags, rules: Flags, labels: Flags) -> Comparison:
    from scipy.stats import binomtest

    right, ruled = model == labels, rules == labels
    better, worse = int((right & ~ruled).sum()), int((ruled & ~right).sum())
    p = float(binomtest(better, better + worse).pvalue) if better + worse else 1.0
    return Comparison(
        n=len(labels),
        model=float(right.mean()),
        rules=float(ruled.mean()),
        better=better,
        worse=worse,
        p_value=p,
    )
