"""Products: a new bundle takes over whole, and one that fails changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cmdiad.runtime.errors import BundleError, ParityError, UsageError
from cmdiad.runtime.service import products as products_module
from cmdiad.runtime.service.inspector_settings import InspectorSettings
from cmdiad.runtime.service.products import Product, Products


class Shelf:
    """Bundles that are files with a word in them: `broken` cannot be opened, `wrong` fails its self-test,
    `foreign` is of another product.
    """

    def __init__(self) -> None:
        self.closed: list[str] = []
        self.rehearsed: list[str] = []

    def open(self, path: Path) -> Any:
        """What `open_bundle` gives, as far as products look at it."""
        word = path.read_text()
        if word == "broken":
            raise BundleError(f"{path}: was changed")
        made_for = "another" if word == "foreign" else "thing"
        return SimpleNamespace(
            path=path, word=word, manifest=SimpleNamespace(digest=word * 8, files={}, product=made_for)
        )

    def rehearse(self, path: Path, settings: InspectorSettings, is_unwanted: Callable[[], bool]) -> str:
        """What `rehearse` gives: as the shelf opens it, and no self-test is failed."""
        self.rehearsed.append(path.read_text())
        if path.read_text() == "wrong":
            raise BundleError(f"{path}: fails its self-test")
        return self.open(path).manifest.digest  # type: ignore[no-any-return]

    def inspector(self, settings: InspectorSettings, bundle: Any, threshold: float | None) -> Any:
        """An inspector that only notes its end."""
        return SimpleNamespace(bundle=bundle, threshold=threshold, close=lambda: self.closed.append(bundle.word))


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    made = Shelf()

    def selftest(bundle: Any, settings: InspectorSettings) -> None:
        if bundle.word == "wrong":
            raise ParityError(f"{bundle.path}: fails its self-test")

    monkeypatch.setattr(products_module, "require_selftest", selftest)
    monkeypatch.setattr(products_module, "LOOK_SECONDS", 0.0)

    def opened(settings: InspectorSettings, bundle: Any, threshold: float | None) -> Any:
        return made.inspector(settings, bundle, threshold)

    monkeypatch.setattr(InspectorSettings, "open", opened)
    return made


def lay(path: Path, word: str) -> None:
    """Put a bundle in its place, as `cmdiad` does: by a rename."""
    new = path.with_name("new")
    new.write_text(word)
    new.replace(path)


def opened(shelf: Shelf, path: Path, swaps: list[Any] | None = None, **settings: Any) -> Products:
    return Products(
        [Product("thing", path, **settings)],
        InspectorSettings(),
        lambda product, before: None if swaps is None else swaps.append((product.name, before)),
        shelf.open,
        shelf.rehearse,
    )


def test_a_new_bundle_takes_over_and_the_old_one_is_closed(shelf: Shelf, tmp_path: Path) -> None:
    lay(tmp_path / "b", "first")
    swaps: list[Any] = []
    products = opened(shelf, tmp_path / "b", swaps)
    products.look()
    assert swaps == []
    lay(tmp_path / "b", "second")
    products.look()
    with products.used(None) as (product, loaded):
        assert (loaded.digest, product.swaps, product.problem) == ("second" * 8, 1, None)
    assert swaps == [("thing", "first" * 8)]
    assert shelf.closed == ["first"]


def test_a_part_that_was_begun_keeps_its_bundle_until_it_is_done(shelf: Shelf, tmp_path: Path) -> None:
    lay(tmp_path / "b", "first")
    products = opened(shelf, tmp_path / "b")
    with products.used("thing") as (_, loaded):
        lay(tmp_path / "b", "second")
        products.look()
        assert loaded.digest == "first" * 8
        assert shelf.closed == []
        with products.used("thing") as (_, newer):
            assert newer.digest == "second" * 8
    assert shelf.closed == ["first"]


def test_only_a_new_bundle_is_rehearsed_elsewhere(shelf: Shelf, tmp_path: Path) -> None:
    lay(tmp_path / "b", "first")
    products = opened(shelf, tmp_path / "b")
    assert shelf.rehearsed == []
    lay(tmp_path / "b", "second")
    products.look()
    products.look()
    assert shelf.rehearsed == ["second"]


def test_a_bundle_that_is_replaced_during_its_test_does_not_take_over_untested(shelf: Shelf, tmp_path: Path) -> None:
    lay(tmp_path / "b", "first")
    rehearse, laid = shelf.rehearse, iter(["third"])

    def rehearse_slowly(path: Path, settings: InspectorSettings, is_unwanted: Callable[[], bool]) -> str:
        digest = rehearse(path, settings, is_unwanted)
        for word in laid:
            lay(path, word)
        return digest

    shelf.rehearse = rehearse_slowly  # type: ignore[method-assign]
    products = opened(shelf, tmp_path / "b")
    lay(tmp_path / "b", "second")
    products.look()
    product = products.named(None)
    assert product.swaps == 0 and "was replaced during its test" in str(product.problem)
    products.look()
    assert product.loaded is not None and product.loaded.digest == "third" * 8
    assert shelf.rehearsed == ["second", "third"]


def test_a_line_that_ends_takes_no_bundle_over(shelf: Shelf, tmp_path: Path) -> None:
    lay(tmp_path / "b", "first")
    products = opened(shelf, tmp_path / "b")
    lay(tmp_path / "b", "second")
    products.stop_looking()
    products.look()
    assert shelf.rehearsed == [] and products.named(None).swaps == 0


@pytest.mark.parametrize("word", ["broken", "wrong"])
def test_a_bundle_that_fails_changes_nothing_and_says_so(
    shelf: Shelf, tmp_path: Path, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    lay(tmp_path / "b", "first")
    products = opened(shelf, tmp_path / "b")
    lay(tmp_path / "b", word)
    products.look()
    assert "keeps inspecting" in caplog.text
    with products.used(None) as (product, loaded):
        assert loaded.digest == "first" * 8
        assert product.problem is not None and product.problem.endswith("keeps inspecting")
    lay(tmp_path / "b", "third")
    products.look()
    assert products.named(None).problem is None
    assert "first" in shelf.closed


def test_a_bundle_of_another_product_does_not_take_over(shelf: Shelf, tmp_path: Path) -> None:
    lay(tmp_path / "b", "old")
    products = opened(shelf, tmp_path / "b")
    lay(tmp_path / "b", "foreign")
    products.look()
    problem = products.named("thing").problem
    assert problem is not None and "is of product 'another', and the bundle at work is of 'thing'" in problem
    with products.used(None) as (_, loaded):
        assert loaded.digest == "old" * 8


def test_a_bundle_that_goes_away_keeps_inspecting(shelf: Shelf, tmp_path: Path) -> None:
    lay(tmp_path / "b", "first")
    products = opened(shelf, tmp_path / "b")
    (tmp_path / "b").unlink()
    products.look()
    with products.used(None) as (_, loaded):
        assert loaded.digest == "first" * 8


def test_a_product_that_does_not_follow_stays(shelf: Shelf, tmp_path: Path) -> None:
    lay(tmp_path / "b", "first")
    products = opened(shelf, tmp_path / "b", follow=False)
    lay(tmp_path / "b", "second")
    products.look()
    assert products.named(None).swaps == 0


@pytest.mark.parametrize(("word", "error"), [("broken", BundleError), ("wrong", ParityError)])
def test_a_line_does_not_begin_with_a_bundle_that_fails(
    shelf: Shelf, tmp_path: Path, word: str, error: type[Exception]
) -> None:
    lay(tmp_path / "b", word)
    with pytest.raises(error):
        opened(shelf, tmp_path / "b")


def test_an_unknown_product_is_refused_with_those_there_are(shelf: Shelf, tmp_path: Path) -> None:
    lay(tmp_path / "b", "first")
    with pytest.raises(UsageError, match="no product 'other' on this line: it has thing"):
        opened(shelf, tmp_path / "b").named("other")
