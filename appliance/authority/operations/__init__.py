"""What can be asked of the authority; begin with :mod:`~appliance.authority.operations.surface`."""
