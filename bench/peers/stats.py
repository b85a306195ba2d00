"""What samples taken in turns say: orders, quartiles, ratios."""
import statistics
from dataclasses import dataclass

WIDE = 0.15  # quartiles further apart than this part of the median: the samples say little


def turns(names: list, rounds: int) -> list:
    """A B, B A, A B, …: each round the other way round, so that a drift meets every engine alike."""
    return [list(names) if i % 2 == 0 else list(reversed(names)) for i in range(rounds)]


def quartiles(values: list) -> tuple:
    """Lower quartile, median, upper quartile; the value itself when there is one alone."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    cuts = statistics.quantiles(values, n=4, method="inclusive")
    return cuts[0], statistics.median(values), cuts[2]


@dataclass(frozen=True)
class Spread:
    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: list) -> "Spread":
        return cls(*quartiles(values))

    @property
    def wide(self) -> bool:
        return self.median > 0 and self.high - self.low > WIDE * self.median


def ratios(ours: list, theirs: list, lower_is_better: bool = False) -> list:
    """Round by round, above 1 when ours is the better; a round without both counts for nothing."""
    pairs = [(a, b) for a, b in zip(ours, theirs) if a and b]
    return [b / a if lower_is_better else a / b for a, b in pairs]
