from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import msgspec
import platformdirs
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from edge_seg.bundle.archive import Bundle, open_bundle, parse_bundle, write_bundle
from edge_seg.bundle.container import join, split
from edge_seg.bundle.errors import BundleError
from edge_seg.bundle.manifest import Manifest, decode, encode
from edge_seg.bundle.signature import (
    SIGNATURE,
    encode_signature,
    fingerprint,
    is_trusted,
    load_private_key,
    load_public_key,
    sign,
    verify,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))


def public_pem(key) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def private_pem(key, encryption=None) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


@pytest.fixture
def signed(tmp_path: Path, manifest: Manifest, members: dict[str, bytes]) -> Bundle:
    return write_bundle(tmp_path / "signed.edgeseg", manifest, members, KEY)


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The trusted keys' folder, moved into the test's own."""
    monkeypatch.setattr(platformdirs, "user_config_path", lambda name: tmp_path / name)
    folder = tmp_path / "edge-seg" / "trusted_keys"
    folder.mkdir(parents=True)
    return folder


def test_what_was_signed_verifies(signed: Bundle) -> None:
    opened = open_bundle(signed.path)
    verify(opened.manifest_bytes, opened.signature, KEY.public_key())


def test_signing_changes_neither_the_digest_nor_the_members(bundle: Bundle, signed: Bundle) -> None:
    assert bundle.digest == signed.digest
    assert bundle.manifest == signed.manifest


def test_signing_is_deterministic(
    tmp_path: Path, signed: Bundle, manifest: Manifest, members: dict[str, bytes]
) -> None:
    again = write_bundle(tmp_path / "again", manifest, members, KEY)
    assert again.path.read_bytes() == signed.path.read_bytes()


def test_two_hundred_changed_manifests_do_not_verify(signed: Bundle) -> None:
    chance = random.Random(3)
    for _ in range(200):
        changed = bytearray(signed.manifest_bytes)
        changed[chance.randrange(len(changed))] ^= chance.randrange(1, 256)
        with pytest.raises(BundleError, match="does not fit"):
            verify(bytes(changed), signed.signature, KEY.public_key())


def test_a_bundle_packed_anew_under_an_old_signature_does_not_verify(signed: Bundle) -> None:
    """Everything but the signature can be made to fit again, and then opens."""
    files = {name: bytes(payload) for name, payload in split(signed.path.read_bytes()).items()}
    manifest = decode(files["manifest.json"])
    files["manifest.json"] = encode(msgspec.structs.replace(manifest, name="other"))
    forged = parse_bundle(join(files), signed.path)
    with pytest.raises(BundleError, match="does not fit"):
        verify(forged.manifest_bytes, forged.signature, KEY.public_key())


def test_a_signature_for_another_purpose_does_not_fit(signed: Bundle) -> None:
    bare = msgspec.structs.replace(
        sign(signed.manifest_bytes, KEY), signature=KEY.sign(signed.manifest_bytes).hex()
    )
    with pytest.raises(BundleError, match="does not fit"):
        verify(signed.manifest_bytes, bare, KEY.public_key())


def test_not_signed_and_another_key_each_say_so(bundle: Bundle, signed: Bundle) -> None:
    with pytest.raises(BundleError, match="not signed"):
        verify(bundle.manifest_bytes, bundle.signature, KEY.public_key())
    with pytest.raises(BundleError, match="signed by the key"):
        verify(signed.manifest_bytes, signed.signature, OTHER.public_key())


@pytest.mark.parametrize(
    "payload", [b"", b"{}", b"[]", b"\xff", b"[" * 4000, b" " * 5000, b'{"algorithm":"none"}']
)
def test_a_broken_signature_file_is_refused(signed: Bundle, payload: bytes) -> None:
    files = dict(split(signed.path.read_bytes()))
    with pytest.raises(BundleError, match=SIGNATURE):
        parse_bundle(join({**files, SIGNATURE: payload}), signed.path)


def test_a_signature_file_round_trips(signed: Bundle) -> None:
    assert signed.signature is not None
    stored = bytes(split(signed.path.read_bytes())[SIGNATURE])
    assert stored == encode_signature(signed.signature)


def test_keys_load_from_pem(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(private_pem(KEY))
    (tmp_path / "pub.pem").write_bytes(public_pem(KEY))
    private, public = load_private_key(tmp_path / "key.pem"), load_public_key(tmp_path / "pub.pem")
    assert fingerprint(private.public_key()) == fingerprint(public) == fingerprint(KEY.public_key())


@pytest.mark.parametrize(
    ("load", "payload", "message"),
    [
        (load_public_key, None, "cannot be read"),
        (load_private_key, None, "cannot be read"),
        (load_public_key, b"hello", "not a public key in PEM form"),
        (load_private_key, b"hello", "not a private key in PEM form"),
        (load_private_key, public_pem(KEY), "not a private key in PEM form"),
        (load_public_key, private_pem(KEY), "is a private key; get the public one"),
        (load_private_key, private_pem(KEY, BestAvailableEncryption(b"x")), "passphrase"),
        (load_public_key, public_pem(generate_private_key(SECP256R1())), "not an Ed25519 key"),
        (load_private_key, private_pem(generate_private_key(SECP256R1())), "not an Ed25519 key"),
    ],
)
def test_a_key_that_does_not_do_is_one_line(
    tmp_path: Path, load, payload: bytes | None, message: str
) -> None:
    path = tmp_path / "key.pem"
    if payload is not None:
        path.write_bytes(payload)
    with pytest.raises(BundleError, match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_keys_made_by_openssl_sign_and_verify(
    tmp_path: Path, manifest: Manifest, members: dict[str, bytes]
) -> None:
    key, pub = tmp_path / "key.pem", tmp_path / "pub.pem"
    for command in (
        ["genpkey", "-algorithm", "ed25519", "-out", key],
        ["pkey", "-in", key, "-pubout", "-out", pub],
    ):
        subprocess.run(["openssl", *command], check=True)
    signed = write_bundle(tmp_path / "x.edgeseg", manifest, members, load_private_key(key))
    verify(signed.manifest_bytes, signed.signature, load_public_key(pub))

    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-in", pub, "-outform", "DER"],
        check=True,
        capture_output=True,
    ).stdout
    digest = subprocess.run(
        ["openssl", "dgst", "-sha256", "-r"], input=der, check=True, capture_output=True
    ).stdout
    assert signed.signature is not None
    assert digest.decode().split()[0] == signed.signature.fingerprint


def test_trusted_keys(trusted: Path, bundle: Bundle, signed: Bundle) -> None:
    assert not is_trusted(signed.manifest_bytes, signed.signature)
    (trusted / "other.pem").write_bytes(public_pem(OTHER))
    assert not is_trusted(signed.manifest_bytes, signed.signature)
    (trusted / "maker.pem").write_bytes(public_pem(KEY))
    assert is_trusted(signed.manifest_bytes, signed.signature)
    assert not is_trusted(bundle.manifest_bytes, bundle.signature)


def test_a_forged_signature_of_a_trusted_key_is_an_error(trusted: Path, signed: Bundle) -> None:
    (trusted / "maker.pem").write_bytes(public_pem(KEY))
    assert signed.signature is not None
    files = dict(split(signed.path.read_bytes()))
    forged = msgspec.structs.replace(signed.signature, signature="00" * 64)
    again = parse_bundle(join({**files, SIGNATURE: encode_signature(forged)}), signed.path)
    with pytest.raises(BundleError, match="does not fit"):
        is_trusted(again.manifest_bytes, again.signature)


def test_an_unreadable_trusted_key_is_an_error(trusted: Path, signed: Bundle) -> None:
    (trusted / "broken.pem").write_bytes(b"not a key")
    with pytest.raises(BundleError, match=r"broken.pem: is not a public key"):
        is_trusted(signed.manifest_bytes, signed.signature)
