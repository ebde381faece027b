"""What hosts fetch: ``bundle`` and ``bundling``, ``krl`` and ``listing``; signed off the writer."""
