"""The search space of one configuration: what a trial's parameters stand for, and which are tried first."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from optuna.trial import Trial

from features.serialization import structure, unstructure
from recstack.config import StackConfig
from recstack.tuning.settings import LogFacts, Searched, Start, Table


@dataclass(frozen=True, kw_only=True)
class Space:
    """The search space of one configuration."""

    base: StackConfig
    """Where the search starts."""
    facts: LogFacts
    """Of its log."""
    searched: Searched
    """The stage whose settings are searched."""

    def suggest(self, trial: Trial) -> StackConfig:
        """Lets the trial choose each setting.

        Raises:
            ConfigError: the settings do not go together.
        """
        table = self._table()
        for setting in self.searched.settings:
            if setting.counts(table, self.facts):
                setting.write(table, setting.suggest(trial, self._start()))
        return self._stack(table)

    def start(self) -> dict[str, Any]:
        """The parameters that stand for the configuration as it is."""
        table = self._table()
        return {
            setting.field: setting.read(table)
            for setting in self.searched.settings
            if setting.counts(table, self.facts)
        }

    def attempt(self, number: int, best: Mapping[str, Any]) -> dict[str, Any] | None:
        """The best parameters so far with one of the changes that are tried first; None if it changes nothing.

        A change is about its first field, which the others go with: it is skipped where that has the value already.

        Args:
            number: which of the stage's `tries`.
            best: Parameters of the best trial.
        """
        wanted = self.searched.tries[number]
        first = next(iter(wanted))
        table, params = self._table(), dict[str, Any]()
        for setting in self.searched.settings:
            if setting.counts(table, self.facts):
                before = best.get(setting.field, setting.read(table))
                value = wanted.get(setting.field, before)
                if not setting.allows(value, self._start()) or (setting.field == first and value == before):
                    return None
                setting.write(table, value)
                params[setting.field] = value
        is_known = wanted.keys() <= params.keys()
        return params if is_known and self.stack_of(params) != self.stack_of(best) else None

    def stack_of(self, params: Mapping[str, Any]) -> StackConfig:
        """The configuration that a trial's parameters stand for; settings that it has not drawn stay as they are."""
        table = self._table()
        for setting in self.searched.settings:
            if setting.counts(table, self.facts) and setting.field in params:
                setting.write(table, params[setting.field])
        return self._stack(table)

    def describe(self) -> list[str]:
        """Each setting with its values, which are the same in all trials of a study."""
        return [f"{setting.field}: {setting.describe(self._start())}" for setting in self.searched.settings]

    def _start(self) -> Start:
        return Start(table=self._table(), facts=self.facts)

    def _stack(self, table: Table) -> StackConfig:
        stage = self.searched.stage
        return replace(self.base, **{stage: structure(table, self.searched.config, stage)})

    def _table(self) -> Table:
        return deepcopy(unstructure(getattr(self.base, self.searched.stage)))
