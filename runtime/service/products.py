"""The bundles of a line, by product: a new one takes over when it is verified and passes its self-test.

A part is inspected by the bundle that was current when it was begun; the one before is closed when its last part is
done. A bundle that fails says so and changes nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..bundle.reading import Bundle, open_bundle
from ..errors import BundleError, CmdiadError, UsageError, as_cmdiad_error
from ..inspector import Inspector
from .inspector_settings import InspectorSettings, require_selftest
from .rehearsal import rehearse

LOOK_SECONDS = 2.0

_log = logging.getLogger("cmdiad.line")


@dataclass
class Loaded:
    """One bundle at work; it is closed when it was replaced and nobody uses it any more."""

    inspector: Inspector
    digest: str
    loaded_at: float
    users: int = 0
    replaced: bool = False


@dataclass
class Product:
    """One product of the line, and what is known of its bundle.

    Attributes:
        name: what requests and folders call it; empty: as its bundle does, once that is open.
        path: where its bundle lies.
        threshold: in place of the bundle's own.
        follow: whether a new bundle at that place takes over.
        loaded: the bundle at work.
        problem: why the bundle that lies there now is not the one at work; None: it is.
        swaps: how often a new bundle took over.
    """

    name: str
    path: Path
    threshold: float | None = None
    follow: bool = True
    loaded: Loaded | None = None
    problem: str | None = None
    swaps: int = 0
    seen: tuple[Any, ...] = ()
    lock: threading.Lock = field(default_factory=threading.Lock)

    def as_json(self) -> dict[str, Any]:
        """One object of `/v1/bundles`."""
        loaded = self.loaded
        manifest = None if loaded is None else loaded.inspector.bundle.manifest
        return {
            "name": self.name,
            "path": str(self.path),
            "problem": self.problem,
            "swaps": self.swaps,
            "digest": None if loaded is None else loaded.digest,
            "loaded_at": None if loaded is None else loaded.loaded_at,
            "threshold": None if loaded is None else loaded.inspector.threshold,
            "product": None if manifest is None else manifest.product,
            "route": None if manifest is None else manifest.route,
            "precision": None if manifest is None else manifest.precision,
            "format_version": None if manifest is None else manifest.format_version,
            "metrics": {} if manifest is None else manifest.metrics,
            "provenance": {} if manifest is None else manifest.provenance,
            "n_scans": None if manifest is None or manifest.calibration is None else manifest.calibration.n_scans,
        }


class Products:
    """All products of a line; the first is the one that parts without a product are of.

    Attributes:
        settings: how their bundles are opened.
    """

    def __init__(
        self,
        products: list[Product],
        settings: InspectorSettings,
        swapped: Callable[[Product, str | None], None] = lambda product, before: None,
        opened: Callable[[Path], Bundle] = open_bundle,
        rehearsed: Callable[[Path, InspectorSettings, Callable[[], bool]], str] = rehearse,
    ) -> None:
        """Load every product's bundle.

        Args:
            products: at least one.
            settings: of all inspectors.
            swapped: called after a new bundle took over, with the digest of the one before.
            opened: opens and verifies a bundle; see `open_bundle`.
            rehearsed: tests a new bundle away from here before it is opened; see `rehearse`.

        Raises:
            BundleError: a bundle is missing, changed or not calibrated.
            EngineError: the provider is not available.
            ParityError: a bundle fails its self-test on this machine.
        """
        self.settings, self._swapped, self._opened, self._rehearsed = settings, swapped, opened, rehearsed
        self._ending = threading.Event()
        for product in products:
            product.seen = _state_of(product.path)
            product.loaded = self._first_of(product)
            product.name = product.name or product.loaded.inspector.bundle.manifest.product
        self._products = {product.name: product for product in products}
        self._first = products[0].name

    def names(self) -> list[str]:
        """Of all products, the first in front."""
        return list(self._products)

    def named(self, name: str | None) -> Product:
        """A product; without a name the first.

        Raises:
            UsageError: there is none of that name.
        """
        product = self._products.get(name or self._first)
        if product is None:
            raise UsageError(f"there is no product {name!r} on this line: it has {', '.join(self._products)}")
        return product

    def misnamed(self) -> list[str]:
        """Products whose bundles were calibrated for another one, by what both say: two may have been mistaken."""
        said = ((product, product.loaded) for product in self._products.values())
        return [
            f"product {product.name!r}: its bundle, {product.path}, is of product {calibrated!r}: check that it is the "
            "right one, or give the product that name"
            for product, loaded in said
            if loaded is not None and (calibrated := loaded.inspector.bundle.manifest.product) != product.name
        ]

    @contextmanager
    def used(self, name: str | None) -> Iterator[tuple[Product, Loaded]]:
        """A product's bundle, which stays open until the block ends.

        Raises:
            UsageError: there is no such product.
        """
        product = self.named(name)
        loaded = self.borrow(product)
        try:
            yield product, loaded
        finally:
            self.give_back(product, loaded)

    def borrow(self, product: Product) -> Loaded:
        """The bundle at work, which stays open until it is given back."""
        with product.lock:
            assert product.loaded is not None
            product.loaded.users += 1
            return product.loaded

    def give_back(self, product: Product, loaded: Loaded) -> None:
        """Let a bundle go: the last one who leaves a replaced one closes it."""
        with product.lock:
            loaded.users -= 1
            is_last = loaded.replaced and not loaded.users
        if is_last:
            loaded.inspector.close()

    def look(self) -> None:
        """Take over every new bundle that lies at its place, is whole, and passes its self-test."""
        for product in self._products.values():
            if product.follow and not self._ending.is_set():
                self._look_at(product)

    def stop_looking(self) -> None:
        """Break off the test of a new bundle, and take over none any more."""
        self._ending.set()

    def close(self) -> None:
        """Close all bundles."""
        for product in self._products.values():
            if product.loaded is not None:
                product.loaded.inspector.close()

    def _look_at(self, product: Product) -> None:
        state = _state_of(product.path)
        if state == product.seen or not state:
            return
        # Two looks with the same answer: what is still being copied in is not opened yet.
        time.sleep(min(LOOK_SECONDS / 4, 0.5))
        if _state_of(product.path) != state:
            return
        product.seen = state
        _log.info("product %s: testing a new bundle", product.name, extra={"path": str(product.path)})
        try:
            self._take_over(product)
        except Exception as error:
            product.problem = f"{as_cmdiad_error(error)}; {_digest(product)} keeps inspecting"
            _log.warning("product %s: %s", product.name, product.problem)

    def _take_over(self, product: Product) -> None:
        digest = self._rehearsed(product.path, self.settings, self._ending.is_set)
        bundle = self._opened(product.path)
        if bundle.manifest.digest != digest:
            raise BundleError(f"{product.path}: was replaced during its test: the one there now is tested next")
        _require_same_product(product, bundle)
        loaded = Loaded(self.settings.open(bundle, product.threshold), digest, time.time())
        with product.lock:
            before = product.loaded
            product.loaded, product.problem = loaded, None
            product.swaps += 1
            if before is not None:
                before.replaced = True
            is_idle = before is not None and not before.users
        if before is not None and is_idle:
            before.inspector.close()
        self._swapped(product, None if before is None else before.digest)

    def _first_of(self, product: Product) -> Loaded:
        bundle = self._opened(product.path)
        inspector = self.settings.open(bundle, product.threshold)
        try:
            require_selftest(bundle, self.settings)
        except CmdiadError:
            inspector.close()
            raise
        return Loaded(inspector, bundle.manifest.digest, time.time())


def _require_same_product(product: Product, bundle: Bundle) -> None:
    """Refuse a bundle that was put in another product's place by mistake: it would judge parts that it does not know.

    Raises:
        BundleError: it is of another product than the bundle at work.
    """
    if product.loaded is None:
        return
    now, then = product.loaded.inspector.bundle.manifest.product, bundle.manifest.product
    if now != then:
        raise BundleError(
            f"{product.path}: is of product {then!r}, and the bundle at work is of {now!r}: put it in that product's "
            "place, or restart the line if it is meant to inspect another product"
        )


def _digest(product: Product) -> str:
    return "no bundle" if product.loaded is None else f"bundle {product.loaded.digest[:12]}"


def _state_of(path: Path) -> tuple[Any, ...]:
    """What changes when a bundle is replaced; empty if there is no bundle."""
    manifest = path / "manifest.json" if path.is_dir() else path
    try:
        status = manifest.stat()
    except OSError:
        return ()
    return (status.st_ino, status.st_size, status.st_mtime_ns)
