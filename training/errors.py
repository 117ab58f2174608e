"""How training fails.

TrainingError
├── InputError            the caller's input is wrong; trying again does not help
│   ├── InvalidDataset        a line of the data set is not a training example
│   ├── InvalidProbes         a line of the probes of general ability is none
│   ├── UnknownBaseModel      no base weights under this name, folder or hub id
│   ├── BrokenTemplate        a chat template that training and serving cannot share
│   └── OutOfRange            a setting lies outside what it allows
├── StateError            the thing is not in a state that allows this
│   ├── VersionExists         a version folder is written once
│   ├── NoRoom                the disk is full; make room, and train again
│   └── OutOfMemory           a GPU has too little memory; train smaller, or leave it more
├── ProcessLost           a training's own process is gone without a word; try again from the last checkpoint
├── DamagedWeights        weights are not those that the manifest names; restore the folder, or train again
├── EngineUnavailable     a server that training needs does not answer; try again later
└── Cancelled             somebody asked for the run to stop

A candidate that the gate refuses is a result, not an error.
"""

from __future__ import annotations

from collections.abc import Sequence


class TrainingError(Exception):
    """Base of all errors of this library."""


class InputError(TrainingError):
    """Wrong input."""


class InvalidDataset(InputError):
    """A data set with a line that cannot be trained on; the message names the line, `problems` has every bad one."""

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class InvalidProbes(InputError):
    """Probes with a line that cannot be asked; the message names the line."""


class UnknownBaseModel(InputError):
    """Base weights that cannot be found anywhere."""


class BrokenTemplate(InputError):
    """A chat template that fails, drops part of the text, or does not end a turn; the message says which."""


class OutOfRange(InputError):
    """A setting outside its range; the message names the setting and the range."""


class StateError(TrainingError):
    """Wrong state."""


class VersionExists(StateError):
    """A second attempt to write a version's folder."""


class NoRoom(StateError):
    """A disk without room for what a run writes; the message names the folder."""


class OutOfMemory(StateError):
    """A GPU without the memory that a training needs; the message says what needs less."""


class ProcessLost(TrainingError):
    """The process that trained was killed, or crashed; its last checkpoint still exists."""


class DamagedWeights(TrainingError):
    """Weights that differ from their manifest; the message names the tensor."""


class EngineUnavailable(TrainingError):
    """A server that training needs is down, or does not answer in time."""


class Cancelled(TrainingError):
    """Somebody asked the run to stop, and it did."""
