"""What goes wrong with weights; apart, so that saying so does not take the time to load torch."""


class WeightsError(Exception):
    """A weights file is absent, damaged, or belongs to another network."""

    exit_code = 2
