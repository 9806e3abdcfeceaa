"""The commands that verify, prune and sign the bytes of versions."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import model_signing.verifying
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.utils import timezone
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

from access.models import User
from access.privileges import Privilege
from approvals import services as approvals
from core.errors import Conflict
from events.models import Event
from registry import artifacts
from registry import services as registry
from registry.artifacts import LocalTree
from registry.models import ModelVersion, RegisteredModel


def run(name: str, *arguments: object) -> str:
    output = StringIO()
    call_command(name, *map(str, arguments), stdout=output, stderr=output)
    return output.getvalue()


def tamper(version: ModelVersion) -> None:
    path = artifacts.local_directory(version) / "weights.json"
    path.chmod(0o644)
    path.write_text("2")


# ---- verify-artifacts


def test_untouched_bytes_are_all_as_registered(version: ModelVersion) -> None:
    assert "1 versions" in run("verify_artifacts")
    assert "all as registered" in run("verify_artifacts", version.model.full_name)


def test_changed_bytes_are_quarantined_once(version: ModelVersion, owner: User) -> None:
    tamper(version)
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            run("verify_artifacts", version.model.full_name)
        assert ended.value.code == 1
    assert Event.objects.filter(type="model_version.tampered").count() == 1
    version.refresh_from_db()
    with pytest.raises(Conflict, match="changed on disk"):
        registry.set_alias(version.model, "a", version, principal=owner)


def test_changed_object_is_quarantined(bucket: object, version: ModelVersion) -> None:
    with artifacts.stored(version).writer("weights.json", 1) as writer:
        writer.write(b"2")
    with pytest.raises(SystemExit):
        run("verify_artifacts")
    version.refresh_from_db()
    assert version.tampered_at is not None


# ---- prune-artifacts


def make_old(version: ModelVersion) -> None:
    long_ago = timezone.now() - dt.timedelta(days=30)
    ModelVersion.objects.filter(pk=version.pk).update(created_at=long_ago)


@pytest.fixture(params=["disk", "s3"])
def any_storage(request: pytest.FixtureRequest) -> None:
    if request.param == "s3":
        request.getfixturevalue("bucket")


def test_prune_removes_attempts_and_never_a_version(
    any_storage: None, version: ModelVersion
) -> None:
    place = f"{version.model_id}/{version.pk}"
    with artifacts.store().writer(f"{place}/died/MLmodel", 3) as writer:
        writer.write(b"old")
    with artifacts.store().writer("some/where/else/file", 3) as writer:
        writer.write(b"not")
    assert "\n0 bytes were freed" in run("prune_artifacts", "--grace-days", 0)
    make_old(version)
    assert "would go             3" in run("prune_artifacts", "--dry-run")
    said = run("prune_artifacts")
    assert "3 bytes were freed" in said
    assert "kept" in said
    assert artifacts.verify(version) == []
    assert len(artifacts.store().children(place) or []) == 1
    assert artifacts.store().child("some").exists()


def test_bytes_of_a_deleted_version_go_after_the_grace(
    model: RegisteredModel, make_version: Callable[..., ModelVersion], owner: User
) -> None:
    gone, kept = make_version(model), make_version(model)
    registry.delete_version(gone, principal=owner)
    assert "0 bytes were freed" in run("prune_artifacts")
    assert artifacts.stored(gone).exists()
    run("prune_artifacts", "--grace-days", 0)
    assert not artifacts.stored(gone).exists()
    assert artifacts.verify(kept) == []


def test_copy_outlives_its_deleted_original(version: ModelVersion, owner: User) -> None:
    source = f"models:/{version.full_name}"
    copy = registry.create_version(version.model, source, principal=owner)
    registry.delete_version(version, principal=owner)
    run("prune_artifacts", "--grace-days", 0)
    assert artifacts.verify(copy) == []


def test_unused_local_copy_goes(bucket: object, version: ModelVersion) -> None:
    artifacts.prepare(version)
    directory = artifacts.local_directory(version)
    run("prune_artifacts")
    assert directory.exists()
    run("prune_artifacts", "--grace-days", 0)
    assert not directory.exists()
    assert artifacts.verify(version) == []


# ---- receipts


@pytest.fixture
def exported(version: ModelVersion, tmp_path: Path) -> Path:
    run("export_receipt", version.full_name, "--output", tmp_path / "out")
    return tmp_path / "out"


def test_reference_verifiers_accept_receipt_and_bundle(
    exported: Path, version: ModelVersion
) -> None:
    pem = (exported / "greenlight.pub").read_bytes()
    directory = artifacts.local_directory(version)
    verifier = model_signing.verifying.Config().use_elliptic_key_verifier(
        public_key=exported / "greenlight.pub"
    )
    verifier.verify(directory, exported / "model.sig")
    envelope = json.loads((exported / "receipt.json").read_text())
    key_id = envelope["signatures"][0]["keyid"]
    key = SSlibKey(key_id, "ecdsa", "ecdsa-sha2-nistp256", {"public": pem.decode()})
    assert Envelope.from_dict(envelope).verify([key], 1)


def test_changed_files_fail_in_both_verifiers(
    exported: Path, version: ModelVersion
) -> None:
    tamper(version)
    directory = artifacts.local_directory(version)
    verifier = model_signing.verifying.Config().use_elliptic_key_verifier(
        public_key=exported / "greenlight.pub"
    )
    with pytest.raises(ValueError, match=r"weights\.json"):
        verifier.verify(directory, exported / "model.sig")
    for file in ("receipt.json", "model.sig"):
        with pytest.raises(CommandError, match=r"weights\.json was changed"):
            verify(exported, file, directory)


def verify(exported: Path, file: str, directory: Path | None = None) -> str:
    arguments: list[object] = [exported / file, "--key", exported / "greenlight.pub"]
    if directory:
        arguments += ["--model-dir", directory]
    return run("verify_receipt", *arguments)


@pytest.mark.parametrize("file", ["receipt.json", "model.sig"])
def test_receipt_holds_with_the_public_key_alone(
    exported: Path, version: ModelVersion, file: str
) -> None:
    directory = artifacts.local_directory(version)
    assert version.digest in verify(exported, file)
    assert "signature and files hold" in verify(exported, file, directory)


@pytest.mark.parametrize("file", ["receipt.json", "model.sig"])
def test_receipt_that_was_edited_does_not_hold(exported: Path, file: str) -> None:
    path = exported / file
    text = path.read_text()
    start = text.index('"payload": "') + 30
    flipped = "A" if text[start] != "A" else "B"
    path.write_text(text[:start] + flipped + text[start + 1 :])
    with pytest.raises(CommandError, match="signature"):
        verify(exported, file)
    path.write_text("{}")
    with pytest.raises(CommandError, match="no DSSE envelope"):
        verify(exported, file)


def test_receipt_of_another_key_does_not_hold(exported: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    (exported / "greenlight.pub").write_bytes(
        key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(CommandError, match="not one of this key"):
        verify(exported, "receipt.json")


def test_key_of_the_settings_signs(
    version: ModelVersion, tmp_path: Path, settings: LazySettings
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    settings.RECEIPT_KEY = pem.decode()
    run("export_receipt", version.full_name, "--output", tmp_path)
    assert not settings.KEYS_DIR.exists()
    assert "signature hold" in verify(tmp_path, "receipt.json")


def test_receipt_names_who_allowed_it(
    version: ModelVersion,
    owner: User,
    approver: User,
    use: Callable[..., None],
    tmp_path: Path,
) -> None:
    use(approver, Privilege.APPROVE)
    approvals.create_policy(version.model, "Champion", principal=owner)
    asked = approvals.request_alias(version.model, "Champion", version, principal=owner)
    approvals.decide(asked, "approve", digest=asked.digest, principal=approver)
    run("export_receipt", version.full_name, "--output", tmp_path)
    assert "Champion: applied (approve by approver)" in verify(tmp_path, "receipt.json")


@pytest.mark.parametrize(
    "name", ["prod.fraud.scorer", "prod.fraud.scorer/9", "x.y.z/1"]
)
def test_receipt_of_nothing_is_refused(
    version: ModelVersion, name: str, tmp_path: Path
) -> None:
    with pytest.raises(CommandError):
        run("export_receipt", name, "--output", tmp_path)


def test_quarantined_version_has_no_receipt(
    version: ModelVersion, tmp_path: Path
) -> None:
    registry.report_tampering(version, ["weights.json was changed"])
    with pytest.raises(CommandError, match="were changed"):
        run("export_receipt", version.full_name, "--output", tmp_path)


def test_files_beside_each_other_hash_in_the_order_of_model_signing(
    tmp_path: Path,
) -> None:
    tree = LocalTree(tmp_path)
    for path in ("a/b", "a.b", "a-b/c", "a"[:1] + "_"):
        with tree.writer(path, None) as writer:
            writer.write(path.encode())
    assert [entry.path for entry in tree.files()] == ["a/b", "a-b/c", "a.b", "a_"]
