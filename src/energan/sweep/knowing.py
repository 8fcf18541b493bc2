"""What can be said of a trial before it runs."""

from collections.abc import Callable
from dataclasses import dataclass, field

from energan.core import Domain
from energan.data import open_data
from energan.data.settings import DataSettings
from energan.experiment.build import cohort_key
from energan.sweep.costing import Cost, Costs
from energan.sweep.grouping import Known
from energan.sweep.machine import Machine, checkpoint_bytes, member_bytes
from energan.sweep.trials import Trial

DomainOf = Callable[[DataSettings], Domain]


class Knowing:
    """Trial -> what is known of it; trials that may train together are counted once."""

    def __init__(self, machine: Machine, domain: DomainOf, costs: Costs) -> None:
        self.machine, self.domain, self.costs = machine, domain, costs
        self.of: dict[str, Cost] = {}
        self.known: dict[str, Known] = {}

    def __call__(self, trial: Trial) -> Known:
        if trial.id not in self.known:
            self.known[trial.id] = self._known(trial)
        return self.known[trial.id]

    def _known(self, trial: Trial) -> Known:
        job = trial.job
        domain = self.domain(job.settings.data)
        key = cohort_key(job, domain)
        cost = self.of.get(key) or self.costs.of(job, domain)
        self.of[key] = cost
        return Known(
            trial, key, cost.work(job), member_bytes(job, cost, self.machine.device),
            checkpoint_bytes(job, cost),
        )  # fmt: skip


@dataclass
class Domains:
    """Of data, each opened once."""

    known: dict[str, Domain] = field(default_factory=dict)

    def __call__(self, settings: DataSettings) -> Domain:
        key = settings.model_dump_json()
        if key not in self.known:
            self.known[key] = open_data(settings).domain
        return self.known[key]
