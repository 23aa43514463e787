"""The statistics of a comparison.

The unit is a run: a fresh process, reduced to the median of its steps. Steps of one process share
its luck (memory layout, clocks, neighbours), so they are never counted as independent. Runs of one
block (same workload, one after the other, in random order) are compared with each other, which
takes out whatever changes slowly.

No value is ever dropped: medians stand outliers, and how many there were is reported
(count_outliers). What is left out is left out by number before anything is measured: warm-up steps.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LEVEL = 0.95
RESAMPLES = 4000
EXACT_FLIPS = 16  # blocks; 65,536 signs
EXACT_PAIRS = 900  # sizes multiplied, for the exact distribution of U
BOOTSTRAP_SEED = 20260101
FEWEST_FOR_INTERVAL = 6  # 1 - 2 / 2**6 = 0.969: with fewer, no 95 % interval of a median exists


def quantile(values: Sequence[float], q: float) -> float:
    """Linear between order statistics (type 7, what numpy and R do)."""
    if not values:
        raise ValueError("no values")
    if not 0 <= q <= 1:
        raise ValueError(f"{q} is no quantile")
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def median(values: Sequence[float]) -> float:
    return quantile(values, 0.5)


def count_outliers(values: Sequence[float]) -> int:
    """Values more than three interquartile ranges outside of the quartiles."""
    low, high = quantile(values, 0.25), quantile(values, 0.75)
    reach = 3 * (high - low)
    return sum(1 for value in values if value < low - reach or value > high + reach)


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval. With fewer than FEWEST_FOR_INTERVAL values the
    bounds are the smallest and the largest, and the coverage is what that gives."""

    estimate: float
    low: float
    high: float
    count: int
    coverage: float


def range_coverage(count: int) -> float:
    """How often the median lies between the smallest and the largest of @count values."""
    return max(0.0, 1 - 2 * 0.5**count)


def interval(values: Sequence[float], statistic: Callable[[Sequence[float]], float] = median,
             level: float = LEVEL, resamples: int = RESAMPLES,
             seed: int = BOOTSTRAP_SEED) -> Interval:
    """Percentile bootstrap over the values."""
    estimate = statistic(values)
    count = len(values)
    if count < FEWEST_FOR_INTERVAL:
        return Interval(estimate, min(values), max(values), count, range_coverage(count))
    rng = random.Random(seed)
    drawn = [statistic(rng.choices(values, k=count)) for _ in range(resamples)]
    tail = (1 - level) / 2
    return Interval(estimate, quantile(drawn, tail), quantile(drawn, 1 - tail), count, level)


def difference_interval(a: Sequence[float], b: Sequence[float], level: float = LEVEL,
                        resamples: int = RESAMPLES, seed: int = BOOTSTRAP_SEED) -> Interval:
    """Of median(a) / median(b), for values that are not paired: both are drawn again."""
    estimate = median(a) / median(b)
    count = min(len(a), len(b))
    if count < FEWEST_FOR_INTERVAL:
        return Interval(estimate, min(a) / max(b), max(a) / min(b), count, range_coverage(count))
    rng = random.Random(seed)
    drawn = [median(rng.choices(a, k=len(a))) / median(rng.choices(b, k=len(b)))
             for _ in range(resamples)]
    tail = (1 - level) / 2
    return Interval(estimate, quantile(drawn, tail), quantile(drawn, 1 - tail), count, level)


def _u_counts(n: int, m: int) -> list[int]:
    """How many of the arrangements of n and m values have U = 0, 1, 2 …: the coefficients of the
    Gaussian binomial, made by multiplying and dividing polynomials."""
    counts = [1] + [0] * (n * m)
    for i in range(1, n + 1):
        for place in range(n * m, m + i - 1, -1):  # times 1 - q**(m + i)
            counts[place] -= counts[place - m - i]
        for place in range(i, n * m + 1):  # divided by 1 - q**i
            counts[place] += counts[place - i]
    return counts


@dataclass(frozen=True)
class MannWhitney:
    u: float  # pairs in which a is larger, ties as halves
    p: float  # two-sided
    exact: bool


def mann_whitney(a: Sequence[float], b: Sequence[float]) -> MannWhitney:
    """Exact without ties and for small samples, else normal with corrections for ties and
    continuity."""
    n, m = len(a), len(b)
    if not n or not m:
        raise ValueError("an empty sample")
    u = sum((x > y) + 0.5 * (x == y) for x in a for y in b)
    joint = sorted([*a, *b])
    ties = [len(list(group)) for _, group in itertools.groupby(joint)]
    if max(ties) == 1 and n * m <= EXACT_PAIRS:
        counts = _u_counts(n, m)
        extreme = int(max(u, n * m - u))
        return MannWhitney(u, min(1.0, 2 * sum(counts[extreme:]) / sum(counts)), True)
    total = n + m
    spread = n * m / 12 * (total + 1 - sum(t**3 - t for t in ties) / (total * (total - 1)))
    if spread <= 0:
        return MannWhitney(u, 1.0, False)  # all values are equal
    z = max(0.0, abs(u - n * m / 2) - 0.5) / math.sqrt(spread)
    return MannWhitney(u, min(1.0, math.erfc(z / math.sqrt(2))), False)


def sign_flip(differences: Sequence[float], resamples: int = 20000,
              seed: int = BOOTSTRAP_SEED) -> float:
    """Two-sided p of "the pairs could as well be exchanged", by the mean difference: every sign
    with up to EXACT_FLIPS pairs, else random ones (then never 0)."""
    count = len(differences)
    if not count:
        raise ValueError("no pairs")
    observed = abs(sum(differences))
    bound = observed - 1e-12 * max(1.0, observed)  # what is equal but for rounding counts
    if count <= EXACT_FLIPS:
        sums = [0.0]
        for each in differences:
            sums = [s + d for s in sums for d in (each, -each)]
        return sum(abs(s) >= bound for s in sums) / len(sums)
    rng = random.Random(seed)
    hits = 0
    for _ in range(resamples):
        signs = rng.getrandbits(count)
        hits += abs(sum(d if signs >> i & 1 else -d for i, d in enumerate(differences))) >= bound
    return (hits + 1) / (resamples + 1)


def cliffs_delta(a: Sequence[float], b: Sequence[float]) -> float:
    """-1: all of a are smaller; 0: as often one as the other; 1: all are larger."""
    return 2 * mann_whitney(a, b).u / (len(a) * len(b)) - 1


def cliffs_word(delta: float) -> str:
    """Romano's usual names."""
    size = abs(delta)
    return ("negligible" if size < 0.147 else "small" if size < 0.33 else
            "medium" if size < 0.474 else "large")


def hodges_lehmann(a: Sequence[float], b: Sequence[float]) -> float:
    """The shift of a against b: the median of all differences."""
    return median([x - y for x in a for y in b])


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted for their number, in the order given."""
    count = len(p_values)
    adjusted = [0.0] * count
    largest = 0.0
    for rank, index in enumerate(sorted(range(count), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (count - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


@dataclass(frozen=True)
class Verdict:
    """A against B: what is known about the ratio of their step times."""

    ratio: Interval  # of A to B, block by block
    p_paired: float  # sign flips of the logarithms
    p_unpaired: float  # Mann-Whitney
    delta: float  # Cliff's
    shift: float  # Hodges-Lehmann, in the unit of the values
    smallest_p: float  # that so few blocks can give


def compare_pairs(a: Sequence[float], b: Sequence[float]) -> Verdict:
    """Paired by block: a[i] and b[i] ran beside each other."""
    if len(a) != len(b) or not a:
        raise ValueError("pairs are needed")
    logs = [math.log(x / y) for x, y in zip(a, b)]
    over_logs = interval(logs)
    ratio = Interval(math.exp(over_logs.estimate), math.exp(over_logs.low),
                     math.exp(over_logs.high), over_logs.count, over_logs.coverage)
    return Verdict(ratio, sign_flip(logs), mann_whitney(a, b).p, cliffs_delta(a, b),
                   hodges_lehmann(a, b), 2 * 0.5**len(a))
