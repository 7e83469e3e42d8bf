"""A published route checkpoint becomes a run that exports as one trained here does."""

import argparse

import numpy as np
import pytest
import torch
from cmdiad.export.bundles import export_bundle
from cmdiad.export.export_settings import ExportSettings
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.engines.session import OnnxSession
from cmdiad.runtime.errors import UsageError, WeightsError
from cmdiad.training.adoption import Adoption, adopt_checkpoint
from cmdiad.training.extractors.by_name import open_extractor
from cmdiad.training.feature_dump import CheckpointChoice
from cmdiad.training.routes.f2f import FeatureToFeature, Hallucinator
from cmdiad.training.runs.record import read_run


def published(folder, network):
    torch.save({"model": network.state_dict(), "epoch": 64, "args": argparse.Namespace()}, folder / "MTFI_FtoF_PCs.pth")
    return CheckpointChoice("pc", "embedded", "embedded", route_checkpoint=folder / "MTFI_FtoF_PCs.pth")


@pytest.mark.slow
def test_an_adopted_checkpoint_exports_with_its_own_weights_and_says_so(tmp_path, synth_data, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dims = [open_extractor("embedded", modality).dim for modality in ("pc", "rgb")]
    torch.manual_seed(0)
    network = FeatureToFeature(*dims)
    run = adopt_checkpoint(Adoption(published(tmp_path, network)), tmp_path / "runs" / "adopted")
    assert read_run(tmp_path / "runs" / "latest")[1].adopted.startswith("MTFI_FtoF_PCs.pth, SHA-256 ")
    with pytest.raises(UsageError, match="--scans"):
        export_bundle(run, "f2f", "pc", tmp_path / "bundle")
    manifest = export_bundle(run, "f2f", "pc", tmp_path / "bundle", settings=ExportSettings(data=synth_data))
    assert manifest.provenance["route_weights"] == read_run(run)[1].adopted
    bundle = open_bundle(tmp_path / "bundle")
    features = np.random.default_rng(0).normal(size=(1, 7, dims[0])).astype(np.float32)
    answer = OnnxSession(bundle.read(bundle.manifest.networks["hallucinator"].file)).run({"features": features})
    expected = Hallucinator(network, "pc")(torch.from_numpy(features)).detach().numpy()
    np.testing.assert_allclose(answer["hallucination"], expected, atol=1e-5)


def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(WeightsError, match="24 wide, the features of embedded"):
        adopt_checkpoint(Adoption(published(tmp_path, FeatureToFeature(24, 16))), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(UsageError, match="not empty"):
        adopt_checkpoint(Adoption(published(tmp_path, FeatureToFeature(24, 16))), tmp_path)
