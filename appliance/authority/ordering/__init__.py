"""What operators order: ``commands`` has the form of each command, ``administration`` carries it out.

``preparing`` is for what takes long: a policy to be read, a key to be made.
"""
