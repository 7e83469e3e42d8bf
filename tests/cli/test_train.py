"""`cmdiad train` says where it writes, how it took the scans, and which checkpoint is shipped."""

from ..forked_commands import run_command


def train(data, trained_run, cwd, *more):
    arguments = ["--cache", trained_run.parent / "feature_cache", "--out", "mine", "--threads", 1, "--quiet", *more]
    return run_command("cmdiad", "train", data, *arguments, cwd=cwd)


def test_the_plane_the_checkpoint_and_an_unfinished_warm_up_are_told(synth_data, trained_run, tmp_path):
    answer = train(synth_data, trained_run, tmp_path, "--epochs", 1)
    assert answer.returncode == 0, answer.stderr
    plane, shipped, run = answer.stdout.splitlines()
    assert plane.startswith("plane: always (5 of 5 scans show a plane that parts stand on")
    assert shipped.startswith("weights shipped: main pc epoch 1, detection 0.")
    assert "of 1 epoch (mean of image and patch AUROC" in shipped and run == "run: mine"
    assert "warning: 1 epoch is fewer than the learning rate's warm-up takes: it ended at 5e-05" in answer.stderr


def test_the_window_is_told_and_where_the_run_is_written_without_done(synth_data, tmp_path):
    window = ["--epochs", 10, "--no-select", "--window", "part", "--out", "mine", "--threads", 1]
    answer = run_command("cmdiad", "train", synth_data, *window, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr.splitlines()[0] == "the run is written to: mine"
    lines = answer.stdout.splitlines()
    assert lines[1].startswith("window of gland: ") and lines[1].endswith(" pixels around the part")
    assert lines[2] == "weights shipped: epoch 10 of 10 (last epoch: selection was turned off)"
    assert "warm-up" not in answer.stderr


def test_a_dataset_that_is_not_there_is_told_as_that(tmp_path):
    answer = run_command("cmdiad", "train", "nowhere", cwd=tmp_path)
    assert answer.returncode == 2 and "error: nowhere: there is no such folder" in answer.stderr
