"""Issuing, from a request to the reply; begin with :mod:`~appliance.authority.issuing.issuance`.

``admission`` and ``rates`` say who is let in; ``circumstances`` and ``plan`` are the decision and the
bytes that follow from it (pure); ``denials`` puts refusals on record, ``replay`` answers what is asked
again.
"""
