"""What is sampled from the side, with a stand-in for NVML: no test needs a GPU."""

import sys
import types

import pytest
from cmdiad.runtime.bench.measuring.host import describe_host
from cmdiad.runtime.bench.measuring.monitor import Monitor
from cmdiad.runtime.bench.measuring.nvidia import Nvidia, open_nvidia
from cmdiad.runtime.proc import resident_bytes


class NVMLError(Exception):
    pass


class FakeNvml(types.ModuleType):
    """Answers as nvidia-ml-py does for one busy device that does not tell its memory clock."""

    NVMLError = NVMLError
    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0

    def __init__(self):
        super().__init__("pynvml")
        self.opened, self.energy_mj = [], 1_000_000

    def nvmlInit(self):
        pass

    def nvmlDeviceGetHandleByIndex(self, index):
        self.opened.append(index)
        return "handle"

    def nvmlDeviceGetHandleByUUID(self, uuid):
        self.opened.append(uuid)
        return "handle"

    def nvmlDeviceGetName(self, _):
        return "NVIDIA L4"

    def nvmlSystemGetDriverVersion(self):
        return "580.1"

    def nvmlSystemGetCudaDriverVersion(self):
        return 13010

    def nvmlDeviceGetCudaComputeCapability(self, _):
        return 8, 9

    def nvmlDeviceGetMemoryInfo(self, _):
        return types.SimpleNamespace(total=24e9, used=2e9)

    def nvmlDeviceGetEnforcedPowerLimit(self, _):
        return 72_000

    def nvmlDeviceGetUtilizationRates(self, _):
        return types.SimpleNamespace(gpu=93)

    def nvmlDeviceGetClockInfo(self, _, kind):
        if kind == self.NVML_CLOCK_MEM:
            raise NVMLError("not supported")
        return 2040

    def nvmlDeviceGetPowerUsage(self, _):
        return 60_500

    def nvmlDeviceGetTemperature(self, _, kind):
        return 71

    def nvmlDeviceGetCurrentClocksEventReasons(self, _):
        return 0x1 | 0x4 | 0x40

    def nvmlDeviceGetTotalEnergyConsumption(self, _):
        self.energy_mj += 5_000
        return self.energy_mj


def test_the_gpus_figures_are_in_their_units(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    nvidia = Nvidia(FakeNvml())
    gpu = nvidia.describe()
    assert (gpu.name, gpu.cuda, gpu.compute_capability, gpu.power_limit_w) == ("NVIDIA L4", "13.1", "8.9", 72.0)
    with Monitor(nvidia, period_s=0.001) as monitor:
        pass
    readings = monitor.readings(parts=10).gpu
    assert readings.memory_mb.max == 2000 and readings.power_w.mean == 60.5 and readings.temperature_c.min == 71
    assert readings.memory_clock_mhz is None and readings.sm_clock_mhz.max == 2040
    assert readings.throttle_reasons == ["sw_power_cap", "hw_thermal_slowdown"]
    assert readings.energy_j_a_part == pytest.approx(0.5)


@pytest.mark.parametrize(("visible", "opened"), [("", 0), ("3,1", 3), ("GPU-ab12", "GPU-ab12")])
def test_the_device_is_the_one_that_cuda_sees_first(monkeypatch, visible, opened):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    nvml = FakeNvml()
    Nvidia(nvml)
    assert nvml.opened == [opened]


def test_a_missing_package_or_driver_is_a_reason_and_no_error(monkeypatch):
    assert open_nvidia("cpu") == (None, None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "cmdiad[bench]" in open_nvidia("cuda")[1]
    nvml = FakeNvml()
    nvml.nvmlInit = lambda: (_ for _ in ()).throw(NVMLError("Driver Not Loaded"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert open_nvidia("cuda") == (None, "NVML does not answer: Driver Not Loaded")


def test_the_host_is_sampled_at_least_once():
    with Monitor(None, period_s=10.0) as monitor:
        pass
    readings = monitor.readings(parts=1)
    assert readings.samples <= 1 and readings.gpu is None
    if resident_bytes() is not None:
        assert readings.host_memory_mb.min > 10
        assert readings.host_memory_peak_mb >= readings.host_memory_mb.max


def test_the_machine_names_what_a_comparison_needs():
    machine = describe_host()
    assert machine.cpu and machine.cores >= 1 and {"numpy", "onnxruntime", "cmdiad"} <= machine.versions.keys()
