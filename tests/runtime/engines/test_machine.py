"""The driver's answers become a machine; a driver that fails is none."""

import platform

import pytest
from cmdiad.runtime.engines.machine import (
    Gpu,
    Machine,
    platform_name,
    read_cuda_version,
    read_driver_version,
    read_gpus,
    this_machine,
)

FAILED = 999


class FakeCuda:
    """libcuda as its header describes it: answers through pointers, a status as the result."""

    def __init__(self, devices, init=0, attribute_status=0):
        self.devices, self.init, self.attribute_status = devices, init, attribute_status

    def cuInit(self, flags):
        return self.init

    def cuDriverGetVersion(self, version):
        version._obj.value = 13010
        return self.init

    def cuDeviceGetCount(self, count):
        count._obj.value = len(self.devices)
        return 0

    def cuDeviceGet(self, device, number):
        device._obj.value = number
        return 0

    def cuDeviceGetName(self, buffer, size, device):
        buffer.value = self.devices[device.value][0].encode()[: size - 1]
        return 0

    def cuDeviceGetAttribute(self, value, attribute, device):
        value._obj.value = self.devices[device.value][1][{75: 0, 76: 1}[attribute]]
        return self.attribute_status

    def cuDeviceTotalMem_v2(self, memory, device):
        memory._obj.value = self.devices[device.value][2]
        return 0


class FakeNvml:
    def __init__(self, status=0):
        self.status, self.is_open = status, False

    def nvmlInit_v2(self):
        self.is_open = self.status == 0
        return self.status

    def nvmlSystemGetDriverVersion(self, buffer, size):
        buffer.value = b"580.65.06"
        return 0

    def nvmlShutdown(self):
        self.is_open = False
        return 0


DEVICES = [("NVIDIA RTX A2000", (8, 6), 12 << 30), ("NVIDIA RTX PRO 6000", (12, 0), 96 << 30)]


def test_devices_are_read():
    gpus = read_gpus(FakeCuda(DEVICES))
    assert gpus == (Gpu("NVIDIA RTX A2000", "sm86", 12 << 30), Gpu("NVIDIA RTX PRO 6000", "sm120", 96 << 30))
    assert Machine(gpus, 13010, "", "linux-x86_64").target == "sm86"


def test_versions_are_read():
    nvml = FakeNvml()
    assert read_cuda_version(FakeCuda([])) == 13010
    assert read_driver_version(nvml) == "580.65.06" and not nvml.is_open


@pytest.mark.parametrize(
    "cuda", [FakeCuda(DEVICES, init=FAILED), FakeCuda([]), FakeCuda(DEVICES, attribute_status=FAILED)]
)
def test_a_driver_that_fails_shows_no_device(cuda):
    assert read_gpus(cuda) == ()


def test_versions_of_a_driver_that_fails_are_unknown():
    assert read_cuda_version(FakeCuda([], init=FAILED)) == 0
    assert read_driver_version(FakeNvml(status=FAILED)) == ""


def test_this_machine_answers_without_a_driver_too():
    machine = this_machine()
    assert machine.platform == platform_name() and platform.system().lower() in machine.platform
    assert (machine.target is None) == (machine.gpus == ())
