"""Published peaks of NVIDIA devices, dense (without structured sparsity), at boost clocks.

If a datasheet prints a figure "with sparsity", half of it is used here. TF32 and FP16 are tensor-core rates with
float32 accumulation.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ...errors import UsageError

_TERA, _GIGA = 1e12, 1e9


class GpuPeaks(msgspec.Struct, frozen=True, kw_only=True):
    """One device.

    Attributes:
        name: as its driver calls it, without the vendor.
        target: its compute capability, such as sm86.
        fp32, tf32, fp16, int8: 1e12 operations a second; tf32 None where it has none.
        memory_gb_s: 1e9 bytes a second.
        source: the vendor's document.
    """

    name: str
    target: str
    fp32: float
    tf32: float | None
    fp16: float
    int8: float
    memory_gb_s: float
    source: str

    @property
    def bytes_hz(self) -> float:
        """Memory bandwidth in bytes a second."""
        return _GIGA * self.memory_gb_s

    def peak(self, precision: str) -> tuple[str, float]:
        """The rate that networks of a precision can use at best: its name, and operations a second.

        A float32 network runs on tensor cores as TF32, TensorRT's default, where the device has it.
        """
        if precision in ("fp16", "bf16"):
            return precision, _TERA * self.fp16
        if precision.startswith("int8"):
            return "int8", _TERA * self.int8
        return ("tf32", _TERA * self.tf32) if self.tf32 else ("fp32", _TERA * self.fp32)


def _device(
    name: str, target: str, fp32: float, tf32: float | None, fp16: float, int8: float, memory: float, source: str
) -> GpuPeaks:
    return GpuPeaks(
        name=name, target=target, fp32=fp32, tf32=tf32, fp16=fp16, int8=int8, memory_gb_s=memory, source=source
    )


_ADA = "NVIDIA Ada GPU architecture white paper, appendix A"
_AMPERE_PRO = "NVIDIA Ampere GA102 GPU architecture white paper, appendix A"
_ORIN = (
    "NVIDIA Jetson AGX Orin series technical brief; the GPU alone, fp16 and tf32 as a half and a quarter of its int8"
)
PUBLISHED_PEAKS: Sequence[GpuPeaks] = (
    _device("T4", "sm75", 8.1, None, 65, 130, 320, "NVIDIA T4 datasheet"),
    _device("A100-PCIE-80GB", "sm80", 19.5, 156, 312, 624, 1935, "NVIDIA A100 80GB PCIe datasheet"),
    _device("A30", "sm80", 10.3, 82, 165, 330, 933, "NVIDIA A30 datasheet"),
    _device("RTX A6000", "sm86", 38.7, 77.4, 154.8, 309.7, 768, _AMPERE_PRO),
    _device("A10", "sm86", 31.2, 62.5, 125, 250, 600, "NVIDIA A10 datasheet"),
    _device("A2", "sm86", 4.5, 9, 18, 36, 200, "NVIDIA A2 datasheet"),
    _device("GeForce RTX 3090", "sm86", 35.6, 35.6, 71, 284, 936, _AMPERE_PRO),
    _device("Jetson AGX Orin 64GB", "sm87", 5.3, 21.2, 42.5, 85, 204.8, _ORIN),
    _device("L4", "sm89", 30.3, 60, 121, 242.5, 300, "NVIDIA L4 datasheet"),
    _device("L40S", "sm89", 91.6, 183, 362, 733, 864, "NVIDIA L40S datasheet"),
    _device("GeForce RTX 4090", "sm89", 82.6, 82.6, 165.2, 660.6, 1008, _ADA),
    _device("H100 PCIe", "sm90", 51, 378, 756, 1513, 2000, "NVIDIA H100 datasheet (2023)"),
    _device("H100 80GB HBM3", "sm90", 67, 494, 989, 1979, 3350, "NVIDIA H100 datasheet, SXM"),
)


def find_peaks(name: str) -> GpuPeaks | None:
    """The device that a driver's name means, if it is in the table.

    Example:
        >>> find_peaks("NVIDIA L4").target
        'sm89'
    """
    plain = name.removeprefix("NVIDIA ").strip().lower()
    return next((device for device in PUBLISHED_PEAKS if device.name.lower() == plain), None)


def peaks_of(wanted: str) -> list[GpuPeaks]:
    """The devices of a target such as sm86, or the one of a name.

    Raises:
        UsageError: none is in the table.
    """
    named = find_peaks(wanted)
    matching = [device for device in PUBLISHED_PEAKS if device.target == wanted.lower() or device is named]
    if not matching:
        targets = ", ".join(dict.fromkeys(device.target for device in PUBLISHED_PEAKS))
        raise UsageError(f"{wanted}: no published peaks are known for it; choose from {targets}, or a name")
    return matching
