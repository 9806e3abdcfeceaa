"""What a model must be like to be registered, and what its pickles may import."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np
import pytest
import yaml
from django.conf import LazySettings
from picklescan import scanner
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from access.models import User
from access.privileges import Privilege
from core.errors import InvalidParameter, NotFound, PermissionDenied
from events.models import Event
from registry import services as registry
from registry.intake.allowed import is_allowed
from registry.intake.pickles import Unreadable, walk_pickles
from registry.models import Catalog, ModelVersion, RegisteredModel
from tests.conftest import MLMODEL

Register = Callable[..., ModelVersion]
SKLEARN = {"sklearn": {"pickled_model": "model.pkl", "serialization_format": "pickle"}}


@pytest.fixture
def register(model: RegisteredModel, owner: User, tmp_path: Path) -> Register:
    """Register a model of some files; MLmodel may be changed by a mapping."""

    def make(files: dict[str, bytes] | None = None, **changes: Any) -> ModelVersion:
        source = tmp_path / "source"
        source.mkdir(exist_ok=True)
        content = {**yaml.safe_load(MLMODEL), **changes}
        (source / "MLmodel").write_text(yaml.safe_dump(content))
        for name, data in (files or {}).items():
            path = source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return registry.create_version_from_directory(model, source, principal=owner)

    return make


def flavors(**more: Any) -> dict[str, Any]:
    return {**yaml.safe_load(MLMODEL)["flavors"], **more}


class Attack:
    """Unpickling it runs a command; our tests never unpickle it."""

    def __reduce__(self) -> Any:
        import os

        return os.system, ("true",)


ATTACK = pickle.dumps(Attack())


# ---- signature and MLmodel


@pytest.mark.parametrize(
    "signature", [None, {"inputs": "[]"}, {"inputs": "[1]", "outputs": None}, "text"]
)
def test_signature_with_inputs_and_outputs_is_required(
    register: Register, signature: Any
) -> None:
    version = register(signature=signature)
    assert version.status == "failed"
    assert "infer_signature" in version.status_message


def test_catalog_may_do_without_signatures(
    register: Register, catalog: Catalog, admin: User
) -> None:
    registry.update_catalog(catalog, require_signature=False, principal=admin)
    assert register(signature=None).status == "ready"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("data", "../other"),
        ("data", "/etc"),
        ("code", "%2e%2e/x"),
        ("env", {"conda": "../conda.yaml"}),
        ("python_model", 7),
        ("artifacts", {"a": {"path": "a/../../b", "uri": "/home/me/b"}}),
    ],
)
def test_paths_in_mlmodel_stay_inside(
    register: Register, field: str, value: Any
) -> None:
    pyfunc = {"loader_module": "mlflow.sklearn", field: value}
    version = register(flavors={"python_function": pyfunc})
    assert version.status == "failed"
    assert f"flavors.python_function.{field}" in version.status_message


@pytest.mark.parametrize(
    "text",
    [b"a: [", b"- 1", b"flavors: []", b"flavors: {a: 1}", b"[" * 1500, b"\xff\xfe"],
)
def test_broken_mlmodel_fails_with_a_reason(register: Register, text: bytes) -> None:
    version = register({"MLmodel": text})
    assert version.status == "failed"
    assert "MLmodel" in version.status_message


def test_limits_of_size_and_number(register: Register, settings: LazySettings) -> None:
    settings.MAX_MODEL_FILES = 1
    assert "GREENLIGHT_MAX_MODEL_FILES" in register({"a": b"1"}).status_message
    settings.MAX_MODEL_BYTES = 10
    assert "GREENLIGHT_MAX_MODEL_BYTES" in register().status_message


# ---- pickles


def fitted(kind: str) -> Any:
    x = np.arange(40.0).reshape(20, 2)
    y = np.array([0, 1] * 10)
    steps = {
        "forest": [RandomForestClassifier(3)],
        "boosting": [GradientBoostingClassifier(n_estimators=2)],
        "log": [
            FunctionTransformer(np.log1p),
            StandardScaler(),
            RandomForestClassifier(2),
        ],
    }
    return make_pipeline(*steps[kind]).fit(x, y)


def dumped(model: Any, how: str) -> bytes:
    if how == "pickle":
        return pickle.dumps(model)
    if how == "cloudpickle":
        return cloudpickle.dumps(model)
    buffer = io.BytesIO()
    joblib.dump(model, buffer, compress=3 if how == "joblib, packed" else 0)
    return buffer.getvalue()


@pytest.mark.parametrize("how", ["pickle", "cloudpickle", "joblib", "joblib, packed"])
@pytest.mark.parametrize("kind", ["forest", "boosting", "log"])
def test_usual_pickled_models_have_no_code(
    register: Register, kind: str, how: str
) -> None:
    version = register(
        {"model.pkl": dumped(fitted(kind), how)}, flavors=flavors(**SKLEARN)
    )
    assert version.status == "ready", version.status_message
    assert version.code_findings == []


def zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner/data.pkl", data)
    return buffer.getvalue()


def tarred(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("data.pkl")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def objects(data: bytes) -> bytes:
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


PACKERS = [bytes, gzip.compress, bz2.compress, lzma.compress, zlib.compress]
PACKERS += [
    zipped,
    tarred,
    objects,
    lambda data: gzip.compress(tarred(zipped(data)))[:],
]


@pytest.mark.parametrize("name", ["model.pkl", "model.json", "weights", "a/b.npz"])
@pytest.mark.parametrize("pack", PACKERS[:-1])
def test_attack_is_refused_however_it_is_packed(
    register: Register, pack: Callable[[bytes], bytes], name: str
) -> None:
    version = register({name: pack(ATTACK)})
    assert version.status == "failed"
    assert "system" in version.status_message
    assert "skops, ONNX, safetensors" in version.status_message


PROTOCOL_0 = b"cos\nsystem\n(S'true'\ntR."
HIDDEN = [
    PROTOCOL_0,
    b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94h\x00h\x01\x93.",  # through the memo
    b"(S'true'\nios\nsystem\n.",
    b"\x80\x02(cos\nsystem\nX\x04\x00\x00\x00trueo.",
    pickle.dumps([1]) + ATTACK,  # behind another pickle
    ATTACK[:-1],  # without an end
    ATTACK + b"garbage",
    b"\x80\x02\x82\x01.",  # an extension code
    b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f" + ATTACK[2:],  # a frame of lies
    pickle.dumps(RandomForestClassifier())[:-5],
    b"",
]


@pytest.mark.parametrize("data", HIDDEN)
def test_hidden_or_broken_pickle_is_refused(register: Register, data: bytes) -> None:
    assert register({"model.pkl": data}).status == "failed"


def test_file_that_is_unpickled_is_looked_at_by_any_name(register: Register) -> None:
    named = {
        "sklearn": {"pickled_model": "model.json", "serialization_format": "pickle"}
    }
    version = register({"model.json": PROTOCOL_0}, flavors=flavors(**named))
    assert version.status == "failed"


def test_pickle_that_grows_when_read_is_walked_in_no_time(register: Register) -> None:
    bomb = (
        b"\x80\x02)"
        + b"\x94" * 0
        + b"".join(b"q%c" % n + b"h%ch%c\x86" % (n, n) for n in range(60))
    )
    version = register({"model.pkl": bomb + b"}h\x3bK\x01s0."})
    assert version.status in {"ready", "failed"}


def test_data_is_no_pickle(register: Register) -> None:
    files = {
        "model.onnx": b"\x08\x07\x12\x07pytorch",
        "model.safetensors": (16).to_bytes(8, "little") + b'{"a":{"b":"c"}}}',
        "weights.bin": b"\x80\x04not a pickle",
        "requirements.txt": b"cos\nsystem\n",
        "data.npy": objects(b"").replace(b"|O", b"<i8"),
    }
    version = register(files)
    assert version.status == "ready", version.status_message
    assert version.code_findings == []


def test_nothing_that_picklescan_lists_is_allowed() -> None:
    every = frozenset({"sklearn", "xgboost", "lightgbm", "statsmodels", "pytorch"})
    for module, names in scanner._unsafe_globals.items():
        for name in {"Popen", "system", "Run"} if names == "*" else names:
            assert not is_allowed(module, name, every), (module, name)


def test_walk_stops_at_what_is_no_pickle() -> None:
    with pytest.raises(Unreadable):
        walk_pickles(io.BytesIO(b"\x80\x04\x95"))
    assert (
        walk_pickles(io.BytesIO(pickle.dumps({"a": [1, 2.5, "x", b"y", {3}]}))) == set()
    )


# ---- code


def test_code_is_marked_under_review(register: Register) -> None:
    brought = cloudpickle.dumps(lambda x: x)
    pyfunc = {"loader_module": "my.loader", "code": "code", "python_model": "p.pkl"}
    version = register(
        {"code/my/loader.py": b"import os", "p.pkl": brought},
        flavors={"python_function": pyfunc},
    )
    assert version.status == "ready", version.status_message
    assert {finding["kind"] for finding in version.code_findings} == {"code"}
    details = " ".join(finding["detail"] for finding in version.code_findings)
    assert "loaded by my.loader" in details
    assert "cloudpickle" in details


@pytest.mark.parametrize(
    ("policy", "code", "attack"),
    [
        ("block", "failed", "failed"),
        ("review", "ready", "failed"),
        ("allow", "ready", "ready"),
    ],
)
def test_policies(
    register: Register,
    catalog: Catalog,
    admin: User,
    policy: str,
    code: str,
    attack: str,
) -> None:
    registry.update_catalog(catalog, code_policy=policy, principal=admin)
    marked = register({"helper.py": b"1"})
    assert (marked.status, bool(marked.code_findings)) == (code, code == "ready")
    attacked = register({"model.pkl": ATTACK})
    assert (attacked.status, bool(attacked.code_findings)) == (
        attack,
        attack == "ready",
    )


def test_types_that_skops_shall_trust_are_judged(register: Register) -> None:
    trusted = {"skops_trusted_types": ["numpy.dtype", "sklearn.tree._tree.Tree"]}
    assert register(flavors=flavors(sklearn=trusted)).code_findings == []
    version = register(flavors=flavors(sklearn={"skops_trusted_types": ["os.system"]}))
    assert version.status == "failed"


# ---- who may change the rules


def test_owner_changes_the_rules_and_it_is_recorded(
    catalog: Catalog, admin: User
) -> None:
    registry.update_catalog(catalog, code_policy="block", principal=admin)
    event = Event.objects.get(type="catalog.updated")
    assert event.data["before"] == {"code_policy": "review"}
    assert event.data["after"] == {"code_policy": "block"}
    with pytest.raises(InvalidParameter, match="block, review, allow"):
        registry.update_catalog(catalog, code_policy="maybe", principal=admin)


def test_others_do_not_change_the_rules(
    catalog: Catalog, grantee: User, stranger: User, use: Callable[..., None]
) -> None:
    use(grantee, Privilege.CREATE_MODEL)
    with pytest.raises(PermissionDenied):
        registry.update_catalog(catalog, code_policy="allow", principal=grantee)
    with pytest.raises(NotFound):
        registry.update_catalog(catalog, code_policy="allow", principal=stranger)
    catalog.refresh_from_db()
    assert catalog.code_policy == "review"


@pytest.mark.parametrize("text", ["[" * 10_000, "- " * 10_000 + "a", "{a: " * 10_000])
def test_nested_mlmodel_is_refused_before_it_is_built(
    text: str, model: RegisteredModel, owner: User, tmp_path: Path
) -> None:
    source = tmp_path / "deep"
    source.mkdir()
    (source / "MLmodel").write_text(text)
    version = registry.create_version_from_directory(model, source, principal=owner)
    assert version.status == "failed"
    assert "nested deeper" in version.status_message
