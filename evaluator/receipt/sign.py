"""Sign and check receipts. The private key stays in the evaluator's `keys/`; the public one is beside it."""

from __future__ import annotations

import base64
import json

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from evaluator.contract import Receipt
from evaluator.home import Home, write_atomically


class ReceiptInvalid(ValueError):
    """A receipt whose signature does not fit; the message names the field and the remedy."""


def signing_key(home: Home) -> Ed25519PrivateKey:
    """The installation's key, made on first use (`keys/receipt.pem`, mode 0600; `keys/receipt.pub` in base64)."""
    path = home.keys / "receipt.pem"
    if not path.is_file():
        key = Ed25519PrivateKey.generate()
        write_atomically(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=0o600)
        write_atomically(home.keys / "receipt.pub", _public(key.public_key()) + "\n")
    key_loaded = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key_loaded, Ed25519PrivateKey):
        raise ReceiptInvalid(f"key: {path.name} is not an Ed25519 private key; remove it to make a new one")
    return key_loaded


def _public(key: Ed25519PublicKey) -> str:
    return base64.b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def _message(receipt: Receipt) -> bytes:
    fields = receipt.model_dump(mode="json", exclude={"signature"})
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def receipt_sign(receipt: Receipt, key: Ed25519PrivateKey) -> Receipt:
    """The receipt with its public key and signature filled in."""
    named = receipt.model_copy(update={"public_key": _public(key.public_key()), "signature": ""})
    return named.model_copy(update={"signature": base64.b64encode(key.sign(_message(named))).decode()})


def receipt_verify(receipt: Receipt, *, trusted_keys: str | None = None) -> None:
    """Raises `ReceiptInvalid` unless the signature fits and, when given, the key is one of the trusted ones.

    `trusted_keys`: base64, one a line; a site that changed its key publishes the old ones too.
    """
    if trusted_keys is not None and receipt.public_key not in trusted_keys.split():
        raise ReceiptInvalid(
            f"public_key: {receipt.public_key or 'missing'} is none of the {len(trusted_keys.split())} trusted keys; "
            "fetch the keys that the site publishes anew"
        )
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(receipt.public_key))
        key.verify(base64.b64decode(receipt.signature), _message(receipt))
    except (InvalidSignature, ValueError):
        raise ReceiptInvalid("signature: does not fit the receipt's contents; the file was changed or cut") from None
