"""Who made a bundle: an Ed25519 signature (RFC 8032) over its manifest.

    openssl genpkey -algorithm ed25519 -out key.pem         # keep it to yourself
    openssl pkey -in key.pem -pubout -out pub.pem           # give this one away

    signature = sign(manifest_bytes, load_private_key("key.pem"))
    verify(manifest_bytes, signature, load_public_key("pub.pem"))   # raises, or holds

Law: ``verify(m, sign(m, k), public(k))`` holds, and for no other manifest or key. The
manifest has the SHA-256 of every other file, so the signature covers them all.

The signature does not bring its public key along: a key that comes with the goods proves
nothing. A reader names the key, or keeps it in `trusted_keys_folder`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from edge_seg.bundle.errors import BundleError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

SIGNATURE = "signature.json"
MAX_SIGNATURE_BYTES = 4096
MAX_KEY_BYTES = 65536

_DOMAIN = b"edge-seg/bundle-signature-1\n"
"""Goes before what is signed, so that no signature made for another purpose fits."""


class Signature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A detached signature, and the fingerprint of the key that verifies it."""

    algorithm: Literal["ed25519"] = "ed25519"
    fingerprint: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    signature: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{128}$")]


def sign(manifest_bytes: bytes, key: Ed25519PrivateKey) -> Signature:
    """Sign a manifest."""
    signed = key.sign(_message(manifest_bytes))
    return Signature(fingerprint=fingerprint(key.public_key()), signature=signed.hex())


def verify(manifest_bytes: bytes, signature: Signature | None, key: Ed25519PublicKey) -> None:
    """Raise `BundleError` unless ``signature`` was made by ``key`` for this manifest."""
    from cryptography.exceptions import InvalidSignature

    if signature is None:
        raise BundleError("the bundle is not signed: ask its maker, or pack with --sign KEY")
    if signature.fingerprint != fingerprint(key):
        raise BundleError(
            f"the bundle is signed by the key {signature.fingerprint[:16]}, and this one is "
            f"{fingerprint(key)[:16]}: give its maker's public key"
        )
    try:
        key.verify(bytes.fromhex(signature.signature), _message(manifest_bytes))
    except InvalidSignature as error:
        raise BundleError("the signature does not fit the bundle: do not use it") from error


def is_trusted(manifest_bytes: bytes, signature: Signature | None) -> bool:
    """Say whether a key in `trusted_keys_folder` signed the bundle with this manifest.

    Raises `BundleError` for a key there that cannot be read: trust is never guessed.
    """
    if signature is None:
        return False
    for path in sorted(trusted_keys_folder().glob("*.pem")):
        key = load_public_key(path)
        if fingerprint(key) == signature.fingerprint:
            verify(manifest_bytes, signature, key)
            return True
    return False


def trusted_keys_folder() -> Path:
    """Return the folder whose ``*.pem`` public keys this user trusts (it may not exist)."""
    from platformdirs import user_config_path

    return user_config_path("edge-seg") / "trusted_keys"


def fingerprint(key: Ed25519PublicKey) -> str:
    """Return the key's SHA-256; ``openssl pkey -pubin -in pub.pem -outform DER | sha256sum``."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def load_private_key(path: Path | str) -> Ed25519PrivateKey:
    """Read a PEM private key to sign with; raises `BundleError` when it is none."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = _load(path, lambda pem: load_pem_private_key(pem, password=None), "private")
    if not isinstance(key, Ed25519PrivateKey):
        raise BundleError(f"{path}: not an Ed25519 key; openssl genpkey -algorithm ed25519")
    return key


def load_public_key(path: Path | str) -> Ed25519PublicKey:
    """Read a PEM public key to verify with; raises `BundleError` when it is none."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key = _load(path, load_pem_public_key, "public")
    if not isinstance(key, Ed25519PublicKey):
        raise BundleError(f"{path}: not an Ed25519 key; bundles are signed with no other kind")
    return key


def _load(path: Path | str, parse: Callable[[bytes], Any], kind: str) -> Any:
    """Read a PEM file with ``parse``; every way it can fail becomes one line."""
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        with open(path, "rb") as file:
            pem = file.read(MAX_KEY_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BundleError(f"{path}: key cannot be read ({reason})") from error
    if kind == "public" and b"PRIVATE KEY" in pem:
        raise BundleError(
            f"{path}: is a private key; get the public one: openssl pkey -in KEY -pubout"
        )
    try:
        return parse(pem)
    except TypeError as error:  # cryptography's word for a key that wants a passphrase
        raise BundleError(
            f"{path}: is protected by a passphrase; remove it: openssl pkey -in KEY -out NEW"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BundleError(f"{path}: is not a {kind} key in PEM form") from error


def encode_signature(signature: Signature) -> bytes:
    """Return the signature as JSON."""
    return msgspec.json.encode(signature)


def decode_signature(payload: bytes) -> Signature:
    """Read a signature; raises `BundleError` when it is none."""
    if len(payload) > MAX_SIGNATURE_BYTES:
        raise BundleError(f"its {SIGNATURE} is larger than {MAX_SIGNATURE_BYTES} bytes")
    try:
        return msgspec.json.decode(payload, type=Signature)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BundleError(f"its {SIGNATURE} is damaged: do not use it") from error


def _message(manifest_bytes: bytes) -> bytes:
    return _DOMAIN + hashlib.sha256(manifest_bytes).digest()
