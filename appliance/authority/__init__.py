"""The authority: the one process that holds the PIN and the ledger, and so the only one that can sign.

A certificate's way through it: ``transport`` takes the request from the socket, ``operations`` makes a
command of it, ``issuing`` decides and records the intent in the ``writer``'s transaction, ``signing`` has
the token sign, ``issuing`` records the outcome, and only then the reply leaves.

What decisions rest on is the ``fold`` of the ledger. Beside issuing, what changes it: ``cutting`` (locks,
revocations, leave), ``approving``, ``cas`` and ``ordering``; what hosts fetch of it is ``publishing``.
Each stands only on what is further down: import-linter has the order.

``process`` puts it all together, after ``startup`` has found what must hold; ``life``, ``probe`` and
``status`` say how it is. ``founding`` has the first entries of a log, ``events`` the data of all,
``orders`` what operators sign.
"""
