"""A device that is not the CPU, without hardware: `fake:0`, on which what a GPU refuses is refused.

A `FakeTensor` says that it lies on `fake:0` and holds a CPU tensor, which computes. As on a GPU, an operation that
mixes it with CPU tensors raises, unless these have no dimensions, are copied, or index it. What makes the CPU wait for
the device is noted: reading a value, a copy to the CPU, a shape that depends on values, and a copy to the device that
was asked for without `non_blocking`.

torch keeps the registration of a device for the life of the process. It has no effect but that the name is known:
outside the fixture no tensor can be made there, and the device reports itself as unavailable.
"""

import inspect
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import _DummyPrivateUse1Hook, _setup_privateuseone_for_python_backend

import pecl

NAME = "fake"
_PACKAGE = f"{Path(pecl.__file__).parent}/"
aten = torch.ops.aten

_INDEXING = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}
# Operations that give a number to the CPU, or a tensor whose shape depends on values.
_READING = {
    aten._local_scalar_dense,
    aten._unique,
    aten._unique2,
    aten.bincount,
    aten.equal,
    aten.is_nonzero,
    aten.masked_select,
    aten.nonzero,
    aten.unique_consecutive,
    aten.unique_dim,
}


DEVICE = torch.device("privateuseone", 0)


class FakeTensor(torch.Tensor):
    """A tensor on `fake:0`; `values` is the CPU tensor behind it."""

    @staticmethod
    def __new__(cls, values):
        layout = {"strides": values.stride(), "storage_offset": values.storage_offset()}
        tensor = torch.Tensor._make_wrapper_subclass(cls, values.shape, dtype=values.dtype, device=DEVICE, **layout)
        tensor.values = values
        return tensor

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function == torch.Tensor.data.__set__:  # torch replaces only what it knows of the tensor
            args[0].values = args[1].values
        with torch._C.DisableTorchFunctionSubclass():  # the default would make FakeTensors of all results
            return function(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        raise AssertionError(f"{function} on the fake device outside the fixture `fake_device`")

    def tolist(self):
        return self.cpu().tolist()

    def numpy(self, *args, **kwargs):
        raise TypeError(f"can't convert {NAME}:0 device type tensor to numpy. Use Tensor.cpu() first.")

    def __array__(self, *args, **kwargs):
        return self.numpy()


class FakeDevice(TorchDispatchMode):
    """Carries out every operation while it is active.

    Attributes:
        device: for `.to()`.
        waits: what has made the CPU wait for the device: each an operation and the lines of pecl that led to it.
    """

    @classmethod
    def _should_skip_dynamo(cls):
        return False  # it is true for modes that may be compiled, and importing the compiler takes seconds

    def __init__(self):
        super().__init__()
        self.device = torch.device(NAME, 0)
        self.waits = []

    @contextmanager
    def counted(self):
        """Give the list of waits within the block."""
        before, self.waits = self.waits, []
        try:
            yield self.waits
        finally:
            self.waits = before

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        tensors = list(_tensors((*args, *kwargs.values())))
        there = any(isinstance(tensor, FakeTensor) for tensor in tensors)
        target = next((value for value in (*args, kwargs.get("device")) if isinstance(value, torch.device)), None)
        to_fake = there if target is None else target.type == NAME
        if not there and not to_fake:
            return function(*args, **kwargs)
        if torch.is_inference_mode_enabled():  # where operations that are made of others arrive whole
            with self:
                out = function.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        self._check(function, args, kwargs, tensors, to_fake)
        if to_fake and target is not None:
            kwargs["device"] = torch.device("cpu")
        if function.overloadpacket is aten._to_copy:
            kwargs.pop("non_blocking", None)
        # A wrapper made in inference mode cannot be a view, so that mode is left; there are no gradients below here.
        with torch.inference_mode(False), torch.no_grad():
            out = function(*_plain(args), **_plain(kwargs))
            if not to_fake:
                return out
            # What is changed in place is given back itself.
            return _wrapped(out, {id(t.values): t for t in tensors if isinstance(t, FakeTensor)})

    def _check(self, function, args, kwargs, tensors, to_fake):
        """Raise where tensors of two devices meet; note what waits."""
        operation = function.overloadpacket
        if operation is aten.copy_:
            non_blocking = args[2] if len(args) > 2 else kwargs.get("non_blocking")
            self._note_copy(function, args[1], isinstance(args[0], FakeTensor), non_blocking)
        elif operation is aten._to_copy:
            self._note_copy(function, args[0], to_fake, kwargs.get("non_blocking"))
        elif operation in _INDEXING:
            self._check_indexing(function, *args)
        elif any(isinstance(tensor, FakeTensor) for tensor in tensors):
            if any(not isinstance(tensor, FakeTensor) and tensor.dim() for tensor in tensors):
                raise _two_devices(function)
            if operation in _READING:
                self.note(function)

    def _check_indexing(self, function, tensor, indices, values=None, *_):
        indices = [index for index in indices if index is not None]
        others = indices if values is None or not values.dim() else [*indices, values]
        if not isinstance(tensor, FakeTensor):
            if any(isinstance(other, FakeTensor) for other in others):
                raise _two_devices(function)
            return
        if values is not None and values.dim() and not isinstance(values, FakeTensor):
            raise _two_devices(function)
        if any(not isinstance(index, FakeTensor) or index.dtype in (torch.bool, torch.uint8) for index in indices):
            self.note(function)  # an index is copied to the device, or the places of a mask are counted

    def _note_copy(self, function, source, to_fake, non_blocking):
        from_fake = isinstance(source, FakeTensor)
        if (from_fake and not to_fake) or (to_fake and not from_fake and not non_blocking):
            self.note(function)

    def note(self, function):
        places = []
        frame = inspect.currentframe()
        while frame is not None and len(places) < 3:
            if frame.f_code.co_filename.startswith(_PACKAGE):
                places.append(f"{frame.f_code.co_filename.removeprefix(_PACKAGE)}:{frame.f_lineno}")
            frame = frame.f_back
        self.waits.append(f"{function} at {' < '.join(places)}")


def _tensors(values):
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _plain(values):
    """Arguments with the CPU tensors behind them."""
    if isinstance(values, FakeTensor):
        return values.values
    if isinstance(values, dict):
        return {name: _plain(value) for name, value in values.items()}
    return type(values)(map(_plain, values)) if type(values) in (list, tuple) else values


def _wrapped(out, given):
    """What an operation gave, on the fake device; `given` are the arguments by the identities of their values."""
    if isinstance(out, torch.Tensor):
        return given[id(out)] if id(out) in given else FakeTensor(out)
    return type(out)(_wrapped(one, given) for one in out) if isinstance(out, list | tuple) else out


def _two_devices(function):
    return RuntimeError(
        f"Expected all tensors to be on the same device, but found at least two devices, {NAME}:0 and cpu! ({function})"
    )


class _Hooks(_DummyPrivateUse1Hook):
    def is_available(self):
        return _active is not None


class _Module:
    """What stands at `torch.fake`."""

    def is_initialized(self):
        return _active is not None

    def is_available(self):
        return _active is not None

    def current_device(self):
        return 0

    def device_count(self):
        return int(_active is not None)

    def _is_in_bad_fork(self):
        return False

    def manual_seed_all(self, seed):
        pass


_active: FakeDevice | None = None
_library: torch.library.Library | None = None


def _empty_strided(size, stride, *, dtype=None, layout=None, device=None, pin_memory=None):
    if _active is None:
        raise RuntimeError(f"no tensor can be made on {NAME}:0 outside the fixture `fake_device`")
    return FakeTensor(torch.empty_strided(size, stride, dtype=dtype))


def _empty(size, *, dtype=None, layout=None, device=None, pin_memory=None, memory_format=None):
    return _empty_strided(size, torch.empty(size, device="meta").stride(), dtype=dtype)


def _copy_from(source, target, non_blocking=False):
    _active._note_copy(aten._copy_from, source, isinstance(target, FakeTensor), non_blocking)
    values = [tensor.values if isinstance(tensor, FakeTensor) else tensor for tensor in (source, target)]
    values[1].copy_(values[0])
    return target


def _register():
    """Make the device known to torch, once a process. `torch.tensor(..., device=)` passes by every mode to these."""
    global _library
    if _library is None:
        _setup_privateuseone_for_python_backend(NAME, _Module(), _Hooks())
        _library = torch.library.Library("aten", "IMPL")
        _library.impl("empty_strided", _empty_strided, "PrivateUse1")
        _library.impl("empty.memory_format", _empty, "PrivateUse1")
        _library.impl("_copy_from", _copy_from, "PrivateUse1")


_register()  # before the first gradient of the process: autograd counts the devices once


@pytest.fixture
def fake_device():
    """Give a `FakeDevice`, active during the test."""
    global _active
    _active = FakeDevice()
    try:
        with _active:
            yield _active
    finally:
        _active = None
