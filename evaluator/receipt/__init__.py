"""Receipts: which exact things made a scorecard, signed with Ed25519, checked offline."""

from evaluator.receipt.sign import ReceiptInvalid, receipt_sign, receipt_verify, signing_key

__all__ = ["ReceiptInvalid", "receipt_sign", "receipt_verify", "signing_key"]
