"""A scrape: a real text exposition, read back by the parser of prometheus_client."""

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]


def scraped(registry: CollectorRegistry) -> dict[str, dict[Labels, float]]:
    """Return what a scrape shows: for each sample its values by labels."""
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return found


def labelled(**labels: str) -> Labels:
    return frozenset(labels.items())


NO_LABELS = labelled()
