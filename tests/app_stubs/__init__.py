"""Stubs of the phones' SDKs, which the apps are compiled against on Linux, and what they declare."""
