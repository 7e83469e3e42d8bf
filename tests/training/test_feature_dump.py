"""Networks in torch run through the line's own path, with the extractors that a route needs and no others."""

import numpy as np
import pytest
import torch
from cmdiad.runtime.bundle.parameters import STRUCTURED_LIGHT
from cmdiad.runtime.errors import WeightsError
from cmdiad.runtime.patches.intermediates import feature_arrays
from cmdiad.training.extractors.by_name import open_extractor
from cmdiad.training.feature_dump import CheckpointChoice, torch_source
from cmdiad.training.routes.f2f import FeatureToFeature
from cmdiad.training.routes.f2i import FeatureToInput
from safetensors.torch import save_file

DIM_PC, DIM_RGB = (open_extractor("embedded", modality).dim for modality in ("pc", "rgb"))


def arrays(folder, main, network, file):
    weights = None
    if network is not None:
        torch.manual_seed(0)
        weights = folder / "route.safetensors"
        save_file(network().state_dict(), weights)
    choice = CheckpointChoice(main, "embedded", "embedded", route_checkpoint=weights)
    source = torch_source(choice, STRUCTURED_LIGHT)
    return feature_arrays(source, source.prepare(file))


@pytest.mark.parametrize(
    ("main", "network", "expected"),
    [
        ("pc", None, {}),
        ("rgb", lambda: FeatureToFeature(DIM_PC, DIM_RGB), {"hallucination": (3136, DIM_PC)}),
        (
            "pc",
            lambda: FeatureToInput(DIM_PC),
            {"hallucination": (3136, DIM_RGB), "hallucinated_input": (3, 224, 224)},
        ),
    ],
    ids=["single pc", "f2f rgb", "f2i pc"],
)
def test_each_route_has_its_arrays(synth_data, tmp_path, main, network, expected):
    folder = synth_data / "gland" / "train" / "good"
    file = folder / "xyz" / "000.tiff" if main == "pc" else folder / "rgb" / "000.png"
    shapes = {name: array.shape for name, array in arrays(tmp_path, main, network, file).items()}
    points = {"center_idx": (512,), "tokens": (512, DIM_PC), "patch": (3136, DIM_PC)}
    image = {"tokens": (784, DIM_RGB), "patch": (3136, DIM_RGB)}
    assert shapes == (points if main == "pc" else image) | expected


def test_f2i_hallucinates_an_image_that_its_extractor_then_sees(synth_data, tmp_path):
    file = synth_data / "gland" / "train" / "good" / "xyz" / "000.tiff"
    dumped = arrays(tmp_path, "pc", lambda: FeatureToInput(DIM_PC), file)
    extractor = open_extractor("embedded", "rgb").network
    with torch.no_grad():
        tokens = extractor(torch.from_numpy(dumped["hallucinated_input"])[None])[0].numpy()
    expected = tokens.reshape(28, 28, -1).repeat(2, axis=0).repeat(2, axis=1).reshape(3136, -1)
    np.testing.assert_allclose(dumped["hallucination"], expected, atol=1e-5)


def test_a_route_of_another_extractor_is_refused(synth_data, tmp_path):
    with pytest.raises(WeightsError, match=rf"takes features of 24, embedded makes {DIM_PC}"):
        arrays(tmp_path, "pc", lambda: FeatureToFeature(24, 16), synth_data)
