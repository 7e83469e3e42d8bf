"""One class a route: what it measures, which networks it needs, how its second features are made, and its banks.

A route tells how by the few steps of `Steps`. They are taken on the arrays of one part while it is inspected
(`features.py`), and on the tensors of the line graph while that is written (`calibration/line_graph/building.py`), so
that the two cannot compute different things. What is trained for a route stands in `training/routes/distillation.py`.
A new route is a name in `bundle/parameters.py`, a class here, a network in `training/routes/`, and an entry there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Generic, Protocol, TypeVar

from ..bundle.manifest import Manifest, Tensor
from ..bundle.parameters import Grouping, Modality, RouteName
from .pooling import N_PATCHES, SIZE

EXTRACTOR = "extractor"
SECOND_EXTRACTOR = "second_extractor"
HALLUCINATOR = "hallucinator"

MAIN = "main"
HALLUCINATED = "hallucinated"
OTHER = "other"

T = TypeVar("T")


class Steps(Protocol[T]):
    """What second features are made by, at some patches of a part (shapes without a batch axis)."""

    def main(self) -> T:
        """(n, D), the main modality's features at the patches."""
        ...

    def grid(self) -> T:
        """(3136, D), the main modality's features everywhere; zero where there are no points."""
        ...

    def sensed(self, modality: Modality) -> T:
        """(3, 224, 224), what a sensor saw with the background zeroed: meters, or an ImageNet-normalized image."""
        ...

    def hallucinate(self, name: str, value: T) -> T:
        """The output of the trained network for its one input, called `name`."""
        ...

    def at_patches(self, everywhere: T) -> T:
        """Features of all patches (3136, E) -> those at the patches (n, E)."""
        ...

    def measured(self, modality: Modality) -> T:
        """(n, E), what the second extractor makes of what a sensor saw."""
        ...

    def extracted(self, modality: Modality, hallucinated_input: T) -> T:
        """(n, E), what the second extractor makes of a sensor's hallucinated input (3, 224, 224)."""
        ...


@dataclass(frozen=True)
class Second(Generic[T]):
    """What is compared with the second bank.

    Attributes:
        features: (n, E).
        hallucinated_input: (3, 224, 224), what they were extracted from where no sensor saw it.
    """

    features: T
    hallucinated_input: T | None = None


@dataclass(frozen=True)
class Route:
    """A route with its main modality: the facts of it that differ from route to route.

    Attributes:
        main: the main modality.
        name: as the manifest and the commands have it.
        networks: the roles of the networks that an inspection runs.
        second_bank: the role of the second bank; None for a single bank.
        hallucination: the name of the trained network's output; empty where nothing is trained.
    """

    main: Modality
    name: ClassVar[RouteName]
    networks: ClassVar[tuple[str, ...]] = (EXTRACTOR,)
    second_bank: ClassVar[str | None] = None
    hallucination: ClassVar[str] = ""

    @property
    def other(self) -> Modality:
        """The modality that is not the main one."""
        return other(self.main)

    @property
    def measured(self) -> frozenset[Modality]:
        """What the sensors of the line measure."""
        return frozenset({self.main})

    @property
    def is_trained(self) -> bool:
        """Whether a network is trained for it.

        The published code normalizes both banks of such a route with the statistics of its training; other banks
        have their own.
        """
        return HALLUCINATOR in self.networks

    @property
    def title(self) -> str:
        """How reports and the paper's tables call it with its main modality."""
        return f"{self.name.upper()}, {self.main.upper()}"

    @property
    def is_symmetric(self) -> bool:
        """Whether it is the same with either main modality, apart from the order of its banks."""
        return len(self.measured) > 1

    @property
    def banks(self) -> tuple[str, ...]:
        """The roles of its banks, the main modality's first."""
        return (MAIN,) if self.second_bank is None else (MAIN, self.second_bank)

    @property
    def groups_hallucination(self) -> bool:
        """Whether points are grouped that were hallucinated: rounding then chooses other groups."""
        return False

    @property
    def line_obstacle(self) -> str:
        """Why it cannot be one graph; empty where it can."""
        return ""

    def line_inputs(self, grouping: Grouping) -> list[Tensor]:
        """The line graph's inputs: where the patches of the part lie, and what the sensors give of them, grouped.

        `patches` are places in the 56x56 grid, -1 where a row is padding; `places` are the rows of these, -1 where
        there is no part; `pooling` are the rows of A.
        """
        inputs = [
            Tensor(name="patches", shape=["batch", "patches"], dtype="int32"),
            Tensor(name="places", shape=["batch", N_PATCHES], dtype="int32"),
        ]
        if "pc" in self.measured:
            n, m = grouping.n_groups, grouping.group_size
            inputs.append(Tensor(name="groups", shape=["batch", n, m, 3], dtype="float32"))
            inputs.append(Tensor(name="centers", shape=["batch", n, 3], dtype="float32"))
            inputs.append(Tensor(name="pooling", shape=["batch", "patches", n], dtype="float32"))
        if "rgb" in self.measured:
            inputs.append(Tensor(name="image", shape=["batch", 3, SIZE, SIZE], dtype="float32"))
        return inputs

    def second(self, steps: Steps[T]) -> Second[T] | None:
        """What is compared with the second bank; None for a single bank."""
        return None

    def second_without_points(self, main: T, hallucinate: Callable[[str, T], T]) -> T | None:
        """The one second feature of all patches without points; None where it differs from place to place.

        Args:
            main: (1, D), their main feature.
            hallucinate: as in `Steps`.
        """
        return None


class Single(Route):
    """One sensor, one bank of its own features: the baseline."""

    name = "single"

    @property
    def title(self) -> str:
        """With the sensor's name."""
        return f"Single bank, {self.main.upper()}"


class Dual(Route):
    """Both sensors, a bank of each: what distillation would replace."""

    name = "dual"
    networks = (EXTRACTOR, SECOND_EXTRACTOR)
    second_bank = OTHER

    @property
    def title(self) -> str:
        """The same with either main modality."""
        return "Dual banks, RGB + PC"

    @property
    def measured(self) -> frozenset[Modality]:
        """Both."""
        return frozenset({self.main, self.other})

    def second(self, steps: Steps[T]) -> Second[T]:
        """The other sensor's features."""
        return Second(steps.measured(self.other))


class F2F(Route):
    """The other modality's features are hallucinated from the main one's, patch by patch."""

    name = "f2f"
    networks = (EXTRACTOR, HALLUCINATOR)
    second_bank = HALLUCINATED
    hallucination = "hallucination"

    def second(self, steps: Steps[T]) -> Second[T]:
        """The main features through the network."""
        return Second(steps.hallucinate("features", steps.main()))

    def second_without_points(self, main: T, hallucinate: Callable[[str, T], T]) -> T:
        """Its main feature through the network."""
        return hallucinate("features", main)


class F2I(Route):
    """What the other sensor would have seen is hallucinated from the main features, for its own extractor."""

    name = "f2i"
    networks = (EXTRACTOR, HALLUCINATOR, SECOND_EXTRACTOR)
    second_bank = HALLUCINATED
    hallucination = "hallucinated_input"

    @property
    def groups_hallucination(self) -> bool:
        """Its points are hallucinated where the main modality is RGB."""
        return self.other == "pc"

    @property
    def line_obstacle(self) -> str:
        """Grouping is not a graph."""
        return (
            "F2I from RGB groups the points that it hallucinates, which a graph cannot do" if self.other == "pc" else ""
        )

    def second(self, steps: Steps[T]) -> Second[T]:
        """The other extractor's features of the hallucinated input."""
        hallucinated = steps.hallucinate("features", steps.grid())
        return Second(steps.extracted(self.other, hallucinated), hallucinated)


class I2F(Route):
    """The other modality's features are hallucinated from what the main sensor saw."""

    name = "i2f"
    networks = (EXTRACTOR, HALLUCINATOR)
    second_bank = HALLUCINATED
    hallucination = "hallucination"

    def line_inputs(self, grouping: Grouping) -> list[Tensor]:
        """The points themselves too; an image is an input as it is."""
        inputs = super().line_inputs(grouping)
        if self.main == "pc":
            inputs.append(Tensor(name="input", shape=["batch", 3, SIZE, SIZE], dtype="float32"))
        return inputs

    def second(self, steps: Steps[T]) -> Second[T]:
        """The sensor's input through the network."""
        return Second(steps.at_patches(steps.hallucinate("input", steps.sensed(self.main))))


_ROUTES: dict[RouteName, type[Route]] = {route.name: route for route in (F2F, F2I, I2F, Single, Dual)}


def route_of(name: RouteName, main: Modality) -> Route:
    """The route of a name.

    Example:
        >>> route_of("dual", "pc").banks
        ('main', 'other')
        >>> route_of("f2f", "rgb").title
        'F2F, RGB'
    """
    return _ROUTES[name](main)


def modalities(manifest: Manifest) -> frozenset[Modality]:
    """What the route of a bundle measures at inspection."""
    return measured_by(manifest.route, manifest.main)


def measured_by(route: RouteName, main: Modality) -> frozenset[Modality]:
    """What a route measures at inspection."""
    return route_of(route, main).measured


def other(modality: Modality) -> Modality:
    """The modality that is missing where this one is measured."""
    return "rgb" if modality == "pc" else "pc"
