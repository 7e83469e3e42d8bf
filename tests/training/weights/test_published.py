"""Published weights are found where they are said to be, and their absence says what to do."""

import pytest
from cmdiad.runtime.errors import WeightsError
from cmdiad.training.weights.published import PUBLISHED, find_weights, present_file, published_weights, weights_folder


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CMDIAD_WEIGHTS", str(tmp_path))
    return tmp_path


def test_the_folder_is_the_variable_or_in_the_users_cache(tmp_path, monkeypatch):
    assert weights_folder() == tmp_path
    monkeypatch.delenv("CMDIAD_WEIGHTS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert weights_folder() == tmp_path / "cache" / "cmdiad" / "weights"


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda entry: entry.name)
def test_each_name_a_file_is_published_under_is_found(folder, entry):
    assert present_file(entry) is None
    for name in reversed(entry.files):
        (folder / name).touch()
        assert find_weights(entry.name, None) == folder / name


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda entry: entry.name)
def test_a_missing_file_says_what_it_is_where_it_is_from_and_where_it_goes(folder, entry):
    with pytest.raises(WeightsError) as refusal:
        find_weights(entry.name, None)
    for word in (str(folder / entry.files[0]), entry.source, "random:0"):
        assert word in str(refusal.value)


def test_a_given_file_is_taken_and_no_other(folder):
    (folder / "pretrain.pth").touch()
    (folder / "mine.pth").touch()
    assert find_weights("point-mae", str(folder / "mine.pth")) == folder / "mine.pth"
    with pytest.raises(WeightsError, match=r"theirs\.pth"):
        find_weights("point-mae", str(folder / "theirs.pth"))


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "resnet50"])
def test_another_model_of_timm_is_called_by_its_name(name):
    assert published_weights(name).files[0] == f"{name}.safetensors"


def test_what_nobody_published_is_refused():
    with pytest.raises(WeightsError, match="choose one of point-mae"):
        published_weights("pointnet")
