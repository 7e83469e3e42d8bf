"""The model.py of a Triton model repository: `cmdiad export --triton` copies this file beside the bundle.

Triton's stub runs Python isolated: no environment's packages are there, and PYTHONPATH is ignored. It imports this
file, then its own `triton_python_backend_utils`, which wants NumPy: the folders with both are put in front here.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import site
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cmdiad.runtime.triton.served_model import ServedModel

VARIABLE = "CMDIAD_TRITON_SITE"
_CONFIG = Path(__file__).resolve().parent.parent / "config.pbtxt"
_ADVICE = (
    f"name the site-packages folder with cmdiad and ONNX Runtime in ${VARIABLE}, or in the parameter `site` of "
    "config.pbtxt (`cmdiad export --triton-site`)"
)


def site_folders() -> list[str]:
    """Where the packages are: $CMDIAD_TRITON_SITE, else the parameter `site` of config.pbtxt; separated as $PATH is."""
    listed = os.environ.get(VARIABLE, "")
    if not listed and _CONFIG.is_file():
        parameter = re.search(
            r'key:\s*"site"\s*,?\s*value:?\s*\{\s*string_value:\s*"([^"]*)"', _CONFIG.read_text(encoding="utf-8")
        )
        listed = "" if parameter is None else parameter.group(1)
    return [folder for folder in listed.split(os.pathsep) if folder]


def put_in_front(folders: Sequence[str]) -> None:
    """Let packages of these folders be imported, before others of their names; .pth files in them count."""
    before = list(sys.path)
    for folder in folders:
        site.addsitedir(folder)
    sys.path[:] = [*(path for path in sys.path if path not in before), *before]


put_in_front(site_folders())
if importlib.util.find_spec("numpy") is None:  # the stub would say just that, without what to do
    raise ImportError(f"the server's Python {sys.version_info.major}.{sys.version_info.minor} has no NumPy: {_ADVICE}")
# As the commands do: NumPy's products here are many and small, and its threads would wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


class TritonPythonModel:
    """What Triton's Python backend calls, one process an instance."""

    def initialize(self, args: dict[str, str]) -> None:
        """Verify the bundle beside this file and repeat its golden scans.

        Raises:
            TritonModelException: this version must not serve: loading it fails, and the one before goes on.
        """
        import triton_python_backend_utils as backend

        try:
            _require_whole_tensors(backend)
            self._served = _open(args)
        except Exception as error:
            raise backend.TritonModelException(_in_words(error)) from None
        if not self._served.was_tested:
            backend.Logger.log_warn(f"{args['model_name']}: the bundle has no golden scans: it was not self-tested")

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer a batch of requests, each with its own tensors or its own error."""
        import triton_python_backend_utils as backend

        answers = self._served.answer(
            [{tensor.name(): tensor.as_numpy() for tensor in request.inputs()} for request in requests]
        )
        responses = []
        for request, answer in zip(requests, answers, strict=True):
            if isinstance(answer, Exception):
                code = getattr(backend.TritonError, "INVALID_ARG" if _is_of_request(answer) else "INTERNAL")
                responses.append(backend.InferenceResponse(error=backend.TritonError(str(answer), code)))
                continue
            wanted = [name for name in answer if name in request.requested_output_names()]
            responses.append(backend.InferenceResponse([backend.Tensor(name, answer[name]) for name in wanted]))
        return responses

    def finalize(self) -> None:
        """Close the bundle when the version is unloaded."""
        self._served.close()


def _require_whole_tensors(backend: Any) -> None:
    """Refuse a NumPy that the server's stub was not built for: it would read every number of a scan from one place.

    Raises:
        EngineError: a tensor of the server's memory does not come back as it was.
    """
    import numpy as np
    from cmdiad.runtime.errors import EngineError

    if int(np.__version__.split(".")[0]) < 2:  # stubs of all ages were built for it, and its DLPack ends some of them
        return
    sent = np.arange(1, 5, dtype=np.float32)
    if not np.array_equal(backend.Tensor.from_dlpack("PROBE", sent).as_numpy(), sent):
        raise EngineError(
            f"this server's Python backend reads tensors wrongly with NumPy {np.__version__}: install 'numpy<2' in the "
            "site folder, or use a newer server"
        )


def _open(args: dict[str, str]) -> ServedModel:
    from cmdiad.runtime.triton.served_model import ServedModel, ServedSettings

    config = json.loads(args["model_config"])
    parameters = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
    instances = sum(int(group.get("count", 1)) for group in config.get("instance_group", [{}]))
    settings = ServedSettings.of(parameters, int(config.get("max_batch_size", 1)), instances)
    return ServedModel.open(Path(__file__).resolve().parent, settings)


def _in_words(error: Exception) -> str:
    """One line: what is wrong and what to do."""
    if isinstance(error, ImportError):
        return f"{error}: {_ADVICE}"
    from cmdiad.runtime.errors import as_cmdiad_error

    return str(as_cmdiad_error(error))


def _is_of_request(error: Exception) -> bool:
    """Whether what was sent is wrong, and not this machine or its bundle."""
    from cmdiad.runtime.errors import NotFiniteError, ScanError, UsageError

    return isinstance(error, ScanError | UsageError | NotFiniteError)
