"""The web tier: authenticates, parses, asks and renders. It has no PIN, no ledger file and no say.

A request passes ``jsonbody`` (strict JSON), ``authentication`` (who is asking), a view (one file for each
noun), and leaves through ``render``, or through ``problems`` when it is refused.
"""
