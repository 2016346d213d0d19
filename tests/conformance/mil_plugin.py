"""pytest plugin: run coremltools' own tests with our interpreter in place of macOS's Core ML.

coremltools ships its tests in its wheel, but off macOS they return before they compare.  This is
`tinysam_mobile.mil.pytest_plugin`, which makes them predict and compare, and a log.  Value inference is
refused while the interpreter runs.  Used by `make test-conformance` and by
`tests/mil/test_conformance.py`:

    python -m pytest -p tests.conformance.mil_plugin -k mlprogram --pyargs \
        coremltools.converters.mil.mil.ops.tests.iOS17.test_linear

MIL_CONFORMANCE_SAMPLE keeps that many parametrizations of each test function, evenly spaced.
MIL_CONFORMANCE_DRAWN draws that many tests of all, by the seed MIL_CONFORMANCE_SEED (0).
MIL_CONFORMANCE_TESTS names a file with the tests to keep, one in a line, as the log names them.
MIL_CONFORMANCE_LOG names a file to which one JSON line is appended for each test that reached the
predictor: {"test", "outcome", "ops", "error"}.
"""

from __future__ import annotations

import gc
import json
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from coremltools.converters.mil.mil import Operation

from tinysam_mobile.mil import MilPipeline, pytest_plugin
from tinysam_mobile.mil.coremltools_predictor import ModelProxy

# Ops that the current test's models ran; the fixture below empties it.
_reached: set[str] = set()


def _refuse(operation: Any, *_: Any, **__: Any) -> Any:
    raise AssertionError(f"value inference of {operation.op_type} was called at run time")


@contextmanager
def _without_value_inference() -> Iterator[None]:
    original = Operation._auto_val
    Operation._auto_val = _refuse
    try:
        yield
    finally:
        Operation._auto_val = original


def _watched(predict: Callable[..., Any]) -> Callable[..., Any]:
    """`predict` of the proxy, with value inference refused, and the ops that ran remembered."""

    def watched(proxy: ModelProxy, data: Any, state: Any = None) -> Any:
        models = proxy.model.models if isinstance(proxy.model, MilPipeline) else [proxy.model]
        _reached.update(node.op_type for model in models for node in model.plan.nodes())
        with _without_value_inference():
            return predict(proxy, data, state)

    return watched


def pytest_configure() -> None:
    """Make coremltools predict with the interpreter, as its users do."""
    pytest_plugin.pytest_configure()
    ModelProxy.predict = _watched(ModelProxy.predict)  # type: ignore[method-assign]


def _function_id(item: pytest.Item) -> str:
    """Like `iOS17/test_linear.py::TestLinear::test_builder_eval`, however pytest was started."""
    names = item.nodeid.split("[")[0].split("::")[1:]
    return "::".join((f"{item.path.parent.name}/{item.path.name}", *names))


def _test_id(item: pytest.Item) -> str:
    """`_function_id` with the parameters."""
    return _function_id(item) + item.nodeid[len(item.nodeid.split("[")[0]) :]


def _keep(config: pytest.Config, items: list[pytest.Item], kept: set[int]) -> None:
    config.hook.pytest_deselected(items=[item for item in items if id(item) not in kept])
    items[:] = [item for item in items if id(item) in kept]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep what MIL_CONFORMANCE_TESTS and MIL_CONFORMANCE_SAMPLE ask for."""
    listing = os.environ.get("MIL_CONFORMANCE_TESTS")
    if listing:
        wanted = set(Path(listing).read_text(encoding="utf-8").splitlines())
        _keep(config, items, {id(item) for item in items if _test_id(item) in wanted})
    drawn = int(os.environ.get("MIL_CONFORMANCE_DRAWN", "0"))
    if drawn:
        chooser = random.Random(os.environ.get("MIL_CONFORMANCE_SEED", "0"))
        _keep(config, items, {id(item) for item in chooser.sample(items, min(drawn, len(items)))})
    count = int(os.environ.get("MIL_CONFORMANCE_SAMPLE", "0"))
    if not count:
        return
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        groups.setdefault(_function_id(item), []).append(item)
    kept = {
        id(group[i * len(group) // min(count, len(group))])
        for group in groups.values()
        for i in range(min(count, len(group)))
    }
    _keep(config, items, kept)


def pytest_collection_finish() -> None:
    """Keep what the imports made out of `gc.collect()`, which every conversion calls.

    It is nine tenths of a conversion's time otherwise.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Log each test that reached the predictor."""
    _reached.clear()
    outcome, error = "passed", ""
    try:
        return (yield)
    except BaseException as failure:
        outcome = "xfailed" if isinstance(failure, pytest.xfail.Exception) else "failed"
        outcome = "skipped" if isinstance(failure, pytest.skip.Exception) else outcome
        error = f"{type(failure).__name__}: {failure}"[:400]
        raise
    finally:
        log = os.environ.get("MIL_CONFORMANCE_LOG")
        if log and _reached:
            line = {"test": _test_id(item), "outcome": outcome, "ops": sorted(_reached), "error": error}
            with Path(log).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
