"""Seeds that are derived from the seed of a run and the number of a step, clip or view."""

import numpy as np
import torch


def mix_seeds(*numbers: int) -> int:
    """Return one seed for several numbers. Similar numbers give unrelated seeds."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def seed_step(*numbers: int) -> None:
    """Seed torch's global generator with a function of these numbers."""
    torch.manual_seed(mix_seeds(*numbers))
