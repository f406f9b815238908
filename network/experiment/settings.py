"""Which settings are tried: along each dimension, with scaled learning rates, all combinations."""

import itertools
import random
from dataclasses import dataclass, replace

from network.experiment.trial import Trial

BASELINE = Trial()
DIMENSIONS = ("filters", "dropout", "batch_size")


@dataclass(frozen=True)
class Settings:
    """The values that are tried of each dimension; the baseline is tried in any case."""

    filters: list
    dropout: list
    batch_size: list

    def along(self, dimension):
        """The settings along one dimension, the baseline among them; in all else they are it."""
        values = {*getattr(self, dimension), getattr(BASELINE, dimension)}
        return [replace(BASELINE, **{dimension: value}) for value in sorted(values)]

    def scaled_rates(self):
        """The settings along the batch size with the learning rate in proportion to it."""
        return [
            replace(s, learning_rate=s.learning_rate * s.batch_size / BASELINE.batch_size)
            for s in self.along("batch_size")
        ]

    def combinations(self):
        """The settings of all combinations of the values."""
        product = itertools.product(self.filters, self.dropout, self.batch_size)
        return list(itertools.starmap(Trial, product))

    def choose(self, scale_lr=False, grid=False):
        """All settings to run, each once; `grid`: with all combinations of the values."""
        settings = [BASELINE, *itertools.chain(*map(self.along, DIMENSIONS))]
        settings += self.scaled_rates() if scale_lr else []
        settings += self.combinations() if grid else []
        return list(dict.fromkeys(settings))

    def dimensions(self, found):
        """Of each dimension a dict: for each value what was found of that setting."""
        return {
            name: {getattr(s, name): found[s] for s in self.along(name) if s in found}
            for name in DIMENSIONS
        }

    def scaled(self, found):
        """For each batch size what was found at the learning rate in proportion to it."""
        return {s.batch_size: found[s] for s in self.scaled_rates() if s in found}


def in_order(settings, seeds):
    """The trials of settings in the order in which they run.

    All settings with one seed, then with the next: what slows the machine for a while slows all of
    them. Each time in another order, or a setting would always run beside the same ones. What takes
    longest goes first in the last round, so that nobody waits long for the last trial.
    """
    rounds = [[replace(setting, seed=seed) for setting in settings] for seed in seeds]
    for trials_of_seed in rounds:
        random.Random(trials_of_seed[0].seed).shuffle(trials_of_seed)
    rounds[-1].sort(key=lambda trial: (trial.batch_size, -trial.filters))
    return list(itertools.chain(*rounds))


def describe(setting):
    """In what a setting differs from the baseline."""
    texts = {
        "filters": f"{setting.filters} filters",
        "dropout": f"dropout {setting.dropout:g}",
        "batch_size": f"batch {setting.batch_size}",
        "learning_rate": f"rate {setting.learning_rate:g}",
    }
    differ = [texts[name] for name in texts if getattr(setting, name) != getattr(BASELINE, name)]
    return ", ".join(differ) or "baseline"
