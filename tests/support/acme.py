"""How the policies of most tests begin: one customer, and the host group that its web servers are in."""

from __future__ import annotations

from typing import Final

ACME: Final = """
version = 1
[[customer]]
name = "acme"
user_ca = "users"
host_ca = "hosts"
[[host_group]]
name = "web"
customer = "acme"
match = { role = "web" }
"""
