"""What a request holds becomes a part, or an error in words; an inspection becomes the answer's tensors."""

import numpy as np
import pytest
from cmdiad.runtime.errors import ScanError, UsageError
from cmdiad.runtime.triton.tensors import SentPart

SCAN = np.ones((1, 4, 5, 3), np.float32)


def text(value: bytes, count: int = 1) -> np.ndarray:
    return np.array([[value]] * count, np.object_)


def test_numbers_and_files_are_taken_with_their_names():
    numbers = SentPart.of({"SCAN": SCAN, "PART_ID": text(b"A17")}, 1000)
    assert numbers.points.shape == (4, 5, 3) and (numbers.name, numbers.part_id, numbers.data) == ("A17", "A17", None)
    file = SentPart.of({"FILE": text(b"content"), "FILE_NAME": text(b"part.tiff"), "IMAGE_FILE": text(b"png")}, 1000)
    assert (file.name, file.part_id, file.data, file.image) == ("part.tiff", None, b"content", b"png")
    assert SentPart.of({"IMAGE": np.zeros((1, 4, 5, 3), np.uint8)}, 1000).name == "request"


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({}, "either SCAN or FILE, but this one has neither"),
        ({"PART_ID": text(b"A17")}, "neither"),
        ({"SCAN": SCAN, "FILE": text(b"x")}, "has FILE, SCAN: send one"),
        ({"IMAGE_FILE": text(b"x")}, "has IMAGE_FILE"),
        ({"SCAN": np.ones((2, 4, 5, 3), np.float32)}, "SCAN is 2 x 4 x 5 x 3, but a request holds one part"),
        ({"SCAN": np.ones((0, 4, 5, 3), np.float32)}, "holds one part"),
        ({"FILE": text(b"x", 2)}, "FILE is 2 x 1"),
        ({"SCAN": SCAN, "PART_ID": text(b"x" * 201)}, "PART_ID has more than 200 characters"),
    ],
    ids=["nothing", "name_alone", "both", "image_alone", "two_scans", "no_scan", "two_files", "long_name"],
)
def test_what_is_not_one_part_is_refused_in_words(tensors, words):
    with pytest.raises(UsageError, match=words):
        SentPart.of(tensors, 10_000)


def test_a_request_beyond_the_limit_is_refused_with_the_key_that_raises_it():
    with pytest.raises(ScanError, match="raise max_request_mb"):
        SentPart.of({"FILE": text(b"x" * 101)}, 100)
