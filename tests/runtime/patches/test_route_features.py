"""What a line hallucinates is what a plain transcription of the routes gives, for either main modality."""

import numpy as np
import pytest
import torch
from cmdiad.runtime.bundle.parameters import STRUCTURED_LIGHT
from cmdiad.runtime.inspector import Inspector
from cmdiad.runtime.patches.features import FeaturePath
from cmdiad.runtime.patches.routes import EXTRACTOR, HALLUCINATOR, SECOND_EXTRACTOR, modalities
from cmdiad.runtime.preparation.frame import prepare_rgb
from cmdiad.runtime.preparation.prepare import prepare
from cmdiad.runtime.preparation.prepared_part import PreparedPart, prepare_part
from cmdiad.runtime.sensor.image import read_rgb
from cmdiad.runtime.sensor.part import Part, find_inputs, read_part
from cmdiad.runtime.sensor.scan import read_scan
from cmdiad.runtime.timing import StageTimes
from cmdiad.training.extractors.by_name import open_extractor
from cmdiad.training.features.torch_session import TorchSession
from cmdiad.training.routes.distillation import distillation
from cmdiad.training.routes.f2f import Hallucinator
from torch.nn import functional

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def extractors():
    return {modality: open_extractor("embedded", modality) for modality in ("pc", "rgb")}


@pytest.fixture(scope="module")
def part(synth_data):
    """Points and image of one part at the networks' resolution, the background removed in both."""
    folder = synth_data / "gland" / "train" / "good"
    scan = prepare(read_scan(folder / "xyz" / "000.tiff").points, STRUCTURED_LIGHT)
    image = prepare_rgb(read_rgb(folder / "rgb" / "000.png"), scan.kept, scan.frame)
    return PreparedPart(scan, image, scan.valid, scan.kept, scan.frame)


def path_of(route, main, extractors):
    torch.manual_seed(4)
    trained = distillation(route)
    network = trained.new(main, extractors["pc"].dim, extractors["rgb"].dim).eval()
    if route == "f2i" and main == "rgb":
        # A random head's points lie in a heap; spread like a part's, metres apart would be no part either.
        with torch.no_grad():
            network.conv4.weight *= 0.05
    sessions = {
        EXTRACTOR: TorchSession(extractors[main].network, "tokens"),
        HALLUCINATOR: TorchSession(trained.one_direction(network, main), trained.output),
        SECOND_EXTRACTOR: TorchSession(extractors["rgb" if main == "pc" else "pc"].network, "tokens"),
    }
    return network, FeaturePath(route, main, extractors["pc"].grouping, sessions)


def network_image(part):
    """ImageNet-normalized, (1, 3, 224, 224); the prepared synthetic image has 200 pixels and is enlarged by Pillow."""
    from PIL import Image

    resized = np.asarray(Image.fromarray(part.image).resize((224, 224), Image.Resampling.BICUBIC))
    return ((torch.from_numpy(resized.copy()) / 255 - MEAN) / STD).permute(2, 0, 1)[None].float()


def patches_of_tokens(tokens):
    grid = tokens[0].T.reshape(1, -1, 28, 28)
    return functional.interpolate(grid, (56, 56), mode="nearest")[0].flatten(1).T


def patches_of_points(points_hw3, valid, extractor):
    """Farthest points, nearest points, tokens, full-resolution interpolation, 3x3 mean, pooling; nothing combined."""
    points = points_hw3[valid]
    grouping = extractor.grouping
    chosen, nearest = [0], torch.full((len(points),), torch.inf)
    for _ in range(grouping.n_groups - 1):
        nearest = torch.minimum(nearest, ((points - points[chosen[-1]]) ** 2).sum(1))
        chosen.append(int(nearest.argmax()))
    centers = points[chosen]
    exact = torch.cdist(centers.double(), points.double(), compute_mode="donot_use_mm_for_euclid_dist")
    members = exact.topk(grouping.group_size, largest=False).indices
    with torch.no_grad():
        tokens = extractor.network((points[members] - centers[:, None])[None], centers[None])[0]
    exact = torch.cdist(points.double(), centers.double(), compute_mode="donot_use_mm_for_euclid_dist")
    distance, index = exact.topk(3, largest=False)
    weight = 1 / (distance**2 + 1e-8)
    weight = (weight / weight.sum(1, keepdim=True)).float()
    full = torch.zeros(224, 224, tokens.shape[1])
    full[valid] = (tokens[index] * weight[..., None]).sum(1)
    averaged = functional.avg_pool2d(full.permute(2, 0, 1)[None], 3, stride=1)
    return functional.adaptive_avg_pool2d(averaged, 56)[0].flatten(1).T


def assert_close(actual, expected):
    assert actual.shape == expected.shape
    assert np.abs(actual - expected.numpy()).max() < 1e-3 * expected.abs().max()


@pytest.mark.parametrize("main", ["pc", "rgb"])
def test_i2f_takes_what_the_sensor_saw_with_the_background_zeroed(part, extractors, main):
    network, path = path_of("i2f", main, extractors)
    features = path.extract(part, StageTimes())
    seen = torch.from_numpy(part.scan.points).permute(2, 0, 1)[None] if main == "pc" else network_image(part)
    assert (part.scan.points[~part.valid] == 0).all()
    with torch.no_grad():
        assert_close(features.second, network(seen)[0][features.foreground])


@pytest.mark.parametrize("main", ["pc", "rgb"])
def test_f2f_takes_features_one_by_one(part, extractors, main):
    network, path = path_of("f2f", main, extractors)
    features = path.extract(part, StageTimes())
    with torch.no_grad():
        assert_close(features.second, Hallucinator(network, main)(torch.from_numpy(features.main)))


def test_f2i_of_points_looks_at_a_hallucinated_image(part, extractors):
    network, path = path_of("f2i", "pc", extractors)
    features = path.extract(part, StageTimes())
    everywhere = patches_of_points(torch.from_numpy(part.scan.points), torch.from_numpy(part.valid), extractors["pc"])
    with torch.no_grad():
        image = network(everywhere[None])
        tokens = extractors["rgb"].network(image)
    assert_close(features.hallucinated_input, image[0])
    assert_close(features.second, patches_of_tokens(tokens)[features.foreground])


def test_f2i_of_an_image_groups_hallucinated_points_where_the_image_shows_part(part, extractors):
    network, path = path_of("f2i", "rgb", extractors)
    alone = PreparedPart(None, part.image, part.valid, part.kept, part.frame)
    features = path.extract(alone, StageTimes())
    with torch.no_grad():
        tokens = extractors["rgb"].network(network_image(part))
        points = network(patches_of_tokens(tokens)[None])[0].permute(1, 2, 0)
    assert_close(features.hallucinated_input, points.permute(2, 0, 1))
    expected = patches_of_points(points, torch.from_numpy(part.valid), extractors["pc"])
    assert_close(features.second, expected[features.foreground])


@pytest.mark.slow
@pytest.mark.parametrize(("route", "main"), [("f2i", "rgb"), ("i2f", "pc")])
def test_a_route_runs_from_training_to_inspection(synth_data, trained_run, tmp_path, route, main):
    """The line of an image route is calibrated on images and inspects images."""
    from cmdiad.calibration.calibrate import CalibrationSettings
    from cmdiad.calibration.calibrated_bundle import calibrate_bundle
    from cmdiad.export.bundles import export_bundle
    from cmdiad.runtime.bundle.reading import open_bundle
    from cmdiad.training.train import TrainingSettings, train_route

    settings = TrainingSettings(route=route, main=main, epochs=1, batch_size=4, select=False, threads=1)
    run = train_route(
        synth_data,
        [],
        settings,
        trained_run.parent / f"{route}_{main}",
        lambda *_: None,
        trained_run.parent / "feature_cache",
    )
    manifest = export_bundle(run, route, main, tmp_path / "bundle")
    assert manifest.training_statistics["rgb"].std > 0
    inputs = find_inputs([synth_data / "gland" / "train" / "good"], modalities(manifest)).require()
    assert {path.suffix for path in inputs} == {".tiff" if main == "pc" else ".png"} and len(inputs) == 5
    calibration = CalibrationSettings(coreset_ratio=0.005, normalization="reference")
    calibrate_bundle(open_bundle(tmp_path / "bundle"), inputs, calibration, tmp_path / "bundle")
    inspector = Inspector.load(tmp_path / "bundle")
    inspection = inspector(inputs[0])
    assert inspection.map.shape == (200, 200) and np.isfinite(inspection.score)
    assert (inspection.points is None) == (main == "rgb")
    bank = inspector.bundle.manifest.banks["main"]
    statistics = manifest.training_statistics
    assert (bank.feature_mean, bank.feature_std) == (statistics["pc"].mean, statistics["rgb"].std)


def test_a_scan_for_an_image_route_is_said_plainly(exported_bundle):
    import msgspec
    from cmdiad.runtime.bundle.reading import open_bundle
    from cmdiad.runtime.errors import ScanError

    manifest = msgspec.structs.replace(open_bundle(exported_bundle).manifest, route="single", main="rgb")
    with pytest.raises(ScanError, match="inspects images"):
        prepare_part(Part(np.ones((4, 4, 3), np.float32), None), modalities(manifest), manifest.preprocessing)
    with pytest.raises(ScanError):
        read_part(exported_bundle / "manifest.json", modalities(manifest), manifest.preprocessing)
