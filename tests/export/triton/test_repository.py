"""A model repository: one model a product, whole versions, and a configuration that is not overwritten unasked."""

import msgspec
import pytest
from cmdiad.benchmarks.shared.changed_bundles import write_changed
from cmdiad.cli.triton import refuse_alone, single_bundle, write_models
from cmdiad.export.triton.pbtxt import TritonOptions, config_text
from cmdiad.export.triton.repository import model_name, write_repository
from cmdiad.runtime.bundle.reading import Bundle, open_bundle
from cmdiad.runtime.bundle.writing import rewrite_bundle
from cmdiad.runtime.errors import BundleError, UsageError

OPTIONS = TritonOptions()


def test_a_bundle_becomes_version_1_and_another_of_its_product_version_2(calibrated_bundle, tmp_path):
    (first,) = write_repository(tmp_path / "models", [calibrated_bundle], OPTIONS)
    assert (first.model, first.version, first.is_new) == ("gland", 1, True)
    assert sorted(path.name for path in first.folder.iterdir()) == ["bundle", "model.py"]
    digest = open_bundle(calibrated_bundle).manifest.digest
    assert open_bundle(first.folder / "bundle").manifest.digest == digest
    (again,) = write_repository(tmp_path / "models", [calibrated_bundle], OPTIONS)
    assert (again.version, again.is_new, again.config_kept) == (1, False, False)
    archive = write_changed(calibrated_bundle, tmp_path / "other.cmdiad", "another")
    (second,) = write_repository(tmp_path / "models", [archive], OPTIONS)
    assert (second.version, second.is_new) == (2, True) and (second.folder / "bundle.cmdiad").is_file()
    names = sorted(path.name for path in (tmp_path / "models" / "gland").iterdir())
    assert names == ["1", "2", "config.pbtxt"]


def test_a_changed_configuration_stays_unless_forced(calibrated_bundle, tmp_path):
    write_repository(tmp_path, [calibrated_bundle], OPTIONS)
    config = tmp_path / "gland" / "config.pbtxt"
    config.write_text("# mine\n")
    (kept,) = write_repository(tmp_path, [calibrated_bundle], OPTIONS)
    assert kept.config_kept and config.read_text() == "# mine\n"
    (forced,) = write_repository(tmp_path, [calibrated_bundle], OPTIONS, force=True)
    assert not forced.config_kept and config.read_text() == config_text("gland", OPTIONS)


def test_the_next_version_keeps_what_config_says_and_even_forced_its_site(calibrated_bundle, tmp_path):
    asked = TritonOptions("cuda", 2, 4, "/opt/cmdiad/site-packages")
    write_repository(tmp_path, [calibrated_bundle], asked)
    config = tmp_path / "gland" / "config.pbtxt"
    second = write_changed(calibrated_bundle, tmp_path / "second", "another")
    (kept,) = write_repository(tmp_path, [second], OPTIONS)
    assert not kept.config_kept and config.read_text() == config_text("gland", asked)
    config.write_text(config.read_text().replace('"site", value: {', '"site"  value {'))
    write_repository(tmp_path, [second], TritonOptions(instances=3), force=True)
    assert config.read_text() == config_text("gland", TritonOptions("cuda", 3, 4, "/opt/cmdiad/site-packages"))
    write_repository(tmp_path, [second], TritonOptions(site=""), force=True)
    assert '"site"' not in config.read_text()


def test_what_cannot_be_served_leaves_nothing_behind(exported_bundle, calibrated_bundle, tmp_path):
    with pytest.raises(BundleError, match="is not calibrated"):
        write_repository(tmp_path / "models", [calibrated_bundle, exported_bundle], OPTIONS)
    with pytest.raises(UsageError, match="are both of product gland"):
        write_repository(tmp_path / "models", [calibrated_bundle, calibrated_bundle], OPTIONS)
    assert not (tmp_path / "models").exists()


def test_a_product_s_name_becomes_one_that_urls_take(calibrated_bundle, tmp_path):
    bundle = open_bundle(calibrated_bundle)

    def named(product: str) -> Bundle:
        manifest = msgspec.structs.replace(bundle.manifest, product=product)
        rewrite_bundle(bundle, tmp_path / "named", manifest, {})
        return open_bundle(tmp_path / "named")

    assert model_name(named("gasket 12/b")) == "gasket_12_b"
    with pytest.raises(UsageError, match="cannot be a model's name"):
        model_name(named("../.."))


def test_the_configuration_says_what_was_asked_for():
    text = config_text("gland", TritonOptions("cuda", 2, 16, "/opt/cmdiad/site-packages"))
    assert "count: 2, kind: KIND_GPU, gpus: [ 0 ]" in text and "max_batch_size: 16" in text
    assert 'key: "site", value: { string_value: "/opt/cmdiad/site-packages" }' in text
    assert "KIND_CPU" in config_text("gland", OPTIONS) and '"site"' not in config_text("gland", OPTIONS)


@pytest.mark.parametrize(
    "wrong",
    [{"instances": 0}, {"batch": 0}, {"site": 'a"b'}, {"provider": "c\\pu"}, {"provider": "gpu"}],
    ids=["instances", "batch", "site", "letters", "provider"],
)
def test_options_that_the_file_could_not_say_are_refused(wrong):
    with pytest.raises(UsageError, match="--triton-"):
        TritonOptions(**wrong)


def test_the_command_asks_for_bundles_and_takes_several_for_this_alone(tmp_path):
    with pytest.raises(UsageError, match="--triton needs the bundles"):
        write_models(tmp_path, None, None, None, None, None, False)
    with pytest.raises(UsageError, match="several are for --triton alone"):
        single_bundle([tmp_path / "a", tmp_path / "b"])
    assert single_bundle(None) is None and single_bundle([tmp_path]) == tmp_path


def test_options_of_triton_without_it_are_refused():
    refuse_alone(None, None, None, None)
    with pytest.raises(UsageError, match="--triton-batch 4 is an option of --triton: give --triton REPOSITORY"):
        refuse_alone(None, None, 4, None)
