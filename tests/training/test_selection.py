"""Checkpoints are judged by detection on parts that were neither trained on nor are tested."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch
from cmdiad.runtime.sensor.dataset import Sample
from cmdiad.training.extractors.by_name import open_extractor
from cmdiad.training.features.paired_features import Wanted
from cmdiad.training.features.torch_session import CPU
from cmdiad.training.routes.distillation import distillation
from cmdiad.training.selection import Judge, ValidationParts, find_validation, validation_doubts

DIM_PC, DIM_RGB = 24, 48


def test_defects_are_painted_where_the_split_has_none(synth_data):
    parts = find_validation(synth_data / "gland")
    assert (parts.n_bank, parts.n_good, parts.pseudo) == (5, 1, True)
    assert [entry.pseudo_defect for entry in parts.wanted] == [None] * 6 + [0]
    assert parts.wanted[5].sample == parts.wanted[6].sample
    assert {entry.sample.scan.parts[-4] for entry in parts.wanted[:5]} == {"train"}


def test_the_splits_own_defects_come_first(synth_data, tmp_path):
    folder = tmp_path / "gland"
    shutil.copytree(synth_data / "gland", folder)
    shutil.copytree(folder / "test" / "dent", folder / "validation" / "dent")
    parts = find_validation(folder)
    assert not parts.pseudo and [entry.sample.defect for entry in parts.wanted[6:]] == ["dent"]
    shutil.rmtree(folder / "validation")
    assert find_validation(folder) is None


def test_the_validation_split_of_eyecandies_is_found(eyecandies_data):
    parts = find_validation(eyecandies_data / "Praline")
    assert (parts.n_bank, parts.n_good, parts.pseudo) == (3, 1, True)
    assert parts.wanted[3].sample.scan == eyecandies_data / "Praline" / "val" / "data" / "00_depth.png"


def test_validation_parts_of_any_suffix_are_found_and_an_empty_split_is_none(synth_data, tmp_path):
    folder = tmp_path / "gland"
    shutil.copytree(synth_data / "gland", folder)
    scans = folder / "validation" / "good" / "xyz"
    (scans / "000.tiff").rename(scans / "000.TIF")
    assert find_validation(folder).n_good == 1
    (scans / "000.TIF").unlink()
    assert find_validation(folder) is None


def test_validation_scans_that_are_learned_from_or_tested_too_are_named(synth_data, tmp_path):
    folder = tmp_path / "gland"
    shutil.copytree(synth_data / "gland", folder)
    assert validation_doubts(folder) == []
    scans = folder / "validation" / "good" / "xyz"
    shutil.copy(folder / "train" / "good" / "xyz" / "003.tiff", scans / "000.tiff")
    shutil.copy(folder / "test" / "good" / "xyz" / "001.tiff", scans / "001.tiff")
    shutil.copytree(folder / "validation" / "good", folder / "validation" / "ok")
    label, learned, tested = validation_doubts(folder)
    assert label.startswith("validation/ok counts as a defect: only validation/good holds normal parts")
    assert learned.startswith(
        "2 of 4 validation scans are training scans too: validation/good/000 (train/good/003), validation/ok/000 ("
    )
    assert tested.startswith("2 of 4 validation scans are test scans too: validation/good/001 (test/good/001), val")


def test_a_fault_of_the_test_split_is_told_and_does_not_stop_a_training(synth_data, tmp_path):
    folder = tmp_path / "gland"
    shutil.copytree(synth_data / "gland", folder)
    (folder / "test" / "good" / "xyz" / "000.ply").write_bytes(b"")
    (doubt,) = validation_doubts(folder)
    assert (
        doubt.startswith("it could not be checked whether validation scans are test scans too: ") and "000.ply" in doubt
    )


def judge_of(folder, write_pairs, pairs, route="f2f", main="pc"):
    """A judge over made-up parts: three for the banks, two good, the others defective."""
    blank = Wanted(Sample(folder, None, None, "good"))
    parts = ValidationParts([blank] * len(pairs), 3, 2, pseudo=True)
    extractors = [open_extractor("embedded", modality) for modality in ("pc", "rgb")]
    return Judge([(parts, write_pairs(folder, pairs))], route, main, *extractors, CPU)


def defective(pair):
    """Another material in a square of the part, to both sensors."""
    mask = np.zeros_like(pair.valid)
    mask[96:128, 96:128] = True
    patches = mask.reshape(56, 4, 56, 4).any(axis=(1, 3)).ravel()
    pc = pair.pc + 9 * patches[pair.foreground][:, None].astype(np.float32)
    return dataclasses.replace(pair, pc=pc, mask=mask)


def test_a_defect_that_is_seen_is_detected_and_a_copy_is_chance(tmp_path, made_up_pair, write_pairs):
    torch.manual_seed(0)
    network = distillation("f2f").new("pc", DIM_PC, DIM_RGB).train()
    normal = [made_up_pair(seed) for seed in range(5)]
    seen = judge_of(tmp_path / "seen", write_pairs, [*normal, *map(defective, normal[3:])])
    assert seen(network) > 0.99 and network.training
    copies = judge_of(tmp_path / "copies", write_pairs, [*normal, *normal[3:]])
    assert copies(network) == pytest.approx(0.5)


def test_a_network_that_hallucinates_differently_is_judged_differently(tmp_path, made_up_pair, write_pairs):
    normal = [made_up_pair(seed) for seed in range(7)]
    faint = [dataclasses.replace(defective(pair), pc=pair.pc) for pair in normal[5:]]
    judge = judge_of(tmp_path, write_pairs, [*normal[:5], *faint])
    detections = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        detections.append(judge(distillation("f2f").new("pc", DIM_PC, DIM_RGB)))
    assert detections[0] != detections[1] and all(0 <= value <= 1 for value in detections)
    torch.manual_seed(0)
    assert judge(distillation("f2f").new("pc", DIM_PC, DIM_RGB)) == detections[0]


@pytest.mark.parametrize(("route", "main"), [("i2f", "pc"), ("f2i", "rgb")])
def test_every_route_can_be_judged(tmp_path, made_up_pair, write_pairs, route, main):
    torch.manual_seed(0)
    normal = [made_up_pair(seed) for seed in range(5)]
    judge = judge_of(tmp_path, write_pairs, [*normal, defective(normal[4])], route, main)
    assert 0 <= judge(distillation(route).new(main, DIM_PC, DIM_RGB)) <= 1
