"""The parts of a plan (:mod:`appliance.policy.plan`), each by itself.

``access`` goes from place to place and ``place`` compares who has what at one; ``meaning`` says which grants
mean the same, and ``limits`` with ``times`` whether one gives more than another. ``settings`` are all else
that a policy says, and ``standing`` is what locks and leave make of it.
"""
