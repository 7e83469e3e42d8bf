"""`cmdiad`: the workstation's command: make data, train, export, calibrate, evaluate."""

from __future__ import annotations

from . import keys, sensor, weights
from .calibrate import calibrate
from .demo import demo
from .doctor import workstation_doctor
from .entry import new_app, run
from .evaluate import evaluate
from .export import export
from .features import features
from .fleet import fleet
from .inspect import inspect
from .preprocess import preprocess
from .reproduce import reproduce
from .sign import sign
from .synth import synth
from .train import train
from .view import view

app = new_app("Train cross-modal-distillation anomaly detection with RGB and 3D, and make bundles for the line.")
app.command(short_help="Run the whole loop on synthetic parts, ending with inspections.")(demo)
app.command(short_help="Write a synthetic dataset, normal and defective parts.")(synth)
app.command(short_help="Preprocess a dataset once into a new folder.")(preprocess)
app.command(short_help="Train a distillation route on normal parts.")(train)
app.command(short_help="Export a trained route to ONNX as a bundle; build engines.")(export)
app.command(short_help="Make banks, fusion and thresholds from normal scans.")(calibrate)
app.command(short_help="Calibrate and score every class of a labeled dataset.")(evaluate)
app.command(short_help="Do all of this for hundreds of products at once.")(fleet)
app.command(short_help="Run a table of the paper on a dataset.")(reproduce)
app.command(short_help="View a scan, its part and its anomalies in 3D.")(view)
app.command(short_help="Show what a bundle, an ONNX file or an engine contains.")(inspect)
app.command("doctor", short_help="Show what this machine can run, and what to install.")(workstation_doctor)
app.command(short_help="Write the features between a scan and its score to a file.")(features)
app.command(short_help="Sign a bundle, so that a line can check who released it.")(sign)
app.add_typer(sensor.app, short_help="Describe a sensor: new, check, show, fit.")
app.add_typer(keys.app, short_help="Make keys for signing bundles, and show their IDs.")
app.add_typer(weights.app, short_help="Published weights: what exists, and what is here.")


def main() -> None:
    """The console script."""
    run(app, "cmdiad")
