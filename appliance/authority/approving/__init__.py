"""Approvals: ``approving`` is asking and answering, ``answers`` the statement that a person signs (pure)."""
