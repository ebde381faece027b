"""What operators order: ``commands`` has the form of each command, ``administration`` carries it out."""
